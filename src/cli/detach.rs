//! Keys that let go of a program that goes on without its caller. Pure.

use std::str::FromStr;

/// A sequence of keys, as bytes; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    /// `ctrl-p,ctrl-q`.
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

/// A text that names no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid detach keys: `{0}` is no key; write a letter, or ctrl- and one of a-z @ [ \\\\ ] ^ _"
)]
pub(crate) struct NoKey(String);

impl FromStr for DetachKeys {
    type Err = NoKey;

    /// `ctrl-p,ctrl-q`, `ctrl-a,x`.
    fn from_str(text: &str) -> Result<Self, NoKey> {
        text.split(',').map(key).collect::<Result<_, _>>().map(Self)
    }
}

fn key(text: &str) -> Result<u8, NoKey> {
    let wrong = || NoKey(text.to_owned());
    let one = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() => Some(*byte),
        _ => None,
    };
    match text.strip_prefix("ctrl-").map(one) {
        // A terminal sends a letter with the upper three bits taken away.
        Some(Some(byte @ (b'a'..=b'z' | b'@' | b'['..=b'_'))) => Ok(byte & 0x1f),
        Some(_) => Err(wrong()),
        None => one(text).ok_or_else(wrong),
    }
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub(crate) struct Scanner {
    keys: Vec<u8>,
    /// How many of them were typed last; they are held back.
    matched: usize,
}

impl Scanner {
    pub(crate) fn new(keys: DetachKeys) -> Self {
        Self {
            keys: keys.0,
            matched: 0,
        }
    }

    /// Takes what was typed and gives what is to be passed on; `true` when all keys were typed.
    pub(crate) fn scan(&mut self, typed: &[u8], passed: &mut Vec<u8>) -> bool {
        for byte in typed {
            if *byte != self.keys[self.matched] {
                passed.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
            } else {
                passed.push(*byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_letters_with_and_without_control() {
        let keys = |text: &str| text.parse::<DetachKeys>().map(|keys| keys.0);
        assert_eq!(keys("ctrl-p,ctrl-q").unwrap(), DetachKeys::default().0);
        assert_eq!(keys("ctrl-a,d").unwrap(), [1, b'd']);
        assert_eq!(keys("ctrl-@,ctrl-[,ctrl-_").unwrap(), [0, 27, 31]);
        for text in ["", "ctrl-", "ctrl-A", "ctrl-pq", "foo", "a,", "\u{e9}"] {
            assert!(keys(text).is_err(), "{text:?}");
        }
    }

    fn scanned(pieces: &[&str]) -> (String, bool) {
        let mut scanner = Scanner::new("a,b".parse().unwrap());
        let mut passed = Vec::new();
        for piece in pieces {
            if scanner.scan(piece.as_bytes(), &mut passed) {
                return (String::from_utf8(passed).unwrap(), true);
            }
        }
        (String::from_utf8(passed).unwrap(), false)
    }

    #[test]
    fn only_the_whole_sequence_lets_go_and_nothing_else_is_lost() {
        for (pieces, passed, detached) in [
            (&["xyz"][..], "xyz", false),
            (&["xab", "y"], "x", true),
            (&["xa", "by"], "x", true),
            (&["xa", "cy"], "xacy", false),
            (&["aab"], "a", true),
            (&["a"], "", false),
            (&["a", "a", "c"], "aac", false),
        ] {
            assert_eq!(scanned(pieces), (passed.to_owned(), detached), "{pieces:?}");
        }
    }
}
