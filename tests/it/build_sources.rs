//! Builds that take from other machines: shared caches, git repositories, archives of the web.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use crate::harness::{Output, Stack, stack};
use crate::registries::{ADDRESS, Registry};

const STAGES: &str = "FROM busybox AS tools
RUN echo tool > /tool; echo waste > /waste
FROM busybox
COPY main /main
RUN cat /main > /made
COPY --from=tools /tool /tool
";

const NOTHING: &str = "services: {}\n";

/// Another machine: a root of its own in the same network.
fn elsewhere() -> Option<Stack> {
    Stack::new(NOTHING, &[])
}

fn build(stack: &Stack, flags: &[&str]) -> Output {
    let mut arguments = vec!["image", "build", "--progress", "plain", "-t", "built"];
    arguments.extend(flags);
    arguments.push(".");
    stack.file("main", "main\n").file("Dockerfile", STAGES);
    stack.stack(&arguments).succeeds()
}

fn cached(output: &Output) -> usize {
    output.stderr.matches(" CACHED").count()
}

fn id(stack: &Stack) -> String {
    let format = ["image", "inspect", "-f", "{{.Id}}", "built"];
    stack.stack(&format).succeeds().stdout
}

fn images(stack: &Stack) -> usize {
    stack
        .stack(&["image", "ls", "-q"])
        .succeeds()
        .stdout
        .lines()
        .count()
}

#[test]
fn what_a_registry_keeps_of_a_build_is_not_done_again_elsewhere() {
    let here = stack!(NOTHING, needs: ["docker-registry"]);
    let Some(there) = elsewhere() else { return };
    let Some(third) = elsewhere() else { return };
    let _registry = Registry::open(&here);
    let (least, most) = (
        format!("{ADDRESS}/cache:min"),
        format!("{ADDRESS}/cache:max"),
    );
    let target = format!("type=registry,ref={most},mode=max");
    build(&here, &["--cache-to", &least, "--cache-to", &target]);
    assert_eq!(
        images(&here),
        images(&there) + 1,
        "a cache is no image of ours"
    );
    // The stage that only gives a file is not in the image.
    let output = build(&there, &["--cache-from", &least]);
    assert_eq!(cached(&output), 3, "{output}");
    let output = build(&third, &["--cache-from", &most]);
    assert_eq!(cached(&output), 4, "{output}");
    assert_eq!(id(&third), id(&here));
    let output = build(&third, &["--no-cache", "--cache-from", &most]);
    assert_eq!(cached(&output), 0, "{output}");
}

#[test]
fn a_cache_may_be_in_the_image_or_in_a_directory_or_not_there_at_all() {
    let here = stack!(NOTHING, needs: ["docker-registry"]);
    let Some(there) = elsewhere() else { return };
    let Some(third) = elsewhere() else { return };
    let _registry = Registry::open(&here);
    let name = format!("{ADDRESS}/team/app:1");
    let directory = here.dir().join("of/builds").display().to_string();
    let target = format!("type=local,dest={directory},mode=max");
    for _ in 0..2 {
        build(
            &here,
            &[
                "-t",
                &name,
                "--cache-to",
                "type=inline",
                "--cache-to",
                &target,
            ],
        );
    }
    here.stack(&["image", "push", &name]).succeeds();
    let output = build(&there, &["--cache-from", &name]);
    assert_eq!(cached(&output), 3, "{output}");
    let source = format!("type=local,src={directory}");
    let output = build(
        &third,
        &[
            "--cache-from",
            &source,
            "--cache-from",
            "type=local,src=/nowhere",
        ],
    );
    assert_eq!(cached(&output), 4, "{output}");
    output.stderr_contains("/nowhere");
    let index = std::fs::read_to_string(format!("{directory}/index.json")).expect("a layout");
    let other = index.replace("build-cache.invalid/cache", "docker.io/library/busybox");
    std::fs::write(format!("{directory}/index.json"), other).expect("a file");
    let Some(fourth) = elsewhere() else { return };
    let output = build(&fourth, &["--cache-from", &source]);
    assert_eq!(
        cached(&output),
        0,
        "it would take the name of another image: {output}"
    );
    output.stderr_contains("not a cache");
}

