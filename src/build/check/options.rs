//! `check=skip=…;error=…;experimental=…`.

use super::{RULES, Rule};
use crate::compose::diagnostic::suggestion;

/// Which rules are run, and what a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// Rules that are not run.
    skip: Choice,
    /// Rules that are run only because they are asked for.
    experimental: Choice,
    /// Whether a finding is an error.
    pub error: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    All,
    Some(Vec<Rule>),
}

impl Default for Choice {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Choice {
    fn has(&self, rule: Rule) -> bool {
        match self {
            Self::All => true,
            Self::Some(rules) => rules.contains(&rule),
        }
    }

    fn parse(text: &str) -> Result<Self, OptionsError> {
        let mut rules = Vec::new();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            if name.eq_ignore_ascii_case("all") {
                return Ok(Self::All);
            }
            let found = RULES
                .iter()
                .find(|(_, rule, _)| rule.eq_ignore_ascii_case(name));
            match found {
                Some((rule, ..)) => rules.push(*rule),
                // Rules of other builders may be skipped; that they do not exist here is no harm.
                None if name.chars().all(|c| c.is_ascii_alphanumeric()) => {}
                None => return Err(OptionsError::Rule(name.to_owned())),
            }
        }
        Ok(Self::Some(rules))
    }
}

/// Options that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Not of the form `key=value`.
    #[error("`{0}` is no option of a check: write `key=value`")]
    Form(String),
    /// Neither `skip` nor `error` nor `experimental`.
    #[error("a check has no option `{0}`")]
    Key(String),
    /// Neither `true` nor `false`.
    #[error("`error` is `true` or `false`, not `{0}`")]
    Error(String),
    /// Nothing that could be a rule.
    #[error("`{0}` is no rule")]
    Rule(String),
}

impl OptionsError {
    /// What may have been meant.
    pub(super) fn likely(&self) -> Option<&'static str> {
        match self {
            Self::Key(key) => suggestion(key, ["skip", "error", "experimental"]),
            _ => None,
        }
    }
}

impl CheckOptions {
    /// Reads `skip=A,B;error=true;experimental=all`.
    pub fn parse(text: &str) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        for part in text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| OptionsError::Form(part.to_owned()))?;
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "skip" => options.skip = Choice::parse(value)?,
                "experimental" => options.experimental = Choice::parse(value)?,
                "error" => {
                    options.error = match value.to_ascii_lowercase().as_str() {
                        "true" | "1" | "t" => true,
                        "false" | "0" | "f" => false,
                        _ => return Err(OptionsError::Error(value.to_owned())),
                    }
                }
                other => return Err(OptionsError::Key(other.to_owned())),
            }
        }
        Ok(options)
    }

    /// Whether a rule is run.
    pub(super) fn runs(&self, rule: Rule) -> bool {
        if rule.is_experimental() {
            return self.experimental.has(rule);
        }
        !self.skip.has(rule)
    }
}
