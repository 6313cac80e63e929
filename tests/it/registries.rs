//! Registries from the command line: log in, push, pull, up.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::harness::{Stack, eventually, stack};

/// The network is the test's own, so the port is free.
pub(crate) const ADDRESS: &str = "127.0.0.1:5000";
/// `me` with the password `U*U` (a test vector of crypt_blowfish).
const HTPASSWD: &str = "me:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";

const FILE: &str = "
services:
  built:
    image: 127.0.0.1:5000/team/built:1
    build: .
    command: sleep 1000
  other:
    image: 127.0.0.1:5000/team/other:1
    command: sleep 1000
";

/// A `docker-registry` that ends with the test.
pub(crate) struct Registry {
    process: Child,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// One that asks for a password.
    fn start(stack: &Stack) -> Self {
        stack.file("htpasswd", HTPASSWD);
        let path = stack.dir().join("htpasswd");
        let auth = format!(
            "auth: {{htpasswd: {{realm: test, path: {}}}}}",
            path.display()
        );
        Self::serve(stack, &auth)
    }

    /// One for everybody.
    pub(crate) fn open(stack: &Stack) -> Self {
        Self::serve(stack, "")
    }

    fn serve(stack: &Stack, auth: &str) -> Self {
        let data = stack.dir().join("registry");
        stack.file(
            "registry.yml",
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{ADDRESS}'}}\n{auth}\n",
                data.display(),
            ),
        );
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(stack.dir().join("registry.yml"))
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry");
        let registry = Self { process };
        eventually("the registry answers", || TcpStream::connect(ADDRESS).ok());
        registry
    }
}

fn log_in(stack: &Stack) {
    let arguments = ["login", "-u", "me", "--password-stdin", ADDRESS];
    let said = stack.stack_with_input(&arguments, b"U*U\n").succeeds();
    said.stdout_is("Login Succeeded\n")
        .stderr_contains("stored unencrypted")
        .stderr_lacks("U*U");
}

#[test]
fn a_login_is_for_its_owner_alone_and_a_wrong_one_is_not_kept() {
    let stack = stack!(FILE, needs: ["docker-registry"]);
    let config = stack.dir().join("docker/config.json");
    let stack = stack.with_env("DOCKER_CONFIG", config.parent().unwrap().to_str().unwrap());
    let _registry = Registry::start(&stack);
    let wrong = ["login", "-u", "me", "--password-stdin", ADDRESS];
    let said = stack.stack_with_input(&wrong, b"hunter2").fails_with(1);
    said.stderr_contains("does not accept")
        .stderr_lacks("hunter2");
    assert!(!config.exists());
    let said = stack.stack(&["login", ADDRESS]).fails_with(1);
    said.stderr_contains("--password-stdin");
    log_in(&stack);
    let mode = fs::metadata(&config).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let out = stack.stack(&["logout", ADDRESS]).succeeds();
    out.stdout_is("Removing login credentials for 127.0.0.1:5000\n");
    let out = stack.stack(&["logout", ADDRESS]).succeeds();
    out.stdout_is("Not logged in to 127.0.0.1:5000\n");
    assert!(!fs::read_to_string(&config).unwrap().contains("auth\""));
}

#[test]
fn push_sends_what_is_built_here_and_pull_brings_it_back() {
    let stack = stack!(FILE, needs: ["docker-registry"]);
    let _registry = Registry::start(&stack);
    for name in ["built", "other"] {
        let name = format!("{ADDRESS}/team/{name}:1");
        stack.stack(&["image", "tag", "busybox", &name]).succeeds();
    }
    let said = stack.stack(&["push"]).fails_with(1);
    said.stderr_contains("stack login 127.0.0.1:5000");
    stack.stack(&["push", "--ignore-push-failures"]).succeeds();
    log_in(&stack);
    let said = stack.stack(&["push"]).succeeds();
    said.stderr_contains("team/built:1 Pushed")
        .stderr_lacks("team/other");
    let name = format!("{ADDRESS}/team/other:1");
    let said = stack.stack(&["image", "push", &name]).succeeds();
    said.stdout_contains("digest: sha256:");

    for name in ["built", "other"] {
        let name = format!("{ADDRESS}/team/{name}:1");
        stack.stack(&["image", "rm", &name]).succeeds();
    }
    stack
        .stack(&["pull", "--ignore-buildable", "-q"])
        .succeeds();
    let here = stack.stack(&["image", "ls"]).succeeds().stdout;
    assert!(
        here.contains("team/other") && !here.contains("team/built"),
        "{here}"
    );
    let said = stack.stack(&["pull", "built"]).succeeds();
    said.stderr_contains("team/built:1 Pulled");
    let said = stack.stack(&["image", "pull", &name]).succeeds();
    said.stdout_is(&format!("{name}\n"));
}

#[test]
fn a_registry_that_is_away_stops_those_who_must_ask_it_and_nobody_else() {
    let file = "
services:
  always: {image: '127.0.0.1:5000/team/one:1', pull_policy: always, command: sleep 1000}
  missing: {image: '127.0.0.1:5000/team/one:1', pull_policy: missing, command: sleep 1000}
  weekly: {image: '127.0.0.1:5000/team/one:1', pull_policy: weekly, command: sleep 1000}
  silent: {image: '127.0.0.1:5000/team/one:1', command: sleep 1000}
";
    let stack = stack!(file, needs: ["docker-registry"]);
    stack
        .stack(&["image", "tag", "busybox", "127.0.0.1:5000/team/one:1"])
        .succeeds();
    let said = stack.stack(&["up", "-d", "always"]).fails_with(1);
    said.stderr_contains("cannot be fetched");
    stack.stack(&["up", "-d", "missing", "weekly"]).succeeds();
    stack.stack(&["up", "-d", "--pull", "missing"]).succeeds();
    stack.stack(&["up", "-d", "--pull", "always"]).fails_with(1);
    // What is written in so many words holds for `pull`, too; the rest is asked for.
    stack.stack(&["pull", "missing"]).succeeds();
    stack.stack(&["pull", "weekly"]).fails_with(1);
    stack.stack(&["pull", "silent"]).fails_with(1);
    stack.stack(&["pull", "--policy", "missing"]).succeeds();
    stack
        .stack(&["pull", "--policy", "always", "missing"])
        .fails_with(1);
    stack.stack(&["pull", "--ignore-pull-failures"]).succeeds();
    stack.down();
}

#[test]
fn push_says_what_there_is_to_build_first_and_when_there_is_nothing() {
    let file = "
services:
  made: {image: '127.0.0.1:1/team/made:1', build: .}
  other: {image: busybox}
";
    let stack = stack!(file);
    stack
        .stack(&["push"])
        .fails_with(1)
        .stderr_contains("there is no image `127.0.0.1:1/team/made:1` to push yet")
        .stderr_contains("`stack build made` makes it");
    stack
        .stack(&["push", "other"])
        .succeeds()
        .stderr_contains("Skipped");
}
