//! The lists that `config` prints, one name a line, and the form of the model.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{ConfigCommand, ConfigError, Format, Subject, variables};
use crate::compose::diagnostic::suggestion;
use crate::compose::load::Loaded;
use crate::compose::model::{Service, ServiceName, Stack};
use crate::compose::render::{raw_json, raw_yaml, to_json, to_yaml};
use crate::compose::tree::{Map, Node};

impl ConfigCommand {
    /// Reduces the stack to the services that were named and what they need, where that matters.
    pub(super) fn select(&self, loaded: &mut Loaded) -> Result<(), ConfigError> {
        let selects = matches!(
            self.subject,
            Subject::Model | Subject::Images | Subject::Profiles | Subject::Environment
        );
        if self.names.is_empty() || !selects || self.load_options().skip.interpolation {
            return Ok(());
        }
        let names = self
            .names
            .iter()
            .map(|name| any_service(&loaded.stack, name))
            .collect::<Result<Vec<_>, _>>()?;
        loaded.stack = loaded.stack.select(&names)?;
        Ok(())
    }

    /// What goes to standard output, or into the file.
    pub(super) fn text(&self, loaded: &Loaded) -> Result<String, ConfigError> {
        let stack = &loaded.stack;
        if self.load_options().skip.interpolation {
            return self.raw_text(loaded);
        }
        Ok(match &self.subject {
            Subject::Services => lines(stack.services.keys().map(ServiceName::as_str)),
            Subject::Volumes => lines(stack.volumes.keys().map(|key| key.as_str())),
            Subject::Networks => lines(stack.networks.keys().map(|key| key.as_str())),
            Subject::Profiles => lines(profiles(stack)),
            Subject::Images => images(stack),
            Subject::Hash(names) => hashes(stack, names)?,
            Subject::Models => lines(models(stack)),
            Subject::Environment | Subject::Variables | Subject::Explain(_) => String::new(),
            Subject::Model => match self.format {
                Some(Format::Json) => to_json(loaded),
                Some(Format::Yaml) | None => to_yaml(loaded),
                Some(Format::Table) => return Err(ConfigError::NoTable),
            },
        })
    }

    /// The output where variables are not filled in: there is a tree and no typed model.
    fn raw_text(&self, loaded: &Loaded) -> Result<String, ConfigError> {
        let tree = &loaded.tree;
        Ok(match (&self.subject, self.format) {
            (Subject::Variables, format) => variables::print(tree, format),
            (Subject::Model, Some(Format::Json)) => raw_json(tree),
            (Subject::Model, Some(Format::Yaml) | None) => raw_yaml(tree),
            (Subject::Model, Some(Format::Table)) => return Err(ConfigError::NoTable),
            (Subject::Services, _) => lines(keys(tree, "services")),
            (Subject::Images, _) => raw_images(loaded),
            _ => String::new(),
        })
    }
}

/// The models that services use, as their registry calls them.
fn models(stack: &Stack) -> impl Iterator<Item = &str> {
    let used: BTreeSet<&String> = stack
        .services
        .values()
        .flat_map(|service| service.models.keys())
        .collect();
    let models = used.into_iter().filter_map(|key| stack.models.get(key));
    models
        .map(|model| model.model.as_str())
        .filter(|model| !model.is_empty())
}

/// The keys of a mapping at the top of the tree.
fn keys<'a>(tree: &'a Node, kind: &str) -> impl Iterator<Item = &'a str> {
    let map = tree.get(kind).and_then(Node::as_map);
    map.into_iter().flat_map(Map::keys).map(String::as_str)
}

fn any_service(stack: &Stack, name: &str) -> Result<ServiceName, ConfigError> {
    let all = || stack.services.keys().chain(stack.disabled_services.keys());
    match all().find(|known| known.as_str() == name) {
        Some(known) => Ok(known.clone()),
        None => Err(no_such_service(name, all())),
    }
}

fn no_such_service<'a>(name: &str, known: impl Iterator<Item = &'a ServiceName>) -> ConfigError {
    ConfigError::NoSuchService {
        name: name.to_owned(),
        suggestion: suggestion(name, known.map(ServiceName::as_str)).map(str::to_owned),
    }
}

/// One a line, sorted: Docker Compose's own order is another one at every run.
fn lines<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut items: Vec<&str> = items.into_iter().collect();
    items.sort_unstable();
    items.into_iter().flat_map(|item| [item, "\n"]).collect()
}

fn profiles(stack: &Stack) -> BTreeSet<&str> {
    stack
        .services
        .values()
        .chain(stack.disabled_services.values())
        .flat_map(|service: &Service| &service.profiles)
        .map(String::as_str)
        .collect()
}

/// The image of each service, in the order of the services' names.
fn images(stack: &Stack) -> String {
    let mut services: Vec<(&ServiceName, &Service)> = stack.services.iter().collect();
    services.sort_unstable_by_key(|(name, _)| *name);
    services
        .into_iter()
        .map(|(name, service)| match &service.image {
            Some(image) => format!("{image}\n"),
            None => format!("{}-{name}\n", stack.name),
        })
        .collect()
}

/// The images as they are written, in the order of the services' names.
fn raw_images(loaded: &Loaded) -> String {
    let mut names: Vec<&str> = keys(&loaded.tree, "services").collect();
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| match loaded.tree.at(&["services", name, "image"]) {
            Some(image) => format!("{}\n", image.scalar_text().unwrap_or_default()),
            None => format!("{}-{name}\n", loaded.stack.name),
        })
        .collect()
}

/// `name hash`, a line for each.
fn hashes(stack: &Stack, names: &str) -> Result<String, ConfigError> {
    let services = &stack.services;
    let named: BTreeSet<&str> = match names {
        "*" => services.keys().map(ServiceName::as_str).collect(),
        names => names.split(',').collect(),
    };
    let mut text = String::new();
    for name in named {
        let service = services
            .get(name)
            .ok_or_else(|| no_such_service(name, services.keys()))?;
        text.push_str(&format!("{name} {}\n", hash(service)));
    }
    Ok(text)
}

/// What Docker Compose calls the service's hash.
fn hash(service: &Service) -> String {
    let digest = Sha256::digest(service.hash_input.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
