use std::path::Path;

use proptest::prelude::*;

use super::instruction::*;
use super::{Source, parse};
use crate::compose::diagnostic::{Problems, Span};
use crate::compose::{Color, Diagnostics};

fn read(text: &str) -> Result<Source, Diagnostics> {
    Source::parse(Path::new("Dockerfile"), text.as_bytes())
}

/// The instructions behind `FROM x`, of a text that has no mistake.
fn instructions(text: &str) -> Vec<Kind> {
    let source = read(&format!("FROM x\n{text}")).unwrap_or_else(|e| panic!("{e}"));
    let stage = source.dockerfile.stages.into_iter().next().unwrap();
    stage.instructions.into_iter().map(|i| i.kind).collect()
}

fn one(text: &str) -> Kind {
    let mut kinds = instructions(text);
    assert_eq!(kinds.len(), 1, "{text}");
    kinds.remove(0)
}

/// The problems of a text, one a line.
fn mistakes(text: &str) -> String {
    read(text).expect_err("no mistake was found").to_string()
}

fn word(text: &str) -> Word {
    Word::new(text.to_owned(), Span::default())
}

fn words(texts: &[&str]) -> Vec<Word> {
    texts.iter().map(|text| word(text)).collect()
}

#[test]
fn stages_have_names_and_platforms() {
    let text = "ARG V=1\nARG A B=2 C='x y'\nFROM --platform=$BUILDPLATFORM a:$V AS Build\nRUN x\nfrom Build\n";
    let file = read(text).unwrap().dockerfile;
    assert_eq!(file.global.len(), 2);
    let Kind::Arg(args) = &file.global[1].kind else {
        panic!("not ARG");
    };
    let args: Vec<_> = args
        .iter()
        .map(|a| {
            (
                a.name.value.as_str(),
                a.default.as_ref().map(|d| d.value.as_str()),
            )
        })
        .collect();
    assert_eq!(args, [("A", None), ("B", Some("2")), ("C", Some("'x y'"))]);
    assert_eq!(file.stages.len(), 2);
    let from = &file.stages[0].from;
    assert_eq!(from.image, word("a:$V"));
    assert_eq!(from.platform, Some(word("$BUILDPLATFORM")));
    assert_eq!(from.name, Some((word("AS"), word("Build"))));
    assert_eq!(file.stages[1].head.keyword, word("from"));
}

#[test]
fn directives_are_read_from_the_top_only() {
    let text = "\u{feff}# syntax = docker/dockerfile:1\r\n#escape=`\n# check=skip=all\nFROM x\nRUN a `\n b c\\d\n";
    let file = read(text).unwrap().dockerfile;
    assert_eq!(file.directives.syntax, Some(word("docker/dockerfile:1")));
    assert_eq!(file.directives.escape, '`');
    assert_eq!(file.directives.check, Some(word("skip=all")));
    let Kind::Run(run) = &file.stages[0].instructions[0].kind else {
        panic!("not RUN");
    };
    assert_eq!(run.command, Command::Shell(word("a  b c\\d")));
    for late in [
        "# note\n# escape=`\nFROM x",
        "\n# escape=`\nFROM x",
        "# other=1\n# escape=`\nFROM x",
    ] {
        assert_eq!(read(late).unwrap().dockerfile.directives.escape, '\\');
    }
}

#[test]
fn shell_and_exec_form_are_told_apart() {
    let table = [
        ("CMD echo  hi", Command::Shell(word("echo  hi"))),
        ("CMD [\"a\", \"b c\"]", Command::Exec(words(&["a", "b c"]))),
        ("CMD []", Command::Exec(Vec::new())),
        ("CMD [ -f x ] && y", Command::Shell(word("[ -f x ] && y"))),
        ("CMD ['a']", Command::Shell(word("['a']"))),
        (
            "cmd [\"a\", \\\n # why\n  \"b\"]",
            Command::Exec(words(&["a", "b"])),
        ),
        ("CMD", Command::Shell(word(""))),
    ];
    for (text, expected) in table {
        assert_eq!(one(text), Kind::Cmd(expected), "{text}");
    }
}

