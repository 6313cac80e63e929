//! Which changes are seen: every way to save, many files at once, and those that are ignored.

use std::fs;
use std::time::{Duration, Instant};

use super::{is_missing, start, watch};
use crate::harness::{eventually, look, stack};

#[test]
fn every_way_to_save_a_file_is_one_change() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    init: true
    command: sleep infinity
    develop: {watch: [{action: sync, path: ./src, target: /src}]}
"
    );
    stack.file("src/file", "zero");
    let watching = watch(&stack);
    let src = stack.dir().join("src");
    // Another file takes the name.
    fs::write(src.join(".file.tmp"), "one").unwrap();
    fs::rename(src.join(".file.tmp"), src.join("file")).unwrap();
    watching.until_file("app", "/src/file", "one");
    // The old one is kept until the new one is whole.
    fs::write(src.join("4913"), "").unwrap();
    fs::remove_file(src.join("4913")).unwrap();
    fs::rename(src.join("file"), src.join("file~")).unwrap();
    fs::write(src.join("file"), "two").unwrap();
    fs::remove_file(src.join("file~")).unwrap();
    watching.until_file("app", "/src/file", "two");
    // A directory is renamed.
    fs::create_dir(src.join("old")).unwrap();
    fs::write(src.join("old/inner"), "inner").unwrap();
    watching.until_file("app", "/src/old/inner", "inner");
    fs::rename(src.join("old"), src.join("new")).unwrap();
    watching.until_file("app", "/src/new/inner", "inner");
    assert_eq!(stack.exec("app", "ls -A /src"), "file\nnew\n");
}

#[test]
fn two_replicas_get_five_thousand_files_at_once() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    init: true
    command: sleep infinity
    scale: 2
    develop: {watch: [{action: sync, path: ./src, target: /src}]}
"
    );
    for number in 0..5000 {
        // Not 4913, which is what vim calls a file of its own.
        stack.file(&format!("branch/{}/n{number}", number % 100), "x");
    }
    fs::create_dir(stack.dir().join("src")).unwrap();
    let watching = watch(&stack);
    fs::rename(stack.dir().join("branch"), stack.dir().join("src/branch")).unwrap();
    watching.until("Large batch of file changes detected.");
    for index in ["1", "2"] {
        let count = ["exec", "-T", "--index", index, "app", "sh", "-c"];
        let count = [&count[..], &["find /src -type f | wc -l"]].concat();
        let mut last = None;
        let found = look(|| {
            let output = stack.stack(&count);
            let all = output.stdout.trim() == "5000";
            last = Some(output);
            all.then_some(())
        });
        assert!(found.is_some(), "{last:?}\n{}", watching.printed());
    }
    // Directories and files, in one set.
    watching.until("Syncing service \"app\" after 5101 changes were detected");
    fs::remove_dir_all(stack.dir().join("src/branch")).unwrap();
    watching.until_says("app", "ls /src", "");
}

#[test]
fn fifty_thousand_files_are_watched_and_ignored_ones_are_not() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    init: true
    command: sleep infinity
    develop: {watch: [{action: sync, path: ./src, target: /src, ignore: [node_modules]}]}
"
    );
    for top in ["src/own", "src/node_modules"] {
        for dir in 0..250 {
            let dir = stack.dir().join(format!("{top}/{dir}"));
            fs::create_dir_all(&dir).unwrap();
            for file in 0..100 {
                fs::File::create(dir.join(file.to_string())).unwrap();
            }
        }
    }
    stack.up();
    let began = Instant::now();
    let watching = start(&stack, &["watch", "--no-up"]);
    assert!(began.elapsed() < Duration::from_secs(20));
    stack.file("src/node_modules/7/7", "ignored");
    stack.file("src/own/249/99", "the last");
    watching.until_file("app", "/src/own/249/99", "the last");
    assert!(is_missing(&stack, "app", "/src/node_modules"));
    let watches = fs::read_dir(format!("/proc/{}/fdinfo", watching.running.pid())).unwrap();
    let watches = watches
        .flatten()
        .map(|entry| fs::read_to_string(entry.path()));
    let watches: usize = watches
        .flatten()
        .map(|text| {
            text.lines()
                .filter(|line| line.starts_with("inotify "))
                .count()
        })
        .sum();
    assert!((251..300).contains(&watches), "{watches}");
}

#[test]
fn the_ignore_file_of_the_build_counts_too() {
    let stack = stack!(
        "
services:
  app:
    build: {context: ./src, dockerfile: own.dockerfile}
    init: true
    command: sleep infinity
    develop: {watch: [{action: sync, path: ./src, target: /src}]}
"
    );
    stack
        .file("src/own.dockerfile", "FROM busybox\nCOPY . /src\n")
        .file("src/.dockerignore", "of-the-context\n")
        .file("src/own.dockerfile.dockerignore", "**/*.log\ngen\n");
    let watching = watch(&stack);
    stack.file("src/deep/a.log", "").file("src/gen/file", "");
    stack.file("src/of-the-context", "x");
    watching.flush("app", ("src/flush", "/src/flush"));
    watching.until_file("app", "/src/of-the-context", "x");
    assert!(is_missing(&stack, "app", "/src/deep/a.log"));
    assert!(is_missing(&stack, "app", "/src/gen"));
}

#[test]
fn the_ignore_file_is_read_again_when_it_changes() {
    let stack = stack!(
        "
services:
  app:
    build: ./src
    init: true
    command: sleep infinity
    develop: {watch: [{action: sync, path: ./src, target: /src}]}
"
    );
    stack
        .file("src/Dockerfile", "FROM busybox\nRUN mkdir /src\n")
        .file("src/.dockerignore", "gen\n");
    let watching = watch(&stack);
    stack.file("src/gen/one", "1").file("src/out/one", "1");
    watching.until_file("app", "/src/out/one", "1");
    assert!(is_missing(&stack, "app", "/src/gen"));
    stack.file("src/.dockerignore", "out\n");
    // What is written before the new rules hold is not lost, by the rules of one or the other.
    eventually("the new rules", || {
        stack.file("src/gen/two", format!("{}", fastrand::u32(..)));
        (!is_missing(&stack, "app", "/src/gen/two")).then_some(())
    });
    stack.file("src/out/two", "2");
    watching.flush("app", ("src/flush", "/src/flush"));
    assert!(is_missing(&stack, "app", "/src/out/two"));
    // One that cannot be understood is told, and what held holds.
    stack.file("src/.dockerignore", "[\n");
    watching.until("Watch enabled");
    watching.flush("app", ("src/flush", "/src/flush"));
    assert!(is_missing(&stack, "app", "/src/out/two"));
    fs::remove_file(stack.dir().join("src/.dockerignore")).unwrap();
    eventually("no rules", || {
        stack.file("src/out/three", format!("{}", fastrand::u32(..)));
        (!is_missing(&stack, "app", "/src/out/three")).then_some(())
    });
}
