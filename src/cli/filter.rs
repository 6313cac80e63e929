//! `--filter KEY=VALUE` of lists and of the commands that clean up: values of one key are alternatives,
//! all keys must hold. Labels are the exception: all of them must be there.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::error::{Error, Result};
use super::time;
use crate::image::LabelRule;

/// The filters of a command line.
#[derive(Debug, Default)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads them; `known` are the keys that the command takes.
    pub(crate) fn parse(texts: &[String], known: &[&str]) -> Result<Self> {
        let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in texts {
            let Some((key, value)) = text.split_once('=') else {
                return Err(Error::new(format!(
                    "bad format of filter `{text}` (expected name=value)"
                )));
            };
            // `label!=x` is a key of its own.
            let key = key.trim();
            if !known.contains(&key) {
                return Err(Error::new(format!("invalid filter '{key}'"))
                    .hint(format!("there are {}", known.join(", "))));
            }
            let values = filters.entry(key.to_owned()).or_default();
            values.push(value.trim().to_owned());
        }
        Ok(Self(filters))
    }

    /// The values given for a key.
    pub(crate) fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether one of the values fits, or none was given.
    pub(crate) fn any(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        let values = self.values(key);
        values.is_empty() || values.iter().any(|value| fits(value))
    }

    /// What labels must be like: `label=KEY`, `label=KEY=VALUE`, and `label!=…`.
    pub(crate) fn label_rules(&self) -> Vec<LabelRule> {
        let rule = |text: &String, wanted| {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text.as_str(), None),
            };
            LabelRule {
                name: name.to_owned(),
                value,
                wanted,
            }
        };
        let wanted = self.values("label").iter().map(|text| rule(text, true));
        let unwanted = self.values("label!").iter().map(|text| rule(text, false));
        wanted.chain(unwanted).collect()
    }

    /// Whether the labels are those asked for.
    pub(crate) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.label_rules().iter().all(|rule| rule.fits(labels))
    }

    /// `until=24h`, `until=TIME`: only what is older.
    pub(crate) fn until(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        match self.values("until") {
            [] => Ok(None),
            [text] => time::point(text, now).map(Some),
            _ => Err(Error::new("more than one until filter specified")),
        }
    }

    /// A yes or a no, as `dangling=true`; `None` when it was not given.
    pub(crate) fn truth(&self, key: &str) -> Result<Option<bool>> {
        let truth = |text: &String| match text.as_str() {
            "1" | "true" | "TRUE" | "True" | "t" => Ok(true),
            "0" | "false" | "FALSE" | "False" | "f" => Ok(false),
            _ => Err(Error::new(format!("invalid filter '{key}={text}'"))
                .hint("it is `true` or `false`")),
        };
        self.values(key).first().map(truth).transpose()
    }
}

/// Labels as lists print them: `a=b,c=d`.
pub(crate) fn labels_text(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Result<Filters> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Filters::parse(&texts, &["name", "label", "label!", "dangling", "until"])
    }

    #[test]
    fn values_are_alternatives_and_labels_are_not() {
        let labels = [("a", "1"), ("b", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        for (texts, fits) in [
            (&[][..], true),
            (&["name=x", "name=web"], true),
            (&["name=x"], false),
            (&["label=a"], true),
            (&["label=a=1", "label=b"], true),
            (&["label=a=1", "label=c"], false),
            (&["label=a=2"], false),
            (&["label!=a"], false),
            (&["label!=a=2"], true),
            (&["label!=c"], true),
        ] {
            let filters = filters(texts).unwrap();
            let found = filters.any("name", |name| name == "web") && filters.labels(&labels);
            assert_eq!(found, fits, "{texts:?}");
        }
        assert_eq!(labels_text(&labels), "a=1,b=");
    }

    #[test]
    fn a_time_is_an_age_or_a_moment() {
        let now = Timestamp::from_second(100_000).unwrap();
        let until = |texts: &[&str]| filters(texts).unwrap().until(now);
        assert_eq!(until(&[]).unwrap(), None);
        let day_ago = Timestamp::from_second(13_600).unwrap();
        assert_eq!(until(&["until=24h"]).unwrap(), Some(day_ago));
        for wrong in [&["until=soon"][..], &["until=1h", "until=2h"]] {
            assert!(until(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_no_filter_is_is_said() {
        let said = |text: &str| filters(&[text]).unwrap_err().summary();
        assert_eq!(said("foo=bar"), "invalid filter 'foo'");
        assert_eq!(said("until!=1h"), "invalid filter 'until!'");
        assert!(said("foo").contains("expected name=value"));
        let truth = |text| filters(&[text]).unwrap().truth("dangling");
        assert_eq!(truth("dangling=1").unwrap(), Some(true));
        assert_eq!(truth("name=x").unwrap(), None);
        assert!(truth("dangling=x").is_err());
    }
}
