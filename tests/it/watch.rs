//! `develop.watch`: what changes in the sources goes into the containers.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Output, Running, Stack, eventually, look, stack};

/// A watch that runs.
struct Watching<'a> {
    stack: &'a Stack,
    running: Running,
    out: PathBuf,
}

/// Starts `watch` or `up --watch`, and waits until changes are seen.
#[track_caller]
fn start<'a>(stack: &'a Stack, arguments: &[&str]) -> Watching<'a> {
    // Outside of what is watched.
    let out = stack.root().join(format!("{:08x}.out", fastrand::u32(..)));
    let running = stack.start_into(arguments, &out);
    let watching = Watching {
        stack,
        running,
        out,
    };
    watching.until("Watch enabled");
    watching
}

#[track_caller]
fn watch(stack: &Stack) -> Watching<'_> {
    start(stack, &["watch"])
}

impl Watching<'_> {
    /// What it has printed.
    fn printed(&self) -> String {
        fs::read_to_string(&self.out).expect("its output")
    }

    /// Waits until it has printed this.
    #[track_caller]
    fn until(&self, text: &str) {
        eventually(text, || self.printed().contains(text).then_some(()));
    }

    /// Waits until a command in a container prints this and nothing else.
    #[track_caller]
    fn until_says(&self, service: &str, script: &str, text: &str) {
        let mut last = String::new();
        let found = || {
            last = says(self.stack, service, script);
            (last.trim_end() == text).then_some(())
        };
        eventually(&format!("`{script}` says `{text}`"), found);
    }

    /// Waits until a file in a container has this content.
    #[track_caller]
    fn until_file(&self, service: &str, path: &str, text: &str) {
        self.until_says(service, &format!("cat {path}"), text);
    }

    /// Waits until everything that has changed so far was handled: later changes come later.
    #[track_caller]
    fn flush(&self, service: &str, (source, target): (&str, &str)) {
        let text = format!("{:016x}", fastrand::u64(..));
        self.stack.file(source, &text);
        self.until_file(service, target, &text);
    }

    /// Ctrl-C.
    #[track_caller]
    fn interrupt(self) -> Output {
        self.running.signal(Signal::INT);
        self.running.finish()
    }
}

/// What a command in a container prints on both streams, whether it succeeds or not.
fn says(stack: &Stack, service: &str, script: &str) -> String {
    let script = format!("({script}) 2>&1");
    let output = stack.stack(&["exec", "-T", service, "sh", "-c", &script]);
    output.stdout
}

const NOTHING: &str = "No such file or directory";

fn is_missing(stack: &Stack, service: &str, path: &str) -> bool {
    says(stack, service, &format!("stat {path}")).contains(NOTHING)
}

const SYNCED: &str = "
services:
  app:
    build:
      dockerfile_inline: |-
        FROM busybox
        RUN mkdir -p /app/data
    init: true
    command: sleep infinity
    develop:
      watch:
        - action: sync
          path: ./data
          target: /app/data
          ignore: ['*.foo', ./ignored]
        - action: sync+restart
          path: ./config
          target: /app/config
";

#[test]
fn sources_are_copied_removed_and_restarted_for() {
    let stack = stack!(SYNCED);
    let watching = watch(&stack);
    let flush = || watching.flush("app", ("data/wait.txt", "/app/data/wait.txt"));
    stack.file("data/hello.txt", "hello world");
    watching.until_file("app", "/app/data/hello.txt", "hello world");
    watching.until("Syncing service \"app\" after ");
    stack.file("data/hello.txt", "hello watch");
    watching.until_file("app", "/app/data/hello.txt", "hello watch");
    fs::remove_file(stack.dir().join("data/hello.txt")).unwrap();
    flush();
    assert!(is_missing(&stack, "app", "/app/data/hello.txt"));
    stack.file("data/data.foo", "ignored");
    stack.file("data/ignored/hello.txt", "ignored");
    flush();
    assert!(is_missing(&stack, "app", "/app/data/data.foo"));
    assert!(is_missing(&stack, "app", "/app/data/ignored"));
    fs::create_dir(stack.dir().join("data/subdir")).unwrap();
    flush();
    assert!(!is_missing(&stack, "app", "/app/data/subdir"));
    for text in ["a", "x", "y", "z"] {
        stack.file("data/subdir/file.txt", text);
    }
    watching.until_file("app", "/app/data/subdir/file.txt", "z");
    fs::remove_dir_all(stack.dir().join("data/subdir")).unwrap();
    flush();
    assert!(is_missing(&stack, "app", "/app/data/subdir"));
    let pid = stack.pid("app");
    stack.file("config/file.config", "updated");
    watching.until("service(s) [\"app\"] restarted");
    watching.until_file("app", "/app/config/file.config", "updated");
    assert_ne!(stack.pid("app"), pid);
    // It ends, and what it has started goes on.
    watching.interrupt().fails_with(130);
    assert_eq!(stack.container("app").state, "running");
}

