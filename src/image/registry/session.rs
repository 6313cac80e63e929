//! Logging in and out.

use hyper::{Method, StatusCode};

use super::super::reference::Reference;
use super::client::{Access, Client, Request};
use super::error::RegistryError;
use super::login::{Credentials, LoggedOut, Login, Stored, registry_of};
use super::settings::Registries;

/// Tries a login at a registry (`host`, `host:port` or an old address; empty = Docker Hub) and keeps
/// it where Docker would.
///
/// # Errors
/// When the registry does not take it, or it cannot be kept.
pub async fn log_in(
    registries: &Registries,
    server: &str,
    (user, password): (&str, &str),
) -> Result<Stored, RegistryError> {
    let registry = name_of(server);
    let credentials = Credentials::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    let reference = any_image_of(registry)?;
    let client = Client::new(&reference, Access::LogIn, (registries, &credentials)).await?;
    let refused = || RegistryError::WrongLogin {
        registry: registry.to_owned(),
    };
    let answer = match client.ask_path("/v2/", &Request::new(Method::GET)).await {
        Err(RegistryError::Unauthorised { .. }) => return Err(refused()),
        other => other?,
    };
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(refused()),
        _ => return Err(client.refused(answer, "/v2/").await),
    }
    let login = match client.identity() {
        Some(token) => Login::Identity(token),
        None => Login::User {
            name: user.to_owned(),
            password: password.to_owned(),
        },
    };
    registries.0.logins.store(registry, (user, &login)).await
}

/// Forgets the login at a registry.
///
/// # Errors
/// When the file or the helper that keeps it cannot be used.
pub async fn log_out(registries: &Registries, server: &str) -> Result<LoggedOut, RegistryError> {
    registries.0.logins.erase(name_of(server)).await
}

/// The registry that a person means.
fn name_of(server: &str) -> &str {
    match server {
        "" => "docker.io",
        other => registry_of(other),
    }
}

/// Messages about a registry speak of an image; a login has none.
fn any_image_of(registry: &str) -> Result<Reference, RegistryError> {
    format!("{registry}/login")
        .parse()
        .map_err(|_| RegistryError::Resolve {
            host: registry
                .chars()
                .filter(|c| !c.is_control())
                .take(100)
                .collect(),
            source: std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "this is no name of a host",
            ),
        })
}
