//! Files of containers: `cp`, `export`, `commit`.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Stack, eventually, stack};

const TWO: &str = "
services:
  one:
    image: busybox
    command: sleep 1000
    scale: 2
    volumes: ['data:/data', './bound:/bound', './fixed:/fixed:ro']
volumes: {data: {}}
";

fn two() -> Option<Stack> {
    let stack = Stack::new(TWO, &[])?;
    stack.file("bound/b", "b\n").file("fixed/f", "f\n");
    stack
        .file("file", "content\n")
        .file("dir/sub/deep", "deep\n");
    stack.up();
    Some(stack)
}

fn read(stack: &Stack, path: &str) -> String {
    fs::read_to_string(stack.dir().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a script in the second replica.
fn second(stack: &Stack, script: &str) -> String {
    let arguments = ["exec", "-T", "--index", "2", "one", "sh", "-c", script];
    stack.stack(&arguments).succeeds().stdout
}

/// The names in an archive, as GNU tar reads them.
fn names(archive: &Path) -> Vec<String> {
    let list = Command::new("tar")
        .arg("-tf")
        .arg(archive)
        .output()
        .unwrap();
    assert!(list.status.success(), "{list:?}");
    let text = String::from_utf8(list.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn files_are_copied_into_all_containers_and_out_of_the_first() {
    let Some(stack) = two() else { return };
    let cp = stack.stack(&["cp", "file", "one:/tmp/f"]).succeeds();
    for number in [1, 2] {
        let name = stack.name("one", number);
        let line = |what: &str| format!("{name} {what} file to {name}:/tmp/f\n");
        assert!(cp.stderr.contains(&line("Copying")), "{cp}");
        assert!(cp.stderr.contains(&line("Copied")), "{cp}");
    }
    assert_eq!(stack.exec("one", "cat /tmp/f"), "content\n");
    assert_eq!(second(&stack, "cat /tmp/f"), "content\n");
    stack
        .stack(&["cp", "--index=2", "file", "one:/only"])
        .succeeds();
    assert_eq!(second(&stack, "cat /only"), "content\n");
    stack
        .stack(&["exec", "-T", "--index=1", "one", "cat", "/only"])
        .fails_with(1);
    stack.stack(&["cp", "one:/tmp/f", "out"]).succeeds();
    stack
        .stack(&["cp", "--index", "2", "one:/only", "dir"])
        .succeeds();
    assert_eq!(
        (read(&stack, "out"), read(&stack, "dir/only")),
        ("content\n".into(), "content\n".into())
    );
    // The name of the project is enough.
    stack
        .stack(&["-p", stack.project(), "cp", "one:/tmp/f", "again"])
        .succeeds();
    stack.down();
}

#[test]
fn directories_are_copied_as_docker_does() {
    let Some(stack) = two() else { return };
    let cp = |from: &str, to: &str| drop(stack.stack(&["cp", "--index", "1", from, to]).succeeds());
    let files = |path: &str| stack.exec("one", &format!("cd {path} && find . -type f | sort"));
    cp("dir", "one:/new");
    assert_eq!(files("/new"), "./sub/deep\n");
    cp("dir", "one:/new");
    assert_eq!(files("/new"), "./dir/sub/deep\n./sub/deep\n");
    cp("dir/.", "one:/new/");
    cp("dir/", "one:/other/");
    assert_eq!(files("/other"), "./sub/deep\n");
    stack.exec("one", "rm -r /new/dir; echo more > /new/sub/more");
    cp("one:/new", "fresh");
    cp("one:/new", "fresh");
    cp("one:/new/.", "merged");
    cp("one:/new/sub/", ".");
    assert_eq!(read(&stack, "fresh/sub/more"), "more\n");
    assert_eq!(read(&stack, "fresh/new/sub/deep"), "deep\n");
    assert_eq!(read(&stack, "merged/sub/more"), "more\n");
    assert_eq!(read(&stack, "sub/deep"), "deep\n");
    stack.down();
}

#[test]
fn what_cannot_be_copied_is_said_in_docker_s_words() {
    let Some(stack) = two() else { return };
    stack.exec("one", "echo x > /tmp/f");
    let id = stack.ps()[0].id.clone();
    let missing = |path: &str| format!("Could not find the file {path} in container {id}");
    let working = stack.dir().display().to_string();
    for (from, to, said) in [
        ("file", "one:/no/where", missing("/no")),
        ("dir", "one:/no/where", missing("/no")),
        ("one:/no", "out", missing("/no")),
        ("dir", "one:/tmp/f", "cannot copy directory".to_owned()),
        ("one:/etc", "file", "cannot copy directory".to_owned()),
        ("file", "one:/tmp/f/", "no such directory".to_owned()),
        ("file", "one:/tmp/g/", "no such directory".to_owned()),
        (
            "nothing",
            "one:/tmp/f",
            format!("lstat {working}/nothing: no such file or directory"),
        ),
        (
            "one:/tmp/f",
            "no/f",
            format!("invalid output path: directory \"{working}/no\" does not exist"),
        ),
        (
            "file",
            "one:/dev/null",
            format!("destination \"{id}:/dev/null\" must be a directory or a regular file"),
        ),
        ("file", "one:/fixed/g", "Read-only file system".to_owned()),
        (
            "one:/a",
            "one:/b",
            "copying between services is not supported".to_owned(),
        ),
        ("file", "other", "unknown copy direction".to_owned()),
        ("", "one:/b", "source can not be empty".to_owned()),
        ("file", "", "destination can not be empty".to_owned()),
        (
            "file",
            "absent:/f",
            "no container found for service \"absent\"".to_owned(),
        ),
    ] {
        let cp = stack.stack(&["cp", from, to]).fails_with(1);
        assert!(cp.stderr.contains(&said), "{from} to {to}: {said}: {cp}");
    }
    stack
        .stack(&["cp", "--index", "7", "file", "one:/f"])
        .fails_with(1)
        .stderr_contains("service \"one\" is not running container #7");
    stack.down();
}

#[test]
fn volumes_are_copied_to_and_from_whether_the_container_runs_or_not() {
    let Some(stack) = two() else { return };
    stack.stack(&["cp", "file", "one:/data/running"]).succeeds();
    assert_eq!(second(&stack, "cat /data/running"), "content\n");
    stack.stack(&["stop", "-t", "0"]).succeeds();
    let cp = |from: &str, to: &str| drop(stack.stack(&["cp", from, to]).succeeds());
    cp("file", "one:/data/stopped");
    cp("file", "one:/root/own");
    cp("file", "one:/bound/host");
    cp("one:/data/running", "out");
    cp("one:/fixed/f", "out2");
    stack.stack(&["cp", "file", "one:/fixed/g"]).fails_with(1);
    assert_eq!(read(&stack, "bound/host"), "content\n");
    assert_eq!(
        (read(&stack, "out"), read(&stack, "out2")),
        ("content\n".into(), "f\n".into())
    );
    assert!(
        !fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .contains(stack.root().to_str().unwrap())
    );
    stack.stack(&["start"]).succeeds();
    assert_eq!(
        stack.exec("one", "cat /data/stopped /root/own"),
        "content\ncontent\n"
    );
    stack.down();
}

#[test]
fn a_container_that_was_never_started_has_its_files_and_volumes() {
    let text = "services: {one: {image: seeded, command: cat /data/given /given, volumes: ['./own:/own']}}";
    let stack = stack!(text);
    stack.file("file", "content\n").file("own/x", "x\n");
    stack.stack(&["create"]).succeeds();
    stack.stack(&["cp", "file", "one:/data/given"]).succeeds();
    stack.stack(&["cp", "file", "one:/given"]).succeeds();
    stack.stack(&["cp", "one:/own/x", "x"]).succeeds();
    stack.stack(&["cp", "one:/data", "data"]).succeeds();
    assert_eq!(
        (read(&stack, "x"), read(&stack, "data/given")),
        ("x\n".into(), "content\n".into())
    );
    stack
        .stack(&["up", "--no-log-prefix"])
        .succeeds()
        .stdout_contains("content\ncontent\n");
    stack.down();
}

#[test]
fn archives_go_in_and_out_through_the_standard_streams() {
    let Some(stack) = two() else { return };
    let tar = Command::new("tar")
        .args(["-cz", "dir"])
        .current_dir(stack.dir())
        .output()
        .unwrap();
    stack
        .stack_with_input(&["cp", "-", "one:/tmp"], &tar.stdout)
        .succeeds();
    assert_eq!(stack.exec("one", "cat /tmp/dir/sub/deep"), "deep\n");
    assert_eq!(second(&stack, "cat /tmp/dir/sub/deep"), "deep\n");
    stack
        .stack_with_input(&["cp", "-", "one:/tmp/f"], &tar.stdout)
        .fails_with(1)
        .stderr_contains("must be a directory");
    stack
        .stack_with_input(
            &["cp", "-", "one:/tmp"],
            b"no archive at all, but long enough",
        )
        .fails_with(1);
    for (path, expected) in [
        ("/tmp/dir", &["dir/", "dir/sub/", "dir/sub/deep"][..]),
        ("/tmp/dir/", &["dir/", "dir/sub/", "dir/sub/deep"]),
        ("/tmp/dir/.", &["./", "./sub/", "./sub/deep"]),
        ("/tmp/dir/sub/deep", &["deep"]),
    ] {
        let file = stack.dir().join("out.tar");
        stack
            .start_into(&["cp", &format!("one:{path}"), "-"], &file)
            .finish()
            .succeeds();
        assert_eq!(names(&file), expected, "{path}");
    }
    stack.down();
}

#[test]
fn links_are_copied_as_links_unless_told_and_never_lead_out_of_the_container() {
    let Some(stack) = two() else { return };
    let secret = stack.dir().join("secret");
    fs::write(&secret, "of the host\n").unwrap();
    let host = stack.dir().display().to_string();
    let up = "../".repeat(40);
    stack.exec("one", &format!(
        "echo inside > /tmp/f; ln -s /tmp/f /link; ln -s {host}/secret /absolute; ln -s {up}{host} /climbing; \
         ln -s nowhere /tmp/dangling; ln -s /proc/1/root /magic; ln -s /tmp /directory; ln -s /loop /loop"
    ));
    let cp = |flags: &[&str]| stack.stack(&[&["cp", "--index=1"][..], flags].concat());
    cp(&["one:/link", "link"]).succeeds();
    assert_eq!(
        fs::read_link(stack.dir().join("link")).unwrap(),
        Path::new("/tmp/f")
    );
    cp(&["-L", "one:/link", "followed"]).succeeds();
    assert_eq!(read(&stack, "followed"), "inside\n");
    cp(&["one:/directory/.", "contents"]).succeeds();
    assert_eq!(read(&stack, "contents/f"), "inside\n");
    // Out of the container: what they name is looked for inside.
    for from in ["one:/absolute", "one:/climbing/secret", "one:/loop"] {
        cp(&["-L", from, "leaked"]).fails_with(1);
    }
    cp(&["one:/magic/etc/passwd", "leaked"]).fails_with(1);
    assert!(!stack.dir().join("leaked").exists());
    // Into it.
    cp(&["file", "one:/absolute"]).fails_with(1);
    cp(&["file", "one:/climbing/made"]).fails_with(1);
    cp(&["file", "one:/magic/made"]).fails_with(1);
    assert_eq!(read(&stack, "secret"), "of the host\n");
    assert!(!stack.dir().join("made").exists());
    cp(&["file", "one:/link"]).succeeds();
    cp(&["file", "one:/tmp/dangling"]).succeeds();
    cp(&["file", "one:/directory"]).succeeds();
    assert_eq!(
        stack.exec("one", "cat /tmp/f /tmp/nowhere /tmp/file; readlink /link"),
        "content\ncontent\ncontent\n/tmp/f\n"
    );
    // Of this machine.
    symlink("file", stack.dir().join("here")).unwrap();
    cp(&["here", "one:/as-link"]).succeeds();
    cp(&["-L", "here", "one:/as-file"]).succeeds();
    assert_eq!(
        stack.exec("one", "readlink /as-link; cat /as-file"),
        "file\ncontent\n"
    );
    stack.down();
}

#[test]
fn an_archive_of_a_container_cannot_write_outside_its_destination() {
    let Some(stack) = two() else { return };
    // A directory that turns into a link while the caller's own copy is there already.
    let outside = stack.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(stack.dir().join("to")).unwrap();
    symlink(&outside, stack.dir().join("to/inner")).unwrap();
    stack.exec(
        "one",
        "mkdir -p /from/inner && echo evil > /from/inner/evil",
    );
    stack
        .stack(&["cp", "one:/from/.", "to"])
        .fails_with(1)
        .stderr_contains("cannot overwrite non-directory");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // Names with dots, and links that the archive itself brings.
    let hostile = |entries: &[(&str, Option<&str>)]| {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, link) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            match link {
                Some(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_link_name_literal(target).unwrap();
                    header.set_size(0);
                    header.set_cksum();
                    archive.append(&header, std::io::empty()).unwrap();
                }
                None => {
                    header.set_size(5);
                    header.set_cksum();
                    archive.append(&header, &b"evil\n"[..]).unwrap();
                }
            }
        }
        archive.into_inner().unwrap()
    };
    let into =
        |archive: &[u8]| stack.stack_with_input(&["cp", "--index=1", "-", "one:/tmp"], archive);
    into(&hostile(&[("../../evil", None)])).fails_with(1);
    let target = outside.to_str().unwrap();
    into(&hostile(&[("l", Some(target)), ("l/evil", None)]));
    into(&hostile(&[("m", Some("/proc/self/cwd")), ("m/evil", None)])).fails_with(1);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(stack.exec("one", "ls /evil 2>/dev/null; true"), "");
    stack.down();
}

#[test]
fn owners_are_kept_on_the_way_in_and_on_the_way_out_when_told() {
    let Some(stack) = two() else { return };
    let file = stack.dir().join("file");
    std::os::unix::fs::chown(&file, Some(1234), Some(1235)).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o4750)).unwrap();
    stack.stack(&["cp", "file", "one:/tmp/f"]).succeeds();
    assert_eq!(
        stack.exec("one", "stat -c '%u:%g %a' /tmp/f"),
        "1234:1235 4750\n"
    );
    stack.stack(&["cp", "one:/tmp/f", "mine"]).succeeds();
    stack
        .stack(&["cp", "-a", "one:/tmp/f", "theirs"])
        .succeeds();
    let seen = |path: &str| {
        let found = fs::metadata(stack.dir().join(path)).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    };
    // A container's set-uid program does not become one of the caller's.
    assert_eq!(seen("mine"), (0, 0, 0o750));
    assert_eq!(seen("theirs"), (1234, 1235, 0o4750));
    let time = |path: &str| fs::metadata(stack.dir().join(path)).unwrap().mtime();
    assert_eq!(time("mine"), time("file"));
    stack.down();
}