#[test]
fn settings_have_two_forms() {
    let pairs = |items: &[(&str, &str)], form| Pairs {
        items: items.iter().map(|(k, v)| (word(k), word(v))).collect(),
        form,
    };
    let table = [
        (
            "ENV a=b c=\"d e\" f=g\\ h i=",
            PairForm::Equals,
            vec![("a", "b"), ("c", "\"d e\""), ("f", "g\\ h"), ("i", "")],
        ),
        (
            "ENV a=b=c \\\n  d=e",
            PairForm::Equals,
            vec![("a", "b=c"), ("d", "e")],
        ),
        (
            "ENV a  the = rest ",
            PairForm::Legacy,
            vec![("a", "the = rest")],
        ),
        ("ENV a=1 \\", PairForm::Equals, vec![("a", "1")]),
    ];
    for (text, form, items) in table {
        assert_eq!(one(text), Kind::Env(pairs(&items, form)), "{text}");
    }
    let label = one("LABEL \"com.example.a\"=b");
    assert_eq!(
        label,
        Kind::Label(pairs(&[("\"com.example.a\"", "b")], PairForm::Equals))
    );
}

#[test]
fn a_run_takes_mounts_network_and_security() {
    let text = "RUN --mount=type=cache,target=/c,id=$X --mount=type=secret,id=s,required --network=none \\\n  --security=insecure make";
    let Kind::Run(run) = one(text) else {
        panic!("not RUN");
    };
    let options: Vec<Vec<_>> = run
        .mounts
        .iter()
        .map(|mount| {
            let pairs = mount.options.iter();
            pairs
                .map(|(k, v)| (k.value.as_str(), v.as_ref().map(|v| v.value.as_str())))
                .collect()
        })
        .collect();
    assert_eq!(
        options,
        [
            vec![
                ("type", Some("cache")),
                ("target", Some("/c")),
                ("id", Some("$X"))
            ],
            vec![
                ("type", Some("secret")),
                ("id", Some("s")),
                ("required", None)
            ],
        ]
    );
    assert_eq!(run.network.unwrap().value, Network::None);
    assert_eq!(run.security.unwrap().value, Security::Insecure);
    assert_eq!(run.command, Command::Shell(word("make")));
}

#[test]
fn heredocs_are_read_below_their_line() {
    let Kind::Run(run) = one("RUN <<EOF\necho a\n\n# kept\nEOF") else {
        panic!("not RUN");
    };
    assert_eq!(run.command, Command::Shell(word("<<EOF")));
    assert_eq!(run.heredocs[0].content, word("echo a\n\n# kept\n"));
    assert!(run.heredocs[0].expand);

    let Kind::Run(run) = one("RUN python3 <<'A' 3<<-B && x\n1\nA\n\t2\n\tB\n") else {
        panic!("not RUN");
    };
    assert_eq!(run.heredocs.len(), 2);
    assert!(!run.heredocs[0].expand);
    assert_eq!(run.heredocs[1].content, word("\t2\n"));
    assert_eq!(run.heredocs[1].text(), "2\n");
    assert_eq!(run.heredocs[1].descriptor, Some(3));

    let Kind::Copy(copy) = one("COPY --chmod=644 <<a.txt b <<\"c.txt\" /d/\nA $X\na.txt\nC\nc.txt")
    else {
        panic!("not COPY");
    };
    let kinds: Vec<String> = copy
        .transfer
        .sources
        .iter()
        .map(|source| match source {
            TransferSource::Path(path) => path.value.clone(),
            TransferSource::Inline(doc) => {
                format!("{}:{}:{}", doc.name.value, doc.expand, doc.content.value)
            }
        })
        .collect();
    assert_eq!(kinds, ["a.txt:true:A $X\n", "b", "c.txt:false:C\n"]);

    let text = "RUN [\"<<EOF\"]\nCMD <<EOF\nRUN a << b\nRUN cat <<<x";
    assert_eq!(instructions(&(text.to_owned() + "\nRUN y")).len(), 5);
}

