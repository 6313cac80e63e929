//! The configuration of the image that a stage makes, as the JSON that Docker writes. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::plan::Stage;
use super::plan::step::Config;
use crate::image::StoredLayer;

/// One entry of an image's history.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HistoryEntry {
    pub(super) created: Option<Timestamp>,
    pub(super) created_by: String,
    pub(super) empty_layer: bool,
}

/// What an image is made of, beside its layers.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    /// The base image's configuration; `None` = it was made from nothing.
    pub(super) base: Option<&'a Map<String, Value>>,
    pub(super) stage: &'a Stage,
    pub(super) layers: &'a [StoredLayer],
    /// What this build adds to the base image's history.
    pub(super) history: &'a [HistoryEntry],
    /// Labels that the caller adds.
    pub(super) labels: &'a [(String, String)],
    pub(super) created: Option<Timestamp>,
    /// The records of its steps, for builds elsewhere.
    pub(super) records: Option<Value>,
}

impl Draft<'_> {
    /// The bytes of the configuration.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Map::new();
        let mut platform = self.stage.platform.splitn(3, '/');
        let mut part = || platform.next().filter(|part| !part.is_empty());
        let of_base = |key: &str| self.base.and_then(|base| base.get(key)).cloned();
        let (os, architecture) = (part().unwrap_or("linux"), part());
        out.insert("os".to_owned(), of_base("os").unwrap_or(json!(os)));
        let own = architecture.map_or_else(|| std::env::consts::ARCH.to_owned(), str::to_owned);
        let architecture = of_base("architecture").unwrap_or(json!(own));
        out.insert("architecture".to_owned(), architecture);
        let variant = of_base("variant").or_else(|| part().map(|variant| json!(variant)));
        for (key, value) in [
            ("variant", variant),
            ("os.version", of_base("os.version")),
            (
                "author",
                self.stage
                    .config
                    .author
                    .clone()
                    .map(Value::from)
                    .or(of_base("author")),
            ),
            (
                "created",
                self.created.map(|created| json!(created.to_string())),
            ),
        ] {
            if let Some(value) = value.filter(|value| value.as_str() != Some("")) {
                out.insert(key.to_owned(), value);
            }
        }
        out.insert(
            "config".to_owned(),
            settings(&self.stage.config, self.labels),
        );
        let diff_ids: Vec<String> = self
            .layers
            .iter()
            .map(|layer| layer.diff_id.to_string())
            .collect();
        out.insert(
            "rootfs".to_owned(),
            json!({ "type": "layers", "diff_ids": diff_ids }),
        );
        out.insert("history".to_owned(), Value::Array(self.history()));
        if let Some(records) = &self.records {
            out.insert(super::shared::RECORDS.to_owned(), records.clone());
        }
        // The same image has the same bytes.
        let mut document = Value::Object(out);
        document.sort_all_objects();
        serde_json::to_vec(&document).unwrap_or_default()
    }

    fn history(&self) -> Vec<Value> {
        let base = self.base.and_then(|base| base.get("history"));
        let mut all = base.and_then(Value::as_array).cloned().unwrap_or_default();
        // Tools that compare layers with history expect one entry for each layer.
        let filled = all
            .iter()
            .filter(|entry| entry.get("empty_layer") != Some(&Value::Bool(true)))
            .count();
        let ours = self
            .history
            .iter()
            .filter(|entry| !entry.empty_layer)
            .count();
        let of_base = self.layers.len().saturating_sub(ours);
        for _ in filled..of_base {
            all.push(json!({ "comment": "of the base image" }));
        }
        for entry in self.history {
            let mut map = Map::new();
            if let Some(created) = entry.created {
                map.insert("created".to_owned(), json!(created.to_string()));
            }
            map.insert("created_by".to_owned(), json!(entry.created_by));
            map.insert("comment".to_owned(), json!("buildkit.dockerfile.v0"));
            if entry.empty_layer {
                map.insert("empty_layer".to_owned(), json!(true));
            }
            all.push(Value::Object(map));
        }
        all
    }
}