#[test]
fn a_changed_file_of_the_image_makes_another_one_for_its_services_alone() {
    let stack = stack!(
        "
services:
  a:
    build: {dockerfile_inline: \"FROM busybox\\nRUN mkdir /data\\nCOPY test /data/a\\n\"}
    command: sleep infinity
    depends_on: [c]
    develop: {watch: [{path: test, action: rebuild}]}
  b:
    build: {dockerfile_inline: \"FROM busybox\\nRUN mkdir /data\\nCOPY test /data/b\\n\"}
    command: sleep infinity
    scale: 2
    develop: {watch: [{path: test, action: rebuild}]}
  c:
    build: {dockerfile_inline: \"FROM busybox\\nCOPY test /of-c\\n\"}
    command: sleep infinity
"
    );
    stack.file("test", "first");
    let watching = watch(&stack);
    watching.until_file("a", "/data/a", "first");
    let other = stack.container("c").id;
    for text in ["second", "third"] {
        stack.file("test", text);
        watching.until_file("a", "/data/a", text);
        watching.until_file("b", "/data/b", text);
        eventually("both replicas are new", || {
            let ran = |row: &crate::harness::Row| row.state == "running";
            let rows = stack.replicas("b");
            (rows.len() == 2 && rows.iter().all(ran)).then_some(())
        });
    }
    let text = watching.printed();
    assert!(
        text.contains("Rebuilding service(s) [\"a\" \"b\"] after changes were detected..."),
        "{text}"
    );
    watching.until("service(s) [\"a\" \"b\"] successfully built");
    assert_eq!(stack.container("c").id, other);
    watching.interrupt();
    // What lost its name was removed, but for what a container may still have been made of.
    let images = stack.stack(&["image", "ls", "--format", "json"]).succeeds();
    let unnamed = images.stdout.matches("<none>").count();
    assert!(unnamed <= 2, "{images}");
}

#[test]
fn a_build_that_fails_is_told_and_the_next_one_counts() {
    let stack = stack!(
        "
services:
  app:
    build: {dockerfile_inline: \"FROM busybox\\nCOPY test /\\nRUN sh /test\\n\"}
    command: sleep infinity
    develop: {watch: [{path: test, action: rebuild}]}
"
    );
    stack.file("test", "true");
    let watching = watch(&stack);
    let id = stack.container("app").id;
    stack.file("test", "exit 3");
    watching.until("Build failed. Error: ");
    assert_eq!(stack.container("app").id, id);
    stack.file("test", "echo good > /good");
    watching.until_file("app", "/good", "good");
}

#[test]
fn a_rebuild_keeps_the_networks_of_the_service() {
    let stack = stack!("services: {}\n");
    let network = format!("{}-outside", stack.project());
    stack.file(
        "network.yaml",
        format!(
            "services: {{other: {{image: busybox, command: sleep 1000}}}}\nnetworks: {{default: {{name: {network}}}}}\n"
        ),
    );
    let other = format!("{}-other", stack.project());
    let up = ["-p", &other, "-f", "network.yaml", "up", "-d"];
    stack.stack(&up).succeeds();
    stack.file(
        "stack.yaml",
        format!(
            "
services:
  app:
    build: {{dockerfile_inline: FROM busybox}}
    init: true
    command: sleep infinity
    develop: {{watch: [{{action: rebuild, path: .env}}]}}
    networks: [outside]
networks:
  outside: {{name: {network}, external: true}}
"
        ),
    );
    stack.file(".env", "HELLO=WORLD");
    let watching = watch(&stack);
    let networks = || {
        let found = stack.inspect(&stack.name("app", 1));
        let networks = found["NetworkSettings"]["Networks"].as_object().cloned();
        networks.map(|networks| networks.keys().cloned().collect::<Vec<_>>())
    };
    assert_eq!(networks(), Some(vec![network.clone()]));
    let id = stack.container("app").id;
    stack.file(".env", "HELLO=WORLD\nTEST=REBUILD");
    watching.until("service(s) [\"app\"] successfully built");
    stack.wait_for("app", |row| row.id != id && row.state == "running");
    assert_eq!(networks(), Some(vec![network]));
    drop(watching);
    stack.down();
    stack.stack(&["-p", &other, "down", "-t", "0"]).succeeds();
}

#[test]
fn only_what_is_included_is_copied() {
    let stack = stack!(
        "
services:
  a:
    image: busybox
    command: sleep infinity
    develop: {watch: [{path: ., include: A.*, target: /data/, action: sync}]}
"
    );
    let watching = watch(&stack);
    stack.file("B.test", "test");
    stack.file("A.test", "test");
    watching.until_file("a", "/data/A.test", "test");
    assert_eq!(stack.exec("a", "ls /data").trim(), "A.test");
}

#[test]
fn files_go_where_links_in_the_container_lead_and_never_out_of_it() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    init: true
    command: sh -c 'mkdir -p /app/data /var/sub; ln -s /var/sub /app/data/sub; ln -s ../../../../../../../../../../tmp /app/data/up; ln -s /proc/1/root/tmp /app/data/magic; echo ready; sleep infinity'
    develop: {watch: [{action: sync, path: ./data, target: /app/data}]}
"
    );
    let watching = watch(&stack);
    stack.wait_for_log("app", "ready");
    let name = format!("stack-test-{:08x}", fastrand::u32(..));
    stack.file("data/sub/file", "through the link");
    stack.file(&format!("data/up/{name}"), "x");
    stack.file(&format!("data/magic/{name}"), "x");
    watching.until_file("app", "/var/sub/file", "through the link");
    // The container's own `/tmp` is what the link means inside.
    watching.until_file("app", &format!("/tmp/{name}"), "x");
    assert!(!std::path::Path::new("/tmp").join(name).exists());
    assert!(
        stack
            .exec("app", "readlink /app/data/sub")
            .contains("/var/sub")
    );
}

#[test]
fn all_files_are_copied_when_that_is_asked_for() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    init: true
    command: sleep infinity
    develop:
      watch:
        - {action: sync, path: ., target: /app, initial_sync: true, ignore: [skipped]}
  old:
    image: busybox
    init: true
    command: sleep infinity
    develop: {watch: [{action: sync, path: ./src, target: /app, x-initialSync: true}]}
"
    );
    stack
        .file("src/deep/file", "content")
        .file("skipped/file", "")
        .file(".dockerignore", "");
    let watching = watch(&stack);
    watching.until_file("app", "/app/src/deep/file", "content");
    watching.until_file("old", "/app/deep/file", "content");
    assert!(is_missing(&stack, "app", "/app/skipped"));
    assert!(is_missing(&stack, "app", "/app/stack.yaml"));
    // A container that takes the place of another has nothing of it.
    stack
        .stack(&["up", "-d", "--force-recreate", "app"])
        .succeeds();
    watching.until_file("app", "/app/src/deep/file", "content");
    let output = watching.interrupt();
    output.stderr_contains("x-initialSync is DEPRECATED");
}

