//! What `network` and `volume` have in common.

use super::context::Context;
use super::error::{Error, Result};
use super::prompt;
use crate::engine::native::objects::{User, Users};
use crate::engine::native::{observe, projects};

/// Who uses the networks and volumes of the machine.
pub(super) fn users(context: &Context) -> Result<Users> {
    let observed = observe(&context.paths, None)?;
    let mut desired = Vec::new();
    for project in projects(&context.paths)? {
        desired.extend(context.desired(&project)?);
    }
    Ok(Users::of(&observed, &desired))
}

/// Refuses to remove what containers use, and says which.
pub(super) fn refuse_used<'a>(
    kind: &str,
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
    Err(Error::new(format!(
        "{kind} {name} is in use by {containers} {}",
        names.join(", ")
    ))
    .hint(format!(
        "remove what uses it first: `stack -p {} down`",
        first.project
    )))
}

/// Asks before something is removed; `--force` says yes.
pub(super) fn confirm(force: bool, what: &str, command: &str) -> Result<()> {
    let question = format!("{what}\nAre you sure you want to continue?");
    if force || prompt::confirm(&question)? {
        return Ok(());
    }
    Err(Error::new(format!("{command} has been cancelled")).hint("`--force` does not ask"))
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
