//! Which images go when nobody needs them. Pure.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::super::digest::Digest;

/// Which images nobody needs. The default: those without a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneRules {
    /// Those with names, too.
    pub all: bool,
    /// Only those made before this.
    pub before: Option<Timestamp>,
    /// What their labels must say; all of it.
    pub labels: Vec<LabelRule>,
}

/// What a label must say, as in Docker's filters `label=` and `label!=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRule {
    /// Its name.
    pub name: String,
    /// Its value; `None` = any.
    pub value: Option<String>,
    /// `false`: the label must not be there, or not have this value.
    pub wanted: bool,
}

/// What is looked at of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: Digest,
    pub(super) is_named: bool,
    pub(super) created: Option<Timestamp>,
    pub(super) labels: BTreeMap<String, String>,
}

impl LabelRule {
    /// Whether these labels are as they must be.
    pub fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.name).is_some_and(|value| {
            let wanted = self.value.as_ref();
            wanted.is_none_or(|wanted| wanted == value)
        });
        found == self.wanted
    }
}

impl PruneRules {
    /// The images that go: none that a container was made of.
    pub(super) fn doomed(&self, images: &[Candidate], used: &HashSet<Digest>) -> Vec<Digest> {
        let goes = |image: &&Candidate| {
            // An image of no date is as old as can be.
            let is_old = |before| image.created.is_none_or(|created| created < before);
            (self.all || !image.is_named)
                && !used.contains(&image.id)
                && self.before.is_none_or(is_old)
                && self.labels.iter().all(|rule| rule.fits(&image.labels))
        };
        images.iter().filter(goes).map(|image| image.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Candidate {
        let (name, rest) = text.split_once(' ').unwrap();
        let (second, labels) = rest.split_once(' ').unwrap_or((rest, ""));
        Candidate {
            id: Digest::of(text.as_bytes()),
            is_named: name == "named",
            created: second
                .parse()
                .ok()
                .map(|second| Timestamp::from_second(second).unwrap()),
            labels: labels
                .split_whitespace()
                .filter_map(|label| label.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    #[test]
    fn what_goes_has_no_container_and_fits_every_rule() {
        let texts = [
            "named 10 a=1",
            "none 10 a=1",
            "none 20 a=2",
            "named 20",
            "none undated",
            "none 5 used=yes",
        ];
        let images = texts.map(image);
        let used = HashSet::from([images[5].id]);
        let label = |name: &str, value: Option<&str>, wanted| LabelRule {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            wanted,
        };
        let rules = |all, before: Option<i64>, labels: &[LabelRule]| PruneRules {
            all,
            before: before.map(|second| Timestamp::from_second(second).unwrap()),
            labels: labels.to_vec(),
        };
        let table: [(PruneRules, &[usize]); 8] = [
            (rules(false, None, &[]), &[1, 2, 4]),
            (rules(true, None, &[]), &[0, 1, 2, 3, 4]),
            (rules(false, Some(20), &[]), &[1, 4]),
            (rules(true, Some(10), &[]), &[4]),
            (rules(true, None, &[label("a", None, true)]), &[0, 1, 2]),
            (rules(true, None, &[label("a", Some("1"), true)]), &[0, 1]),
            (
                rules(true, None, &[label("a", Some("1"), false)]),
                &[2, 3, 4],
            ),
            (
                rules(
                    false,
                    None,
                    &[label("a", None, true), label("a", Some("2"), false)],
                ),
                &[1],
            ),
        ];
        for (rules, expected) in table {
            let expected: Vec<Digest> = expected.iter().map(|at| images[*at].id).collect();
            assert_eq!(rules.doomed(&images, &used), expected, "{rules:?}");
        }
    }
}
