//! What would be built, in the words of `docker buildx bake`: `build --print`. Pure but for links in the
//! paths of Dockerfiles.
//!
//! Keys, their order and what is left out are Docker Compose's, which hands this very document to `bake`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::build_phase::Extra;
use super::image_phase::image_text;
use crate::compose::model::{
    Build, BuildContext, Dockerfile, FileSource, FileUse, Service, ServiceName, Stack, Ulimit,
};

/// What is to come of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// They stay here.
    Kept,
    /// They go to their registries.
    Pushed,
    /// There are none: Dockerfiles are checked.
    Checked,
}

/// The document for these services.
pub(super) fn document(
    stack: &Stack,
    services: &[ServiceName],
    (extra, outcome): (&Extra, Outcome),
) -> Value {
    let mut names: Vec<&ServiceName> = services.iter().collect();
    names.sort();
    let targets = names.iter().filter_map(|name| {
        let mut all = stack.services.iter().chain(&stack.disabled_services);
        let (_, service) = all.find(|(known, _)| known == name)?;
        let build = service.build.as_ref()?;
        let target = Target {
            stack,
            name,
            service,
            build,
        };
        Some((called(name), target.document(extra, outcome)))
    });
    let targets: Map<String, Value> = targets.collect();
    let names: Vec<&String> = targets.keys().collect();
    json!({ "group": { "default": { "targets": names } }, "target": targets })
}

/// The name of a service's target, in which a point would mean something.
fn called(service: &ServiceName) -> String {
    service.as_str().replace('.', "_")
}

/// `bake` would put values in place of what looks like a variable.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// The fields of a target; those that say nothing are left out.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, key: &str, value: Value) {
        let says_nothing = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !says_nothing {
            self.0.insert(key.to_owned(), value);
        }
    }

    /// In the order of the alphabet.
    fn map(&mut self, key: &str, pairs: impl Iterator<Item = (String, String)>) {
        let sorted: std::collections::BTreeMap<String, String> = pairs.collect();
        self.put(key, json!(sorted));
    }
}

struct Target<'a> {
    stack: &'a Stack,
    name: &'a ServiceName,
    service: &'a Service,
    build: &'a Build,
}