#[test]
fn replaced_restarted_and_stopped_containers_get_what_they_have_missed() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    init: true
    command: sleep infinity
    tmpfs: [/tmp/memory]
    develop:
      watch:
        - {action: sync, path: ./a, target: /a}
        - {action: sync, path: ./b, target: /tmp/memory}
"
    );
    let watching = watch(&stack);
    stack.file("a/file", "one").file("b/file", "one");
    watching.until_file("app", "/a/file", "one");
    watching.until_file("app", "/tmp/memory/file", "one");
    stack.stack(&["restart", "-t", "0", "app"]).succeeds();
    watching.until_file("app", "/tmp/memory/file", "one");
    stack.stack(&["stop", "-t", "0", "app"]).succeeds();
    stack.file("a/file", "two").file("a/new", "new");
    watching.until("Syncing service \"app\" after 2 changes were detected");
    stack.stack(&["start", "app"]).succeeds();
    watching.until_file("app", "/a/file", "two");
    stack
        .stack(&["up", "-d", "--force-recreate", "-t", "0"])
        .succeeds();
    watching.until_file("app", "/a/new", "new");
    watching.until_file("app", "/a/file", "two");
}

#[test]
fn files_keep_their_mode_and_belong_to_the_services_user() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    init: true
    user: user
    command: sleep infinity
    volumes: [data:/data]
    develop: {watch: [{action: sync, path: ./src, target: /data/src}]}
