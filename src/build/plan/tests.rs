use std::path::Path;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::image::Platform;

fn platform(text: &str) -> Platform {
    let mut parts = text.split('/').map(str::to_owned);
    Platform {
        os: parts.next().unwrap_or_default(),
        architecture: parts.next().unwrap_or_default(),
        variant: parts.next(),
    }
}

fn request() -> Request {
    Request {
        platform: platform("linux/amd64"),
        build_platform: platform("linux/amd64"),
        ..Request::default()
    }
}

fn with_args(args: &[(&str, &str)]) -> Request {
    let args = args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Request {
        args: args.collect(),
        ..request()
    }
}

/// A base image with variables, a command and triggers.
fn base(triggers: &[&str]) -> Base {
    let pairs = [("PATH", "/opt/bin"), ("FROM_BASE", "1")];
    Base {
        config: Config {
            env: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            cmd: Some(vec!["base".to_owned()]),
            workdir: "/base".to_owned(),
            onbuild: triggers.iter().map(|text| (*text).to_owned()).collect(),
            ..Config::default()
        },
        platform: "linux/amd64".to_owned(),
    }
}

fn read(text: &str) -> Source {
    Source::parse(Path::new("Dockerfile"), text.as_bytes()).unwrap_or_else(|e| panic!("{e}"))
}

/// Plans, taking every image that is wanted as `known` says.
fn plan_on(text: &str, request: &Request, known: &Base) -> Result<Plan, String> {
    let source = read(text);
    let mut bases = Bases::new();
    loop {
        match plan(&source, request, &bases) {
            Ok(Outcome::Wants(wanted)) => {
                bases.extend(wanted.into_iter().map(|wanted| (wanted, known.clone())));
            }
            Ok(Outcome::Ready(plan, _)) => return Ok(plan),
            Err(problems) => return Err(problems.to_string()),
        }
    }
}

