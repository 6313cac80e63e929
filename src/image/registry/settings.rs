//! How each registry is spoken to on this machine.
//!
//! `registries.json` in `/etc/stack` and in the user's configuration directory
//! (`$XDG_CONFIG_HOME/stack`, `~/.config/stack`), whose word is the last:
//!
//! ```json
//! {
//!   "registries": {
//!     "docker.io": { "mirrors": ["https://mirror.lan:5000"] },
//!     "registry.lan:5000": { "ca": "lan.crt", "cert": "me.crt", "key": "me.key" },
//!     "10.0.0.0/8": { "insecure": true }
//!   }
//! }
//! ```
//!
//! A name is `host`, `host:port` or a network. `mirrors` are asked first, in their order, and only by
//! `pull`. `insecure` takes any certificate, and plain HTTP where TLS cannot be had; registries on
//! this machine are insecure by themselves, as for Docker. Paths are relative to the file. Docker's
//! and podman's `certs.d/<host:port>/{*.crt,*.cert,*.key}` are read as well.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ipnetwork::IpNetwork;
use rustls::RootCertStore;
use serde::Deserialize;

use super::connect::{Endpoint, Scheme};
use super::error::RegistryError;
use super::login::LoginFiles;
use super::proxy::Proxies;

const FILE: &str = "registries.json";
/// Time until the head of an answer, and between two pieces of its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// How registries are spoken to on this machine: settings, certificates, proxies, logins.
///
/// Only names of files are kept; each pull and push reads them anew.
#[derive(Debug, Clone)]
pub struct Registries(pub(super) Arc<Machine>);

#[derive(Debug)]
pub(super) struct Machine {
    /// Files like the one above; a later one wins.
    files: Vec<PathBuf>,
    /// Directories with a directory of certificates for each registry.
    certificates: Vec<PathBuf>,
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`: instead of the system's certificates.
    pub(super) roots: (Option<PathBuf>, Option<PathBuf>),
    pub(super) proxies: Proxies,
    pub(super) logins: LoginFiles,
    /// The certificates of the system take milliseconds to read.
    pub(super) trusted: OnceLock<RootCertStore>,
    pub(super) patience: Duration,
}

/// One registry's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    #[serde(default)]
    pub(super) mirrors: Vec<Mirror>,
    #[serde(default)]
    pub(super) insecure: bool,
    #[serde(default)]
    ca: Option<PathBuf>,
    #[serde(default)]
    cert: Option<PathBuf>,
    #[serde(default)]
    key: Option<PathBuf>,
}

/// Another host that has a registry's images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Mirror {
    /// `None` = TLS, and plain HTTP where the settings of this host allow it.
    pub(super) scheme: Option<Scheme>,
    pub(super) host: String,
}

impl TryFrom<String> for Mirror {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (scheme, host) = match text.split_once("://") {
            Some(("https", host)) => (Some(Scheme::Https), host),
            Some(("http", host)) => (Some(Scheme::Http), host),
            Some(_) => {
                return Err("a mirror is a host, or an address with `http://` or `https://`");
            }
            None => (None, &*text),
        };
        let host = host.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
            return Err("a mirror is `host` or `host:port`, without a path or a password");
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    registries: BTreeMap<String, Host>,
}

/// What is trusted and shown when TLS is spoken with a host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Certificates {
    pub(super) authorities: Vec<PathBuf>,
    /// A certificate of ours and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