#[test]
fn a_heredoc_keeps_its_line_breaks() {
    let Kind::Run(run) = one("RUN <<EOF\r\na\r\nEOF\r\n") else {
        panic!("not RUN");
    };
    assert_eq!(run.heredocs[0].content, word("a\r\n"));
}

#[test]
fn copies_take_all_their_flags() {
    let text = "COPY --from=b --chown=$U:g --chmod=u+x --link --exclude=*.md --exclude=x/** --parents a b /c/";
    let Kind::Copy(copy) = one(text) else {
        panic!("not COPY");
    };
    assert_eq!(copy.from, Some(word("b")));
    assert!(copy.parents && copy.transfer.link);
    assert_eq!(copy.transfer.chown, Some(word("$U:g")));
    assert_eq!(copy.transfer.exclude, words(&["*.md", "x/**"]));
    assert_eq!(copy.transfer.destination, word("/c/"));
    let Kind::Add(add) =
        one("ADD --checksum=sha256:0 --keep-git-dir=true --unpack=false [\"a b\", \"/c\"]")
    else {
        panic!("not ADD");
    };
    assert_eq!((add.keep_git_dir, add.unpack), (Some(true), Some(false)));
    assert_eq!(add.transfer.sources, [TransferSource::Path(word("a b"))]);
}

#[test]
fn healthchecks_have_times_in_nanoseconds() {
    let check = one("HEALTHCHECK --interval=5s --timeout=500ms --retries=3 CMD curl -f x");
    let Kind::Healthcheck(Healthcheck::Cmd { command, timing }) = check else {
        panic!("not HEALTHCHECK CMD");
    };
    assert_eq!(command, Command::Shell(word("curl -f x")));
    assert_eq!(
        (timing.interval, timing.timeout, timing.retries),
        (5_000_000_000, 500_000_000, 3)
    );
    assert_eq!(
        one("HEALTHCHECK none"),
        Kind::Healthcheck(Healthcheck::None)
    );
}

#[test]
fn a_trigger_is_kept_as_text_and_as_instruction() {
    let Kind::Onbuild(onbuild) = one("ONBUILD COPY <<a /x\nA\na") else {
        panic!("not ONBUILD");
    };
    assert_eq!(onbuild.text, "COPY <<a /x\nA\na");
    assert!(matches!(onbuild.trigger.kind, Kind::Copy(_)));
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let text = "FROM a AS b c\nRUNN x\nCOPY a\nFROM x\nCOPY --form=b a c\nRUN --mount=type=cache,taget=/x y\nEXPOSE\nENV a\nCMD [1]\nHEALTHCHECK --interval=x CMD a\n";
    assert_eq!(
        mistakes(text),
        "Dockerfile:1:8: error: `FROM` takes an image and `AS name` (write `FROM image` or `FROM image AS name`)
Dockerfile:2:1: error: `RUNN` is no instruction (did you mean `RUN`?)
Dockerfile:3:6: error: `COPY` needs a source and a destination (write `COPY a destination`)
Dockerfile:5:6: error: `COPY` has no flag `--form` (did you mean `--from`?)
Dockerfile:6:24: error: a mount has no option `taget` (did you mean `target`?)
Dockerfile:7:1: error: `EXPOSE` says nothing (write `EXPOSE 8080`)
Dockerfile:8:5: error: `ENV a` has no value (write `ENV a=value`)
Dockerfile:9:5: error: a list holds only texts (put every item in double quotes)
Dockerfile:10:24: error: `x` is no time for `--interval` (write it as `30s` or `1m30s`; a millisecond is the least)"
    );
}