volumes: {data: }
"
    );
    let watching = watch(&stack);
    stack.file("src/run.sh", "echo it runs");
    let path = stack.dir().join("src/run.sh");
    watching.until_says("app", "stat -c %U:%a /data/src/run.sh", "user:644");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    watching.until_says("app", "stat -c %U:%a /data/src/run.sh", "user:755");
    watching.until_says(
        "app",
        "/bin/sh /data/src/run.sh; rm /data/src/run.sh && echo removed",
        "it runs\nremoved",
    );
    symlink("run.sh", stack.dir().join("src/link")).unwrap();
    watching.until_says("app", "readlink /data/src/link", "run.sh");
}

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
fn a_command_runs_in_each_container_after_files_were_copied() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    init: true
    command: sleep infinity
    scale: 2
    develop:
      watch:
        - path: ./src
          target: /src
          action: sync+exec
          exec:
            command: sh -c 'echo \"$$WHO in $$PWD as $$(id -un) has $$(cat /src/file)\"; echo trouble >&2; exit 3'
            user: user
            working_dir: /tmp
            environment: {WHO: it}
"
    );
    let watching = watch(&stack);
    stack.file("src/file", "content");
    eventually("both say it", || {
        let text = watching.printed();
        let lines = text.matches("it in /tmp as user has content\n").count();
        (lines == 2).then_some(())
    });
    watching.flush("app", ("src/flush", "/src/flush"));
    let output = watching.interrupt();
    let output = output.stderr_contains("trouble");
    output.stderr_contains("ended with exit code 3");
}

#[test]
fn what_is_wrong_with_the_rules_is_told_before_anything_is_done() {
    let stack = stack!("services: {app: {image: busybox, command: sleep 1000}}\n");
    let wrong = |text: &str, message: &str| {
        stack.file("stack.yaml", text);
        stack
            .stack(&["watch"])
            .fails_with(1)
            .stderr_contains(message);
        assert_eq!(stack.ps(), []);
    };
    wrong(
        "services: {app: {image: busybox, command: sleep 1000}}\n",
        "none of the selected services is configured for watch, consider setting a 'develop' section",
    );
    wrong(
        "services: {app: {image: busybox, develop: {watch: [{path: ., action: rebuild}]}}}\n",
        "can't watch service \"app\" with action rebuild without a build context",
    );
    wrong(
        "services: {app: {image: busybox, volumes: [./src:/src], develop: {watch: [{path: ./src/a, action: sync, target: /x}]}}}\n",
        "also declared by a bind mount volume, this path won't be monitored!",
    );
    wrong(
        "services: {app: {image: busybox, develop: {watch: [{path: ., action: sync, target: /x, ignore: ['[']}]}}}\n",
        "service app: develop.watch: bad pattern in `ignore`",
    );
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

#[test]
fn what_is_copied_first_is_there_when_the_program_starts() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    user: '1000'
    init: true
    command: sh -c 'cat /src/deep/file; exec sleep 1000'
    develop: {watch: [{action: sync, path: ./src, target: /src, initial_sync: true}]}
"
    );
    stack.file("src/deep/file", "from the sources\n");
    let watching = start(&stack, &["up", "--watch", "--force-recreate"]);
    watching.until("app-1  | from the sources\n");
    let text = watching.printed();
    assert_eq!(text.matches("app-1  |").count(), 1, "{text}");
    watching.until_says("app", "stat -c %u /src/deep/file", "1000");
    let id = stack.container("app").id;
    watching.interrupt().fails_with(130);
    // One that has ended gets what is new, too.
    stack.file("src/deep/file", "later\n");
    let watching = start(&stack, &["up", "--watch"]);
    watching.until("app-1  | later\n");
    assert_eq!(stack.container("app").id, id);
    watching.interrupt().fails_with(130);
}