impl Registries {
    /// Notes what the environment says: `DOCKER_CONFIG`, `REGISTRY_AUTH_FILE`, `SSL_CERT_FILE`,
    /// `SSL_CERT_DIR`, the proxies, `HOME` and the `XDG_*` directories.
    pub fn from_environment(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let path = |name: &str| {
            env(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = path("HOME");
        let config = path("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
        let mut files = vec![Path::new("/etc/stack").join(FILE)];
        files.extend(
            config
                .as_ref()
                .map(|config| config.join("stack").join(FILE)),
        );
        let mut certificates = vec![
            PathBuf::from("/etc/docker/certs.d"),
            PathBuf::from("/etc/containers/certs.d"),
        ];
        certificates.extend(config.map(|config| config.join("containers/certs.d")));
        Self(Arc::new(Machine {
            files,
            certificates,
            roots: (path("SSL_CERT_FILE"), path("SSL_CERT_DIR")),
            proxies: Proxies::from_environment(env),
            logins: LoginFiles::from_environment(env),
            trusted: OnceLock::new(),
            patience: PATIENCE,
        }))
    }

    /// Gives up on registries that are silent for so long; 30 s unless set.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        let old = &self.0;
        Self(Arc::new(Machine {
            files: old.files.clone(),
            certificates: old.certificates.clone(),
            roots: old.roots.clone(),
            proxies: old.proxies.clone(),
            logins: old.logins.clone(),
            trusted: OnceLock::new(),
            patience,
        }))
    }
}

/// As the environment of the process says.
impl Default for Registries {
    fn default() -> Self {
        Self::from_environment(&|name| std::env::var(name).ok())
    }
}

impl Machine {
    /// The settings of a registry, from all files that name it.
    pub(super) fn host(&self, name: &str) -> Result<Host, RegistryError> {
        let mut found = Host {
            insecure: is_loopback(name),
            ..Host::default()
        };
        for path in &self.files {
            let Some(file) = read(path)? else {
                continue;
            };
            let base = path.parent().unwrap_or(Path::new("/"));
            for (_, host) in file
                .registries
                .into_iter()
                .filter(|(rule, _)| is_meant(rule, name))
            {
                found.merge(host, base);
            }
        }
        Ok(found)
    }

    /// The certificates for a host: those of the settings and of the directories.
    pub(super) fn certificates(
        &self,
        endpoint: &Endpoint,
    ) -> Result<(Host, Certificates), RegistryError> {
        let mut names = vec![endpoint.name()];
        if endpoint.port == endpoint.scheme.port() {
            names.push(endpoint.host.clone());
        }
        let mut settings = Host::default();
        let mut found = Certificates::default();
        for name in &names {
            let host = self.host(name)?;
            found.authorities.extend(host.ca.clone());
            if let (Some(cert), Some(key)) = (&host.cert, &host.key) {
                found.own = Some((cert.clone(), key.clone()));
            }
            settings.insecure |= host.insecure;
            for directory in &self.certificates {
                found
                    .add(&directory.join(name))
                    .map_err(|(path, source)| RegistryError::Certificate { path, source })?;
            }
        }
        Ok((settings, found))
    }
}

impl Host {
    fn merge(&mut self, other: Self, base: &Path) {
        let absolute = |path: PathBuf| base.join(path);
        if !other.mirrors.is_empty() {
            self.mirrors = other.mirrors;
        }
        self.insecure |= other.insecure;
        self.ca = other.ca.map(absolute).or(self.ca.take());
        self.cert = other.cert.map(absolute).or(self.cert.take());
        self.key = other.key.map(absolute).or(self.key.take());
    }
}

impl Certificates {
    /// Docker's rule (`ReadCertsDirectory`): `*.crt` is trusted, `x.cert` is ours with the key `x.key`.
    fn add(&mut self, directory: &Path) -> Result<(), (PathBuf, io::Error)> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(());
            }
            Err(error) => return Err((directory.to_owned(), error)),
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.authorities.push(path),
                Some("cert") => {
                    let key = path.with_extension("key");
                    if !key.exists() {
                        let missing =
                            io::Error::new(ErrorKind::NotFound, "the key beside it is missing");
                        return Err((path, missing));
                    }
                    self.own = Some((path, key));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<File>, RegistryError> {
    let wrong = |source| RegistryError::Settings {
        path: path.to_owned(),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => {
            let file = serde_json::from_slice(&bytes);
            file.map(Some).map_err(|error| wrong(error.into()))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(wrong(error)),
    }
}

/// Whether a name in the settings means this registry.
fn is_meant(rule: &str, name: &str) -> bool {
    if rule.eq_ignore_ascii_case(name) {
        return true;
    }
    match (rule.parse::<IpNetwork>(), host_of(name).parse::<IpAddr>()) {
        (Ok(network), Ok(address)) => rule.contains('/') && network.contains(address),
        _ => false,
    }
}

/// The host without its port and brackets.
fn host_of(name: &str) -> &str {
    match name.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => name.split(':').next().unwrap_or_default(),
    }
}

/// Loopback registries need no TLS, as for Docker.
pub(super) fn is_loopback(registry: &str) -> bool {
    let host = host_of(registry);
    let loopback = |address: IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_insecure_by_itself() {
        for (registry, loopback) in [
            ("localhost:5000", true),
            ("127.1.2.3", true),
            ("[::1]:5000", true),
            ("localhost.example.com", false),
            ("10.0.0.1:5000", false),
            ("127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_loopback(registry), loopback, "{registry}");
        }
    }

    fn with(text: &str) -> (tempfile::TempDir, Registries) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("stack")).unwrap();
        fs::write(dir.path().join("stack/registries.json"), text).unwrap();
        let config = dir.path().display().to_string();
        let env = move |name: &str| (name == "XDG_CONFIG_HOME").then(|| config.clone());
        let registries = Registries::from_environment(&env);
        (dir, registries)
    }

    #[test]
    fn a_registry_is_named_by_host_port_or_network() {
        let (dir, registries) = with(
            r#"{"registries": {
                "docker.io": {"mirrors": ["http://m.lan:5000/", "n.lan"]},
                "10.0.0.0/8": {"insecure": true},
                "reg.lan:5000": {"ca": "lan.crt"}
            }}"#,
        );
        let host = |name: &str| registries.0.host(name).unwrap();
        let mirrors = host("docker.io").mirrors;
        assert_eq!(
            (mirrors[0].scheme, &*mirrors[0].host),
            (Some(Scheme::Http), "m.lan:5000")
        );
        assert_eq!((mirrors[1].scheme, &*mirrors[1].host), (None, "n.lan"));
        assert!(host("10.2.3.4:80").insecure && host("127.0.0.1").insecure);
        assert!(!host("11.2.3.4:80").insecure && !host("reg.lan:5000").insecure);
        assert_eq!(
            host("reg.lan:5000").ca,
            Some(dir.path().join("stack/lan.crt"))
        );
        assert_eq!(host("reg.lan"), Host::default());
    }

