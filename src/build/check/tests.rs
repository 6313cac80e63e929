use std::path::Path;

use super::*;
use crate::build::ignore::Matcher;
use crate::build::plan::{Base, Bases, Config, Request, Wanted};
use crate::image::Platform;

fn request() -> Request {
    let platform = Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        variant: None,
    };
    Request {
        platform: platform.clone(),
        build_platform: platform,
        ..Request::default()
    }
}

/// What is found in a file, one a line; the image `x` is known and has the variable `BASE`.
fn found_with(text: &str, request: &Request, ignore: Option<&Matcher>) -> String {
    let source = Source::parse(Path::new("Dockerfile"), text.as_bytes());
    let source = source.unwrap_or_else(|problems| panic!("{problems}"));
    let known = Base {
        config: Config {
            env: [("BASE".to_owned(), "1".to_owned())].into(),
            ..Config::default()
        },
        platform: "linux/amd64".to_owned(),
    };
    let wanted = Wanted {
        reference: "x".to_owned(),
        platform: "linux/amd64".to_owned(),
    };
    let bases = Bases::from([(wanted, known)]);
    check(&source, request, &bases, ignore).to_string()
}

fn found(text: &str) -> String {
    found_with(text, &request(), None)
}

#[test]
fn each_rule_finds_what_it_is_for() {
    let table = [
        (
            "FROM x AS Build",
            "Dockerfile:1:11: warning: StageNameCasing: the stage name `Build` should be in lower case",
        ),
        (
            "FROM x as a",
            "Dockerfile:1:8: warning: FromAsCasing: `as` is not written as `FROM` is",
        ),
        (
            "FROM x\nRUN a \\\n\n  b",
            "Dockerfile:3:1: warning: NoEmptyContinuation: an empty line between continued lines",
        ),
        (
            "FROM x\nRUN a\nrun b",
            "Dockerfile:3:1: warning: ConsistentInstructionCasing: `run` is not written as most instructions are: in upper case",
        ),
        (
            "from x\nrun a\nRUN b\nRun c",
            "Dockerfile:3:1: warning: ConsistentInstructionCasing: `RUN` is not written as most instructions are: in lower case\nDockerfile:4:1: warning: ConsistentInstructionCasing: `Run` is not written as most instructions are: in lower case",
        ),
        (
            "FROM x AS a\nFROM x AS A",
            "Dockerfile:2:11: warning: StageNameCasing: the stage name `A` should be in lower case\nDockerfile:2:11: warning: DuplicateStageName: there is another stage named `a`",
        ),
        (
            "FROM x AS scratch",
            "Dockerfile:1:11: warning: ReservedStageName: the stage name `scratch` is reserved",
        ),
        (
            "FROM x\nCMD a",
            "Dockerfile:2:5: warning: JSONArgsRecommended: `CMD` as a line runs in a shell, which keeps signals from the program (write `CMD [\"program\", \"argument\"]`)",
        ),
        (
            "FROM x\nMAINTAINER me",
            "Dockerfile:2:1: warning: MaintainerDeprecated: `MAINTAINER` is deprecated (write `LABEL org.opencontainers.image.authors=…`)",
        ),
        (
            "ARG VERSION=1\nFROM x:${VERSON}1",
            "Dockerfile:2:8: warning: UndefinedArgInFrom: no `ARG` before the first `FROM` declares `VERSON` (did you mean `VERSION`?)",
        ),
        (
            "FROM x\nWORKDIR app",
            "Dockerfile:2:9: warning: WorkdirRelativePath: where `app` is depends on the base image (make the first `WORKDIR` of a stage absolute)",
        ),
        (
            "FROM x\nARG NAME=1\nCOPY $NAEM /x",
            "Dockerfile:3:6: warning: UndefinedVar: the variable `NAEM` has no value here (did you mean `$NAME`?)",
        ),
        (
            "FROM x\nCMD [\"a\"]\nCMD [\"b\"]",
            "Dockerfile:2:1: warning: MultipleInstructionsDisallowed: a later `CMD` of this stage takes the place of this one",
        ),
        (
            "FROM x\nENV A b",
            "Dockerfile:2:5: warning: LegacyKeyValueFormat: `ENV name value` is the old form (write `ENV A=…`)",
        ),
        (
            "FROM --platform=$TARGETPLATFORM x",
            "Dockerfile:1:17: warning: RedundantTargetPlatform: `$TARGETPLATFORM` is the platform that `FROM` takes anyway",
        ),
        (
            "FROM --platform=linux/amd64 x",
            "Dockerfile:1:17: warning: FromPlatformFlagConstDisallowed: the platform `linux/amd64` is a constant",
        ),
        (
            "FROM x\nEXPOSE 80/TCP 1:2",
            "Dockerfile:2:8: warning: ExposeProtoCasing: the protocol of `80/TCP` should be in lower case\nDockerfile:2:15: warning: ExposeInvalidFormat: `1:2` names a port or address of the host, which `EXPOSE` ignores",
        ),
    ];
    for (text, expected) in table {
        let found = found(text);
        let lines: Vec<_> = found
            .lines()
            .filter(|line| line.contains("warning"))
            .collect();
        assert_eq!(lines.join("\n"), expected, "{text}");
    }
}

