//! What of the cache goes. Pure.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::image::Digest;

/// What an entry of the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// What a step has made.
    Step,
    /// What `RUN --mount=type=cache` keeps.
    Mount,
}

/// Something that the cache keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its key, 64 hexadecimal digits.
    pub id: String,
    /// When it was last of use.
    pub used: Timestamp,
    /// Bytes of its files.
    pub bytes: u64,
    /// The instruction, for people.
    pub text: String,
    /// The layer that it stands for, when there is one.
    pub layer: Option<Digest>,
}

/// Which entries go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheRules {
    /// Those whose layers an image has, too: the next build makes them again.
    pub all: bool,
    /// Only those that were of no use since then.
    pub before: Option<Timestamp>,
    /// Stop as soon as the rest takes no more bytes than this; the oldest goes first.
    pub keep: Option<u64>,
}

impl CacheRules {
    /// The entries that go, of `entries` in the order of their last use. `named` are the layers of images:
    /// they stay on the disk, whatever becomes of the entry.
    pub fn doomed<'a>(&self, entries: &'a [Entry], named: &HashSet<Digest>) -> Vec<&'a Entry> {
        let is_shared = |entry: &Entry| entry.layer.is_some_and(|layer| named.contains(&layer));
        let own = |entry: &Entry| if is_shared(entry) { 0 } else { entry.bytes };
        let mut rest: u64 = entries.iter().map(own).sum();
        let mut doomed = Vec::new();
        for entry in entries {
            if self.keep.is_some_and(|keep| rest <= keep) {
                break;
            }
            let goes = (self.all || !is_shared(entry))
                && self.before.is_none_or(|before| entry.used < before);
            if goes {
                rest -= own(entry);
                doomed.push(entry);
            }
        }
        doomed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_what_images_have_takes_nothing() {
        let layer = |text: &str| Digest::of(text.as_bytes());
        let entry = |(id, used, bytes): (&str, i64, u64)| Entry {
            kind: EntryKind::Step,
            id: id.to_owned(),
            used: Timestamp::from_second(used).unwrap(),
            bytes,
            text: String::new(),
            layer: Some(layer(id)),
        };
        let entries = [("a", 1, 10), ("shared", 2, 100), ("b", 3, 20), ("c", 4, 30)].map(entry);
        let named = HashSet::from([layer("shared")]);
        let rules = |all, before: Option<i64>, keep| CacheRules {
            all,
            before: before.map(|second| Timestamp::from_second(second).unwrap()),
            keep,
        };
        for (rules, expected) in [
            (rules(false, None, None), "a b c"),
            (rules(true, None, None), "a shared b c"),
            (rules(true, Some(3), None), "a shared"),
            (rules(false, None, Some(60)), ""),
            (rules(false, None, Some(50)), "a"),
            (rules(false, None, Some(49)), "a b"),
            (rules(true, None, Some(30)), "a shared b"),
            (rules(false, Some(2), Some(0)), "a"),
        ] {
            let doomed = rules.doomed(&entries, &named);
            let ids: Vec<&str> = doomed.iter().map(|entry| entry.id.as_str()).collect();
            assert_eq!(ids.join(" "), expected, "{rules:?}");
        }
    }
}
