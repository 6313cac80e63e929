//! Files that are copied into containers: where to, with which mode, and what happens after it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{is_missing, start, watch};
use crate::harness::{eventually, stack};

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