#[test]
fn single_mistakes_have_helpful_words() {
    let table = [
        (
            "",
            "Dockerfile:1:1: error: the Dockerfile has no instructions (a stage starts with `FROM image`, or with `FROM scratch` for an empty one)",
        ),
        (
            "ARG x\n",
            "Dockerfile:1:1: error: the Dockerfile has no stage: there is no `FROM` (a stage starts with `FROM image`, or with `FROM scratch` for an empty one)",
        ),
        (
            "RUN x\nRUN y",
            "Dockerfile:1:1: error: `RUN` stands before the first `FROM` (only `ARG` may; put `FROM image` first)",
        ),
        (
            "FROM x AS 1a",
            "Dockerfile:1:11: error: `1a` cannot be the name of a stage (a name starts with a letter; letters, digits, `-`, `_` and `.` follow)",
        ),
        (
            "FROM x\nRUN <<EOF\nx\n  EOF\n",
            "Dockerfile:2:5: error: the here-document `EOF` has no end (there is a line with `EOF`, but with blanks around it; with `<<-EOF` tabs may stand before it)",
        ),
        (
            "FROM x\nRUN <<EOF\nx\n",
            "Dockerfile:2:5: error: the here-document `EOF` has no end (a line with nothing but `EOF` ends it)",
        ),
        (
            "FROM x\nCOPY --from=$Y a b",
            "Dockerfile:2:13: error: `from` cannot hold a variable (give the image a name first: `FROM $image AS name`, then `from=name`)",
        ),
        (
            "FROM x\nADD --from=y a b",
            "Dockerfile:2:5: error: `ADD` has no flag `--from` (it is a flag of `COPY`)",
        ),
        (
            "FROM x\nENV a=b c",
            "Dockerfile:2:9: error: there is no `=` in `c` (a value with blanks stands in quotes: name=\"two words\")",
        ),
        (
            "FROM x\nSHELL /bin/sh",
            "Dockerfile:2:7: error: `SHELL` takes a JSON list (write it as `SHELL [\"/bin/bash\", \"-c\"]`, with double quotes)",
        ),
        (
            "FROM x\nONBUILD FROM y",
            "Dockerfile:2:9: error: `FROM` cannot be a trigger",
        ),
        (
            "FROM x\nRUN --network=hots y",
            "Dockerfile:2:15: error: `hots` is none of default, none, host (did you mean `host`?)",
        ),
        (
            "FROM x\nCOPY --link=yes a b",
            "Dockerfile:2:6: error: `yes` is neither `true` nor `false`",
        ),
        (
            "FROM x\nCOPY --from=a --from=b c d",
            "Dockerfile:2:15: error: the flag `--from` is given twice",
        ),
        (
            "# escape=x\nFROM x",
            "Dockerfile:1:10: error: `x` cannot be the escape character (it is `\\` or a backtick)",
        ),
        (
            "FROM x\nUSER",
            "Dockerfile:2:1: error: `USER` says nothing (write `USER user[:group]`)",
        ),
        (
            "FROM x\nCMD a\nthe rest",
            "Dockerfile:3:1: error: `the` is no instruction (an instruction starts each line; a line that goes on ends with a `\\`)",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(mistakes(text), expected, "{text}");
    }
}

#[test]
fn a_mistake_shows_its_line_with_a_caret() {
    let problems = read("FROM x\nRUN a \\\n  --b\nCOPPY a b\n").unwrap_err();
    let expected = "error: `COPPY` is no instruction
 --> Dockerfile:4:1
  |
4 | COPPY a b
  | ^^^^^
  |
  = help: did you mean `COPY`?
";
    assert_eq!(problems.render(Color::Never, 100), expected);
}

#[test]
fn bytes_that_are_no_text_are_told() {
    for bytes in [&b"FROM x\n\xff"[..], b"\xff\xfeF", b"FROM\0"] {
        assert!(Source::parse(Path::new("Dockerfile"), bytes).is_err());
    }
}

/// Lines that stand for what an instruction may look like.
fn line() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[a-z$.:/=-]{1,8}",
        "\"[a-z $]{0,8}\"",
        "'[a-z \"]{0,8}'",
        "[a-z]{1,3}\\\\ [a-z]{1,3}",
        "\\$\\{[A-Z]{1,3}:-[a-z]{0,3}\\}",
    ];
    let path = "[a-z*./$][a-z*./$]{0,9}";
    let json = proptest::collection::vec("[a-z \\\\\"é]{0,6}", 1..4)
        .prop_map(|items| serde_json::Value::from(items).to_string());
    let shell = "[a-z][a-z \"'$;&|\\[\\]]{0,20}[a-z]";
    let pairs = proptest::collection::vec(("[a-zA-Z_]{1,6}", value), 1..4).prop_map(|pairs| {
        pairs
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>()
            .join(" ")
    });
    prop_oneof![
        (
            prop_oneof!["CMD", "entrypoint", "RUN"],
            prop_oneof![json.clone().boxed(), shell.boxed()]
        )
            .prop_map(|(k, v)| format!("{k} {v}")),
        (prop_oneof!["ENV", "LABEL", "Arg"], pairs).prop_map(|(k, v)| format!("{k} {v}")),
        (
            "(COPY|ADD)",
            "( --chown=[a-z$:]{1,5}| --chmod=[0-7]{3}| --link| --exclude=\\*\\.[a-z]{1,3}){0,1}",
            path,
            path
        )
            .prop_map(|(k, f, a, b)| format!("{k}{f} {a} {b}")),
        (json.clone()).prop_map(|list| format!("SHELL {list}")),
        (json).prop_map(|list| format!("VOLUME {list}")),
        (
            "[a-z ]{0,12}",
            "[A-Z]{1,4}",
            "(RUN|RUN x|RUN --network=host y 2)"
        )
            .prop_map(|(text, name, run)| { format!("{run}<<{name}\n{text}\n{name}") }),
        ("[a-z]{1,5}", "[A-Z]{1,4}").prop_map(|(text, name)| format!(
            "COPY <<'{name}' <<-{name}X a /x\n\t{text}\n{name}\n\t$y\n\t{name}X"
        )),
        "[a-z]{1,9}".prop_map(|name| format!(
            "ONBUILD RUN --mount=type=cache,id=\\\"a\\\",target=/{name} {name}"
        )),
        "[1-9]{1,3}(s|ms|m)"
            .prop_map(|time| format!("HEALTHCHECK --interval={time} --retries=3 CMD x y")),
        "(WORKDIR|USER|STOPSIGNAL|MAINTAINER|EXPOSE) [a-z0-9/:$]{1,9}".boxed(),
    ]
}

proptest! {
    #[test]
    fn a_rendered_instruction_reads_as_the_same(line in line()) {
        let Ok(source) = read(&format!("FROM x\n{line}")) else {
            return Ok(());
        };
        for instruction in &source.dockerfile.stages[0].instructions {
            let text = instruction.render();
            let mut problems = Problems::default();
            let again = parse::single(&text, Span::default(), '\\', &mut problems);
            prop_assert_eq!(again.as_ref(), Some(instruction), "{}\n{}", line, text);
        }
    }

    #[test]
    fn no_bytes_make_it_fail_badly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(problems) = Source::parse(Path::new("Dockerfile"), &bytes) {
            problems.render(Color::Never, 80);
        }
    }

    #[test]
    fn no_text_makes_it_fail_badly(
        text in "(FROM x\n)?((RUN|COPY|ADD|ENV|ARG|CMD|HEALTHCHECK|ONBUILD|FROM|LABEL|SHELL|# escape=`|# check=)?[a-z$\\{\\}\\[\\]\"'\\\\`<=,#\n\t\r é-]{0,20}\n?){0,6}"
    ) {
        if let Err(problems) = read(&text) {
            problems.render(Color::Never, 80);
        }
    }
}
