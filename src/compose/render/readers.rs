//! What is printed as YAML, held against readers of others: PyYAML for version 1.1, yaml_serde for 1.2.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value as Json;

use super::{Printed, yaml};

/// Reads documents and prints them as JSON; what JSON cannot hold (dates) comes out as something that
/// no text is equal to.
const SCRIPT: &str = "
import json, sys, yaml
odd = lambda value: {'not text': repr(value)}
def plain(value):
    if isinstance(value, dict):
        return {key if isinstance(key, str) else 'not text: ' + repr(key): plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, (str, bool, int, float)) else odd(value)
def read(text):
    try:
        return plain(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as error:
        return {'not read': str(error)}
json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
";

/// What PyYAML reads in each document. `None`, said aloud, where there is no PyYAML; a failure where it
/// has to be.
pub(crate) fn read_by_pyyaml(documents: &[String]) -> Option<Vec<Json>> {
    let has_yaml = |python: &&str| {
        let mut import = Command::new(python);
        import.args(["-c", "import yaml"]).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    };
    let Some(python) = ["/usr/bin/python3", "python3"].into_iter().find(has_yaml) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "PyYAML is not installed (python3-yaml)"
        );
        eprintln!("SKIPPED: PyYAML is not installed (python3-yaml)");
        return None;
    };
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(documents).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the script fails");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Texts that some reader takes for something else, or that are hard to quote.
const NASTY: &str = r#"y Y n N yes No on OFF oN true TRUE trUe false null Null nUll NULL ~ = << 0 -0 +0 00 007 08 09.5 12 +12 -12 1_000
1__0 _1 0x1f 0X1F 0x 0xg 0b11 0b2 0o17 0o8 017 1.5 1. .5 -.5 +.5 . .. 1e3 1E3 1e+3 1.e+3 1.5e3 .inf -.inf +.INF .NaN .nan inf nan 1:20 22:22 190:20:30
1:60 -1:30 1:2:3.5 2001-12-14 2001-1-1 2001-12-14t21:59:43.10-05:00 2001-12-14T21:59:43Z 12-01-01 ! !! !!str !a & &a * *a % %a @ @a ` `a ' '' " "" a'b a"b
\ a\b a\nb # #a a#b , ,a a,b [ [] ] { {} } [a {a a] a} | |- > >- - -a -- --- ---a ... ...a ? ?a : :a a: a:b :: - - key: a:: http://x/ #: é 日本 😀 "#;

fn nasty() -> Vec<String> {
    let mut texts: Vec<String> = NASTY.split_ascii_whitespace().map(str::to_owned).collect();
    let spaced = [
        "",
        " ",
        "  ",
        " a",
        "a ",
        "a b",
        "- a",
        "? a",
        ": a",
        "a: b",
        "a : b",
        "a #b",
        "a # b",
        "--- a",
        "... a",
        "a\tb",
        "\ta",
        "a\t",
        "\t",
        "\n",
        "\n\n",
        " \n",
        "a\n",
        "a\n\n",
        "a\n\n\n",
        "\na",
        "\n a",
        "a\nb",
        "a\nb\n",
        "a\n b\n  c",
        "a \nb",
        "a\nb ",
        "a\n\nb",
        "a\n#b",
        "# a\nb",
        "a\n---\nb",
        "---\na",
        "a\n...\n",
        "- a\n- b",
        "a: 1\nb: 2",
        "a\n\tb",
        "\ta\nb",
        "a\r\nb",
        "\r",
        "a\rb",
        "2001-12-14 21:59:43",
        "2001-12-14 21:59:43.10 -5",
        "1 2",
        "true ",
        " true",
        "null\n",
        "\u{85}",
        "a\u{85}b",
        "\u{a0}",
        "a\u{a0}",
        "\u{2028}",
        "a\u{2029}b",
        "\u{feff}a",
        "a\u{feff}",
        "\u{7f}",
        "\u{1}",
        "\u{1b}[1m",
        "\u{9f}",
        "\u{fffd}",
        "\u{10ffff}",
        "a\u{200b}",
        "!!binary aGk=",
        "{a: b}",
        "[a, b]",
        "'a': b",
        "\"a\": b",
        "*a b",
        "&a b",
        "| a",
        "> a",
        "key: |\n  a",
        "%YAML 1.1",
        "a,\nb",
        "@a: b",
    ];
    texts.extend(spaced.map(str::to_owned));
    let mut runner = TestRunner::deterministic();
    let some = "[-a: #'\"\n\\\\0-9.~yn|>{}\\[\\]?!&*%@`,=<_+eExobTZ]{0,10}|[0-9:.eE+_xob-]{1,9}|[^\u{0}$]{0,12}";
    let strategy = proptest::string::string_regex(some).unwrap();
    texts.extend((0..4000).map(|_| strategy.new_tree(&mut runner).unwrap().current()));
    // A dollar sign is doubled when printed, which is another matter; NUL cannot come from a file.
    texts.retain(|text| !text.contains(['$', '\0']));
    texts.retain(|text| !as_docker_compose(text));
    texts.sort();
    texts.dedup();
    texts
}

