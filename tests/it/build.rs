//! Images from Dockerfiles: what a build makes, keeps, shows and leaves.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Output, Stack, eventually, stack};

const NOTHING: &str = "services: {}\n";

/// Builds the project's directory under the name `built`.
fn build(stack: &Stack, flags: &[&str]) -> Output {
    let mut arguments = vec!["image", "build", "--progress", "plain", "-t", "built"];
    arguments.extend(flags);
    arguments.push(".");
    stack.stack(&arguments)
}

fn dockerfile(stack: &Stack, text: &str) {
    stack.file("Dockerfile", text);
}

fn inspect(stack: &Stack) -> Value {
    let output = stack.stack(&["image", "inspect", "built"]).succeeds();
    let all: Value = serde_json::from_str(&output.stdout).expect("JSON");
    all[0].clone()
}

fn id(stack: &Stack) -> String {
    inspect(stack)["Id"].as_str().expect("an id").to_owned()
}

fn cached(output: &Output) -> usize {
    output.stderr.matches(" CACHED").count()
}

#[test]
fn a_dockerfile_becomes_an_image_that_a_service_runs() {
    let stack = stack!(
        "services:
  app:
    image: built
    pull_policy: never
"
    );
    stack.file("src/main", "from the context\n");
    dockerfile(
        &stack,
        "FROM busybox AS base
ENV GREETING=hello
FROM base AS made
WORKDIR /made
RUN echo \"$GREETING from a step\" > file
FROM base
ARG WHO=nobody
WORKDIR /app
COPY src/ .
COPY --from=made /made/file made
RUN echo \"$WHO\" > who
LABEL of=test
EXPOSE 80
ENTRYPOINT [\"/bin/sh\", \"-c\"]
CMD [\"cat main made who\"]
",
    );
    build(&stack, &["--build-arg", "WHO=me"]).succeeds();
    let config = &inspect(&stack)["Config"];
    assert_eq!(config["WorkingDir"], "/app");
    assert_eq!(config["Labels"]["of"], "test");
    assert!(config["ExposedPorts"]["80/tcp"].is_object(), "{config}");
    stack.up();
    for line in ["from the context", "hello from a step", "me"] {
        stack.wait_for_log("app", line);
    }
    stack.down();
}

#[test]
fn what_did_not_change_is_not_built_again() {
    let stack = stack!(NOTHING);
    stack.file("a", "one").file("b", "two");
    dockerfile(
        &stack,
        "FROM busybox\nCOPY a /a\nRUN cat /a > /c\nCOPY b /b\nRUN cat /b > /d\n",
    );
    assert_eq!(cached(&build(&stack, &[]).succeeds()), 0);
    let first = id(&stack);
    // A new time is no change.
    stack.file("a", "one");
    assert_eq!(cached(&build(&stack, &[]).succeeds()), 4);
    assert_eq!(id(&stack), first);
    stack.file("b", "three");
    assert_eq!(cached(&build(&stack, &[]).succeeds()), 2);
    assert_ne!(id(&stack), first);
    assert_eq!(cached(&build(&stack, &["--no-cache"]).succeeds()), 0);
}

#[test]
fn sources_and_destinations_of_copy_mean_what_they_mean_to_docker() {
    let stack = stack!(NOTHING);
    stack
        .file("dir/a.txt", "a")
        .file("dir/b.md", "b")
        .file("dir/sub/c.txt", "c")
        .file("x/y/z.txt", "z")
        .file("ignored/secret", "no")
        .file("ignored/kept", "yes")
        .file(".dockerignore", "ignored\n!ignored/kept\n");
    std::os::unix::fs::symlink("dir", stack.dir().join("link")).expect("a link");
    std::os::unix::fs::symlink("/etc/passwd", stack.dir().join("out")).expect("a link");
    dockerfile(
        &stack,
        "FROM busybox
COPY dir/a.txt /one
COPY dir/a.txt /two/
COPY dir /three
COPY dir/*.txt dir/b.md /four/
COPY link/a.txt /five
COPY --chown=user --chmod=u=rw,go= dir/a.txt /six
COPY --chown=7:8 dir/ /seven/
COPY --parents x/y/z.txt /eight
COPY --exclude=*.md dir /nine
COPY ignored /ten
COPY --link dir/a.txt /eleven/deep/er
COPY <<EOF /twelve
in place
EOF
COPY out* none* /thirteen/
WORKDIR /w
COPY dir/a.txt .
RUN set -ex; test -f /one; test -f /two/a.txt; test -f /three/sub/c.txt; \\
  test -f /four/a.txt -a -f /four/b.md; test -f /five; \\
  test \"$(stat -c '%u:%g %a' /six)\" = '1000:1000 600'; \\
  test \"$(stat -c '%u:%g' /seven /seven/sub /seven/a.txt | uniq)\" = 7:8; \\
  test -f /eight/x/y/z.txt; test ! -e /nine/b.md; test -f /nine/sub/c.txt; \\
  test -f /ten/kept; test ! -e /ten/secret; test -f /eleven/deep/er; \\
  test \"$(cat /twelve)\" = 'in place'; test ! -e /thirteen/passwd; test -f /w/a.txt
",
    );
    build(&stack, &[]).succeeds();
    dockerfile(&stack, "FROM busybox\nCOPY dir/a.tx /x\n");
    build(&stack, &[])
        .fails_with(1)
        .stderr_contains("`dir/a.tx` is not in the build context; did you mean `dir/a.txt`?")
        .stderr_contains("Dockerfile:2");
    dockerfile(&stack, "FROM busybox\nCOPY ignored/secret /x\n");
    build(&stack, &[])
        .fails_with(1)
        .stderr_contains("ignored/secret");
}

#[test]
fn no_link_of_an_image_leads_a_copy_out_of_it() {
    let stack = stack!(NOTHING);
    stack.file("file", "content");
    let outside = stack.dir().join("outside");
    dockerfile(
        &stack,
        &format!(
            "FROM busybox\nRUN ln -s {0} /abs; ln -s ../../../../../../..{0} /rel\nCOPY file /abs/file\nCOPY file /rel/file2\nRUN test -f {0}/file -a -f {0}/file2\n",
            outside.display()
        ),
    );
    fs::create_dir(&outside).expect("a directory");
    build(&stack, &[]).succeeds();
    assert_eq!(fs::read_dir(&outside).expect("it").count(), 0);
}

#[test]
fn archives_and_urls_are_added() {
    let stack = stack!(NOTHING);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let server = std::thread::spawn(move || {
        let mut unchanged = 0;
        for stream in listener.incoming().take(2) {
            let mut stream = stream.expect("a client");
            let mut request = [0; 1024];
            let count = stream.read(&mut request).expect("a request");
            let request = String::from_utf8_lossy(&request[..count]).to_lowercase();
            let answer: &[u8] = if request.contains("if-none-match: \"one\"") {
                unchanged += 1;
                b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 3\r\nConnection: close\r\n\r\nweb"
            };
            stream.write_all(answer).expect("an answer");
        }
        unchanged
    });
    stack.file("packed/inner", "packed");
    let tar = std::process::Command::new("tar")
        .args(["-C", "packed", "-czf", "a.tar.gz", "inner"])
        .current_dir(stack.dir())
        .status();
    assert!(tar.expect("tar").success());
    dockerfile(
        &stack,
        &format!(
            "FROM busybox\nADD a.tar.gz /un/\nCOPY a.tar.gz /packed/\nADD http://127.0.0.1:{port}/dir/page?x=1 /web/\nRUN test -f /un/inner -a -f /packed/a.tar.gz && test \"$(cat /web/page)\" = web && test \"$(stat -c %a /web/page)\" = 600\n"
        ),
    );
    build(&stack, &[]).succeeds();
    assert_eq!(cached(&build(&stack, &[]).succeeds()), 4);
    assert_eq!(server.join().expect("the server"), 1);
}

#[test]
fn mounts_give_steps_what_is_not_in_the_image() {
    let stack = stack!("services: {app: {image: built, pull_policy: never}}");
    stack.file("secret", "hush").file("dir/input", "in");
    dockerfile(
        &stack,
        "FROM busybox AS other
RUN echo other > /file
FROM busybox
ARG N
RUN --mount=type=cache,target=/cache --mount=type=bind,from=other,source=/file,target=/bound \\
  --mount=type=bind,source=dir,target=/ctx,rw --mount=type=tmpfs,target=/mem \\
  --mount=type=secret,id=s,mode=0444 --mount=type=secret,id=s,env=SECRET \\
  echo $N >> /cache/log; cat /cache/log > /log; cat /bound /ctx/input /run/secrets/s > /all; \\
  echo \"$SECRET\" >> /all; touch /ctx/written; mount | grep -q ' /mem type tmpfs'
RUN test ! -e /run/secrets -a ! -e /mem -a ! -e /bound -a ! -e /cache -a ! -e /ctx
CMD [\"cat\", \"/log\", \"/all\"]
",
    );
    for number in ["1", "2"] {
        let argument = format!("N={number}");
        build(
            &stack,
            &["--secret", "id=s,src=secret", "--build-arg", &argument],
        )
        .succeeds();
    }
    assert!(!stack.dir().join("dir/written").exists());
    stack.up();
    stack.wait_for_log("app", "2");
    stack.wait_for_log("app", "other");
    stack.wait_for_log("app", "inhushhush");
    let log = stack.logs("app");
    assert!(log.contains("1\n"), "{log}");
    stack.down();
    dockerfile(
        &stack,
        "FROM busybox\nRUN --mount=type=secret,id=none,required=true true\n",
    );
    build(&stack, &[])
        .fails_with(1)
        .stderr_contains("secret `none` is required");
}

#[test]
fn steps_are_locked_in_as_containers_are() {
    let stack = stack!(NOTHING);
    dockerfile(
        &stack,
        "FROM busybox
RUN test \"$(grep CapEff /proc/self/status | cut -f2)\" = 00000000a80425fb
RUN ip link show eth0 && grep -q nameserver /etc/resolv.conf && grep -q localhost /etc/hosts
RUN --network=none ! ip link show eth0
RUN ! mount -t tmpfs none /mnt 2>/dev/null
USER user
RUN test \"$(id -u):$HOME:$(pwd)\" = 1000:/home:/
",
    );
    build(&stack, &[]).succeeds();
    // What the runtime mounts leaves no trace in the layers.
    dockerfile(&stack, "FROM busybox\nRUN true\nRUN true\n");
    build(&stack, &[]).succeeds();
    let layers = &inspect(&stack)["RootFS"]["Layers"];
    assert!(layers[1].is_string(), "{layers}");
    assert_eq!(layers[1], layers[2]);
}

#[test]
fn a_step_that_fails_shows_its_line_its_output_and_its_code() {
    let stack = stack!(NOTHING);
    dockerfile(
        &stack,
        "FROM busybox\nRUN true\nRUN echo last words >&2; \\\n  exit 7\n",
    );
    build(&stack, &[])
        .fails_with(1)
        .stderr_contains("last words")
        .stderr_contains("Dockerfile:3")
        .stderr_contains("exit code 7");
    dockerfile(&stack, "FROM busybox\nRUN [\"/no/such\"]\n");
    build(&stack, &[]).fails_with(1).stderr_contains("/no/such");
    dockerfile(&stack, "FROM busybox\nRUNN true\n");
    build(&stack, &[])
        .fails_with(1)
        .stderr_contains("Dockerfile:2:1");
}

#[test]
fn the_same_inputs_make_the_same_image_on_another_machine() {
    let ids: Vec<String> = (0..2)
        .map_while(|_| {
            let stack = Stack::new(NOTHING, &[])?.with_env("SOURCE_DATE_EPOCH", "1000000000");
            stack.file("file", "content");
            dockerfile(
                &stack,
                "FROM busybox\nCOPY file /dir/file\nRUN echo x > /dir/made; ln /dir/made /dir/linked; rm -r /home\nCMD [\"x\"]\n",
            );
            build(&stack, &[]).succeeds();
            Some(id(&stack))
        })
        .collect();
    if let [first, second] = &ids[..] {
        assert_eq!(first, second);
    }
}

#[test]
fn a_build_that_is_killed_leaves_nothing_and_keeps_what_was_done() {
    let stack = stack!(NOTHING);
    dockerfile(
        &stack,
        "FROM busybox\nRUN echo done > /done\nRUN --mount=type=cache,target=/c touch /c/at-work; sleep 1000\n",
    );
    for signal in [Signal::KILL, Signal::INT] {
        let running = stack.start(&["image", "build", "-t", "built", "."]);
        eventually("the step runs", || {
            let caches = fs::read_dir(stack.root().join("build-cache/mounts")).ok()?;
            let sign = caches.flatten().next()?.path().join("0/at-work");
            fs::remove_file(sign).ok()
        });
        running.signal(signal);
        running.finish();
        stack.wait_for_quiet();
    }
    dockerfile(
        &stack,
        "FROM busybox\nRUN echo done > /done\nRUN test -f /done\n",
    );
    assert_eq!(cached(&build(&stack, &[]).succeeds()), 1);
    // What is unfinished goes when somebody begins and nobody is at work: a step that is just dying may
    // still hold the lock that says so.
    eventually("nothing unfinished is left", || {
        build(&stack, &["--no-cache"]).succeeds();
        let layers = fs::read_dir(stack.root().join("layers")).ok()?;
        let unfinished = layers.flatten().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("tmp-") && entry.path().is_dir()
        });
        (!unfinished).then_some(())
    });
}

#[test]
fn two_builds_at_once_share_what_they_make() {
    let stack = stack!(NOTHING);
    dockerfile(
        &stack,
        "FROM busybox AS a\nRUN echo shared > /x\nFROM a AS b\nRUN cat /x > /b\nFROM a AS c\nRUN cat /x > /c\nFROM scratch\nCOPY --from=b /b /b\nCOPY --from=c /c /c\n",
    );
    let first = stack.start(&["image", "build", "-q", "-t", "built", "."]);
    let second = stack.start(&["image", "build", "-q", "-t", "other", "."]);
    first.finish().succeeds();
    second.finish().succeeds();
    build(&stack, &[]).succeeds();
    let layers = inspect(&stack)["RootFS"]["Layers"].clone();
    assert_eq!(layers.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_step_gets_an_agent_with_the_key_of_a_file() {
    let stack = stack!(
        "
        services:
          app:
            build:
              context: .
              ssh: ['deploy=./key']
        "
    );
    let wanted = "FROM busybox\nRUN --mount=type=ssh,id=deploy,required test -S $SSH_AUTH_SOCK\n";
    dockerfile(&stack, wanted);
    let keygen = |word: &str| {
        let _ = fs::remove_file(stack.dir().join("key"));
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-f", "key", "-N", word])
            .current_dir(stack.dir())
            .status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "openssh-client is needed"
        );
    };
    keygen("a passphrase");
    let refused = stack.stack(&["build"]).fails_with(1);
    for said in ["Dockerfile:2", "key is protected by a passphrase"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    keygen("");
    stack.stack(&["build"]).succeeds();
}

#[test]
fn two_builds_at_once_run_a_step_once() {
    let stack = stack!(NOTHING);
    let counted =
        "FROM busybox\nRUN --mount=type=cache,target=/c echo once >> /c/runs; sleep 0.5\n";
    dockerfile(&stack, counted);
    let builds = ["one", "other"].map(|tag| stack.start(&["image", "build", "-t", tag, "."]));
    for build in builds {
        build.finish().succeeds();
    }
    let look = "FROM busybox\nRUN --mount=type=cache,target=/c cat /c/runs\n";
    dockerfile(&stack, look);
    let seen = build(&stack, &[]).succeeds();
    let runs = seen.stderr.lines().filter(|line| line.ends_with(" once"));
    assert_eq!(runs.count(), 1, "{}", seen.stderr);
}

const SERVICES: &str = "
services:
  app:
    build:
      context: .
      dockerfile: app.Dockerfile
      additional_contexts: {base: 'service:base'}
      args: {WHO: me}
      secrets: [token]
      target: last
      tags: ['tagged:1']
    command: cat /all
  base:
    image: the-base
    build:
      context: .
      dockerfile_inline: |
        FROM busybox
        RUN echo from the base > /base
    profiles: [never]
  onit:
    build:
      dockerfile_inline: |
        FROM the-base
        CMD [\"cat\", \"/base\"]
secrets:
  token: {environment: TOKEN}
";

const APP: &str = "FROM base AS last
ARG WHO
RUN --mount=type=secret,id=token cat /base /run/secrets/token > /all; echo $WHO >> /all
FROM base
RUN false
";

#[test]
fn services_are_built_once_and_in_the_order_that_they_need_each_other() {
    let stack = stack!(SERVICES).with_env("TOKEN", "hush");
    stack.file("app.Dockerfile", APP);
    let project = stack.project().to_owned();
    let built = stack.up();
    built
        .stderr_contains(&format!("Image {project}-app Built"))
        .stderr_contains(&format!("Container {project}-app-1 Started"));
    for (service, line) in [
        ("app", "from the base"),
        ("app", "hushme"),
        ("onit", "from the base"),
    ] {
        stack.wait_for_log(service, line);
    }
    // What is here is not built again, unless it is asked for.
    stack.file("app.Dockerfile", APP.replace("echo $WHO", "echo new $WHO"));
    stack.up().stderr_lacks("Built");
    let again = stack.stack(&["up", "-d", "--build"]).succeeds();
    again.stderr_contains(&format!("Container {project}-app-1 Recreated"));
    stack.wait_for_log("app", "hushnew me");
    let label = stack.inspect(&stack.name("app", 1))["Config"]["Labels"].clone();
    assert_eq!(label["com.docker.compose.service"], "app");
    let print = stack.stack(&["build", "--print"]).succeeds();
    let bake: Value = serde_json::from_str(&print.stdout).expect("JSON");
    assert_eq!(bake["target"]["app"]["args"]["WHO"], "me");
    assert_eq!(bake["target"]["app"]["tags"][0], "tagged:1");
    stack.down();
}

#[test]
fn run_builds_what_it_runs_and_a_check_builds_nothing() {
    let stack = stack!("services: {job: {build: .}, other: {image: busybox, command: sleep 1000}}");
    dockerfile(&stack, "FROM busybox\nWORKDIR relative\nCMD echo made\n");
    let check = stack.stack(&["build", "--check"]).succeeds();
    check
        .stderr_contains("WorkdirRelativePath")
        .stderr_lacks("Built");
    let run = stack
        .stack(&["run", "--rm", "-T", "--quiet-build", "job"])
        .succeeds();
    run.stdout_is("made\n");
    dockerfile(&stack, "FROM busybox\nCMD [\"echo\", \"changed\"]\n");
    let run = stack
        .stack(&["run", "--rm", "-T", "--build", "job"])
        .succeeds();
    run.stdout_is("changed\n");
    stack.stack(&["build", "-q", "other"]).succeeds();
    stack.stack(&["down"]).succeeds();
    stack
        .stack(&["image", "rm", &format!("{}-job", stack.project())])
        .succeeds();
    let up = stack.stack(&["up", "-d", "--no-build"]);
    up.fails_with(1).stderr_contains("was not built");
}

#[test]
fn contexts_come_as_archives_and_files_of_images_go_out() {
    let stack = stack!(NOTHING);
    stack.file("in/file", "content");
    stack.file("in/Dockerfile", "FROM scratch\nCOPY file /a/b\n");
    let tar = std::process::Command::new("tar")
        .args(["-C", "in", "-cz", "."])
        .current_dir(stack.dir())
        .output()
        .expect("tar");
    let arguments = ["image", "build", "-q", "-o", "out", "-"];
    stack.stack_with_input(&arguments, &tar.stdout).succeeds();
    let found = fs::read_to_string(stack.dir().join("out/a/b")).expect("the file");
    assert_eq!(found, "content");
    let text = b"FROM busybox\nRUN echo piped > /piped\n";
    let arguments = ["image", "build", "-q", "-o", "type=tar,dest=out.tar", "-"];
    stack.stack_with_input(&arguments, text).succeeds();
    let list = std::process::Command::new("tar")
        .args(["-tf", "out.tar", "piped"])
        .current_dir(stack.dir())
        .output();
    assert!(list.expect("tar").status.success());
}

#[test]
fn a_step_begins_when_the_stage_that_it_copies_from_is_done() {
    let stack = stack!(NOTHING);
    dockerfile(
        &stack,
        "FROM busybox AS slow
RUN sleep 1 && touch /made
FROM busybox
COPY --from=slow /made /
",
    );
    let output = build(&stack, &[]).succeeds();
    let (before, _) = output
        .stderr
        .split_once("COPY --from=slow")
        .expect("a step");
    let (_, after_it) = before.split_once("sleep 1").expect("a step");
    assert!(after_it.contains(" DONE"), "{output}");
}

#[test]
fn an_image_that_cannot_be_had_is_shown_in_the_dockerfile() {
    let stack = stack!(NOTHING);
    dockerfile(
        &stack,
        "FROM busybox AS made\nFROM busybox\nCOPY --from=127.0.0.1:1/mode /x /y\n",
    );
    build(&stack, &[])
        .fails_with(1)
        .stderr_contains("Dockerfile:3:1")
        .stderr_contains("cannot get the image `127.0.0.1:1/mode`")
        .stderr_contains("stages of this Dockerfile are `made`");
}