#[test]
fn one_off_containers_take_part_with_all() {
    let Some(stack) = two() else { return };
    stack
        .stack(&["run", "-d", "--name", "once", "one", "sleep", "1000"])
        .succeeds();
    let cat = |stack: &Stack| stack.stack(&["cp", "file", "one:/all"]).succeeds();
    cat(&stack).stderr_lacks("once");
    let cp = stack.stack(&["cp", "--all", "file", "one:/all"]).succeeds();
    cp.stderr_contains("once Copied file to once:/all");
    stack.down();
}

#[test]
fn files_that_something_is_mounted_on_are_written_to_and_fifos_are_not_waited_for() {
    let Some(stack) = two() else { return };
    stack
        .stack(&["cp", "--index=1", "file", "one:/etc/hosts"])
        .succeeds();
    assert_eq!(stack.exec("one", "cat /etc/hosts"), "content\n");
    stack.exec(
        "one",
        "mkdir /odd; mkfifo /odd/fifo; echo x > /odd/a; ln /odd/a /odd/b; truncate -s 5242880 /odd/hole",
    );
    stack.stack(&["cp", "one:/odd", "odd"]).succeeds();
    let inode = |path: &str| fs::metadata(stack.dir().join(path)).unwrap().ino();
    assert_eq!(inode("odd/a"), inode("odd/b"));
    assert_eq!(
        fs::metadata(stack.dir().join("odd/hole")).unwrap().len(),
        5 << 20
    );
    stack.down();
}

