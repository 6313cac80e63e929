//! The variables of a template, and where their values come from.

use serde::Serialize;

use super::{History, Place};
use crate::compose::template;

/// A variable that a text names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VariableUse {
    /// Its name.
    pub name: String,
    /// Its value; `None` when it has none.
    pub value: Option<String>,
    /// Whose value it is.
    #[serde(flatten)]
    pub origin: VariableOrigin,
    /// The default or the alternative that the text gives (`-b`, `+b`, `?why`), as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "value_from", rename_all = "snake_case")]
pub enum VariableOrigin {
    /// The environment of the caller.
    Shell {
        /// A file of variables has it too, and does not count.
        #[serde(skip_serializing_if = "Option::is_none")]
        shadowed: Option<Place>,
    },
    /// A file of variables (`.env`, `--env-file`).
    File(Place),
    /// The name of the project, which is always there.
    Project,
    /// Nobody has one.
    Unset,
}

impl History<'_> {
    /// The variables that a text names, in its order, each once.
    pub(super) fn variables_of(&self, text: &str) -> Vec<VariableUse> {
        let mut uses: Vec<VariableUse> = Vec::new();
        for found in template::references(text) {
            if uses.iter().any(|known| known.name == found.name) {
                continue;
            }
            let (value, origin) = self.variable(found.name);
            uses.push(VariableUse {
                name: found.name.to_owned(),
                value,
                origin,
                fallback: found
                    .operator
                    .map(|operator| format!("{operator}{}", found.argument)),
            });
        }
        uses
    }

    /// The value of a variable and whose it is, as the loader looks it up.
    pub(super) fn variable(&self, name: &str) -> (Option<String>, VariableOrigin) {
        if name == "COMPOSE_PROJECT_NAME" {
            let value = self.loaded.stack.name.to_string();
            return (Some(value), VariableOrigin::Project);
        }
        let place = || self.place(*self.loaded.variable_places.get(name)?);
        if let Some(value) = self.source.env(name) {
            let shadowed = place();
            return (Some(value), VariableOrigin::Shell { shadowed });
        }
        match (self.loaded.variables.get(name), place()) {
            (Some(value), Some(place)) => (Some(value.clone()), VariableOrigin::File(place)),
            (value, _) => (value.cloned(), VariableOrigin::Unset),
        }
    }
}
