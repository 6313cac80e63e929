//! Where a variable of a container comes from, and where one that is not set was looked for.

use serde::Serialize;

use super::find::{Found, find};
use super::variables::VariableOrigin;
use super::{ExplainError, Explanation, History, Place, traced};
use crate::compose::diagnostic::suggestion;
use crate::compose::load::{LoadOptions, Loaded, Skip, load};
use crate::compose::model::ServiceName;
use crate::compose::source::Source;
use crate::compose::tree::Node;

/// The environment that an image gives, as `KEY=VALUE`; `None` when the image is not here.
pub type ImageEnvironment<'a> = dyn Fn(&str) -> Option<Vec<String>> + 'a;

/// A variable of a service's containers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvVariable {
    /// The service.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its value in the container; `None` when it is not set there.
    pub value: Option<String>,
    /// What the stack files say of it; `None` when they do not name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<FromImage>,
    /// Where it was looked for, when nobody sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked: Option<Looked>,
}

/// What the image says of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FromImage {
    /// The image, as the service names it.
    pub name: String,
    /// Whether it is in the store; otherwise nobody knows what it sets.
    pub is_here: bool,
    /// The value that it sets.
    pub value: Option<String>,
}

/// Where a variable that nobody sets was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// The service's `environment`, if it has one.
    pub environment: Option<Place>,
    /// Where the files of its `env_file` are named, in the order in which they count.
    pub env_files: Vec<Place>,
    /// Who has a variable of this name that the service does not get.
    pub not_passed_on: VariableOrigin,
    /// A variable of the service that is called much the same.
    pub suggestion: Option<String>,
}

/// Explains a variable of a service; the service may be off.
pub fn variable(
    source: &dyn Source,
    options: &LoadOptions,
    (service, name): (&str, &str),
    images: &ImageEnvironment<'_>,
) -> Result<EnvVariable, ExplainError> {
    let loaded = traced(source, options)?;
    let history = History {
        loaded: &loaded,
        source,
        options,
    };
    let asked = Asked::new(&history, service, images)?;
    let mut variable = asked.variable(name);
    if variable.value.is_none() && variable.explanation.is_none() {
        variable.looked = Some(asked.looked(name)?);
    }
    Ok(variable)
}

/// All variables of a service, those of its image too, sorted by name.
pub fn variables(
    source: &dyn Source,
    options: &LoadOptions,
    service: &str,
    images: &ImageEnvironment<'_>,
) -> Result<Vec<EnvVariable>, ExplainError> {
    let loaded = traced(source, options)?;
    let history = History {
        loaded: &loaded,
        source,
        options,
    };
    let asked = Asked::new(&history, service, images)?;
    Ok(asked
        .names()
        .into_iter()
        .map(|name| asked.variable(name))
        .collect())
}

/// A service whose variables are asked about.
struct Asked<'a> {
    history: &'a History<'a>,
    service: &'a str,
    environment: Option<Found<'a>>,
    image: Option<(String, Option<Vec<String>>)>,
}

impl<'a> Asked<'a> {
    fn new(
        history: &'a History<'a>,
        service: &str,
        images: &ImageEnvironment<'_>,
    ) -> Result<Self, ExplainError> {
        let loaded: &'a Loaded = history.loaded;
        let found = find(&loaded.tree, "services")?;
        let services = found.parts();
        let names = || {
            services
                .iter()
                .map(|part| part.path.trim_start_matches("services."))
        };
        let Some(found) = services
            .iter()
            .find(|part| part.path.strip_prefix("services.") == Some(service))
        else {
            return Err(ExplainError::NoSuchService {
                name: service.to_owned(),
                suggestion: suggestion(service, names()).map(str::to_owned),
            });
        };
        let stack = &loaded.stack;
        let name = ServiceName::new(service);
        let (name, model) = stack
            .services
            .get_key_value(&name)
            .or_else(|| stack.disabled_services.get_key_value(&name))
            .ok_or_else(|| ExplainError::NoSuchService {
                name: service.to_owned(),
                suggestion: None,
            })?;
        let image = model.image.clone().map(|image| {
            let environment = images(&image);
            (image, environment)
        });
        Ok(Self {
            history,
            service: name.as_str(),
            environment: found
                .parts()
                .into_iter()
                .find(|part| part.path.ends_with(".environment")),
            image,
        })
    }

    fn names(&self) -> Vec<&str> {
        let own = self.environment.iter().flat_map(|found| {
            let map = found.node.as_map();
            map.into_iter()
                .flat_map(|map| map.keys())
                .map(String::as_str)
        });
        let image = self.image.iter().flat_map(|(_, environment)| environment);
        let of_image = image
            .flatten()
            .map(|line| line.split('=').next().unwrap_or(line));
        let mut names: Vec<&str> = own.chain(of_image).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn variable(&self, name: &str) -> EnvVariable {
        let found = self.environment.as_ref().and_then(|environment| {
            let parts = environment.parts();
            parts
                .into_iter()
                .find(|part| matches!(part.step, super::find::Step::Key(key, _) if key == name))
        });
        let image = self.image.as_ref().map(|(image, environment)| FromImage {
            name: image.clone(),
            is_here: environment.is_some(),
            value: environment.as_ref().and_then(|lines| value_of(lines, name)),
        });
        let value = match &found {
            // Named without a value that anybody has: taken away from what the image sets.
            Some(found) => found.node.as_text().map(str::to_owned),
            None => image.as_ref().and_then(|image| image.value.clone()),
        };
        EnvVariable {
            service: self.service.to_owned(),
            name: name.to_owned(),
            value,
            explanation: found.map(|found| self.history.of(&found)),
            image,
            looked: None,
        }
    }

    /// A variable that is called much the same, whatever the case of its letters.
    fn alike(&self, name: &str) -> Option<String> {
        let names = self.names();
        let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let meant = suggestion(name, lower.iter().map(String::as_str))?;
        let index = lower.iter().position(|lower| lower == meant)?;
        names.get(index).map(|name| (*name).to_owned())
    }

    fn looked(&self, name: &str) -> Result<Looked, ExplainError> {
        let options = LoadOptions {
            skip: Skip {
                environment: true,
                ..self.history.options.skip
            },
            ..self.history.options.clone()
        };
        // The files are no longer in a tree that their variables are in.
        let unread = load(self.history.source, &options)?;
        let place = |span| Place::new(&unread.warnings.sources, span);
        let service = unread.tree.at(&["services", self.service]);
        let files = service.and_then(|service| service.get("env_file"));
        let files = files.and_then(Node::as_list).unwrap_or_default();
        Ok(Looked {
            environment: service
                .and_then(|service| service.as_map()?.get("environment"))
                .and_then(|entry| place(entry.key)),
            env_files: files
                .iter()
                .rev()
                .filter_map(|file| place(file.get("path")?.span))
                .collect(),
            not_passed_on: self.history.variable(name).1,
            suggestion: self.alike(name),
        })
    }
}

fn value_of(lines: &[String], name: &str) -> Option<String> {
    let mut values = lines.iter().rev().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key == name).then(|| value.to_owned())
    });
    values.next()
}