#[test]
fn files_in_order_are_left_alone() {
    let table = [
        "FROM x AS a\nFROM a\nWORKDIR /a\nWORKDIR b\nENV A=$BASE B=${C:-d}\nCMD [\"a\"]",
        "FROM x\nSHELL [\"a\"]\nCMD b\nHEALTHCHECK CMD c",
        "FROM x\nARG A\nCOPY $A /x\nENV PUBLIC_KEY=1 TOKENS=2 KEY_FILE=3",
        "FROM --platform=linux/amd64 x AS build-amd64",
        "FROM --platform=$BUILDPLATFORM x",
        "FROM x\nRUN echo $UNKNOWN",
        // Nothing is known of this image, so it may have set the variable.
        "FROM unknown\nENV A=$B",
        "from x as a\nrun b",
    ];
    for text in table {
        assert_eq!(found(text), "", "{text}");
    }
}

#[test]
fn an_image_that_has_no_name_by_default_is_found() {
    let request = Request {
        args: [("B".to_owned(), "1".to_owned())].into(),
        ..request()
    };
    assert_eq!(
        found_with("ARG B\nFROM a:$B", &request, None),
        "Dockerfile:2:6: warning: InvalidDefaultArgInFrom: with the defaults of its arguments, `a:$B` names no image"
    );
}

#[test]
fn secrets_in_arguments_and_variables_are_found() {
    for name in [
        "TOKEN",
        "api_key",
        "GITHUB_TOKEN",
        "MYSQL_ROOT_PASSWORD",
        "AUTH",
    ] {
        for keyword in ["ARG", "ENV"] {
            let found = found(&format!("FROM x\n{keyword} {name}=1"));
            assert!(found.contains(": SecretsUsedInArgOrEnv: "), "{name}");
        }
    }
}

#[test]
fn an_image_for_another_machine_is_found() {
    let mut request = request();
    request.platform.architecture = "arm64".to_owned();
    let source = Source::parse(Path::new("Dockerfile"), b"FROM x").unwrap();
    let wanted = Wanted {
        reference: "x".to_owned(),
        platform: "linux/arm64".to_owned(),
    };
    let known = Base {
        platform: "linux/amd64".to_owned(),
        ..Base::default()
    };
    let found = check(&source, &request, &Bases::from([(wanted, known)]), None).to_string();
    assert_eq!(
        found,
        "Dockerfile:1:1: warning: InvalidBaseImagePlatform: `x` is for linux/amd64, not for linux/arm64"
    );
}

#[test]
fn copies_of_ignored_files_are_found_when_asked_for() {
    let ignore = Matcher::parse("*.log\n!keep.log").unwrap();
    let text = "FROM x\nCOPY a.log keep.log /x/\nADD /b.log /x/\nCOPY --from=y c.log /x/";
    let asked = format!("# check=experimental=CopyIgnoredFile\n{text}");
    assert_eq!(found_with(text, &request(), Some(&ignore)), "");
    assert_eq!(
        found_with(&asked, &request(), Some(&ignore)),
        "Dockerfile:3:6: warning: CopyIgnoredFile: `a.log` cannot be found to copy: `.dockerignore` leaves it out\nDockerfile:4:5: warning: CopyIgnoredFile: `/b.log` cannot be found to add: `.dockerignore` leaves it out"
    );
}

#[test]
fn rules_are_skipped_and_made_errors_as_the_file_says() {
    let text = "FROM x as a\nCMD b\n";
    let with = |options: &str| found(&format!("# check={options}\n{text}"));
    assert_eq!(with("skip=all"), "");
    let one = with("skip=JSONArgsRecommended, Unheard");
    assert_eq!(
        one,
        "Dockerfile:2:8: warning: FromAsCasing: `as` is not written as `FROM` is"
    );
    let error = with("skip=JSONArgsRecommended;error=true");
    assert_eq!(
        error,
        "Dockerfile:2:8: error: FromAsCasing: `as` is not written as `FROM` is"
    );
    let wrong = with("skp=all;error=true");
    assert!(
        wrong.contains("Dockerfile:1:9: error: a check has no option `skp` (did you mean `skip`?)"),
        "{wrong}"
    );
    let own = Request {
        checks: Some(CheckOptions::parse("skip=all").unwrap()),
        ..request()
    };
    assert_eq!(found_with(text, &own, None), "");
}

#[test]
fn every_rule_has_a_name_of_its_own() {
    for (index, (rule, name, _)) in RULES.iter().enumerate() {
        assert_eq!(rule.name(), *name);
        assert!(!RULES[..index].iter().any(|(other, ..)| other == rule));
    }
}
