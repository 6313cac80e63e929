use proptest::prelude::*;

use super::*;

/// Patterns, and paths with whether they are left out.
type Case = (&'static str, &'static [(&'static str, bool)]);

#[test]
fn paths_are_left_out_as_docker_does() {
    let table: &[Case] = &[
        ("", &[("a", false)]),
        ("# a\n\n  \n", &[("a", false), ("# a", false)]),
        (
            "a",
            &[("a", true), ("a/b", true), ("b/a", false), ("ab", false)],
        ),
        ("/a/", &[("a", true), ("a/b", true)]),
        ("./a/../b//c", &[("b/c", true), ("b", false)]),
        ("  a b  ", &[("a b", true)]),
        (
            "*.md\n!README.md",
            &[("x.md", true), ("README.md", false), ("d/x.md", false)],
        ),
        (
            "*.md\n!README*.md\nREADME-s.md",
            &[("README.md", false), ("README-s.md", true)],
        ),
        ("*.md\nREADME-s.md\n!README*.md", &[("README-s.md", false)]),
        (
            "**/*.go",
            &[
                ("a.go", true),
                ("a/b.go", true),
                ("a/b/c.go", true),
                ("a.gox", false),
            ],
        ),
        (
            "**/foo",
            &[
                ("foo", true),
                ("a/foo", true),
                ("a/foo/b", true),
                ("xfoo", false),
            ],
        ),
        ("**foo", &[("xfoo", true), ("a/xfoo", true), ("foo", true)]),
        (
            "foo/**",
            &[("foo", false), ("foo/a", true), ("foo/a/b", true)],
        ),
        (
            "foo**",
            &[
                ("foo", true),
                ("foobar", true),
                ("foo/bar", true),
                ("fo", false),
            ],
        ),
        ("**", &[("a", true), ("a/b", true)]),
        (
            "**/a/**",
            &[
                ("a", false),
                ("a/b", true),
                ("x/a/b", true),
                ("x/ab", false),
            ],
        ),
        (
            "a/**/b",
            &[
                ("a/b", true),
                ("a/x/b", true),
                ("a/x/y/b", true),
                ("a/xb", false),
            ],
        ),
        (
            "*/temp*",
            &[
                ("a/temp", true),
                ("a/temporary.txt", true),
                ("temp", false),
                ("a/b/temp", false),
            ],
        ),
        (
            "temp?",
            &[("tempa", true), ("temp", false), ("temp/", false)],
        ),
        ("[a-c]x", &[("ax", true), ("dx", false)]),
        ("[^a]x", &[("ax", false), ("dx", true)]),
        ("a\\*b", &[("a*b", true), ("axb", false)]),
        ("a.c", &[("a.c", true), ("abc", false)]),
        ("a+(b)|{c}$", &[("a+(b)|{c}$", true)]),
        (
            "*\n!src",
            &[("x", true), ("src", false), ("src/a/b", false)],
        ),
        (
            "*\n!src/**\nsrc/t",
            &[
                ("src", true),
                ("src/a", false),
                ("src/t", true),
                ("src/t/x", true),
            ],
        ),
        (
            "dir\n!dir/keep",
            &[
                ("dir", true),
                ("dir/x", true),
                ("dir/keep", false),
                ("dir/keep/y", false),
            ],
        ),
        ("dir\n!dir/keep\ndir", &[("dir/keep", true)]),
        ("\u{feff}a", &[("a", true)]),
        ("é?", &[("éü", true)]),
        ("..", &[("a", false)]),
        (".", &[("a", false)]),
    ];
    for (text, paths) in table {
        let matcher = Matcher::parse(text).unwrap();
        for (path, expected) in *paths {
            assert_eq!(matcher.is_ignored(path), *expected, "{text:?} {path:?}");
        }
    }
}

#[test]
fn a_directory_is_skipped_when_no_exception_can_match_below() {
    let table = [
        ("node_modules", "node_modules", true),
        ("*\n!src", "node_modules", true),
        ("*\n!src/x", "src", false),
        ("*\n!src/x", "lib", true),
        ("*\n!**/x", "lib", false),
        ("*\n!l*/x", "lib", false),
        ("*\n!a/b/c", "a", false),
        ("dir\n!dir/keep\ndir", "dir", true),
        ("!dir/keep\ndir", "dir", true),
        ("a", "b", false),
    ];
    for (text, directory, expected) in table {
        let matcher = Matcher::parse(text).unwrap();
        let entry = matcher.enter(&Level::default(), directory);
        assert_eq!(entry.skip, expected, "{text:?} {directory:?}");
    }
}

#[test]
fn patterns_that_mean_nothing_are_told() {
    let table = [
        ("a\n!", "line 2: the pattern `!` takes nothing back in"),
        ("[a", "line 1: the pattern `[a` has a `[` without `]`"),
        ("[]", "line 1: the pattern `[]` has an empty `[]`"),
        (
            "[b-a]",
            "line 1: the pattern `[b-a]` has a range that runs backwards",
        ),
        ("a\\", "line 1: the pattern `a\\` ends with a backslash"),
    ];
    for (text, expected) in table {
        assert_eq!(Matcher::parse(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_file_beside_the_dockerfile_comes_first() {
    assert_eq!(
        file_names("docker/web.Dockerfile"),
        ["docker/web.Dockerfile.dockerignore", ".dockerignore"]
    );
}

/// What patternmatcher says of a path: each pattern in turn, against the path and all above it.
fn slowly(matcher: &Matcher, path: &str) -> bool {
    let mut ignored = false;
    for rule in &matcher.patterns {
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        if ends
            .into_iter()
            .any(|end| rule.pattern.matches(&path[..end]))
        {
            ignored = !rule.exception;
        }
    }
    ignored
}

proptest! {
    #[test]
    fn no_text_makes_it_fail_badly(text in "[!a-c/*?.\\[\\]\\\\^\n -]{0,30}|.{0,40}", path in ".{0,30}") {
        if let Ok(matcher) = Matcher::parse(&text) {
            matcher.is_ignored(&path);
        }
    }

    #[test]
    fn a_skipped_directory_has_nothing_that_is_wanted(
        patterns in proptest::collection::vec("!?(\\*|\\*\\*|[ab]|[ab]\\*)(/(\\*|\\*\\*|[ab]|\\?)){0,3}", 0..6),
        path in "[ab](/[ab]{1,2}){0,4}",
    ) {
        let matcher = Matcher::new(patterns.iter().map(String::as_str)).unwrap();
        prop_assert_eq!(matcher.is_ignored(&path), slowly(&matcher, &path));
        let mut level = Level::default();
        for (at, _) in path.match_indices('/') {
            let entry = matcher.enter(&level, &path[..at]);
            level = entry.level;
            prop_assert!(!entry.skip || matcher.is_ignored(&path), "{:?} {}", patterns, path);
        }
    }
}
