//! Who we are to a registry: challenges, logins, tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde::Deserialize;

use super::error::RegistryError;

/// Who we are to a registry.
#[derive(Clone, Default)]
pub enum Credentials {
    /// What `docker login` has stored (`config.json`, its helpers), else nobody.
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
#[derive(Clone)]
pub(super) enum Login {
    Nobody,
    User {
        name: String,
        password: String,
    },
    /// A token to get tokens with (Docker's `identitytoken`).
    Identity(String),
}

impl Login {
    /// Finds the login for a registry. Credential helpers are programs, so it may take a while.
    pub(super) async fn find(
        credentials: &Credentials,
        registry: &str,
    ) -> Result<Self, RegistryError> {
        match credentials {
            Credentials::Anonymous => return Ok(Self::Nobody),
            Credentials::Basic { user, password } => {
                return Ok(Self::User {
                    name: user.clone(),
                    password: password.clone(),
                });
            }
            Credentials::Docker => {}
        }
        // Docker Hub's logins are kept under the address of its first registry.
        let server = match registry {
            "docker.io" => "https://index.docker.io/v1/".to_owned(),
            other => other.to_owned(),
        };
        let wrong = |source| RegistryError::Login {
            registry: registry.to_owned(),
            source,
        };
        let found = tokio::task::spawn_blocking(move || docker_credential::get_credential(&server));
        match found.await.map_err(|error| wrong(error.into()))? {
            Ok(DockerCredential::UsernamePassword(name, password)) => {
                Ok(Self::User { name, password })
            }
            Ok(DockerCredential::IdentityToken(token)) => Ok(Self::Identity(token)),
            Err(
                CredentialRetrievalError::NoCredentialConfigured
                | CredentialRetrievalError::ConfigNotFound
                | CredentialRetrievalError::ConfigReadError,
            ) => Ok(Self::Nobody),
            Err(error) => Err(wrong(error.to_string().into())),
        }
    }

    /// For messages.
    pub(super) fn user(&self) -> String {
        match self {
            Self::Nobody => "anonymous users".to_owned(),
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
            Self::Nobody | Self::Identity(_) => None,
        }
    }
}

/// How a registry wants to be asked (RFC 9110, WWW-Authenticate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Challenge {
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        for (key, value) in parameters(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer {
            realm: realm?,
            service,
        })
    }
}

/// `key="value",key=value`; a comma within quotes separates nothing.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        found.push((key.trim().to_owned(), value.trim().to_owned()));
        rest = next.trim_start_matches([',', ' ']);
    }
    found
}

/// The answer of a token server; some call it one way, some the other.
#[derive(Deserialize)]
pub(super) struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Token {
    pub(super) fn header(self) -> Option<String> {
        let token = self
            .token
            .filter(|token| !token.is_empty())
            .or(self.access_token)?;
        Some(format!("Bearer {token}"))
    }
}

/// Text as part of a URL's query or a form.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_in_every_spelling() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        for (header, challenge) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/token\",service=\"reg, x\",scope=\"a:b:pull\"",
                bearer("https://a/token", Some("reg, x")),
            ),
            (
                "bearer service=x, Realm=\"https://a\"",
                bearer("https://a", Some("x")),
            ),
            ("Bearer service=\"x\"", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(header), challenge, "{header}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let credentials = Credentials::Basic {
            user: "me".into(),
            password: "secret".into(),
        };
        assert!(!format!("{credentials:?}").contains("secret"));
        assert_eq!(escape("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }
}
