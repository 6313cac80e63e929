//! What a service has from outside of the stack: providers, models, containers of others.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::ServiceName;

/// A program that provides a service instead of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Name of the program.
    pub kind: String,
    /// Options, each with its values.
    pub options: IndexMap<String, Vec<String>>,
}

/// A language model of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Full name, when it is given.
    pub name: Option<String>,
    /// The model, as its registry calls it.
    pub model: String,
    /// Size of its context, in tokens; `None` = the model's.
    pub context_size: Option<i64>,
    /// Flags for the program that runs it.
    pub runtime_flags: Vec<String>,
}

/// The use of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUse {
    /// Variable that gets its address; `None` = `<KEY>_URL`.
    pub endpoint_var: Option<String>,
    /// Variable that gets its name; `None` = `<KEY>_MODEL`.
    pub model_var: Option<String>,
}

/// Another name under which a service is reached (`links`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The service.
    pub service: ServiceName,
    /// The name; `None` = its own.
    pub alias: Option<String>,
}

/// A container of another project that is reached by name (`external_links`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalLink {
    /// The container.
    pub container: String,
    /// The name; `None` = its own.
    pub alias: Option<String>,
}

/// Account of a service, on Windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialSpec {
    /// Config with it.
    pub config: Option<String>,
    /// File with it.
    pub file: Option<String>,
    /// Value of the registry with it.
    pub registry: Option<String>,
}