fn planned(text: &str, request: &Request) -> Plan {
    plan_on(text, request, &Base::default()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn mistakes(text: &str) -> String {
    let found = plan_on(text, &request(), &Base::default());
    let problems = found.expect_err("no mistake was found");
    let errors = problems.lines().filter(|line| line.contains(": error: "));
    errors.collect::<Vec<_>>().join("\n")
}

/// The environment that the last `RUN` of a plan sees, without `PATH`.
fn environment(plan: &Plan) -> Vec<String> {
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    let run = steps.rev().find_map(|step| match &step.action {
        Action::Run(run) => Some(run),
        _ => None,
    });
    let env = run.unwrap().env.iter().filter(|(name, _)| *name != "PATH");
    env.map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn a_plan_has_every_value_settled() {
    let text = r#"
ARG VERSION=12
FROM --platform=$BUILDPLATFORM debian:$VERSION AS build
ARG VERSION TARGETARCH
ENV A=1 B="$A two" PATH=$PATH:/x
WORKDIR src
COPY --from=tools:1 --chown=$A:g a* "b$VERSION" ./
RUN --mount=type=cache,target=/c,id=$TARGETARCH make $A
FROM scratch
COPY --from=build --chmod=0755 /base/src/out /app
COPY <<a.txt <<'b.txt' /etc/
v=$HOME
a.txt
v=$HOME
b.txt
LABEL v=$VERSION "w x"='$y'
EXPOSE 80 90-91/udp
VOLUME ["/data", "/log"]
USER me:us
HEALTHCHECK --interval=5s CMD test -f x
STOPSIGNAL SIGINT
ENTRYPOINT ["/app"]
CMD ["--help"]
ONBUILD RUN x $y
"#;
    let plan = plan_on(text, &request(), &base(&[])).unwrap();
    assert_snapshot!(plan.to_string(), @r#"
    stage 0 build from image debian:12 (linux/amd64) on linux/amd64
      make /base/src
      copy from image tools:1 (linux/amd64): a* b12 to /base/src/ owner=1:g
      run ["/bin/sh", "-c", "make $A"] in /base/src
        env FROM_BASE=1
        env VERSION=12
        env TARGETARCH=amd64
        env A=1
        env B= two
        cache amd64 at /c rw Shared 755 0:0
      ENV PATH=/opt/bin:/x
      ENV FROM_BASE=1
      ENV A=1
      ENV B= two
      CMD ["base"]
      WORKDIR /base/src

    stage 1 from scratch on linux/amd64
      copy from stage 0: /base/src/out to /app mode=0755
      copy from the context: a.txt="v=\n" b.txt="v=$HOME\n" to /etc/
      LABEL v=
      LABEL w x=$y
      ENTRYPOINT ["/app"]
      CMD ["--help"]
      USER me:us
      WORKDIR /
      STOPSIGNAL SIGINT
      EXPOSE 80/tcp
      EXPOSE 90/udp
      EXPOSE 91/udp
      VOLUME /data
      VOLUME /log
      ONBUILD RUN x $y
      HEALTHCHECK Healthcheck { test: ["CMD-SHELL", "test -f x"], interval: 5000000000, timeout: 0, start_period: 0, start_interval: 0, retries: 0 }
    "#);
}

#[test]
fn stages_that_the_target_does_not_need_are_left_out() {
    let text = "FROM a AS one\nFROM b AS two\nRUN x\nFROM c AS three\nRUN --mount=from=one,target=/m y\nFROM two AS four\nCOPY --from=2 a b\nFROM x AS five";
    let order = |target: Option<&str>| {
        let request = Request {
            target: target.map(str::to_owned),
            ..request()
        };
        let stages = planned(text, &request).stages;
        stages.iter().map(|stage| stage.id.0).collect::<Vec<_>>()
    };
    assert_eq!(order(None), [4]);
    assert_eq!(order(Some("FOUR")), [0, 1, 2, 3]);
    assert_eq!(order(Some("two")), [1]);
    assert_eq!(order(Some("2")), [0, 2]);
}

#[test]
fn only_images_of_needed_stages_are_wanted() {
    let source = read("FROM a\nFROM --platform=arm64 b AS c\nFROM c\nCOPY --from=d x y");
    let outcome = plan(&source, &request(), &Bases::new()).unwrap();
    let Outcome::Wants(wanted) = outcome else {
        panic!("nothing is wanted");
    };
    let wanted: Vec<_> = wanted
        .iter()
        .map(|w| (w.reference.as_str(), w.platform.as_str()))
        .collect();
    assert_eq!(wanted, [("b", "linux/arm64")]);
}

#[test]
fn arguments_have_values_as_buildkit_gives_them() {
    // Dockerfile behind `ARG G=g` and `FROM x`, arguments of the caller, what the last RUN sees.
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [&'static str],
    );
    let table: &[Case] = &[
        ("RUN x", &[], &[]),
        ("ARG G\nRUN x", &[], &["G=g"]),
        ("ARG G\nRUN x", &[("G", "h")], &["G=h"]),
        ("ARG G=i\nRUN x", &[], &["G=i"]),
        ("ARG G=i\nRUN x", &[("G", "h")], &["G=h"]),
        ("ARG N\nRUN x", &[], &[]),
        ("ARG N\nRUN x", &[("N", "")], &["N="]),
        ("RUN x", &[("N", "n")], &[]),
        ("ARG A=1 B=$A-${C:-3}\nRUN x", &[], &["A=1", "B=1-3"]),
        ("ARG A=1\nENV A=2\nRUN x", &[("A", "3")], &["A=2"]),
        ("ARG A=1\nENV B=$A A=$A$A\nRUN x", &[], &["A=11", "B=1"]),
        ("ENV A=1\nENV A=2 B=$A\nRUN x", &[], &["A=2", "B=1"]),
        (
            "ENV A 1 2\nENV B=\"$A\" C='$A' D=\\$A\nRUN x",
            &[],
            &["A=1 2", "B=1 2", "C=$A", "D=$A"],
        ),
        (
            "ARG TARGETARCH TARGETPLATFORM TARGETVARIANT\nRUN x",
            &[],
            &[
                "TARGETARCH=amd64",
                "TARGETPLATFORM=linux/amd64",
                "TARGETVARIANT=",
            ],
        ),
        ("ARG A=1\nFROM x\nRUN x", &[], &[]),
        ("ARG A=1\nENV E=e\nFROM 0\nRUN x", &[], &[]),
        ("ARG A='a b'\nRUN x", &[("A", "'c'")], &["A='c'"]),
        ("ARG A='a b'\nRUN x", &[], &["A=a b"]),
        (
            "ARG HTTP_PROXY\nRUN x",
            &[("HTTP_PROXY", "p")],
            &["HTTP_PROXY=p"],
        ),
    ];
    for (text, args, expected) in table {
        let plan = planned(&format!("ARG G=g\nFROM x\n{text}"), &with_args(args));
        assert_eq!(environment(&plan), *expected, "{text}");
    }
}

#[test]
fn arguments_stay_in_scope_in_stages_that_start_from_their_stage() {
    let plan = planned("FROM x AS a\nARG A=1\nENV E=2\nFROM a\nRUN x", &request());
    assert_eq!(environment(&plan), ["A=1", "E=2"]);
    assert_eq!(plan.stages[1].config.env.get("A"), None);
}

#[test]
fn proxies_reach_a_run_and_nothing_else() {
    let request = with_args(&[("http_proxy", "p"), ("NO_PROXY", "")]);
    let plan = planned("FROM x\nRUN x", &request);
    let Action::Run(run) = &plan.stages[0].steps[0].action else {
        panic!("not RUN");
    };
    let names: Vec<_> = run.proxies.keys().map(String::as_str).collect();
    assert_eq!(names, ["HTTP_PROXY", "http_proxy"]);
    assert_eq!(environment(&plan), Vec::<String>::new());
    assert_eq!(plan.unused_args, Vec::<String>::new());
}

#[test]
fn arguments_that_nobody_asks_for_are_told() {
    let request = with_args(&[
        ("A", ""),
        ("B", ""),
        ("TARGETARCH", "x"),
        ("SOURCE_DATE_EPOCH", "0"),
    ]);
    let plan = planned("ARG A\nFROM x", &request);
    assert_eq!(plan.unused_args, ["B"]);
}

#[test]
fn triggers_of_the_base_run_first_and_are_gone() {
    let known = base(&["RUN one", "COPY --from=tools a b", "ENV T=1"]);
    let text = "FROM t AS tools\nFROM x AS a\nONBUILD RUN two\nRUN own $T\nFROM a\nRUN x";
    let request = Request {
        target: Some("a".to_owned()),
        ..request()
    };
    // The base of `tools` has no triggers, or it would use itself.
    let source = read(text);
    let bases: Bases = [("t", Base::default()), ("x", known.clone())]
        .map(|(name, base)| {
            let platform = "linux/amd64".to_owned();
            let reference = name.to_owned();
            (
                Wanted {
                    reference,
                    platform,
                },
                base,
            )
        })
        .into();
    let Ok(Outcome::Ready(plan, _)) = super::plan(&source, &request, &bases) else {
        panic!("no plan");
    };
    let texts: Vec<_> = plan.stages[1]
        .steps
        .iter()
        .map(|step| (step.text.as_str(), step.trigger))
        .collect();
    assert_eq!(
        texts,
        [
            ("RUN one", true),
            ("COPY --from=tools a b", true),
            ("ENV T=1", true),
            ("ONBUILD RUN two", false),
            ("RUN own 1", false),
        ]
    );
    assert_eq!(plan.stages[0].id, StageId(0));
    assert_eq!(plan.stages[1].config.onbuild, ["RUN two"]);

    let plan = planned(
        "FROM x AS a\nONBUILD RUN two\nRUN own\nFROM a\nRUN y",
        &self::request(),
    );
    let texts: Vec<_> = plan.stages[1]
        .steps
        .iter()
        .map(|step| step.text.as_str())
        .collect();
    assert_eq!(texts, ["RUN two", "RUN y"]);
    assert_eq!(plan.stages[1].config.onbuild, Vec::<String>::new());
}

#[test]
fn a_trigger_that_cannot_be_read_is_told_at_its_from() {
    let found = plan_on("FROM x", &request(), &base(&["COPY a"])).unwrap_err();
    assert!(
        found.contains("Dockerfile:1:1: error: the base image's trigger `COPY a` cannot be read"),
        "{found}"
    );
}

#[test]
fn named_contexts_take_the_place_of_images_and_stages() {
    let contexts = [
        ("alpine", NamedContext::Files),
        (
            "docker.io/library/debian:latest",
            NamedContext::Image("mirror/debian:1".to_owned()),
        ),
        ("mid", NamedContext::Image("built:1".to_owned())),
        ("src", NamedContext::Files),
    ];
    let request = Request {
        contexts: contexts.map(|(k, v)| (k.to_owned(), v)).into(),
        ..request()
    };
    let text = "FROM alpine:latest AS a\nFROM debian AS b\nFROM x AS Mid\nRUN skipped\nFROM scratch\nCOPY --from=a x /\nCOPY --from=b x /\nCOPY --from=mid x /\nCOPY --from=src x /\nCOPY --from=other x /";
    assert_snapshot!(planned(text, &request).to_string(), @r#"
    stage 0 a from the context alpine on linux/amd64
      WORKDIR /

    stage 1 b from image mirror/debian:1 (linux/amd64) on linux/amd64

    stage 2 mid from image built:1 (linux/amd64) on linux/amd64

    stage 3 from scratch on linux/amd64
      copy from stage 0: x to /
      copy from stage 1: x to /
      copy from stage 2: x to /
      copy from the context src: x to /
      copy from image other (linux/amd64): x to /
      WORKDIR /
    "#);
}

#[test]
fn a_command_of_the_base_does_not_outlive_its_entry_point() {
    let config = |text: &str| {
        let plan = plan_on(text, &request(), &base(&[])).unwrap();
        let config = plan.stages.into_iter().next_back().unwrap().config;
        (config.entrypoint, config.cmd)
    };
    let list = |items: &[&str]| {
        Some(
            items
                .iter()
                .map(|item| (*item).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let table = [
        ("FROM x", (None, list(&["base"]))),
        ("FROM x\nENTRYPOINT [\"e\"]", (list(&["e"]), None)),
        (
            "FROM x\nCMD [\"c\"]\nENTRYPOINT [\"e\"]",
            (list(&["e"]), list(&["c"])),
        ),
        (
            "FROM x AS a\nCMD [\"c\"]\nFROM a\nENTRYPOINT [\"e\"]",
            (list(&["e"]), None),
        ),
        (
            "FROM x\nENTRYPOINT e $HOME",
            (list(&["/bin/sh", "-c", "e $HOME"]), None),
        ),
        (
            "FROM x\nSHELL [\"bash\", \"-ec\"]\nCMD c",
            (None, list(&["bash", "-ec", "c"])),
        ),
        ("FROM x\nENTRYPOINT []", (None, None)),
        ("FROM x\nCMD []", (None, list(&[]))),
    ];
    for (text, expected) in table {
        assert_eq!(config(text), expected, "{text}");
    }
}

#[test]
fn paths_are_seen_from_the_working_directory() {
    let text = "FROM x\nWORKDIR a\nWORKDIR ../b/./c\nCOPY a .\nCOPY a ./d\nCOPY a d/\nCOPY a d/.\nCOPY a /\nCOPY a ../../../..\nWORKDIR /\nCOPY a \"\"\nCOPY [\"a\", \"\"]";
    let plan = plan_on(text, &request(), &base(&[])).unwrap();
    let places: Vec<String> = plan.stages[0]
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Workdir { path, .. } => Some(format!("make {path}")),
            Action::Copy(copy) => Some(copy.transfer.destination.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        places,
        [
            "make /base/a",
            "make /base/b/c",
            "/base/b/c/",
            "/base/b/c/d",
            "/base/b/c/d/",
            "/base/b/c/d/",
            "/",
            "/",
            "/",
            "/"
        ]
    );
}

#[test]
fn heredocs_become_scripts_or_lines_for_the_shell() {
    let table = [
        (
            "RUN <<EOF\na\nb\nEOF",
            "[\"/bin/sh\", \"-c\", \"a\\nb\\n\"]",
        ),
        (
            "RUN <<-EOF\n\ta $HOME\n\tEOF",
            "[\"/bin/sh\", \"-c\", \"a $HOME\\n\"]",
        ),
        (
            "RUN <<EOF\n#!/bin/x\na\nEOF",
            "script EOF \"#!/bin/x\\na\\n\"",
        ),
        (
            "RUN cat <<A - <<B > c\n1\nA\n2\nB",
            "[\"/bin/sh\", \"-c\", \"cat <<A - <<B > c\\n1\\nA\\n2\\nB\"]",
        ),
        ("RUN [\"a\", \"<<EOF\"]", "[\"a\", \"<<EOF\"]"),
    ];
    for (text, expected) in table {
        let plan = planned(&format!("FROM x\n{text}"), &request());
        let Action::Run(run) = &plan.stages[0].steps[0].action else {
            panic!("not RUN");
        };
        assert_eq!(run.program.to_string(), expected, "{text}");
    }
}

#[test]
fn mounts_are_read_with_their_defaults() {
    let text = r#"FROM a AS a
FROM x
ARG D=/d
WORKDIR /w
RUN --mount=target=t --mount=type=bind,from=a,src=/s,dst=$D,rw \
  --mount=type=cache,target=/c --mount=type=cache,id=i,target=/c2,sharing=locked,mode=0700,uid=5,gid=6,from=a,source=/y,ro \
  --mount=type=tmpfs,target=/t,size=64m \
  --mount=type=secret,id=s --mount=type=secret,id=s,env=S --mount=type=secret,target=/x/y,required,mode=0440 \
  --mount=type=ssh --mount=type=ssh,id=k,required=true,target=/k y
"#;
    assert_snapshot!(planned(text, &request()).to_string(), @r#"
    stage 0 a from image a (linux/amd64) on linux/amd64

    stage 1 from image x (linux/amd64) on linux/amd64
      make /w
      run ["/bin/sh", "-c", "y"] in /w
        env D=/d
        bind / of the context at /w/t ro
        bind /s of stage 0 at /d rw
        cache /c at /c rw Shared 755 0:0
        cache i at /c2 ro Locked 700 5:6 from /y of stage 0
        tmpfs at /t of 67108864 bytes
        secret s at /run/secrets/s 400 0:0
        secret s as $S
        secret y at /x/y 440 0:0 required
        ssh default at its place 600 0:0
        ssh k at /k 600 0:0 required
      WORKDIR /w
    "#);
}

#[test]
fn history_speaks_as_buildkit_does() {
    let text = "FROM x\nARG A=1\nENV B=2 C=3\nRUN a \"$A\"\nRUN [\"b\", \"c\"]\nCOPY --chown=1 a <<d /e/\nx\nd\nWORKDIR /w\nWORKDIR /\nCMD [\"a\", \"b c\"]\nEXPOSE 80\nONBUILD RUN x\nSHELL [\"a\"]\nVOLUME /v\nLABEL l=m";
    let plan = planned(text, &request());
    let history: Vec<String> = plan.stages[0]
        .steps
        .iter()
        .filter_map(|step| step.history.as_ref())
        .map(|entry| {
            format!(
                "{} {}",
                if entry.empty_layer { "-" } else { "+" },
                entry.created_by
            )
        })
        .collect();
    assert_eq!(
        history,
        [
            "- ARG A=1",
            "- ENV B=2 C=3",
            "+ RUN |1 A=1 /bin/sh -c a \"$A\" # buildkit",
            "+ RUN |1 A=1 b c # buildkit",
            "+ COPY --chown=1 a <<d /e/ # buildkit",
            "+ WORKDIR /w",
            "- WORKDIR /",
            "- CMD [\"a\" \"b c\"]",
            "- EXPOSE [80/tcp]",
            "- SHELL [a]",
            "- VOLUME [/v]",
            "- LABEL l=m",
        ]
    );
}

#[test]
fn mistakes_of_a_plan_are_told_at_their_place() {
    let table = [
        (
            "ARG X\nFROM $X",
            "Dockerfile:2:6: error: `$X` names no image: it is empty (give the argument a value, or a default: `ARG NAME=default`)",
        ),
        (
            "FROM A",
            "Dockerfile:1:6: error: `A` is no image name: a repository name has no capital letters: try `a`",
        ),
        (
            "FROM --platform=linux/ x",
            "Dockerfile:1:17: error: `linux/` is no platform (write it as `linux/amd64` or `linux/arm64`)",
        ),
        (
            "FROM x\nCOPY --from=3 a b",
            "Dockerfile:2:13: error: there is no stage 3 (stages count from 0; the last one is 0)",
        ),
        (
            "FROM x AS a\nCOPY --from=a a b",
            "Dockerfile:2:13: error: the stage `a` cannot use itself",
        ),
        (
            "FROM x AS a\nCOPY --from=b a b\nFROM y AS b\nFROM a",
            "Dockerfile:2:13: error: the stage `b` stands below this one (put it above: a stage can only use what was built before it)",
        ),
        (
            "FROM x AS build\nFROM y\nCOPY --from=Biuld a b",
            "Dockerfile:3:13: error: `Biuld` is no image name: a repository name has no capital letters: try `biuld` (did you mean the stage `build`?)",
        ),
        (
            "FROM x\nENV A=${B:?is-not-set}",
            "Dockerfile:2:7: error: `B` is required: is-not-set",
        ),
        (
            "FROM x\nENV A=\"b\nEXPOSE x\nSTOPSIGNAL y",
            "Dockerfile:2:7: error: a double quote is never closed\nDockerfile:3:8: error: `x` is no port: a port is a number up to 65535\nDockerfile:4:12: error: `y` is no signal (write a name such as `SIGTERM` or a number from 1 to 64)",
        ),
        (
            "FROM x\nRUN --mount=type=secert,id=x y",
            "Dockerfile:2:18: error: `secert` is no type of mount (did you mean `secret`?)",
        ),
        (
            "FROM x\nRUN --mount=type=tmpfs,id=x,target=/y y",
            "Dockerfile:2:24: error: a `tmpfs` mount has no option `id` (it takes target, size, readonly, readwrite)",
        ),
        (
            "FROM x\nRUN --mount=type=cache y",
            "Dockerfile:2:13: error: a `cache` mount needs a `target`",
        ),
        (
            "FROM x\nRUN --mount=target=/ y",
            "Dockerfile:2:13: error: a mount cannot take the place of `/`",
        ),
        (
            "FROM x\nRUN --mount=type=cache,target=/a,sharing=all,mode=9 y",
            "Dockerfile:2:42: error: `all` is none of shared, private, locked",
        ),
        (
            "FROM x\nCOPY --chmod=999 a b",
            "Dockerfile:2:14: error: `999` is no mode (write it as `755` or `u+x,go-w`)",
        ),
        (
            "FROM x\nCOPY https://a/b c",
            "Dockerfile:2:6: error: `COPY` cannot fetch `https://a/b` (`ADD` can)",
        ),
        (
            "FROM x\nADD --checksum=sha256:0 https://a/b c",
            "Dockerfile:2:16: error: `sha256:0` is no checksum (write it as `sha256:` and 64 hexadecimal digits; that of a repository is a commit)",
        ),
        (
            "FROM x\nVOLUME [\"\"]",
            "Dockerfile:2:8: error: a volume needs a path, and this one is empty",
        ),
        (
            "FROM x\nRUN []",
            "Dockerfile:2:1: error: there is no program to run in this list",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(mistakes(text), expected, "{text}");
    }
}

#[test]
fn a_target_that_is_not_there_is_told() {
    let request = Request {
        target: Some("biuld".to_owned()),
        ..request()
    };
    let found = plan_on("FROM x AS build", &request, &Base::default()).unwrap_err();
    assert_eq!(
        found,
        "error: there is no stage `biuld` to build (did you mean `build`?)"
    );
}

#[test]
fn a_stage_can_have_the_name_of_its_own_image() {
    let plan = planned(
        "FROM alpine AS alpine\nRUN x\nFROM alpine\nRUN y",
        &request(),
    );
    assert_eq!(plan.stages.len(), 2);
    assert_eq!(plan.stages[1].base, Origin::Stage(StageId(0)));
}

proptest! {
    #[test]
    fn no_file_makes_planning_fail_badly(
        lines in proptest::collection::vec(
            "(FROM|COPY --from=|RUN --mount=|RUN --mount=type=secret,|ENV|ARG|EXPOSE|WORKDIR|ADD|USER|VOLUME|ONBUILD COPY|HEALTHCHECK CMD|STOPSIGNAL)( |)[a-z0-9$\\{\\}:=,/.#% -]{0,16}( as [a-c])?",
            0..8,
        ),
        target in proptest::option::of("[a-c0-3]"),
    ) {
        let text = format!("FROM x\n{}", lines.join("\n"));
        if let Ok(source) = Source::parse(Path::new("Dockerfile"), text.as_bytes()) {
            let request = Request { target, ..request() };
            let _ = plan_on(&text, &request, &base(&["RUN x $PATH"]));
            super::check(&source, &request, &Bases::new(), None);
        }
    }
}
