//! What is taken away when nobody needs it, what stays, and what is said of the disk.

use serde_json::Value;

use crate::harness::{Output, Stack, eventually, stack};

const TWO: &str = "services:
  app:
    image: built
    pull_policy: never
    command: sleep 1000
  other:
    image: busybox
    command: sleep 1000
";

fn build(stack: &Stack, name: &str, content: &str) -> Output {
    let text = format!(
        "FROM busybox\nRUN echo {content} > /made\nRUN --mount=type=cache,target=/cache echo kept > /cache/file\n"
    );
    stack.file("Dockerfile", text);
    stack
        .stack(&["image", "build", "--progress", "plain", "-t", name, "."])
        .succeeds()
}

fn names(stack: &Stack) -> Vec<String> {
    let format = ["image", "ls", "--format", "{{.Repository}}"];
    let output = stack.stack(&format).succeeds();
    output.stdout.lines().map(str::to_owned).collect()
}

fn df(stack: &Stack, kind: &str) -> Value {
    let output = stack.stack(&["df", "--format", "json"]).succeeds();
    let rows = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let found = rows.into_iter().find(|row| row["Type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {output}"))
}

#[test]
fn pruning_takes_what_no_container_needs_and_a_container_keeps_its_image_without_a_name() {
    let stack = stack!(TWO);
    build(&stack, "built", "one");
    stack.up();
    build(&stack, "built", "two");
    assert_eq!(
        names(&stack)
            .iter()
            .filter(|name| *name == "<none>")
            .count(),
        1
    );
    let output = stack.stack(&["image", "prune", "-f"]).succeeds();
    assert!(
        !output.stdout.contains("deleted:"),
        "it is in use: {output}"
    );
    assert!(
        output.stdout.contains("Total reclaimed space: "),
        "{output}"
    );
    assert_eq!(stack.exec("app", "cat /made"), "one\n");
    stack.stack(&["restart", "app"]).succeeds();
    assert_eq!(stack.exec("app", "cat /made"), "one\n");
    stack.down();
    let output = stack.stack(&["image", "prune", "-f"]).succeeds();
    assert_eq!(
        output.stdout.matches("deleted: sha256:").count(),
        1,
        "{output}"
    );
    stack
        .stack(&["image", "prune"])
        .fails_with(1)
        .stderr_contains("image prune has been cancelled")
        .stdout_is("");
    let output = stack
        .stack_with_input(&["image", "prune", "-a", "--filter", "until=24h"], b"y\n")
        .succeeds();
    assert!(
        output
            .stderr
            .contains("all images without at least one container"),
        "{output}"
    );
    assert!(names(&stack).contains(&"built".to_owned()), "it is younger");
    stack.stack(&["image", "prune", "-af"]).succeeds();
    assert_eq!(names(&stack), [""; 0]);
}

#[test]
fn an_image_of_a_container_goes_only_by_force() {
    let stack = stack!(TWO);
    build(&stack, "built", "one");
    stack
        .stack(&["image", "tag", "built", "second:name"])
        .succeeds();
    stack.up();
    stack.stack(&["image", "rm", "second:name"]).succeeds();
    let name = stack.name("app", 1);
    let output = stack.stack(&["image", "rm", "built"]).fails_with(1);
    assert!(
        output.stderr.contains(
            "conflict: unable to remove repository reference \"built:latest\" (must force)"
        ) && output.stderr.contains(&name),
        "{output}"
    );
    let format = ["image", "inspect", "-f", "{{.Id}}", "built"];
    let id = stack.stack(&format).succeeds().stdout.trim().to_owned();
    for force in [&["image", "rm", &id][..], &["image", "rm", "-f", &id]] {
        let output = stack.stack(force).fails_with(1);
        assert!(output.stderr.contains("(cannot be forced)"), "{output}");
    }
    stack.stack(&["stop"]).succeeds();
    let output = stack.stack(&["image", "rm", "-f", "built"]).succeeds();
    assert_eq!(output.stdout, "Untagged: built:latest\n");
    stack.stack(&["start"]).succeeds();
    assert_eq!(stack.exec("app", "cat /made"), "one\n");
    stack.down();
    let output = stack.stack(&["image", "rm", &id]).succeeds();
    assert!(
        output.stdout.contains(&format!("Deleted: {id}")),
        "{output}"
    );
    stack.stack(&["image", "rm", "-f", &id]).succeeds();
    stack.stack(&["image", "rm", &id]).fails_with(1);
}

#[test]
fn what_builds_left_goes_by_age_by_size_and_for_good() {
    let stack = stack!(TWO);
    build(&stack, "built", "one");
    build(&stack, "built", "two");
    let rows = |stack: &Stack| {
        let total = &df(stack, "Build Cache")["TotalCount"];
        total
            .as_str()
            .and_then(|text| text.parse::<usize>().ok())
            .expect("a number")
    };
    let before = rows(&stack);
    assert!(before >= 5, "two steps of each build and a mount: {before}");
    let young = ["builder", "prune", "-af", "--filter", "until=1h"];
    stack.stack(&young).succeeds();
    stack
        .stack(&["builder", "prune", "-af", "--max-used-space", "1g"])
        .succeeds();
    assert_eq!(rows(&stack), before);
    // Those of `two` are in its image.
    stack.stack(&["builder", "prune", "-f"]).succeeds();
    let left = rows(&stack);
    assert!(0 < left && left < before, "{left} of {before}");
    assert_eq!(
        build(&stack, "built", "two")
            .stderr
            .matches(" CACHED")
            .count(),
        2
    );
    stack.stack(&["builder", "prune", "-af"]).succeeds();
    assert_eq!(rows(&stack), 0);
    assert_eq!(
        build(&stack, "built", "two")
            .stderr
            .matches(" CACHED")
            .count(),
        0
    );
}

