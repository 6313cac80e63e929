//! Configs and secrets: files that services are given.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Reload;

/// A config or a secret of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileObject {
    /// Full name (`<project>_<key>` unless given).
    pub name: String,
    /// Where its content comes from.
    pub source: FileSource,
    /// Labels.
    pub labels: IndexMap<String, String>,
    /// What keeps it, as written.
    pub driver: Option<String>,
    /// Options of what keeps it.
    pub driver_opts: BTreeMap<String, String>,
    /// What fills it in as a template, as written.
    pub template_driver: Option<String>,
    /// SHA-256 of the content of a file of the host, as hexadecimal digits: filled in by whoever
    /// looks at the file, since the loader does not.
    #[serde(default)]
    pub content_hash: Option<String>,
    /// How programs that are given it are told that it has another content; `None`: as their services
    /// say.
    #[serde(default)]
    pub reload: Option<Reload>,
}

/// Where the content of a config or a secret comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileSource {
    /// A file of the host, absolute. It need not be there yet.
    File(PathBuf),
    /// A variable of the caller's environment.
    Environment {
        /// Its name.
        variable: String,
        /// Its value when the stack was loaded; `None` = it was not set.
        value: Option<String>,
    },
    /// The text itself.
    Content(String),
    /// It is kept elsewhere.
    External,
}

/// Contents stay out of logs.
impl std::fmt::Debug for FileSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment { variable, value } => f
                .debug_struct("Environment")
                .field("variable", variable)
                .field("set", &value.is_some())
                .finish(),
            Self::Content(text) => f.debug_tuple("Content").field(&text.len()).finish(),
            Self::External => f.write_str("External"),
        }
    }
}

/// The use of a config or a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileUse {
    /// Its key at the top of the stack.
    pub source: String,
    /// In a container: the absolute path of the file. In a build: the secret's id.
    pub target: String,
    /// Owner, as written; `None` = 0.
    pub uid: Option<String>,
    /// Group, as written; `None` = 0.
    pub gid: Option<String>,
    /// Permission bits; `None` = 0444.
    pub mode: Option<u32>,
}
