//! Edits of the stack file, and of all that is read with it, are applied while the project is up.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Stack, eventually, signal_to, stack};

/// Two services, of which the first takes what is edited.
const TWO: &str = "
services:
  web: {image: busybox, command: sleep 1000, environment: {A: \"${A:-1}\"}}
  db: {image: busybox, command: sleep 1000}
";

fn follow(stack: &Stack) {
    stack.stack(&["up", "-d", "--watch-file"]).succeeds();
}

/// The ids of the containers of a service.
fn ids(stack: &Stack, service: &str) -> Vec<String> {
    let rows = stack.replicas(service);
    rows.into_iter().map(|row| row.id).collect()
}

/// Waits until the only container of a service is another one, which runs.
#[track_caller]
fn wait_for_another(stack: &Stack, service: &str, before: &[String]) {
    stack.wait_for(service, |row| {
        row.state == "running" && !before.contains(&row.id)
    });
}

/// Waits until the supervisor's log has this so many times.
#[track_caller]
fn wait_for_word(stack: &Stack, word: &str, times: usize) {
    eventually(&format!("`{word}` {times} times in the log"), || {
        (stack.supervisor_log().matches(word).count() >= times).then_some(())
    });
}

/// Replaces a part of the stack file, as an editor that writes in place.
fn edit(stack: &Stack, old: &str, new: &str) {
    let path = stack.dir().join("stack.yaml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "no `{old}` in {text}");
    fs::write(&path, text.replace(old, new)).unwrap();
}

#[test]
fn an_edit_replaces_the_changed_service_and_nothing_else_and_soon() {
    let stack = stack!(TWO);
    follow(&stack);
    let (web, db) = (ids(&stack, "web"), ids(&stack, "db"));
    let mut times = Vec::new();
    let mut last = web;
    for number in 2..7 {
        let saved = Instant::now();
        edit(
            &stack,
            &format!("A:-{}", number - 1),
            &format!("A:-{number}"),
        );
        let word = format!("Container {} Started", stack.name("web", 1));
        eventually("the new one is started", || {
            let log = stack.supervisor_log();
            (log.matches(&word).count() == number - 1).then_some(())
        });
        times.push(saved.elapsed());
        assert_ne!(ids(&stack, "web"), last);
        last = ids(&stack, "web");
        assert_eq!(ids(&stack, "db"), db);
    }
    times.sort();
    eprintln!("from save to started: {times:?}");
    // Two orders of magnitude above what it takes: a wait of seconds has come in.
    assert!(times[2] < Duration::from_secs(5), "{times:?}");
    let log = stack.supervisor_log();
    assert!(log.contains("stack.yaml has changed:"), "{log}");
    assert!(
        log.contains("its configuration changed: environment (A)"),
        "{log}"
    );
}

#[test]
fn whatever_is_read_with_the_stack_file_counts_also_what_was_not_there() {
    let stack = stack!(
        "
include: [inc/part.yaml]
services:
  web:
    extends: {file: base.yaml, service: base}
    image: busybox
    command: sleep 1000
    env_file: [web.env]
    label_file: [web.labels]
    environment: {A: \"${A:-1}\"}
    configs: [conf]
    secrets: [key]
  db: {image: busybox, command: sleep 1000}
configs: {conf: {file: ./conf.txt}}
secrets: {key: {file: ./key.txt}}
"
    );
    for (file, text) in [
        (
            "inc/part.yaml",
            "services: {part: {image: busybox, command: sleep 1000}}",
        ),
        ("base.yaml", "services: {base: {environment: {BASE: '1'}}}"),
        ("web.env", "B=1"),
        ("web.labels", "l=1"),
        ("conf.txt", "one"),
        ("key.txt", "one"),
    ] {
        stack.file(file, text);
    }
    follow(&stack);
    let db = ids(&stack, "db");
    for (file, text, service) in [
        (".env", "A=2", "web"),
        (".env", "A=3", "web"),
        ("web.env", "B=2", "web"),
        ("web.labels", "l=2", "web"),
        (
            "base.yaml",
            "services: {base: {environment: {BASE: '2'}}}",
            "web",
        ),
        ("conf.txt", "two", "web"),
        ("key.txt", "two", "web"),
        (
            "inc/part.yaml",
            "services: {part: {image: busybox, command: sleep 1001}}",
            "part",
        ),
        (
            "stack.override.yaml",
            "services: {web: {environment: {C: '1'}}}",
            "web",
        ),
    ] {
        let (before, part) = (ids(&stack, service), ids(&stack, "part"));
        stack.file(file, text);
        wait_for_another(&stack, service, &before);
        assert_eq!(ids(&stack, "db"), db, "{file}");
        if service != "part" {
            assert_eq!(ids(&stack, "part"), part, "{file}");
        }
    }
    let read = "cat /conf /run/secrets/key; echo $A$B$C$BASE";
    // The override is the last edit: all of the others are still there.
    assert_eq!(stack.exec("web", read), "twotwo3212\n");
    fs::remove_file(stack.dir().join("stack.override.yaml")).unwrap();
    let before = ids(&stack, "web");
    wait_for_another(&stack, "web", &before);
    assert_eq!(stack.exec("web", read), "twotwo322\n");
}

#[test]
fn a_broken_edit_is_told_and_moves_nothing_and_a_mended_one_goes_on() {
    let stack = stack!(TWO);
    follow(&stack);
    let all = stack.ps();
    let same = |rows: &[crate::harness::Row]| {
        let ids = |rows: &[crate::harness::Row]| {
            rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(rows), ids(&all));
    };
    edit(&stack, "  db:", "  dc: {imaeg: x}\n  db:");
    wait_for_word(&stack, "did you mean `image`?", 1);
    same(&stack.ps());
    // Without a name of its own the project is found by what it follows.
    for arguments in [&["ps"][..], &["-p", stack.project(), "ps"]] {
        let mut command = stack.command(arguments);
        let output = command.env_remove("COMPOSE_PROJECT_NAME").output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(
            errors.contains("the last edit of the stack file was not applied"),
            "{errors}"
        );
        assert!(errors.contains("unknown key"), "{errors}");
        let rows = String::from_utf8_lossy(&output.stdout);
        assert_eq!(rows.matches(" Up ").count(), 2, "{rows}");
    }
    edit(&stack, "  dc: {imaeg: x}\n", "");
    wait_for_word(&stack, "the stack file is in order again", 1);
    same(&stack.ps());
    stack.stack(&["ps"]).succeeds().stderr_lacks("last edit");
    // An image that cannot be had is a broken edit, too.
    edit(
        &stack,
        "web: {image: busybox",
        "web: {image: 127.0.0.1:1/none",
    );
    wait_for_word(&stack, "127.0.0.1:1/none", 3);
    eventually("it is told", || {
        let output = stack.stack(&["ps"]);
        output.stderr.contains("last edit").then_some(())
    });
    same(&stack.ps());
    let web = ids(&stack, "web");
    edit(
        &stack,
        "web: {image: 127.0.0.1:1/none",
        "web: {image: busybox",
    );
    wait_for_word(&stack, "in order again", 2);
    edit(&stack, "A:-1", "A:-2");
    wait_for_another(&stack, "web", &web);
}

#[test]
fn a_save_that_changes_nothing_is_silent_however_it_is_done() {
    let stack = stack!(TWO);
    follow(&stack);
    let all = stack.ps();
    let path = stack.dir().join("stack.yaml");
    let text = fs::read_to_string(&path).unwrap();
    // In place, by rename, with the old one kept beside it, and a comment.
    fs::write(&path, &text).unwrap();
    fs::write(path.with_extension("tmp"), &text).unwrap();
    fs::rename(path.with_extension("tmp"), &path).unwrap();
    fs::rename(&path, path.with_extension("yaml~")).unwrap();
    fs::write(&path, format!("{text}# nothing\n")).unwrap();
    // Then a real one, by rename: it is the first that is told of.
    let web = ids(&stack, "web");
    fs::write(path.with_extension("tmp"), text.replace("A:-1", "A:-2")).unwrap();
    fs::rename(path.with_extension("tmp"), &path).unwrap();
    wait_for_another(&stack, "web", &web);
    let log = stack.supervisor_log();
    assert_eq!(log.matches("changed:\n").count(), 1, "{log}");
    let db = all.iter().find(|row| row.service == "db").unwrap();
    assert_eq!(ids(&stack, "db"), std::slice::from_ref(&db.id));
}

#[test]
fn services_come_go_and_scale_by_edits() {
    let stack = stack!(TWO);
    follow(&stack);
    let (web, db) = (ids(&stack, "web"), ids(&stack, "db"));
    edit(
        &stack,
        "  db:",
        "  new: {image: busybox, command: sleep 1000, networks: [more]}\n  db:",
    );
    let path = stack.dir().join("stack.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}networks: {{more: }}\n")).unwrap();
    stack.wait_for_state("new", "running");
    edit(&stack, "db: {image", "db: {scale: 3, image");
    eventually("three of them run", || {
        let rows = stack.replicas("db");
        (rows.len() == 3 && rows.iter().all(|row| row.state == "running")).then_some(())
    });
    assert!(ids(&stack, "db").contains(&db[0]));
    edit(&stack, "scale: 3", "scale: 1");
    eventually("one is left", || {
        (stack.replicas("db").len() == 1).then_some(())
    });
    assert_eq!(ids(&stack, "db"), db);
    edit(
        &stack,
        "  new: {image: busybox, command: sleep 1000, networks: [more]}\n",
        "",
    );
    eventually("it is gone", || {
        stack.replicas("new").is_empty().then_some(())
    });
    assert_eq!(ids(&stack, "web"), web);
    wait_for_word(
        &stack,
        "new has left the stack file: its containers are removed",
        1,
    );
}

#[test]
fn what_was_stopped_stays_stopped_and_what_is_done_is_not_done_again() {
    let stack = stack!(
        "
services:
  web: {image: busybox, command: sleep 1000, environment: {A: \"1\"}}
  idle: {image: busybox, command: sleep 1000}
  job: {image: busybox, command: echo done once}
"
    );
    follow(&stack);
    stack.wait_for_state("job", "exited");
    stack.stack(&["stop", "-t", "0", "idle"]).succeeds();
    let (web, job) = (ids(&stack, "web"), stack.container("job"));
    edit(&stack, "A: \"1\"", "A: \"2\"");
    wait_for_another(&stack, "web", &web);
    wait_for_word(
        &stack,
        &format!("Container {} Started", stack.name("web", 1)),
        1,
    );
    assert_eq!(stack.container("idle").state, "exited");
    assert_eq!(stack.container("job").id, job.id);
    assert_eq!(stack.logs("job"), "done once\n");
}

#[test]
fn an_edit_of_a_build_builds_the_image_first() {
    let stack = stack!(
        "
services:
  web:
    build:
      context: .
      args: {WORD: one}
      dockerfile_inline: |
        FROM busybox
        ARG WORD
        RUN echo $$WORD > /word
    command: sleep 1000
  db: {image: busybox, command: sleep 1000}
"
    );
    follow(&stack);
    let (web, db) = (ids(&stack, "web"), ids(&stack, "db"));
    assert_eq!(stack.exec("web", "cat /word"), "one\n");
    edit(&stack, "WORD: one", "WORD: two");
    wait_for_another(&stack, "web", &web);
    assert_eq!(stack.exec("web", "cat /word"), "two\n");
    assert_eq!(ids(&stack, "db"), db);
}

#[test]
fn following_ends_with_down_and_with_an_up_that_does_not_ask_for_it() {
    let stack = stack!(TWO);
    follow(&stack);
    stack.up();
    let web = ids(&stack, "web");
    let state = stack.root().join("run/projects").join(stack.project());
    assert!(!state.join("follow.json").exists());
    edit(&stack, "A:-1", "A:-2");
    // Another `up` that follows sees the edit itself; the one after it is seen by the supervisor.
    assert_eq!(ids(&stack, "web"), web);
    follow(&stack);
    let web = ids(&stack, "web");
    edit(&stack, "A:-2", "A:-3");
    wait_for_another(&stack, "web", &web);
    let kept = fs::metadata(state.join("follow.json")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&kept.permissions());
    assert_eq!(mode & 0o777, 0o600);
    stack.stack(&["down", "-t", "0"]).succeeds();
    edit(&stack, "A:-3", "A:-4");
    stack.wait_for_quiet();
    assert!(stack.ps().is_empty());
}

#[test]
fn an_edit_while_the_supervisor_is_dead_is_applied_by_the_next_one() {
    let stack = stack!(TWO);
    follow(&stack);
    let (web, db) = (ids(&stack, "web"), ids(&stack, "db"));
    let supervisor = stack.supervisor().expect("it runs");
    signal_to(supervisor, Signal::STOP);
    edit(&stack, "A:-1", "A:-2");
    signal_to(supervisor, Signal::KILL);
    wait_for_another(&stack, "web", &web);
    assert_eq!(ids(&stack, "db"), db);
}

#[test]
fn an_edit_that_calls_the_project_something_else_is_refused() {
    let stack = stack!(format!("name: first\n{TWO}"));
    let mut command = stack.command(&["up", "-d", "--watch-file"]);
    let output = command.env_remove("COMPOSE_PROJECT_NAME").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    edit(&stack, "name: first", "name: second");
    let log = stack.root().join("run/projects/first/supervisor.log");
    eventually("it is told", || {
        let text = fs::read_to_string(&log).ok()?;
        text.contains("the project is called second now")
            .then_some(())
    });
    let output = stack.stack(&["-p", "first", "ps", "-q"]).succeeds();
    assert_eq!(output.stdout.lines().count(), 2);
    stack.stack(&["-p", "first", "down", "-t", "0"]).succeeds();
}

#[test]
fn in_the_foreground_edits_are_shown_and_new_services_are_attached() {
    let stack = stack!(
        "
services:
  web: {image: busybox, command: sh -c 'echo web $$A; exec sleep 1000', environment: {A: \"1\"}}
"
    );
    let shown = stack.dir().join("shown");
    let up = stack.start_into(&["up"], &shown);
    let wait_for = |text: &str| {
        eventually(&format!("`{text}` is shown"), || {
            let found = fs::read_to_string(&shown).ok()?;
            found.contains(text).then_some(())
        });
    };
    wait_for("web-1  | web 1");
    // The only service is replaced: that is not the end.
    edit(&stack, "A: \"1\"", "A: \"2\"");
    wait_for("web-1  | web 2");
    edit(
        &stack,
        "services:\n",
        "services:\n  added: {image: busybox, command: sh -c 'echo new here; exec sleep 1000'}\n",
    );
    wait_for("| new here");
    edit(&stack, "A: \"2\"", "A: 2: 3");
    wait_for_word(&stack, "error:", 1);
    edit(&stack, "A: 2: 3", "A: \"3\"");
    wait_for("| web 3");
    up.signal(Signal::INT);
    let output = up.finish();
    assert_eq!(output.code, 130, "{output}");
    for text in [
        "stack.yaml has changed:",
        "its configuration changed: environment (A)",
        "-added-1: it does not exist",
        "error:",
        "stack.yaml:",
    ] {
        assert!(output.stderr.contains(text), "no `{text}` in {output}");
    }
    // Ctrl-C stops what came by an edit, too.
    assert_eq!(stack.container("added").state, "exited");
    assert_eq!(stack.container("web").state, "exited");
    stack.wait_for_quiet();
}

#[test]
fn a_replacement_by_an_edit_does_not_abort_an_up_that_aborts_on_exit() {
    let stack = stack!(TWO);
    let up = stack.start(&["up", "--abort-on-container-exit"]);
    stack.wait_for_state("web", "running");
    let web = ids(&stack, "web");
    edit(&stack, "A:-1", "A:-2");
    wait_for_another(&stack, "web", &web);
    stack.wait_for_state("db", "running");
    let word = format!("Container {} Started", stack.name("web", 1));
    wait_for_word(&stack, &word, 1);
    stack.stack(&["kill", "db"]).succeeds();
    assert_eq!(up.finish().code, 137);
}

#[test]
fn a_foreground_up_that_is_killed_takes_its_following_with_it() {
    let stack = stack!(TWO);
    let up = stack.start(&["up"]);
    stack.wait_for_state("web", "running");
    up.signal(Signal::KILL);
    up.finish();
    let state = stack.root().join("run/projects").join(stack.project());
    eventually("it is not followed any more", || {
        (!state.join("follow.json").exists()).then_some(())
    });
    let web = ids(&stack, "web");
    edit(&stack, "A:-1", "A:-2");
    stack.stack(&["start"]).succeeds();
    assert_eq!(ids(&stack, "web"), web);
}

#[test]
fn restart_says_that_it_does_not_apply_an_edit() {
    let stack = stack!(TWO);
    stack.up();
    stack
        .stack(&["restart", "-t", "0"])
        .succeeds()
        .stderr_lacks("has changed");
    let web = ids(&stack, "web");
    edit(&stack, "A:-1", "A:-2");
    stack
        .stack(&["restart", "-t", "0", "db"])
        .succeeds()
        .stderr_lacks("has changed");
    let output = stack.stack(&["restart", "-t", "0", "web"]).succeeds();
    output.stderr_contains(
        "the stack file has changed since \"up\"; restart does not apply that: stack up -d",
    );
    assert_eq!(ids(&stack, "web"), web);
}
