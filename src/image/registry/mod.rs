//! Registries: connections, logins, requests (OCI distribution specification).
//!
//! Owns how a registry is spoken to: settings, certificates, proxies, logins, tokens, redirects and
//! retries. Knows nothing of the store.
//!
//! Invariant: no password or token goes to another host than the one it is for, nor over a connection
//! without TLS unless the registry is on this machine or was named as insecure.

mod auth;
mod body;
mod client;
mod connect;
mod error;
mod fetch;
mod login;
mod proxy;
mod resolve;
mod retry;
mod session;
mod settings;
mod tls;

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
pub(super) mod testing;

pub use error::RegistryError;
pub use fetch::{Fetched, FileVersion, fetch_file};
pub use login::{Credentials, LoggedOut, Stored};
pub use session::{log_in, log_out};
pub use settings::Registries;

pub(super) use body::Payload;
pub(super) use client::{Access, Answer, Client, Request, accept, query};
pub(super) use retry::Failures;