#[test]
fn export_writes_an_archive_of_the_container_s_own_files() {
    let Some(stack) = two() else { return };
    stack.exec(
        "one",
        "mkdir /made; echo new > /made/file; rm /etc/group; echo v > /data/volume",
    );
    let out = stack.dir().join("out.tar");
    stack
        .stack(&["export", "-o", "out.tar", "one"])
        .succeeds()
        .stdout_is("");
    assert_eq!(fs::metadata(&out).unwrap().mode() & 0o777, 0o600);
    let found = names(&out);
    let has = |name: &str| found.iter().any(|found| found == name);
    assert!(has("made/file") && has("bin/") && has("data/"), "{found:?}");
    assert!(
        !has("etc/group") && !has("data/volume") && !has("proc/self"),
        "{found:?}"
    );
    let piped = stack.dir().join("piped.tar");
    stack
        .start_into(&["export", "--index", "2", "one"], &piped)
        .finish()
        .succeeds();
    assert!(!names(&piped).contains(&"made/file".to_owned()));
    // What comes out goes in again.
    stack
        .stack(&["image", "import", "out.tar", "again"])
        .succeeds();
    stack.file(
        "stack.yaml",
        "services: {one: {image: again, command: cat /made/file}}",
    );
    stack
        .stack(&["run", "--rm", "-T", "one"])
        .succeeds()
        .stdout_is("new\n");
    stack
        .stack(&["export", "absent"])
        .fails_with(1)
        .stderr_contains("service \"absent\" is not running")
        .stderr_contains("the stack file has no service `absent`");
    stack
        .stack(&["export", "--index=9", "one"])
        .fails_with(1)
        .stderr_contains("container #9");
    stack
        .stack(&["export", "-o", "/no/where", "one"])
        .fails_with(1)
        .stderr_contains("invalid output path: directory \"/no\" does not exist");
    assert!(
        fs::read_dir(stack.dir())
            .unwrap()
            .flatten()
            .all(|entry| !entry.file_name().to_string_lossy().contains(".part"))
    );
    stack.down();
}

