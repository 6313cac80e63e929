//! Providers, models, links.

use super::{Reader, deploy};
use crate::compose::model::{
    CredentialSpec, ExternalLink, Link, Model, ModelUse, Provider, ServiceName, VolumesFrom,
    VolumesSource,
};
use crate::compose::tree::Node;

pub(super) fn provider(reader: &Reader<'_>) -> Option<Provider> {
    let reader = reader.inner("provider")?;
    let options = reader.map("options").into_iter().flatten();
    Some(Provider {
        kind: reader.text("type")?,
        options: options
            .map(|(name, entry)| (name.clone(), deploy::values(&entry.node)))
            .collect(),
    })
}

pub(super) fn credential_spec(reader: &Reader<'_>) -> Option<CredentialSpec> {
    let reader = reader.inner("credential_spec")?;
    Some(CredentialSpec {
        config: reader.text("config"),
        file: reader.text("file"),
        registry: reader.text("registry"),
    })
}

pub(super) fn model_uses(reader: &Reader<'_>) -> indexmap::IndexMap<String, ModelUse> {
    let uses = reader.map("models").into_iter().flatten();
    uses.map(|(key, entry)| {
        let text = |name: &str| entry.node.get(name)?.as_text().map(str::to_owned);
        let model_use = ModelUse {
            endpoint_var: text("endpoint_var"),
            model_var: text("model_var"),
        };
        (key.clone(), model_use)
    })
    .collect()
}

/// A language model of the stack.
pub(in crate::compose) fn model(node: &Node) -> Model {
    let reader = Reader {
        node,
        at: String::new(),
    };
    Model {
        name: reader.text("name"),
        model: reader.text("model").unwrap_or_default(),
        context_size: reader.int("context_size"),
        runtime_flags: reader.texts("runtime_flags"),
    }
}

fn named(text: &str) -> (String, Option<String>) {
    match text.split_once(':') {
        Some((name, alias)) => (name.to_owned(), Some(alias.to_owned())),
        None => (text.to_owned(), None),
    }
}

pub(super) fn links(reader: &Reader<'_>) -> Vec<Link> {
    let texts = reader.texts("links");
    let links = texts.iter().map(|text| named(text));
    links
        .map(|(service, alias)| Link {
            service: ServiceName::new(service),
            alias,
        })
        .collect()
}

pub(super) fn external_links(reader: &Reader<'_>) -> Vec<ExternalLink> {
    let texts = reader.texts("external_links");
    let links = texts.iter().map(|text| named(text));
    links
        .map(|(container, alias)| ExternalLink { container, alias })
        .collect()
}

/// `SERVICE[:ro]` or `container:NAME[:ro]`.
pub(super) fn volumes_from(reader: &Reader<'_>) -> Vec<VolumesFrom> {
    let read = |text: &String| {
        let (is_container, rest) = match text.strip_prefix("container:") {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let (name, mode) = rest.split_once(':').unwrap_or((rest, ""));
        VolumesFrom {
            source: match is_container {
                true => VolumesSource::Container(name.to_owned()),
                false => VolumesSource::Service(ServiceName::new(name)),
            },
            read_only: mode == "ro",
        }
    };
    reader.texts("volumes_from").iter().map(read).collect()
}