/// The `config` part. What is not set is left out, as Docker does.
fn settings(config: &Config, labels: &[(String, String)]) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        let empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty() && !matches!(key, "Entrypoint" | "Cmd"),
            Value::Object(map) => map.is_empty(),
            Value::Bool(flag) => !flag,
            Value::Number(_) => false,
        };
        if !empty {
            out.insert(key.to_owned(), value);
        }
    };
    let keys = |list: &[String]| -> Value {
        let map: Map<String, Value> = list.iter().map(|key| (key.clone(), json!({}))).collect();
        Value::Object(map)
    };
    let env: Vec<String> = config
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    put("User", json!(config.user));
    put("ExposedPorts", keys(&config.exposed_ports));
    put("Env", json!(env));
    put("Entrypoint", json!(config.entrypoint));
    put("Cmd", json!(config.cmd));
    put("ArgsEscaped", json!(config.args_escaped));
    put("Volumes", keys(&config.volumes));
    put("WorkingDir", json!(config.workdir));
    let mut all: Map<String, Value> = config
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    all.extend(
        labels
            .iter()
            .map(|(name, value)| (name.clone(), json!(value))),
    );
    put("Labels", Value::Object(all));
    put("StopSignal", json!(config.stop_signal));
    put("Healthcheck", json!(config.healthcheck));
    put("Shell", json!(config.shell));
    put("OnBuild", json!(config.onbuild));
    Value::Object(out)
}

/// What an image says about its containers, read from its configuration.
pub(super) fn settings_of(document: &Map<String, Value>) -> Config {
    let empty = Map::new();
    let config = document
        .get("config")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let text = |map: &Map<String, Value>, key: &str| {
        map.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let words = |key: &str| -> Option<Vec<String>> {
        let list = config.get(key)?.as_array()?;
        Some(
            list.iter()
                .filter_map(|word| Some(word.as_str()?.to_owned()))
                .collect(),
        )
    };
    let keys = |key: &str| -> Vec<String> {
        let map = config.get(key).and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect()
    };
    let pair = |line: &String| match line.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (line.clone(), String::new()),
    };
    let labels = config.get("Labels").and_then(Value::as_object);
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let healthcheck = config.get("Healthcheck").cloned();
    let healthcheck: Option<crate::image::Healthcheck> =
        healthcheck.and_then(|check| serde_json::from_value(check).ok());
    Config {
        env: words("Env").unwrap_or_default().iter().map(pair).collect(),
        entrypoint: words("Entrypoint"),
        cmd: words("Cmd"),
        args_escaped: config.get("ArgsEscaped") == Some(&Value::Bool(true)),
        user: text(config, "User"),
        workdir: text(config, "WorkingDir"),
        labels: labels
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        exposed_ports: keys("ExposedPorts"),
        volumes: keys("Volumes"),
        stop_signal: some(text(config, "StopSignal")),
        healthcheck: healthcheck.filter(|check| !check.test.is_empty()),
        shell: words("Shell"),
        onbuild: words("OnBuild").unwrap_or_default(),
        author: some(text(document, "author")),
    }
}

/// `os/architecture[/variant]` of an image; empty when it does not say.
pub(super) fn platform_of(document: &Map<String, Value>) -> String {
    let part = |key: &str| {
        document
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let parts = [part("os"), part("architecture"), part("variant")];
    let given: Vec<&str> = parts
        .into_iter()
        .take_while(|part| !part.is_empty())
        .collect();
    if given.len() < 2 {
        String::new()
    } else {
        given.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let document = json!({
            "os": "linux", "architecture": "arm64", "variant": "v8", "author": "me",
            "config": {
                "Env": ["A=1=2", "B="], "Entrypoint": ["/e"], "Cmd": [], "User": "u",
                "WorkingDir": "/w", "Labels": {"l": "v"}, "ExposedPorts": {"80/tcp": {}},
                "Volumes": {"/v": {}}, "StopSignal": "SIGINT", "Shell": ["/bin/bash"],
                "OnBuild": ["RUN x"],
                "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5}
            }
        });
        let Value::Object(document) = document else {
            unreachable!("it is an object");
        };
        let config = settings_of(&document);
        assert_eq!(settings(&config, &[]), document["config"]);
        assert_eq!(platform_of(&document), "linux/arm64/v8");
        assert_eq!(config.author.as_deref(), Some("me"));
    }

    #[test]
    fn labels_of_the_caller_win() {
        let mut config = Config::default();
        config.labels.insert("a".to_owned(), "file".to_owned());
        let labels = [("a".to_owned(), "caller".to_owned())];
        assert_eq!(
            settings(&config, &labels),
            json!({"Labels": {"a": "caller"}})
        );
    }
}