#[test]
fn a_service_s_caches_are_those_of_its_file() {
    let here = stack!(
        "services:
  app:
    build:
      context: .
      cache_from: ['type=local,src=cache', 'type=gha']
      cache_to: ['type=local,dest=cache,mode=max']
    command: sleep 1000
"
    );
    let Some(there) = elsewhere() else { return };
    here.file("main", "main\n").file("Dockerfile", STAGES);
    let output = here.stack(&["--progress", "plain", "build"]).succeeds();
    output.stderr_contains("a cache of type `gha` is not supported");
    let from = here.dir().join("cache");
    let to = there.dir().join("cache");
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.expect("cp").success());
    there.file("main", "main\n").file("Dockerfile", STAGES);
    there.file(
        "stack.yaml",
        std::fs::read(here.dir().join("stack.yaml")).expect("a file"),
    );
    let output = there.stack(&["--progress", "plain", "build"]).succeeds();
    assert_eq!(cached(&output), 4, "{output}");
}

/// A repository with a context in `app/`, and what a git program says to it.
fn repository(stack: &Stack) -> String {
    let origin = stack.dir().join("origin.git");
    stack.file("origin.git/app/main", "from git\n");
    stack.file(
        "origin.git/app/Dockerfile",
        "FROM busybox\nCOPY main /main\nCMD cat /main\n",
    );
    for arguments in [
        &["init", "-q", "-b", "trunk"][..],
        &["add", "."],
        &["commit", "-qm", "first"],
        &["tag", "v1"],
    ] {
        let output = Command::new("git")
            .arg("-C")
            .arg(&origin)
            .args(["-c", "user.name=me", "-c", "user.email=me@example.invalid"])
            .args(arguments)
            .output()
            .expect("git");
        assert!(output.status.success(), "{output:?}");
    }
    origin.display().to_string()
}

#[test]
fn a_context_and_what_is_added_may_be_a_repository() {
    let stack = stack!(
        "services:
  context:
    build: 'https://git.invalid/origin.git#v1:app'
  added:
    build:
      context: .
      dockerfile_inline: |
        FROM busybox
        ADD https://git.invalid/origin.git#trunk /source/
        CMD cat /source/app/main; ls -a /source
",
        needs: ["git"]
    );
    let origin = repository(&stack);
    // The machine's git knows where that is.
    let config =
        format!("[url \"file://{origin}\"]\n\tinsteadOf = https://git.invalid/origin.git\n");
    std::fs::write(
        stack.root().parent().expect("a parent").join(".gitconfig"),
        config,
    )
    .expect("a file");
    stack.stack(&["build"]).succeeds();
    let output = stack.stack(&["run", "-T", "--rm", "context"]).succeeds();
    output.stdout_is("from git\n");
    let output = stack.stack(&["run", "-T", "--rm", "added"]).succeeds();
    output.stdout_is("from git\n.\n..\napp\n");
    let output = stack
        .stack(&["--progress", "plain", "build", "added"])
        .succeeds();
    assert_eq!(cached(&output), 1, "{output}");
    let missing = ["image", "build", "https://git.invalid/origin.git#nobody"];
    stack
        .stack(&missing)
        .fails_with(1)
        .stderr_contains("cannot fetch");
    let left = std::fs::read_dir(stack.root().join("run")).expect("a directory");
    let left = left
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("context-"));
    assert_eq!(left.count(), 0, "fetched contexts go");
}

#[test]
fn a_context_may_be_an_archive_or_a_dockerfile_of_the_web() {
    let stack = stack!(NOTHING);
    stack
        .file("made/Dockerfile", "FROM busybox\nCOPY main /main\n")
        .file("made/main", "from the web\n");
    let archive = stack.dir().join("context.tar.gz");
    let packed = Command::new("tar")
        .args(["-czf"])
        .arg(&archive)
        .arg("-C")
        .arg(stack.dir().join("made"))
        .arg(".")
        .status();
    assert!(packed.expect("tar").success());
    let archive = std::fs::read(archive).expect("a file");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut client = client;
            let mut request = [0; 4096];
            let count = client.read(&mut request).unwrap_or(0);
            let body: &[u8] = match request[..count].starts_with(b"GET /context.tar.gz") {
                true => &archive,
                false => b"FROM busybox\nRUN echo alone > /main\n",
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = client
                .write_all(head.as_bytes())
                .and_then(|()| client.write_all(body));
        }
    });
    for (path, content) in [
        ("context.tar.gz", "from the web\n"),
        ("Dockerfile", "alone\n"),
    ] {
        let address = format!("http://{address}/{path}");
        stack
            .stack(&["image", "build", "-t", "built", &address])
            .succeeds();
        stack.file(
            "stack.yaml",
            "services: {app: {image: built, pull_policy: never, command: cat /main}}",
        );
        let output = stack.stack(&["run", "-T", "--rm", "app"]).succeeds();
        output.stdout_is(content);
    }
}
