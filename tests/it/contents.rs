//! Configs and secrets whose contents are put in place while a program runs (`x-stack.reload`).

use rustix::process::Signal;

use crate::harness::{Stack, eventually, signal_to, stack};

const WEB: &str = "
services:
  web:
    image: busybox
    command: |
      sh -c 'told() { echo told $$(cat /app); }; trap told HUP; echo ready; while true; do sleep 0.05; done'
    configs: [{source: app, uid: \"7\", mode: 0440}]
  asks:
    image: busybox
    command: sh -c 'sleep 1000 & wait'
    secrets: [key]
    x-stack: {reload: {exec: [sh, -c, 'cat /run/secrets/key >> /seen']}}
  again:
    image: busybox
    command: sh -c 'cat /once; echo; exec sleep 1000'
    configs: [once]
configs:
  app:
    content: APP
    x-stack: {reload: {signal: HUP}}
  once: {content: ONCE, x-stack: {reload: restart}}
secrets:
  key: {file: ./key}
";

fn ids(stack: &Stack) -> Vec<String> {
    let names = ["web", "asks", "again"];
    names.map(|name| stack.container(name).id).into()
}

#[test]
fn another_content_is_put_in_place_and_the_program_is_told() {
    let stack = stack!(WEB);
    stack.file("key", "first\n");
    stack.up();
    stack.wait_for_log("web", "ready");
    stack.wait_for_log("again", "ONCE");
    let (ids, pid) = (ids(&stack), stack.pid("web"));
    let again = stack.pid("again");
    stack.file("key", "second, which is longer\n");
    let text = WEB.replace("content: APP", "content: CHANGED");
    stack.file(
        "stack.yaml",
        text.replace("content: ONCE", "content: TWICE"),
    );
    let plan = stack.stack(&["plan"]).succeeds();
    plan.stdout_contains("renew config app of container")
        .stdout_contains("and send SIGHUP")
        .stdout_lacks("create container");
    let name = stack.name("web", 1);
    stack
        .up()
        .stderr_contains(&format!("Container {name} Reloaded"));
    stack.wait_for_log("web", "told CHANGED");
    stack.wait_for_log("again", "TWICE");
    let seen = stack.exec("asks", "cat /seen /run/secrets/key");
    assert_eq!(
        seen.trim(),
        "second, which is longer\nsecond, which is longer"
    );
    assert_eq!(
        stack.exec("web", "stat -c '%u %a %s' /app").trim(),
        "7 440 7"
    );
    assert_eq!((self::ids(&stack), stack.pid("web")), (ids.clone(), pid));
    assert_ne!(stack.pid("again"), again);
    // Once is enough.
    let quiet = stack.up();
    quiet.stderr_lacks("Reload").stderr_lacks("Restarting");
    assert_eq!(stack.exec("asks", "wc -l < /seen").trim(), "1");
    let why = stack.stack(&["why", "web"]).succeeds();
    why.stdout_contains("renew config app");
    // What does not run is given the contents of then when it is started.
    stack.stack(&["stop", "-t", "0", "asks"]).succeeds();
    stack.file("key", "third\n");
    stack.up();
    assert_eq!(stack.exec("asks", "cat /run/secrets/key").trim(), "third");
    assert_eq!(self::ids(&stack), ids);
    stack.down();
}

#[test]
fn a_program_that_cannot_be_told_is_said_so_and_a_dead_supervisor_lets_it_go_on() {
    let text = "
services:
  web: {image: busybox, command: sleep 1000, configs: [c]}
configs:
  c: {content: ONE, x-stack: {reload: HUP}}
";
    let stack = stack!(text.replace("reload: HUP", "reload: {signal: HUP}"));
    stack.up();
    let text = text.replace("reload: HUP", "reload: {signal: HUP}");
    stack.file("stack.yaml", text.replace("ONE", "TWO"));
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("send SIGHUP failed: its program does not handle that signal");
    let exec = text.replace("{signal: HUP}", "{exec: [sh, -c, 'exit 3']}");
    stack.file("stack.yaml", exec.replace("ONE", "THREE"));
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("exit code 3");
    assert_eq!(stack.exec("web", "cat /c").trim(), "THREE");
    // A supervisor that was killed while the processes stood still.
    let container = stack.container("web").id;
    let path = stack.root().join("containers").join(&container);
    let status = path.join("status.json");
    let text = std::fs::read_to_string(&status).unwrap();
    stack.stack(&["pause"]).succeeds();
    let renewing = text.replace("\"renewing\":false", "\"renewing\":true");
    assert_ne!(renewing, text);
    std::fs::write(&status, renewing).unwrap();
    signal_to(stack.supervisor().unwrap(), Signal::KILL);
    eventually("it goes on", || {
        (stack.container("web").state == "running").then_some(())
    });
    stack.down();
}
