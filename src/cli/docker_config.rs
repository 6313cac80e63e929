//! What people have set for Docker's command line, in `config.json` of `DOCKER_CONFIG` or
//! `~/.docker`, and what they expect of ours. A file or a setting that cannot be read is none.

use std::path::Path;

use serde_json::Value;

use super::choice::Format;
use super::context::Context;
use super::detach::DetachKeys;

/// The settings.
#[derive(Debug, Default)]
pub(super) struct DockerConfig(Value);

impl DockerConfig {
    /// Reads them.
    pub(super) fn read(context: &Context) -> Self {
        let home = || Some(format!("{}/.docker", context.env("HOME")?));
        let dir = context.env("DOCKER_CONFIG").or_else(home);
        let file = dir.and_then(|dir| std::fs::read(Path::new(&dir).join("config.json")).ok());
        let config = file.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self(config.unwrap_or_default())
    }

    /// `psFormat`: the form of `ps` where none is asked for.
    pub(super) fn ps_format(&self) -> Option<Format> {
        self.0["psFormat"].as_str()?.parse().ok()
    }

    /// `detachKeys`: the keys that let go of a container where none are given.
    pub(super) fn detach_keys(&self) -> Option<DetachKeys> {
        self.0["detachKeys"].as_str()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_set() {
        for (text, keys, format) in [
            (
                r#"{"detachKeys": "ctrl-a,x", "psFormat": "json"}"#,
                Some("ctrl-a,x"),
                true,
            ),
            (
                r#"{"detachKeys": "nonsense", "psFormat": "nonsense"}"#,
                None,
                false,
            ),
            (r#"{"detachKeys": 3}"#, None, false),
            ("[]", None, false),
        ] {
            let config = DockerConfig(serde_json::from_str(text).unwrap());
            assert_eq!(config.detach_keys(), keys.map(|keys| keys.parse().unwrap()));
            assert_eq!(config.ps_format().is_some(), format, "{text}");
        }
    }
}
