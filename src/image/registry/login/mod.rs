//! Who we are to registries: the logins that Docker, podman and `stack login` have stored.
//!
//! Owns the files and the credential helpers. Invariant: a password is never part of a message, a log
//! or a `Debug` output.

mod files;
mod helper;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::RegistryError;

pub(super) use files::LoginFiles;

/// Docker Hub's logins are kept under the address of its first registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Who we are to a registry.
#[derive(Clone, Default)]
pub enum Credentials {
    /// What `stack login`, `docker login` or `podman login` have stored, else nobody.
    #[default]
    Docker,
    /// Nobody.
    Anonymous,
    /// This user, for whatever registry is asked.
    Basic {
        /// Name.
        user: String,
        /// Password.
        password: String,
    },
}

/// Passwords do not belong into logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker",
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(…)",
        })
    }
}

/// A login, found.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// None; maybe because a helper could not be asked.
    Nobody {
        why: Option<String>,
    },
    User {
        name: String,
        password: String,
    },
    /// A token to get tokens with (Docker's `identitytoken`).
    Identity(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nobody { .. } => "Nobody",
            Self::User { .. } => "User(…)",
            Self::Identity(_) => "Identity(…)",
        })
    }
}

/// Where a login was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// By the credential helper of this name.
    Helper(String),
    /// In this file, readable by its owner.
    File(PathBuf),
}

/// What a logout found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoggedOut {
    /// There was a login, and it is gone.
    pub removed: bool,
    /// Files of other tools that still have one.
    pub elsewhere: Vec<PathBuf>,
}

impl Login {
    pub(super) fn nobody() -> Self {
        Self::Nobody { why: None }
    }

    /// Finds the login for a repository. Credential helpers are programs, so it may take a while.
    pub(super) async fn find(
        credentials: &Credentials,
        files: &LoginFiles,
        (registry, repository): (&str, &str),
    ) -> Result<Self, RegistryError> {
        match credentials {
            Credentials::Anonymous => Ok(Self::nobody()),
            Credentials::Basic { user, password } => Ok(Self::User {
                name: user.clone(),
                password: password.clone(),
            }),
            Credentials::Docker => files.find(registry, repository).await,
        }
    }

    /// For messages.
    pub(super) fn user(&self) -> String {
        match self {
            Self::Nobody { why: None } => "anonymous users".to_owned(),
            Self::Nobody { why: Some(why) } => format!("anonymous users ({why})"),
            Self::User { name, .. } => format!("the user `{name}`"),
            Self::Identity(_) => "the user that is logged in".to_owned(),
        }
    }

    /// The header for basic authentication.
    pub(super) fn basic(&self) -> Option<String> {
        match self {
            Self::User { name, password } => Some(format!(
                "Basic {}",
                STANDARD.encode(format!("{name}:{password}"))
            )),
            Self::Nobody { .. } | Self::Identity(_) => None,
        }
    }
}

/// The name that a registry's login has in Docker's files and helpers.
pub(super) fn key_of(registry: &str) -> &str {
    match registry {
        "docker.io" => DOCKER_HUB,
        other => other,
    }
}

/// The registry that a key means: old ones are whole addresses (Docker's `ConvertToHostname`).
pub(super) fn registry_of(key: &str) -> &str {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    match bare.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}