#[test]
fn the_disk_is_accounted_for() {
    let stack = stack!("services:
  app:
    image: busybox
    command: sh -c 'head -c 3000000 /dev/urandom > /data/file; head -c 2000000 /dev/urandom > /file; sleep 1000'
    volumes: ['data:/data']
volumes: {data: }
");
    stack.up();
    eventually("both files are written", || {
        let found = stack.stack(&["exec", "-T", "app", "sh", "-c", "wc -c < /file"]);
        (found.stdout.trim() == "2000000").then_some(())
    });
    let (containers, volumes) = (df(&stack, "Containers"), df(&stack, "Local Volumes"));
    assert_eq!(
        (&containers["Active"], &containers["Reclaimable"]),
        (&"1".into(), &"0B (0%)".into())
    );
    assert!(
        containers["Size"].as_str().expect("text").starts_with("2."),
        "{containers}"
    );
    assert!(
        volumes["Size"].as_str().expect("text").starts_with("3."),
        "{volumes}"
    );
    let images = df(&stack, "Images");
    assert_eq!(images["Active"], "1", "{images}");
    let verbose = stack.stack(&["df", "-v"]).succeeds();
    for text in ["busybox", "_data", "SHARED SIZE", "LINKS"] {
        assert!(verbose.stdout.contains(text), "{text}: {verbose}");
    }
}

#[test]
fn pruning_all_the_time_takes_nothing_from_what_comes_up() {
    let stack = stack!(
        "services:
  app:
    build: {context: ., dockerfile_inline: \"FROM busybox\\nRUN echo $$RANDOM > /made\\n\"}
    command: sleep 1000
"
    );
    let pruned = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                stack.stack(&["image", "prune", "-f"]).succeeds();
                stack.stack(&["builder", "prune", "-f"]).succeeds();
                pruned.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        for _ in 0..5 {
            stack
                .stack(&["up", "-d", "--build", "--force-recreate"])
                .succeeds();
            assert_eq!(stack.container("app").state, "running");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(pruned.into_inner() > 0);
}

const MANY: &str = "services:
  app:
    image: busybox
    command: sleep 1000
    networks: [front]
  job:
    image: busybox
    command: 'true'
    networks: [front]
  old:
    image: busybox
    command: sleep 1000
    volumes: ['/data', 'kept:/kept']
    networks: [back]
networks: {front: {}, back: {}}
volumes: {kept: {}}
";

#[test]
fn prune_takes_what_nobody_is_going_to_use_and_says_so_before() {
    let stack = stack!(MANY);
    build(&stack, "second", "one");
    build(&stack, "second", "two");
    stack.up();
    stack.stack(&["run", "app", "true"]).succeeds();
    stack.exec("old", "dd if=/dev/zero of=/big bs=1k count=100");
    stack.stack(&["stop", "-t", "0", "old"]).succeeds();
    stack.stack(&["network", "create", "idle"]).succeeds();
    let (old, job) = (stack.name("old", 1), stack.name("job", 1));
    let front = format!("{}_front", stack.project());
    let back = format!("{}_back", stack.project());
    let asked = stack.stack(&["prune", "--volumes"]).fails_with(1);
    let asked = asked
        .stderr_contains("- all stopped containers\n")
        .stderr_contains(&format!("      {old}\n"))
        .stderr_contains(&format!("      {back}\n"))
        .stderr_contains("      idle\n")
        .stderr_contains("- all dangling images\n      ")
        .stderr_contains("system prune has been cancelled")
        .stdout_is("");
    assert!(
        !asked.stderr.contains(&job) && !asked.stderr.contains(&front),
        "a job of a project that runs is done, and stays: {asked}"
    );
    let nothing = stack
        .stack(&["prune", "-f", "--filter", "label=nobody"])
        .succeeds();
    nothing.stdout_is("Total reclaimed space: 0B\n");
    let done = stack
        .stack(&["prune", "-f", "--volumes", "--format", "json"])
        .succeeds();
    let report: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let count = |kind: &str| report[kind].as_array().map_or(0, Vec::len);
    assert_eq!(count("ContainersDeleted"), 2, "{done}");
    assert_eq!(count("NetworksDeleted"), 2, "{done}");
    assert_eq!(count("VolumesDeleted"), 1, "{done}");
    assert!(
        count("ImagesDeleted") > 0 && count("CachesDeleted") > 0,
        "{done}"
    );
    assert!(report["SpaceReclaimed"].as_u64() >= Some(102_400), "{done}");
    let listed = stack.stack(&["ps", "-a", "-q"]).succeeds();
    assert_eq!(listed.stdout.lines().count(), 2, "{listed}");
    let kept = format!("{}_kept", stack.project());
    stack
        .stack(&["volume", "ls", "-q"])
        .succeeds()
        .stdout_is(&format!("{kept}\n"));
    // What was taken away is made again when it is asked for.
    stack.up();
    stack.exec("old", "ls /kept /data");
    stack.down();
    stack
        .stack_with_input(&["system", "prune", "-a"], b"y\n")
        .succeeds()
        .stdout_contains("deleted: sha256:");
    assert_eq!(names(&stack), [""; 0]);
}