impl Target<'_> {
    fn document(&self, extra: &Extra, outcome: Outcome) -> Value {
        let build = self.build;
        let mut fields = Fields::default();
        fields.put("context", json!(place(&build.context)));
        let contexts = build.additional_contexts.iter();
        fields.map(
            "contexts",
            contexts.map(|(name, context)| (name.clone(), place(context))),
        );
        match &build.dockerfile {
            Dockerfile::File(file) => fields.put("dockerfile", json!(self.dockerfile(file))),
            Dockerfile::Inline(text) => fields.put("dockerfile-inline", json!(literal(text))),
        }
        let args = build
            .args
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        let args = args.chain(extra.args.iter().cloned());
        fields.map("args", args.map(|(name, value)| (name, literal(&value))));
        fields.map("labels", labels(self.stack, (self.name, build)).into_iter());
        let image = image_text(self.stack, self.name, self.service);
        let tags: Vec<&String> = build.tags.iter().chain([&image]).collect();
        fields.put("tags", json!(tags));
        fields.put("cache-from", json!(build.cache_from));
        fields.put("cache-to", json!(build.cache_to));
        fields.put("target", json!(build.target));
        let secrets = build.secrets.iter();
        let secrets: Vec<String> = secrets.filter_map(|used| self.secret(used)).collect();
        fields.put("secret", json!(secrets));
        fields.put("ssh", json!(self.agents(extra)));
        fields.put("platforms", json!(build.platforms));
        fields.put("pull", json!(build.pull || extra.pull));
        fields.put("no-cache", json!(build.no_cache || extra.no_cache));
        fields.put("network", json!(build.network));
        fields.put("no-cache-filter", json!(build.no_cache_filter));
        let shm_size = build.shm_size.filter(|size| *size > 0);
        fields.put("shm-size", json!(shm_size.map(|size| size.to_string())));
        let limits: Vec<String> = build.ulimits.iter().map(limit).collect();
        fields.put("ulimits", json!(limits));
        if outcome == Outcome::Checked {
            fields.put("call", json!("lint"));
        }
        let insecure = build.privileged.then(|| "security.insecure".to_owned());
        let rights: Vec<&String> = build.entitlements.iter().chain(&insecure).collect();
        fields.put("entitlements", json!(rights));
        fields.map("extra-hosts", self.hosts().into_iter());
        fields.put("output", json!(self.output(outcome)));
        let attested = [("provenance", &build.provenance), ("sbom", &build.sbom)];
        let attested: Vec<String> = attested.into_iter().filter_map(attestation).collect();
        fields.put("attest", json!(attested));
        Value::Object(fields.0)
    }

    /// The path of a Dockerfile, without links in front of its name; of a context elsewhere, as it is
    /// written.
    fn dockerfile(&self, file: &str) -> String {
        let BuildContext::Directory(directory) = &self.build.context else {
            return file.to_owned();
        };
        let path: PathBuf = directory.join(file).components().collect();
        let resolved = path.parent().and_then(|parent| parent.canonicalize().ok());
        match (resolved, path.file_name()) {
            (Some(parent), Some(name)) => parent.join(name).display().to_string(),
            _ => path.display().to_string(),
        }
    }

    fn secret(&self, used: &FileUse) -> Option<String> {
        let id = match used.target.is_empty() {
            true => &used.source,
            false => &used.target,
        };
        match &self.stack.secrets.get(&used.source)?.source {
            FileSource::Environment { variable, .. } => {
                Some(format!("id={id},type=env,env={variable}"))
            }
            FileSource::File(path) => Some(format!("id={id},type=file,src={}", path.display())),
            FileSource::Content(_) | FileSource::External => None,
        }
    }

    fn agents(&self, extra: &Extra) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let of_file = self.build.ssh.iter().map(|key| {
            let path = key.path.as_deref().map(path).unwrap_or_default();
            format!("{}={path}", key.id)
        });
        let given = extra.ssh.iter().map(|text| match text.contains('=') {
            true => text.clone(),
            false => format!("{text}="),
        });
        of_file.chain(given).collect()
    }

    /// A name may have several addresses.
    fn hosts(&self) -> Vec<(String, String)> {
        let mut hosts: Vec<(String, String)> = Vec::new();
        for (name, address) in &self.build.extra_hosts {
            match hosts.iter_mut().find(|(known, _)| known == name) {
                Some((_, addresses)) => *addresses = format!("{addresses},{address}"),
                None => hosts.push((name.clone(), address.clone())),
            }
        }
        hosts
    }

    fn output(&self, outcome: Outcome) -> Option<[String; 1]> {
        let push = outcome == Outcome::Pushed && self.service.image.is_some();
        match outcome {
            Outcome::Checked => None,
            _ if self.build.platforms.len() > 1 => Some([format!("type=image,push={push}")]),
            _ if push => Some(["type=registry".to_owned()]),
            _ => Some(["type=docker".to_owned()]),
        }
    }
}

/// The labels of a service's image: the file's, and those that say whose it is.
pub(super) fn labels(
    stack: &Stack,
    (name, build): (&ServiceName, &Build),
) -> Vec<(String, String)> {
    let of_file = build.labels.iter();
    let mut labels: Vec<(String, String)> = of_file
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (key, value) in [
        ("project", stack.name.as_str()),
        ("service", name.as_str()),
        ("version", env!("CARGO_PKG_VERSION")),
    ] {
        labels.push((format!("com.docker.compose.{key}"), value.to_owned()));
    }
    labels
}

fn place(context: &BuildContext) -> String {
    match context {
        BuildContext::Directory(path) => path.display().to_string(),
        BuildContext::Service(name) => format!("target:{}", called(name)),
        BuildContext::Image(reference) => format!("docker-image://{reference}"),
        BuildContext::Remote(text) => text.clone(),
    }
}

fn limit((name, limit): (&String, &Ulimit)) -> String {
    match limit.soft == limit.hard {
        true => format!("{name}={}", limit.soft),
        false => format!("{name}={}:{}", limit.soft, limit.hard),
    }
}

fn attestation((kind, value): (&str, &Option<String>)) -> Option<String> {
    match value.as_deref()? {
        "" => None,
        "true" => Some(format!("type={kind}")),
        "false" => Some(format!("type={kind},disabled=true")),
        parameters => Some(format!("type={kind},{parameters}")),
    }
}