#[test]
fn up_watches_too_and_shows_it_among_the_output() {
    let stack = stack!(
        "
services:
  test:
    build: {dockerfile_inline: FROM busybox}
    command: sh -c 'echo started; exec sleep 1000'
    volumes: [/data]
    develop:
      watch:
        - path: .
          target: /data
          action: sync+exec
          exec: {command: echo \"SUCCESS\"}
        - {path: restart, action: restart}
"
    );
    let watching = start(&stack, &["up", "--watch"]);
    let text = watching.printed();
    assert!(text.contains("⦿ Watch enabled\n"), "{text}");
    stack.file("file", "content");
    watching.until("SUCCESS\n");
    watching.until_file("test", "/data/file", "content");
    // A restart of its only container is not the end.
    let pid = stack.pid("test");
    stack.file("restart", "now");
    watching.until("⦿ service(s) [\"test\"] restarted\n");
    assert_ne!(stack.pid("test"), pid);
    eventually("the new output", || {
        (watching.printed().matches("test-1  | started").count() == 2).then_some(())
    });
    stack.file("file", "later");
    watching.until_file("test", "/data/file", "later");
    watching.interrupt().fails_with(130);
    assert_eq!(stack.container("test").state, "exited");
}

#[test]
fn up_stays_when_containers_are_replaced_and_others_are_left_alone() {
    let stack = stack!(
        "
services:
  backend:
    build: {dockerfile_inline: \"FROM busybox\\nRUN echo backend_build_marker > /built\\n\"}
    command: sleep 1000
  frontend:
    build: {dockerfile_inline: \"FROM busybox\\nCOPY test /tmp/test\\nRUN echo frontend_build_marker > /built\\n\"}
    command: sh -c 'echo frontend; exec sleep 1000'
    depends_on: [backend]
    develop: {watch: [{path: test, action: rebuild}]}
"
    );
    stack.file("test", "first");
    let arguments = ["up", "--build", "--watch", "--abort-on-container-exit"];
    let watching = start(&stack, &arguments);
    let backend = stack.container("backend").id;
    let before = watching.printed().len();
    stack.file("test", "second");
    watching.until("⦿ service(s) [\"frontend\"] successfully built");
    watching.until_file("frontend", "/tmp/test", "second");
    let text = watching.printed().split_off(before);
    assert!(text.contains("frontend_build_marker"), "{text}");
    assert!(!text.contains("backend_build_marker"), "{text}");
    assert_eq!(stack.container("backend").id, backend);
    eventually("the new output", || {
        (watching.printed().matches("frontend-1  | frontend").count() == 2).then_some(())
    });
    // The end of a container by itself still is one.
    stack.stack(&["kill", "frontend"]).succeeds();
    let output = watching.running.finish();
    assert_eq!(output.code, 137, "{output}");
    assert_eq!(stack.container("backend").state, "exited");
}

#[test]
fn flags_that_do_not_go_with_watching_are_refused() {
    let stack = stack!("services: {app: {image: busybox, command: sleep 1000}}\n");
    for (arguments, message) in [
        (
            &["up", "--watch"][..],
            "none of the selected services is configured for watch",
        ),
        (&["up", "-w", "-d"], "--detach cannot be combined with"),
        (
            &["up", "-w", "--no-build"],
            "--no-build and --watch are incompatible",
        ),
    ] {
        stack
            .stack(arguments)
            .fails_with(1)
            .stderr_contains(message);
    }
    assert_eq!(stack.ps(), []);
}