/// Texts that are printed byte for byte as Docker Compose prints them, though a reader stumbles: PyYAML
/// knows a type for `=` and none of its values, and a time with a space before its zone; yaml_serde
/// takes a tab at the start of a block for indentation; and a space that starts a block after empty
/// lines is lost.
fn as_docker_compose(text: &str) -> bool {
    let loses_space = text.starts_with('\n') && text.trim_start_matches('\n').starts_with(' ');
    loses_space || matches!(text, "=" | "2001-12-14 21:59:43.10 -5" | "\ta\nb")
}

/// The text as key, as value, in a list, deeper, and beside others.
fn model(text: &str) -> (Printed, Json) {
    let printed = Printed::Text(text.to_owned());
    let list = Printed::List(vec![printed.clone(), printed.clone()]);
    let inner = Printed::Map(vec![
        (format!("k{text}"), list.clone()),
        (text.to_owned(), printed.clone()),
    ]);
    let items = Printed::List(vec![inner.clone(), list]);
    let map = Printed::Map(vec![
        ("a".to_owned(), printed),
        ("b".to_owned(), inner),
        ("c".to_owned(), items),
    ]);
    let json = {
        let list = serde_json::json!([text, text]);
        let inner = serde_json::json!({format!("k{text}"): list, text: text});
        serde_json::json!({"a": text, "b": inner, "c": [inner, list]})
    };
    (map, json)
}

#[test]
fn readers_of_yaml_1_1_and_1_2_read_every_text_as_the_same_text() {
    let texts = nasty();
    assert!(texts.len() > 3000, "{}", texts.len());
    let mut documents = Vec::new();
    let mut expected = Vec::new();
    for text in &texts {
        let (printed, json) = model(text);
        documents.push(yaml::document(&printed));
        expected.push(json);
    }
    let mut failures = Vec::new();
    let by_1_2 = documents.iter().map(|document| {
        serde_yaml::from_str::<Json>(document).unwrap_or_else(|error| error.to_string().into())
    });
    let by_1_1 = read_by_pyyaml(&documents);
    let readings = [("1.2", by_1_2.collect())].into_iter();
    for (version, read) in readings.chain(by_1_1.map(|read: Vec<Json>| ("1.1", read))) {
        let wrong = read.iter().zip(&expected).zip(&texts);
        failures.extend(
            wrong
                .filter(|((read, expected), _)| read != expected)
                .map(|((read, _), text)| format!("{version}: {text:?} is read as {read}")),
        );
    }
    assert!(
        failures.is_empty(),
        "{} texts:\n{}",
        failures.len(),
        failures[..failures.len().min(25)].join("\n")
    );
}
