//! `watch` and `up --watch`: what they refuse, print, and leave alone.

use super::start;
use crate::harness::{eventually, stack};

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