    #[test]
    fn settings_that_cannot_be_understood_are_named_with_their_file() {
        for text in [
            "{",
            r#"{"registry": {}}"#,
            r#"{"registries": {"a": {"insecur": true}}}"#,
            r#"{"registries": {"a": {"mirrors": ["ftp://a"]}}}"#,
            r#"{"registries": {"a": {"mirrors": ["https://u:p@a"]}}}"#,
            r#"{"registries": {"a": {"mirrors": ["https://a/path"]}}}"#,
        ] {
            let (_dir, registries) = with(text);
            let error = registries.0.host("a").unwrap_err();
            assert!(
                error.to_string().contains("registries.json"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn certificates_lie_where_docker_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("containers/certs.d/reg.lan:5000");
        fs::create_dir_all(&own).unwrap();
        for name in ["ca.crt", "me.cert", "me.key", "readme"] {
            fs::write(own.join(name), "").unwrap();
        }
        let config = dir.path().display().to_string();
        let env = move |name: &str| (name == "XDG_CONFIG_HOME").then(|| config.clone());
        let registries = Registries::from_environment(&env);
        let endpoint = |url: &str| Endpoint::of(&url.parse().unwrap()).unwrap();
        let (_, found) = registries
            .0
            .certificates(&endpoint("https://reg.lan:5000"))
            .unwrap();
        assert_eq!(found.authorities, [own.join("ca.crt")]);
        assert_eq!(found.own, Some((own.join("me.cert"), own.join("me.key"))));
        let (_, other) = registries
            .0
            .certificates(&endpoint("https://reg.lan"))
            .unwrap();
        assert_eq!(other, Certificates::default());
        fs::remove_file(own.join("me.key")).unwrap();
        let error = registries
            .0
            .certificates(&endpoint("https://reg.lan:5000"))
            .unwrap_err();
        assert!(error.to_string().contains("me.cert"), "{error}");
    }
}