#[test]
fn export_does_not_write_to_a_terminal() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}", needs: ["setsid"]);
    stack.up();
    let mut terminal = stack.in_terminal(&["export", "one"]);
    assert_eq!(terminal.finish(), 1);
    terminal.wait_for("output option is required when exporting to terminal");
    stack.down();
}

#[test]
fn commit_makes_an_image_of_what_a_container_has_become() {
    let text = "
services:
  one:
    image: seeded
    command: [sh, -c, 'sleep 1000']
    environment: {OF_SERVICE: here}
    working_dir: /tmp
";
    let stack = stack!(text);
    stack.up();
    stack.exec(
        "one",
        "echo made > /made; rm -r /data; mkdir /data; echo other > /data/other; ln -s made /link",
    );
    let author = "John Hannibal Smith <hannibal@a-team.com>";
    let arguments = [
        "commit",
        "-a",
        author,
        "-c",
        "ENV DEBUG=true",
        "-c",
        "CMD [\"sh\", \"-c\", \"cat /made /link; ls /data; echo $DEBUG $OF_SERVICE; pwd\"]",
        "-m",
        "sample commit",
        "one",
        "my/made:1",
    ];
    let commit = stack.stack(&arguments).succeeds().stdout_is("");
    let commit = commit.stderr_contains(&format!("{} Committing", stack.name("one", 1)));
    let images = stack
        .stack(&["image", "inspect", "my/made:1"])
        .succeeds()
        .stdout;
    let image: serde_json::Value = serde_json::from_str(&images).unwrap();
    let image = &image[0];
    assert_eq!(image["Author"], author);
    commit.stderr_contains(&format!("Committed as {}", image["Id"].as_str().unwrap()));
    let history = stack.stack(&["image", "history", "my/made:1"]).succeeds();
    history.stdout_contains("sample commit");
    assert_eq!(stack.container("one").state, "running");
    stack.file("made.yaml", "services: {one: {image: 'my/made:1'}}");
    let run = stack
        .stack(&["-f", "made.yaml", "run", "--rm", "-T", "one"])
        .succeeds();
    run.stdout_is("made\nmade\nother\ntrue here\n/tmp\n");
    // Without a name, of one that has ended, and with nothing changed.
    stack.stack(&["stop", "-t", "0"]).succeeds();
    stack
        .stack(&["commit", "--pause=false", "one"])
        .succeeds()
        .stderr_contains("Committed as sha256:");
    stack
        .stack(&["commit", "absent"])
        .fails_with(1)
        .stderr_contains("service \"absent\" is not running");
    stack
        .stack(&["commit", "one", "BAD/Name"])
        .fails_with(1)
        .stderr_contains("invalid reference format");
    stack
        .stack(&["commit", "-c", "FOO bar", "one"])
        .fails_with(1)
        .stderr_contains("FOO bar");
    stack.down();
    stack.stack(&["create"]).succeeds();
    stack.stack(&["commit", "one", "same"]).succeeds();
    stack.down();
}

