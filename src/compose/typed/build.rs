//! How an image is built.

use std::path::PathBuf;

use super::{Reader, files, ulimits};
use crate::compose::model::{Build, BuildContext, Dockerfile, ServiceName, SshKey};
use crate::compose::tree::Node;

pub(super) fn build(reader: &Reader<'_>) -> Option<Build> {
    let reader = reader.inner("build")?;
    let dockerfile = match reader.text("dockerfile_inline") {
        Some(text) => Dockerfile::Inline(text),
        None => Dockerfile::File(
            reader
                .text("dockerfile")
                .unwrap_or_else(|| "Dockerfile".to_owned()),
        ),
    };
    Some(Build {
        context: context(&reader.text("context").unwrap_or_default()),
        dockerfile,
        args: reader.pairs("args").collect(),
        additional_contexts: reader
            .pairs("additional_contexts")
            .map(|(name, text)| (name, context(&text)))
            .collect(),
        ssh: reader.pairs("ssh").map(ssh_key).collect(),
        secrets: files::uses(&reader, "secrets", ""),
        labels: reader.pairs("labels").collect(),
        cache_from: reader.texts("cache_from"),
        cache_to: reader.texts("cache_to"),
        no_cache: reader.flag("no_cache"),
        no_cache_filter: reader.texts("no_cache_filter"),
        pull: reader.flag("pull"),
        extra_hosts: reader.hosts("extra_hosts"),
        isolation: reader.text("isolation"),
        network: reader.text("network"),
        target: reader.text("target"),
        shm_size: reader.size("shm_size").filter(|size| *size > 0),
        tags: reader.texts("tags"),
        ulimits: ulimits(&reader),
        platforms: reader.texts("platforms"),
        privileged: reader.flag("privileged"),
        entitlements: reader.texts("entitlements"),
        provenance: reader.node.get("provenance").and_then(Node::scalar_text),
        sbom: reader.node.get("sbom").and_then(Node::scalar_text),
    })
}

/// Paths are absolute by now, so that what is not one is elsewhere.
fn context(text: &str) -> BuildContext {
    if let Some(service) = text.strip_prefix("service:") {
        return BuildContext::Service(ServiceName::new(service));
    }
    if let Some(image) = text.strip_prefix("docker-image://") {
        return BuildContext::Image(image.to_owned());
    }
    match text.starts_with('/') {
        true => BuildContext::Directory(PathBuf::from(text)),
        false => BuildContext::Remote(text.to_owned()),
    }
}

fn ssh_key((id, path): (String, String)) -> SshKey {
    SshKey {
        id,
        path: Some(path)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
    }
}
