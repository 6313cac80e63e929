//! What a provider is asked and what it answers (Docker Compose, `docs/extension.md`). Pure.

use serde::Deserialize;

use crate::cli::error::{Error, Result};
use crate::compose::model::Provider;

/// What a provider is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Up,
    Stop,
    Down,
}

impl Verb {
    /// The argument.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Stop => "stop",
            Self::Down => "down",
        }
    }

    /// What is said while it does that, when it has done it, and what it failed to do.
    pub(super) fn said(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Up => ("Creating", "Created", "create"),
            Self::Stop => ("Stopping", "Stopped", "stop"),
            Self::Down => ("Removing", "Removed", "remove"),
        }
    }
}

/// What a provider says of itself (`compose metadata`); nothing where it does not know the question.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    description: String,
    up: Accepts,
    down: Accepts,
    /// Only one that says so is told to stop.
    stop: Option<Accepts>,
}

/// The options that a command of a provider takes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Accepts {
    parameters: Option<Vec<Parameter>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameter {
    name: String,
    required: bool,
}

impl Metadata {
    fn is_empty(&self) -> bool {
        self.description.is_empty()
            && self.up.parameters.is_none()
            && self.down.parameters.is_none()
    }

    fn of(&self, verb: Verb) -> Option<&Accepts> {
        match verb {
            Verb::Up => Some(&self.up),
            Verb::Down => Some(&self.down),
            Verb::Stop => self.stop.as_ref(),
        }
    }
}

/// The arguments that make a provider do something; `None` when it does not know how to.
///
/// # Errors
///
/// The file does not give an option that the provider cannot do without.
pub(super) fn arguments(
    (project, service): (&str, &str),
    verb: Verb,
    provider: &Provider,
    metadata: &Metadata,
) -> Result<Option<Vec<String>>> {
    let Some(accepts) = metadata.of(verb) else {
        return Ok(None);
    };
    let known = accepts.parameters.as_deref().unwrap_or_default();
    let takes_all = metadata.is_empty();
    let missing = known
        .iter()
        .find(|known| known.required && !provider.options.contains_key(&known.name));
    if let Some(missing) = missing {
        return Err(Error::new(format!(
            "required parameter \"{}\" is missing from provider \"{}\" definition",
            missing.name, provider.kind
        )));
    }
    let mut arguments = vec![
        "compose".to_owned(),
        format!("--project-name={project}"),
        verb.word().to_owned(),
    ];
    for (name, values) in &provider.options {
        if takes_all || known.iter().any(|known| known.name == *name) {
            arguments.extend(values.iter().map(|value| format!("--{name}={value}")));
        }
    }
    arguments.push(service.to_owned());
    Ok(Some(arguments))
}

/// A line of a provider.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// For people.
    Note(String),
    /// For those who look for mistakes.
    Detail(String),
    /// It fails, for this reason.
    Failure(String),
    /// A variable for the services that need it, under the service's name and `_`.
    Variable(String, String),
    /// A variable under its own name.
    RawVariable(String, String),
    /// It wants the service as it stands in the file, as a line of JSON.
    Question,
}

impl Message {
    /// # Errors
    ///
    /// A provider does not say this.
    pub(super) fn read(self) -> Result<Said> {
        let text = self.message;
        let variable = || match text.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(Error::new(format!("invalid response from plugin: {text}"))),
        };
        Ok(match self.kind.as_str() {
            "info" => Said::Note(text),
            "debug" => Said::Detail(text),
            "error" => Said::Failure(text),
            "setenv" => variable().map(|(name, value)| Said::Variable(name, value))?,
            "rawsetenv" => variable().map(|(name, value)| Said::RawVariable(name, value))?,
            "get-service-config" => Said::Question,
            kind => {
                return Err(Error::new(format!("invalid response from plugin: {kind}")));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    fn provider() -> Provider {
        let options = [("size", vec!["3"]), ("zone", vec!["a", "b"])];
        let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
        let options: IndexMap<String, Vec<String>> = options
            .into_iter()
            .map(|(name, values)| (name.to_owned(), owned(values)))
            .collect();
        Provider {
            kind: "maker".to_owned(),
            options,
        }
    }

    #[test]
    fn a_provider_gets_the_options_that_it_knows() {
        let all = "compose --project-name=shop up --size=3 --zone=a --zone=b db";
        for (metadata, verb, expected) in [
            ("{}", Verb::Up, Some(all)),
            ("{}", Verb::Stop, None),
            (
                r#"{"up": {"parameters": [{"name": "size", "required": true}]}}"#,
                Verb::Up,
                Some("compose --project-name=shop up --size=3 db"),
            ),
            (
                r#"{"description": "makes", "stop": {}}"#,
                Verb::Stop,
                Some("compose --project-name=shop stop db"),
            ),
            (
                r#"{"up": {"parameters": []}}"#,
                Verb::Down,
                Some("compose --project-name=shop down db"),
            ),
        ] {
            let metadata: Metadata = serde_json::from_str(metadata).unwrap();
            let given = arguments(("shop", "db"), verb, &provider(), &metadata).unwrap();
            let given = given.map(|words| words.join(" "));
            assert_eq!(given.as_deref(), expected, "{metadata:?}");
        }
    }

    #[test]
    fn what_a_provider_cannot_do_without_is_told() {
        let text = r#"{"up": {"parameters": [{"name": "colour", "required": true}]}}"#;
        let metadata: Metadata = serde_json::from_str(text).unwrap();
        let error = arguments(("shop", "db"), Verb::Up, &provider(), &metadata).unwrap_err();
        assert_eq!(
            error.summary(),
            "required parameter \"colour\" is missing from provider \"maker\" definition"
        );
    }

    #[test]
    fn lines_are_read_by_their_type() {
        let read = |text: &str| {
            let message: Message = serde_json::from_str(text).unwrap();
            message.read().map_err(|error| error.summary().to_owned())
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (name, value) = pair("URL", "http://a=b");
        assert_eq!(
            read(r#"{"type":"setenv","message":"URL=http://a=b"}"#),
            Ok(Said::Variable(name, value))
        );
        assert_eq!(read(r#"{"type":"get-service-config"}"#), Ok(Said::Question));
        for (text, expected) in [
            (r#"{"type":"setenv","message":"URL"}"#, "URL"),
            (r#"{"type":"nonsense"}"#, "nonsense"),
        ] {
            let expected = format!("invalid response from plugin: {expected}");
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }
}
