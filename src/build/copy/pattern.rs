//! Go's `filepath.Match`, and paths with its wildcards. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A path taken apart: no empty parts, no `.`, and `..` never leads above the start.
pub(super) fn parts(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

/// Whether a part of a path is a pattern.
pub(super) fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '[', '\\'])
}

/// A part that is no pattern, as a name.
pub(super) fn joined(parts: &[&str]) -> PathBuf {
    parts.iter().collect()
}

/// Whether a pattern of one part matches a name; `None` = the pattern is malformed.
///
/// `*` is any text, `?` one character, `[a-z]` and `[^a-z]` one of a class, `\` takes the next
/// character as it is (Go, path/filepath, `Match`).
pub(super) fn matches(pattern: &str, name: &OsStr) -> Option<bool> {
    // Names need not be text: what is not is compared as the replacement character.
    let name: Vec<char> = name.to_string_lossy().chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    valid(&pattern)?;
    Some(match_here(&pattern, &name))
}

/// Whether all classes are closed and no escape is at the end.
fn valid(pattern: &[char]) -> Option<()> {
    let mut rest = pattern;
    while let Some((first, behind)) = rest.split_first() {
        rest = match first {
            '\\' => behind.split_first()?.1,
            '[' => class(behind, '\0')?.1,
            _ => behind,
        };
    }
    Some(())
}

/// The same for paths, whose parts are matched one by one: `*` is no `/`.
pub(crate) fn matches_path(pattern: &str, path: &str) -> Option<bool> {
    let mut patterns = pattern.split('/');
    let mut matched = true;
    for part in path.split('/') {
        match patterns.next() {
            Some(pattern) => matched &= matches(pattern, OsStr::new(part))?,
            None => matched = false,
        }
    }
    // What is malformed is so, whatever it is held against.
    for pattern in patterns {
        valid(&pattern.chars().collect::<Vec<_>>())?;
        matched = false;
    }
    Some(matched)
}

fn match_here(pattern: &[char], name: &[char]) -> bool {
    // Where the last `*` stands, and how much of the name it has taken: backtracking without
    // recursion, so that no pattern takes exponential time.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if n == name.len() {
            return pattern[p..].iter().all(|c| *c == '*');
        }
        if let Some(used) = one(&pattern[p..], name[n]) {
            p += used;
            n += 1;
            continue;
        }
        match star {
            Some((at, taken)) => {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
            None => return false,
        }
    }
}

/// Length of the element at the start of the pattern, if it matches this character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    let (first, behind) = pattern.split_first()?;
    match first {
        '?' => (c != '/').then_some(1),
        '[' => {
            let (hit, rest) = class(behind, c)?;
            hit.then_some(pattern.len() - rest.len())
        }
        '\\' => (behind.first() == Some(&c)).then_some(2),
        literal => (*literal == c).then_some(1),
    }
}

/// Reads a class behind its `[`: whether the character is in it, and what follows its `]`.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let (negated, mut rest) = match pattern.split_first()? {
        ('^', rest) => (true, rest),
        _ => (false, pattern),
    };
    let mut hit = false;
    let mut count = 0;
    loop {
        let (first, behind) = rest.split_first()?;
        if *first == ']' && count > 0 {
            return Some((hit != negated, behind));
        }
        let (low, behind) = class_character(rest)?;
        let (high, behind) = match behind.split_first()? {
            ('-', behind) => class_character(behind)?,
            _ => (low, behind),
        };
        hit |= low <= c && c <= high;
        count += 1;
        rest = behind;
    }
}

fn class_character(pattern: &[char]) -> Option<(char, &[char])> {
    match pattern.split_first()? {
        ('-' | ']', _) => None,
        ('\\', behind) => behind.split_first().map(|(c, rest)| (*c, rest)),
        (c, rest) => Some((*c, rest)),
    }
}

/// The last part of a path.
pub(super) fn base(path: &std::path::Path) -> &OsStr {
    path.file_name().unwrap_or_else(|| OsStr::from_bytes(b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        // The table of Go's path/filepath tests, as far as it is about one part.
        for (pattern, name, expected) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "abc", Some(true)),
            ("a*b*c*d*e*", "axbxcxdxe", Some(true)),
            ("a*b*c*d*e*", "axbxcxdxexxx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^b-d]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("a[^a]b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("*[a-ζ]", "A", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[x\\-]", "x", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[-x]", "x", None),
            ("\\", "a", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "ab", None),
            ("*x", "xxx", Some(true)),
        ] {
            assert_eq!(
                matches(pattern, OsStr::new(name)),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let name = "a".repeat(10_000);
        assert_eq!(matches(&"a*".repeat(50), OsStr::new(&name)), Some(true));
        let no = format!("{}b", "a*".repeat(50));
        assert_eq!(matches(&no, OsStr::new(&name)), Some(false));
    }

    #[test]
    fn paths_never_lead_above_their_start() {
        assert_eq!(parts("./a//b/../c/"), ["a", "c"]);
        assert_eq!(parts("../../a"), ["a"]);
    }
}
