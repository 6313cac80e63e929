//! `build:` of a service, as `stack config` prints it: complete, with absolute paths. Pure.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

/// `build:` of a service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServiceBuild {
    /// Directory, or the address of a repository.
    pub context: String,
    /// The Dockerfile, relative to the context.
    pub dockerfile: Option<String>,
    /// The Dockerfile itself.
    pub dockerfile_inline: Option<String>,
    /// Build arguments; `None` = the value of the environment.
    pub args: IndexMap<String, Option<Value>>,
    /// Contexts by name.
    pub additional_contexts: IndexMap<String, String>,
    /// Labels of the image.
    pub labels: IndexMap<String, Option<Value>>,
    /// Stage to build.
    pub target: Option<String>,
    /// Further names of the image.
    pub tags: Vec<String>,
    /// What the image is for.
    pub platforms: Vec<String>,
    /// Network of the steps.
    pub network: Option<String>,
    /// Lines of `/etc/hosts`, `name=address`.
    pub extra_hosts: Vec<String>,
    /// Secrets.
    pub secrets: Vec<SecretUse>,
    /// Agents: `default`, or `name=socket`.
    pub ssh: Vec<String>,
    /// Size of `/dev/shm`, in bytes.
    pub shm_size: Option<Value>,
    /// Limits by name.
    pub ulimits: IndexMap<String, Limit>,
    /// Do not use what earlier builds have made.
    pub no_cache: bool,
    /// Do not use what they have made of these stages.
    pub no_cache_filter: Vec<String>,
    /// Fetch base images.
    pub pull: bool,
    /// Steps may ask for all privileges.
    pub privileged: bool,
    /// The same, and more.
    pub entitlements: Vec<String>,
}

/// A secret that a build uses.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SecretUse {
    /// Its name in the stack file.
    pub source: String,
    /// Its name in the Dockerfile.
    pub target: Option<String>,
}

/// A limit of `ulimits`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// Soft and hard.
    Single(i64),
    /// Each its own.
    Both {
        /// Soft.
        soft: i64,
        /// Hard.
        hard: i64,
    },
}

/// A secret of the stack file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StackSecret {
    /// A file.
    pub file: Option<PathBuf>,
    /// A variable of the environment.
    pub environment: Option<String>,
    /// Its content.
    pub content: Option<String>,
}

/// What builds need of a stack.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StackBuilds {
    /// By service.
    pub builds: IndexMap<String, ServiceBuild>,
    /// By name.
    pub secrets: IndexMap<String, StackSecret>,
}

impl StackBuilds {
    /// Reads the stack that `config --format json` has printed.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let mut document: Value = serde_json::from_str(json)?;
        undouble(&mut document);
        let mut found = Self::default();
        for (name, service) in document["services"].as_object().into_iter().flatten() {
            if let Some(build) = service.get("build").filter(|build| !build.is_null()) {
                let build = serde_json::from_value(build.clone())?;
                found.builds.insert(name.clone(), build);
            }
        }
        for (name, secret) in document["secrets"].as_object().into_iter().flatten() {
            let secret = serde_json::from_value(secret.clone())?;
            found.secrets.insert(name.clone(), secret);
        }
        Ok(found)
    }
}

/// Dollar signs are printed twice.
fn undouble(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("$$") => *text = text.replace("$$", "$"),
        Value::Array(list) => list.iter_mut().for_each(undouble),
        Value::Object(map) => map.values_mut().for_each(undouble),
        _ => {}
    }
}

/// A scalar as text.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_read_as_config_prints_them() {
        let found = StackBuilds::parse(
            r#"{"services": {
                "web": {"build": {"context": "/c", "dockerfile": "D", "args": {"A": "1$$x", "B": null},
                    "shm_size": "64", "ulimits": {"nofile": {"soft": 1, "hard": 2}, "nproc": 3},
                    "secrets": [{"source": "s"}], "ssh": ["default"], "extra_hosts": ["a=1.2.3.4"],
                    "additional_contexts": {"x": "service:base"}, "no_cache": true}},
                "db": {"image": "x"}
            }, "secrets": {"s": {"name": "p_s", "environment": "S"}}}"#,
        )
        .unwrap();
        let web = &found.builds["web"];
        assert_eq!(found.builds.len(), 1);
        assert_eq!(web.args["A"], Some(Value::from("1$x")));
        assert_eq!(web.args["B"], None);
        assert_eq!(web.ulimits["nproc"], Limit::Single(3));
        assert_eq!(found.secrets["s"].environment.as_deref(), Some("S"));
    }
}
