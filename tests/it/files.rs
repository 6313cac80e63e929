//! Configs and secrets, as the program inside sees them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{Stack, stack};

const READS: &str = "
services:
  one:
    image: busybox
    command: [sh, -c, 'cd /run/secrets; cat /settings token; stat -c \"%n %a %u %g\" token inline; cat inline; (echo x > inline) 2>&1 || true']
    configs: [settings]
    secrets:
      - token
      - {source: text, target: inline, uid: '7', gid: '8', mode: 0440}
configs:
  settings: {file: ./settings.conf}
secrets:
  token: {environment: TOKEN}
  text: {environment: TEXT}
";

/// What the program of `one` has written when it has ended.
#[track_caller]
fn output(stack: &Stack) -> String {
    stack.up();
    stack.wait_for_state("one", "exited");
    stack.logs("one")
}

#[test]
fn configs_and_secrets_of_every_source_are_files_with_their_owner() {
    let stack = stack!(READS)
        .with_env("TOKEN", "t0ken\n")
        .with_env("TEXT", "inline\n");
    stack.file("settings.conf", "from a file\n");
    let output = output(&stack);
    for line in [
        "from a file",
        "t0ken",
        "token 444 0 0",
        "inline 440 7 8",
        "inline",
    ] {
        assert!(
            output.lines().any(|found| found == line),
            "{line}: {output}"
        );
    }
    assert!(output.contains("Read-only"), "{output}");
    let holds = |path: &str| fs::read_to_string(path).is_ok_and(|text| text.contains("t0ken"));
    let find = Command::new("find")
        .arg(stack.root())
        .args(["-type", "f"])
        .output();
    let found = String::from_utf8(find.expect("find").stdout).expect("paths");
    let holders: Vec<&str> = found.lines().filter(|path| holds(path)).collect();
    assert!(!holders.is_empty(), "{found}");
    for path in holders {
        let closed = |path: &Path| fs::metadata(path).unwrap().mode() & 0o077 == 0;
        let path = Path::new(path);
        let logged = path.to_string_lossy().contains("/logs/");
        assert!(
            logged || closed(path) || closed(path.parent().unwrap()),
            "others can read the secret: {}",
            path.display()
        );
    }
}

#[test]
fn a_service_is_replaced_when_the_content_of_its_config_changed() {
    let text = "
services:
  one:
    image: busybox
    command: sleep 1000
    configs: [settings]
  two:
    image: busybox
    command: sleep 1000
configs:
  settings: {content: 'first ${WHAT}'}
";
    let stack = stack!(text).with_env("WHAT", "time");
    stack.up();
    let (one, two) = (stack.container("one").id, stack.container("two").id);
    stack.up();
    assert_eq!(stack.container("one").id, one, "nothing has changed");
    let stack = stack.with_env("WHAT", "change");
    stack.up();
    assert_ne!(stack.container("one").id, one);
    assert_eq!(stack.container("two").id, two);
    let read = stack.stack(&["exec", "one", "cat", "/settings"]);
    assert_eq!(read.stdout.trim(), "first change");
}

#[test]
fn a_secret_that_cannot_be_had_is_told_with_what_to_do() {
    let stack = stack!(
        "
services:
  one:
    image: busybox
    command: sleep 1000
    secrets: [gone]
secrets:
  gone: {file: ./gone}
"
    );
    let failed = stack.stack(&["up", "-d"]);
    assert_ne!(failed.code, 0);
    assert!(
        failed
            .stderr
            .contains("of the secret `gone` does not exist; create it"),
        "{failed:#?}"
    );
}
