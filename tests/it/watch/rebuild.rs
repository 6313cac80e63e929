//! Changes that make another image.

use super::watch;
use crate::harness::{eventually, stack};

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
