use super::*;
use crate::watch::change::{Change, Changes};

struct Spec<'a> {
    path: &'a str,
    action: WatchAction,
    target: Option<&'a str>,
    include: &'a [&'a str],
    ignore: &'a [&'a str],
}

const SYNC: Spec<'_> = Spec {
    path: "/p/src",
    action: WatchAction::Sync,
    target: Some("/app"),
    include: &[],
    ignore: &[],
};

fn rule(service: &str, spec: &Spec<'_>, docker_ignore: Option<&str>) -> Rule {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let model = WatchRule {
        path: spec.path.into(),
        action: spec.action,
        target: spec.target.map(str::to_owned),
        exec: None,
        include: owned(spec.include),
        ignore: owned(spec.ignore),
        initial_sync: false,
    };
    let context = docker_ignore.map(|text| Context::new(Path::new("/p"), text).unwrap());
    Rule::new(&ServiceName::new(service), &model, context).unwrap()
}

#[test]
fn a_rule_is_about_what_is_below_its_path_and_not_ignored() {
    let plain = rule("web", &SYNC, None);
    let ignoring = Spec {
        ignore: &["node_modules", "*.log", "!keep.log", "./deep/**/x"],
        ..SYNC
    };
    let ignoring = rule("web", &ignoring, None);
    let including = Spec {
        include: &["*.rs", "sub"],
        ignore: &["b.rs"],
        ..SYNC
    };
    let including = rule("web", &including, None);
    let docker = rule("web", &SYNC, Some("src/gen\n# comment\n**/*.tmp\n"));
    let taking_in = rule("web", &SYNC, Some("*\n!other\n"));
    for (what, rule, path, matches) in [
        ("taking in", &taking_in, "/p/src/a", true),
        ("plain", &plain, "/p/src", true),
        ("plain", &plain, "/p/src/a/b", true),
        ("plain", &plain, "/p/srcs", false),
        ("plain", &plain, "/p", false),
        ("plain", &plain, "/p/src/.git", false),
        ("plain", &plain, "/p/src/x/.git/HEAD", false),
        ("plain", &plain, "/p/src/.gitignore", true),
        ("plain", &plain, "/p/src/a~", false),
        ("plain", &plain, "/p/src/.idea/x", false),
        ("ignoring", &ignoring, "/p/src/node_modules/a/b", false),
        ("ignoring", &ignoring, "/p/src/sub/node_modules", true),
        ("ignoring", &ignoring, "/p/src/a.log", false),
        ("ignoring", &ignoring, "/p/src/keep.log", true),
        ("ignoring", &ignoring, "/p/src/deep/1/2/x", false),
        ("including", &including, "/p/src", false),
        ("including", &including, "/p/src/a.rs", true),
        ("including", &including, "/p/src/b.rs", false),
        ("including", &including, "/p/src/a.txt", false),
        ("including", &including, "/p/src/sub/deep/a.txt", true),
        ("including", &including, "/p/src/other/a.rs", false),
        ("docker", &docker, "/p/src/gen/file", false),
        ("docker", &docker, "/p/src/a/b.tmp", false),
        ("docker", &docker, "/p/src/a/b", true),
    ] {
        assert_eq!(rule.matches(Path::new(path)), matches, "{what}: {path}");
    }
}

#[test]
fn directories_are_entered_when_something_below_may_matter() {
    let spec = Spec {
        ignore: &["target", "vendor", "!vendor/own"],
        include: &["*.rs"],
        ..SYNC
    };
    let rule = rule("web", &spec, Some("src/gen\n"));
    for (path, enters) in [
        ("/", true),
        ("/p", true),
        ("/p/src", true),
        ("/p/other", false),
        ("/p/src/deep/er", true),
        ("/p/src/target", false),
        ("/p/src/target/debug", false),
        ("/p/src/vendor", true),
        ("/p/src/vendor/own", true),
        ("/p/src/vendor/other", false),
        ("/p/src/gen", false),
        ("/p/src/.git", false),
    ] {
        assert_eq!(rule.enters(Path::new(path)), enters, "{path}");
    }
}

#[test]
fn paths_have_their_place_in_the_container() {
    let slash = Spec {
        target: Some("/app/"),
        ..SYNC
    };
    let nothing = Spec {
        action: WatchAction::Rebuild,
        ..SYNC
    };
    for (spec, path, target) in [
        (&SYNC, "/p/src/a/b", Some("/app/a/b")),
        (&SYNC, "/p/src", Some("/app")),
        (&slash, "/p/src/a", Some("/app/a")),
        (&slash, "/p/src", Some("/app/")),
        (&nothing, "/p/src/a", None),
    ] {
        let found = rule("web", spec, None).mapping(Path::new(path));
        assert_eq!(found.as_ref().map(|found| found.target.as_str()), target);
        if let Some(found) = found {
            assert_eq!(found.top, path == "/p/src");
        }
    }
}

#[test]
fn every_rule_that_a_path_matches_has_its_say() {
    let of = |action, path| Spec {
        action,
        path,
        ..SYNC
    };
    let rules = [
        rule("a", &SYNC, None),
        rule("a", &of(WatchAction::SyncExec, "/p/src/conf"), None),
        rule("a", &of(WatchAction::Rebuild, "/p/src/lock"), None),
        rule("b", &of(WatchAction::SyncRestart, "/p/src"), None),
        rule("c", &of(WatchAction::Restart, "/p/src/lock"), None),
        rule("d", &of(WatchAction::Rebuild, "/p/elsewhere"), None),
    ];
    let mut changes = Changes::default();
    for path in ["/p/src/conf/x", "/p/src/lock", "/p/src/gone", "/p/none"] {
        changes.add(path.into(), Change::Changed);
    }
    let actions = decide(&rules, &changes);
    let names = |set: &std::collections::BTreeSet<ServiceName>| {
        set.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&actions.rebuild), ["a"]);
    assert_eq!(names(&actions.restart), ["b", "c"]);
    assert_eq!(
        actions.exec[&ServiceName::new("a")]
            .iter()
            .collect::<Vec<_>>(),
        [&1]
    );
    let places = |service: &str| {
        actions.sync[&ServiceName::new(service)]
            .iter()
            .map(|mapping| format!("{} {}", mapping.source.display(), mapping.target))
            .collect::<Vec<_>>()
    };
    // The second rule puts what is below `conf` elsewhere than the first.
    assert_eq!(
        places("a"),
        [
            "/p/src/conf/x /app/conf/x",
            "/p/src/conf/x /app/x",
            "/p/src/gone /app/gone",
            "/p/src/lock /app/lock"
        ]
    );
    assert_eq!(places("b").len(), 3);
    assert_eq!(actions.sync.len(), 2);
}

#[test]
fn a_bad_pattern_names_its_service() {
    let model = WatchRule {
        path: "/p".into(),
        action: WatchAction::Rebuild,
        target: None,
        exec: None,
        include: Vec::new(),
        ignore: vec!["[".to_owned()],
        initial_sync: false,
    };
    let error = Rule::new(&ServiceName::new("web"), &model, None).unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "service web: develop.watch: bad pattern in `ignore`");
}
