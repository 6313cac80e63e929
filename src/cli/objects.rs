//! What `network` and `volume` have in common: the frames of their sub-commands, and who uses what.

use std::io::Write as _;

use serde_json::Value;

use super::choice::{Format, write_documents};
use super::cleaning::users_besides;
use super::context::Context;
use super::error::{Error, Result};
use crate::engine::native::objects::{User, Users};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Network,
    Volume,
}

/// What is made of an object that is to be removed and is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// A failure.
    Fails,
    /// Nothing.
    PassedOver,
    /// It counts as removed.
    Removed,
}

impl Kind {
    /// Docker's word.
    fn word(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }

    fn no_such(self, text: &str) -> Error {
        let word = self.word();
        Error::new(format!("No such {word}: {text}")).hint(format!("see `stack {word} ls`"))
    }

    /// Prints the documents about objects that a person names; then says which are not there.
    pub(super) fn inspect(
        self,
        names: &[String],
        format: Option<&Format>,
        document: impl Fn(&str) -> Result<Option<Value>>,
    ) -> Result<()> {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for text in names {
            match document(text) {
                Ok(Some(document)) => found.push(document),
                Ok(None) => failures.push(self.no_such(text)),
                Err(error) => failures.push(error),
            }
        }
        let mut out = std::io::stdout().lock();
        write_documents(found, format, &mut out)?;
        out.flush()?;
        all_of(failures)
    }

    /// Removes the objects that a person names, and prints their names; `remove` says whether there was
    /// one.
    pub(super) fn remove(
        self,
        context: &Context,
        (names, missing): (&[String], Missing),
        remove: impl Fn(&str) -> Result<bool>,
    ) -> Result<()> {
        context.refuse_dry_run(&format!("{} rm", self.word()))?;
        context.require_root()?;
        let mut out = std::io::stdout().lock();
        let mut failures = Vec::new();
        for text in names {
            match (remove(text), missing) {
                (Ok(true), _) | (Ok(false), Missing::Removed) => writeln!(out, "{text}")?,
                (Ok(false), Missing::PassedOver) => {}
                (Ok(false), Missing::Fails) => failures.push(self.no_such(text)),
                (Err(error), _) => failures.push(error),
            }
        }
        out.flush()?;
        all_of(failures)
    }

    /// Refuses to remove what containers use, and says which.
    pub(super) fn refuse_used<'a>(
        self,
        name: &str,
        users: impl Iterator<Item = &'a User>,
    ) -> Result<()> {
        let users: Vec<&User> = users.collect();
        let Some(first) = users.first() else {
            return Ok(());
        };
        let names: Vec<String> = users
            .iter()
            .map(|user| format!("{} (project {})", user.name, user.project))
            .collect();
        let containers = match users.len() {
            1 => "container",
            _ => "containers",
        };
        let (kind, names) = (self.word(), names.join(", "));
        let hint = format!(
            "remove what uses it first: `stack -p {} down`",
            first.project
        );
        Err(Error::new(format!("{kind} {name} is in use by {containers} {names}")).hint(hint))
    }
}

/// Who uses the networks and volumes of the machine.
pub(super) fn users(context: &Context) -> Result<Users> {
    users_besides(context, &[])
}

/// Tells the failures of a command that works on several objects: one in full, of several a line each.
pub(super) fn all_of(failures: Vec<Error>) -> Result<()> {
    let mut failures = failures;
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => Err(Error::several(
            failures.iter().map(Error::summary).collect(),
        )),
    }
}

/// A label or an option of a command line: `KEY=VALUE`, or `KEY` for an empty value.
pub(super) fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}
