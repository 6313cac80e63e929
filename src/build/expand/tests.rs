use proptest::prelude::*;

use super::*;

fn lookup(name: &str) -> Option<String> {
    Some(
        match name {
            "HOME" => "/root",
            "EMPTY" => "",
            "PATHS" => "/a/b/c.tar.gz",
            "TWO" => "one two",
            "STAR" => "a*b*c",
            "LINES" => "a\nb",
            "É" => "e",
            _ => return None,
        }
        .to_owned(),
    )
}

fn run(text: &str) -> Result<String> {
    expand(text, Mode::word('\\'), &lookup).map(|expanded| expanded.text)
}

#[test]
fn every_form_expands_as_buildkit_does() {
    let table = [
        ("plain", "plain"),
        ("$HOME/x", "/root/x"),
        ("${HOME}x", "/rootx"),
        ("a$", "a$"),
        ("$.x", "$.x"),
        ("$1x $10", "x "),
        ("$É", "e"),
        ("$X", ""),
        ("${X:-d}", "d"),
        ("${X-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${HOME:+y}", "y"),
        ("${EMPTY:+y}", ""),
        ("${EMPTY+y}", "y"),
        ("${X+y}", ""),
        ("${HOME:?e}", "/root"),
        ("${EMPTY?e}", ""),
        ("${X:-${HOME}/y}", "/root/y"),
        ("${X:-'a}b'}", "a}b"),
        ("${X:-a\\}b}", "a}b"),
        ("'$HOME'", "$HOME"),
        ("\"$HOME\"", "/root"),
        ("\"a'b\"'c\"d'", "a'bc\"d"),
        ("\\$HOME", "$HOME"),
        ("\"\\$HOME \\a \\\\ \\\"\"", "$HOME \\a \\ \""),
        ("a\\ b", "a b"),
        ("end\\", "end"),
        ("${PATHS#*/}", "a/b/c.tar.gz"),
        ("${PATHS##*/}", "c.tar.gz"),
        ("${PATHS%.*}", "/a/b/c.tar"),
        ("${PATHS%%.*}", "/a/b/c"),
        ("${PATHS#x}", "/a/b/c.tar.gz"),
        ("${PATHS%/?.*}", "/a/b"),
        ("${STAR#a\\*}", "b*c"),
        ("${STAR%\\*c}", "a*b"),
        ("${PATHS/\\//-}", "-a/b/c.tar.gz"),
        ("${PATHS//\\//-}", "-a-b-c.tar.gz"),
        ("${PATHS/a*c/x}", "/x.tar.gz"),
        ("${PATHS//./}", "/a/b/ctargz"),
        ("${PATHS//?/x}", "xxxxxxxxxxxxx"),
        ("${HOME//$EMPTY/-}", "-/-r-o-o-t-"),
        ("${HOME//*/-}", "-"),
        ("${LINES#*}", "a\nb"),
        ("${LINES##*}", "\nb"),
        ("${X/a/b}", ""),
        ("${HOME/$HOME/${TWO}}", "one two"),
    ];
    for (text, expected) in table {
        assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn mistakes_are_told() {
    let table = [
        ("'a", "a single quote is never closed"),
        ("\"a", "a double quote is never closed"),
        ("${HOME", "the brace of `${` is never closed"),
        ("${", "the brace of `${` is never closed"),
        ("${X:-a", "the brace of `${` is never closed"),
        ("${}", "`${}` names no variable"),
        ("${HOME!x}", "`${HOME!…}` is no form of expansion"),
        ("${HOME:/x}", "`${HOME:/…}` is no form of expansion"),
        ("${HOME/x}", "the second `/` of `${HOME/…/…}` is missing"),
        ("${X:?set it}", "`X` is required: set it"),
        ("${X?}", "`X` is required and has no value"),
        ("${EMPTY:?}", "`EMPTY` may not be empty"),
        (
            "${HOME#\\a}",
            "`\\a` in the pattern `\\a` escapes nothing: only `*`, `?` and `\\` need it",
        ),
    ];
    for (text, expected) in table {
        let error = run(text).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn the_escape_character_can_be_a_backtick() {
    let mode = Mode::word('`');
    let text = expand("`$HOME c:\\$HOME", mode, &lookup).unwrap().text;
    assert_eq!(text, "$HOME c:\\/root");
}

#[test]
fn words_part_at_blanks_that_are_not_quoted() {
    let words = |text| expand(text, Mode::word('\\'), &lookup).unwrap().words;
    assert_eq!(words("a  b"), ["a", "b"]);
    assert_eq!(words("$TWO 'c d' e\\ f"), ["one", "two", "c d", "e f"]);
    assert_eq!(words("\"$TWO\"x"), ["one twox"]);
    assert_eq!(words("$EMPTY ''"), Vec::<String>::new());
}

#[test]
fn a_heredoc_keeps_its_quotes() {
    let text = "it's \"$HOME\" \\$HOME '$X'\n";
    let text = expand(text, Mode::heredoc(), &lookup).unwrap().text;
    assert_eq!(text, "it's \"/root\" $HOME ''\n");
}

#[test]
fn what_is_shown_keeps_quotes_and_unset_variables() {
    let text = "a \"$HOME\" $X ${X} ${X:-d} ${X/a/b} '$HOME'";
    let text = expand(text, Mode::shown('\\'), &lookup).unwrap().text;
    assert_eq!(text, "a \"/root\" $X ${X} ${X:-d} ${X/a/b} '$HOME'");
}

#[test]
fn variables_without_a_value_are_told_with_their_place() {
    let expanded = expand("a$X ${Y:-d} ${Z}$HOME", Mode::word('\\'), &lookup).unwrap();
    let names = |met: Vec<Met>| -> Vec<_> { met.into_iter().map(|m| (m.name, m.range)).collect() };
    assert_eq!(
        names(expanded.unset),
        [("X".to_owned(), 1..3), ("Z".to_owned(), 12..16)]
    );
    assert_eq!(names(expanded.set), [("HOME".to_owned(), 16..21)]);
}

#[test]
fn deep_nesting_and_long_patterns_end() {
    let deep = "${X:-".repeat(1000) + &"}".repeat(1000);
    assert_eq!(run(&deep), Err(ExpandError::TooDeep));
    let value = "a".repeat(2000);
    let lookup = |_: &str| Some(value.clone());
    let text = format!("${{A##{}b}}", "*a".repeat(50));
    let expanded = expand(&text, Mode::word('\\'), &lookup).unwrap();
    assert_eq!(expanded.text, value);
}

proptest! {
    #[test]
    fn any_text_is_expanded_or_refused(text in "[${}:?+a#%/*'\"\\\\ -]{0,40}|.{0,60}") {
        for mode in [Mode::word('\\'), Mode::heredoc(), Mode::raw(), Mode::shown('`')] {
            if let Ok(expanded) = expand(&text, mode, &lookup) {
                for met in expanded.set.iter().chain(&expanded.unset) {
                    prop_assert!(text.get(met.range.clone()).is_some());
                }
            }
        }
    }

    #[test]
    fn text_without_special_characters_stays(text in "[^$'\"\\\\]{0,60}") {
        prop_assert_eq!(run(&text), Ok(text));
    }

    #[test]
    fn quoted_text_comes_back(text in "[^']{0,60}") {
        prop_assert_eq!(run(&format!("'{text}'")), Ok(text));
    }
}
