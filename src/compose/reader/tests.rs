use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::compose::decode::decode;
use crate::compose::diagnostic::Diagnostics;

fn read_text(text: &str) -> (Vec<Node>, Diagnostics) {
    let mut problems = Problems::default();
    let file = problems.sources.add("x.yaml".into(), Arc::from(text));
    let documents = read(text, file.unwrap(), &mut problems);
    (documents, problems.finish())
}

/// A tree as one line of text.
fn show(node: &Node) -> String {
    match &node.value {
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(show).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(map) => {
            let entries = map.iter();
            let entries: Vec<String> = entries
                .map(|(key, entry)| format!("{key}={}", show(&entry.node)))
                .collect();
            format!("{{{}}}", entries.join(" "))
        }
        Value::Null => "null".to_owned(),
        _ => node.scalar_text().unwrap_or_default(),
    }
}

#[test]
fn anchors_and_merge_keys_are_resolved() {
    let table = [
        ("a: &x {b: 1}\nc: *x", "{a={b=1} c={b=1}}"),
        ("<<: {a: 1, b: 2}\nb: 3", "{b=3 a=1}"),
        ("b: 3\n<<: [{a: 1}, {a: 2, c: 3}]", "{b=3 a=1 c=3}"),
        ("\"<<\": 1", "{<<=1}"),
        ("a: &x 1\nb: &x 2\nc: *x", "{a=1 b=2 c=2}"),
        ("\"1\": a\n!!str true: b\non: c", "{1=a true=b on=c}"),
        (
            "a: !!str 5\nb: !!int \"7\"\nc: !!null \"\"",
            "{a=5 b=7 c=null}",
        ),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y", "{a=x\ny\n b=x y}"),
    ];
    for (text, expected) in table {
        let (documents, problems) = read_text(text);
        assert!(!problems.has_errors(), "{text}: {problems}");
        assert_eq!(show(&documents[0]), expected, "{text}");
    }
}

#[test]
fn keys_are_text() {
    for key in ["1", "true", "~", "1.5", "[a]"] {
        let (_, problems) = read_text(&format!("{key}: a"));
        let problems = problems.to_string();
        assert!(problems.contains("a key must be text"), "{key}: {problems}");
    }
}

#[test]
fn an_alias_may_name_an_anchor_of_an_earlier_document() {
    let (documents, problems) = read_text("a: &x {b: 1}\n---\nc: *x\n");
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(show(&documents[1]), "{c={b=1}}");
}

#[test]
fn a_merge_key_stands_once_and_has_mappings() {
    for text in ["<<: {a: 1}\n<<: {b: 1}", "<<:", "<<: x", "<<: [x]"] {
        let (_, problems) = read_text(text);
        assert!(problems.has_errors(), "{text}");
    }
}

#[test]
fn an_alias_brings_the_directive_of_its_anchor() {
    let (documents, _) = read_text("a: &x !override [1]\nb: *x\nc: !override {d: !reset 1}");
    let directive = |path: &[&str]| documents[0].at(path).map(|node| node.directive);
    assert_eq!(directive(&["b"]), Some(Directive::Override));
    assert_eq!(directive(&["c", "d"]), Some(Directive::Merge));
}

#[test]
fn directives_are_kept_and_unknown_tags_named() {
    let (documents, problems) = read_text("a: !reset null\nb: !override [1]\nc: !what 1");
    let directive = |key: &str| documents[0].get(key).map(|node| node.directive);
    assert_eq!(directive("a"), Some(Directive::Reset));
    assert_eq!(directive("b"), Some(Directive::Override));
    assert_eq!(directive("c"), Some(Directive::Merge));
    assert_eq!(
        problems.to_string(),
        "x.yaml:3:10: warning: the tag `!what` has no meaning here \
         (a stack file knows `!reset` and `!override`)"
    );
}

#[test]
fn a_few_lines_cannot_stand_for_billions() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
    }
    let (_, problems) = read_text(&text);
    assert!(
        problems.to_string().contains("stand for more than"),
        "{problems}"
    );
}

#[test]
fn depth_is_bounded_also_through_aliases() {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..300 {
        text += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    let deep = [
        "[".repeat(5000),
        "{a: ".repeat(5000),
        "- ".repeat(5000),
        text,
    ];
    for text in deep {
        let (_, problems) = read_text(&text);
        assert!(problems.has_errors());
    }
}

#[test]
fn an_alias_inside_of_its_own_anchor_is_refused() {
    for text in ["a: &a [*a]", "a: &a {b: *a}"] {
        let (_, problems) = read_text(text);
        assert!(problems.has_errors(), "{text}");
    }
}

#[test]
fn spans_cover_what_was_written() {
    let text = "services:\n  web:\n    image: \"nginx\"\n    ports: [80, 81]\n";
    let mut problems = Problems::default();
    let file = problems.sources.add("x".into(), Arc::from(text)).unwrap();
    let tree = read(text, file, &mut problems).remove(0);
    let covered = |path: &[&str]| {
        let node = tree.at(path).unwrap();
        problems.sources.text(node.span).unwrap()
    };
    assert_eq!(covered(&["services", "web", "image"]), "\"nginx\"");
    assert_eq!(covered(&["services", "web", "ports"]), "[80, 81]");
    let location = problems
        .sources
        .locate(tree.at(&["services", "web"]).unwrap().span);
    assert_eq!(location.unwrap().line, 3);
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail_badly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = decode(&bytes) {
            read_text(&text);
        }
    }

    #[test]
    fn no_text_makes_it_fail_badly(text in "[-a:&*!<{}\\[\\],#|>\"' \n\t]{0,60}") {
        let (_, problems) = read_text(&text);
        problems.render(crate::compose::Color::Never, 80);
    }
}