#[test]
fn commit_takes_the_replica_that_was_chosen_and_one_that_is_written_to() {
    let text = "services: {one: {image: busybox, scale: 2, command: [sh, -c, 'hostname > /own; while true; do date > /busy.$$RANDOM; rm /busy.*; done']}}";
    let stack = stack!(text);
    stack.up();
    eventually("both have written", || {
        let read = |index: &str| {
            stack
                .stack(&["exec", "-T", "--index", index, "one", "test", "-s", "/own"])
                .code
        };
        (read("1") == 0 && read("2") == 0).then_some(())
    });
    for index in ["1", "2"] {
        let image = format!("of:{index}");
        stack
            .stack(&["commit", "-p=false", "--index", index, "one", &image])
            .succeeds();
        let own = stack
            .stack(&["exec", "-T", "--index", index, "one", "cat", "/own"])
            .succeeds()
            .stdout;
        stack.file(
            "of.yaml",
            format!("services: {{one: {{image: '{image}', command: cat /own}}}}"),
        );
        stack
            .stack(&["-f", "of.yaml", "run", "--rm", "-T", "one"])
            .succeeds()
            .stdout_is(&own);
    }
    let mut stderr = String::new();
    let mut child = stack
        .command(&["export", "one"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{stderr}");
    stack.down();
}
