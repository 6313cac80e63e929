//! What belongs to no single Compose file: where problems are told, what is remembered, and laws.

use proptest::prelude::*;

use crate::compose::diagnostic::Color;
use crate::compose::load::Loaded;
use crate::compose::tests::try_load;
use crate::compose::tree::{Layer, Node};

fn show(files: &[(&str, &str)]) -> String {
    match try_load(files) {
        Ok(loaded) => loaded.warnings.render(Color::Never, 100),
        Err(problems) => problems.render(Color::Never, 100),
    }
}

#[test]
fn a_mistake_in_an_included_file_shows_the_way_there() {
    let files = [
        ("compose.yaml", "include: [a/one.yaml]\n"),
        ("a/one.yaml", "include:\n  - two.yaml\n"),
        ("a/two.yaml", "services:\n  web: {image: a, prots: [80]}\n"),
    ];
    insta::assert_snapshot!(show(&files), @r"
    error: there is no key `prots` in `services.web`
     --> a/two.yaml:2:19
      |
    2 |   web: {image: a, prots: [80]}
      |                   ^^^^^ unknown key
      |
     ::: a/one.yaml:2:5
      |
    2 |   - two.yaml
      |     -------- included here
      |
     ::: compose.yaml:1:11
      |
    1 | include: [a/one.yaml]
      |           ---------- included here
      |
      = help: did you mean `ports`?
    ");
}

#[test]
fn a_mistake_in_an_extended_service_shows_who_extends_it() {
    let files = [
        (
            "compose.yaml",
            "services:\n  web:\n    extends: {file: base.yaml, service: web}\n",
        ),
        (
            "base.yaml",
            "services:\n  web: {image: a, restart: [x]}\n  other: {imagee: b}\n",
        ),
    ];
    insta::assert_snapshot!(show(&files), @r"
    error: `services.web.restart` must be text, not a list
     --> base.yaml:2:28
      |
    2 |   web: {image: a, restart: [x]}
      |                            ^^^
      |
     ::: compose.yaml:3:21
      |
    3 |     extends: {file: base.yaml, service: web}
      |                     --------- extended here
    ");
}

#[test]
fn a_service_is_not_told_that_it_meant_itself() {
    let shown = show(&[(
        "compose.yaml",
        "services:\n  w: {extends: {service: v}, image: a}\n",
    )]);
    assert!(shown.contains("there is no such service"), "{shown}");
    assert!(!shown.contains("did you mean"), "{shown}");
}

#[test]
fn a_circle_of_includes_is_drawn() {
    let files = [
        (
            "compose.yaml",
            "services: {a: {image: a}}\ninclude: [b.yaml]\n",
        ),
        ("b.yaml", "include: [c.yaml]\n"),
        ("c.yaml", "include:\n  - b.yaml\n"),
    ];
    insta::assert_snapshot!(show(&files), @r"
    error: files include each other in a circle: b.yaml -> c.yaml (b.yaml:1) -> b.yaml (c.yaml:2)
     --> c.yaml:2:5
      |
    2 |   - b.yaml
      |     ^^^^^^ closes the circle
      |
     ::: b.yaml:1:11
      |
    1 | include: [c.yaml]
      |           ------ leads to `c.yaml`
      |
     ::: compose.yaml:2:11
      |
    2 | include: [b.yaml]
      |           ------ included here
    ");
}

#[test]
fn what_cannot_be_merged_shows_both_sides() {
    let files = [
        (
            "compose.yaml",
            "services: {a: {image: a}}\nx-list: {a: 1}\n",
        ),
        ("compose.override.yaml", "x-list: [1]\n"),
    ];
    insta::assert_snapshot!(show(&files), @r"
    error: `x-list` is a list here and a mapping before: they cannot be merged
     --> compose.override.yaml:1:9
      |
    1 | x-list: [1]
      |         ^^^
      |
     ::: compose.yaml:2:9
      |
    2 | x-list: {a: 1}
      |         ------ before
      |
      = help: write it in the same form, or replace it with `!override`
    ");
}

#[test]
fn files_of_other_machines_are_refused_with_advice() {
    let files = [(
        "compose.yaml",
        "include: ['oci://registry.example/x:1', 'https://git.example/x.git']\n",
    )];
    insta::assert_snapshot!(show(&files), @r"
    error: files that are included from a registry are not supported: `oci://registry.example/x:1`
     --> compose.yaml:1:11
      |
    1 | include: ['oci://registry.example/x:1', 'https://git.example/x.git']
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: fetch it, and name the local file

    error: files that are included from a git repository are not supported: `https://git.example/x.git`
     --> compose.yaml:1:41
      |
    1 | include: ['oci://registry.example/x:1', 'https://git.example/x.git']
      |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: fetch it, and name the local file
    ");
}

/// The files of what a value took the place of, the nearest last.
fn shadowed(loaded: &Loaded, path: &[&str]) -> Vec<(String, Layer)> {
    let node = loaded.tree.at(path).unwrap();
    let earlier = node.earlier.as_deref().unwrap_or_default();
    let place = |span| loaded.warnings.sources.locate(span).unwrap();
    earlier
        .iter()
        .map(|earlier| (place(earlier.span).to_string(), earlier.layer))
        .collect()
}

#[test]
fn what_was_replaced_is_remembered_with_its_place() {
    let files = [
        (
            "compose.yaml",
            "include: [inc.yaml]\nservices:\n  web: {extends: base, environment: {A: 3}, env_file: x.env}\n  base: {image: b, environment: {A: 2}}\n",
        ),
        (
            "inc.yaml",
            "services:\n  web: {image: a, environment: {A: 1}}\n",
        ),
        (
            "compose.override.yaml",
            "services:\n  web: {environment: {A: 4}}\n",
        ),
        ("x.env", "\nA=0\n"),
    ];
    let loaded = try_load(&files).unwrap();
    let expected = [
        ("compose.yaml:3:55", Layer::EnvFile),
        ("compose.yaml:4:37", Layer::Extends),
        ("inc.yaml:2:36", Layer::Include),
        ("compose.yaml:3:41", Layer::File),
    ];
    let expected = expected.map(|(place, layer)| (place.to_owned(), layer));
    assert_eq!(
        shadowed(&loaded, &["services", "web", "environment", "A"]),
        expected
    );
    let image = shadowed(&loaded, &["services", "web", "image"]);
    assert_eq!(image.len(), 1, "{image:?}");
}

#[test]
fn a_long_chain_of_services_is_followed() {
    let mut text = "services:\n".to_owned();
    for index in 0..300 {
        text += &format!("  s{index}: {{extends: s{}}}\n", index + 1);
    }
    text += "  s300: {image: a}\n";
    let loaded = try_load(&[("compose.yaml", &text)]).unwrap();
    let image = loaded.tree.at(&["services", "s0", "image"]);
    assert_eq!(image.and_then(Node::as_text), Some("a"));
}

#[test]
fn two_includes_at_each_level_are_not_followed_for_ever() {
    let names: Vec<(String, String)> = (0..40)
        .map(|level| {
            let next = format!("f{}.yaml", level + 1);
            (
                format!("f{level}.yaml"),
                format!("include: [{next}, ./{next}]\n"),
            )
        })
        .collect();
    let mut files: Vec<(&str, &str)> = names
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    files.push(("f40.yaml", "services: {a: {image: a}}\n"));
    files.push(("compose.yaml", "include: [f0.yaml]\n"));
    let problems = try_load(&files).unwrap_err();
    assert!(problems.to_string().contains("files are included"));
}

/// Short texts of which many are stack files that load, and many are nearly such.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "services:\n",
        "include: [b.yaml]\n",
        "include:\n  - {path: b.yaml, env_file: x.env}\n",
        "  a: {image: a, extends: b}\n",
        "  b: {extends: {file: b.yaml, service: a}}\n",
        "  c: {image: \"${X:-y}\", environment: [A, B=$X]}\n",
        "  d: {image: d, ports: !override [80, 81], env_file: x.env}\n",
        "  e: !reset null\n",
        "  f: {<<: *x, image: &x f}\n",
        "x-a: &x {image: b}\n",
        "---\n",
        "networks: {n: , m: !override {driver: x}}\n",
        "    user:\n",
        "[",
        "}",
        "*x",
        "null\n",
        "name: ${X\n",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_files_make_the_loading_fail_badly(a in pieces(), b in pieces(), c in pieces()) {
        let files = [
            ("compose.yaml", a.as_str()),
            ("compose.override.yaml", b.as_str()),
            ("b.yaml", c.as_str()),
            ("x.env", "X=1\n"),
        ];
        let _ = show(&files);
    }

    #[test]
    fn keys_are_never_interpolated(name in "[a-z]{1,5}") {
        let key = format!("${{{name}}}");
        let text = format!("services: {{a: {{image: a, labels: {{'{key}': '{key}'}}}}}}\n");
        let env = format!("{name}=value\n");
        let loaded = try_load(&[("compose.yaml", &text), (".env", &env)]).unwrap();
        let labels = loaded.tree.at(&["services", "a", "labels"]).unwrap();
        prop_assert_eq!(labels.get(&key).and_then(Node::as_text), Some("value"));
    }
}
