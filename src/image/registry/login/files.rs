//! The files that logins are kept in: Docker's `config.json`, podman's `auth.json`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::error::RegistryError;
use super::{LoggedOut, Login, Stored, helper, key_of, registry_of};

/// The files, the first to be asked first. New logins go into the first one.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct LoginFiles {
    paths: Vec<PathBuf>,
}

impl LoginFiles {
    /// What a variable names comes before what is there by custom.
    pub(in super::super) fn from_environment(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let path = |name: &str| {
            env(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = path("HOME");
        let under = |base: Option<PathBuf>, rest: &str| base.map(|base| base.join(rest));
        let docker = path("DOCKER_CONFIG");
        let by_custom = match docker {
            Some(_) => None,
            None => under(home.clone(), ".docker/config.json"),
        };
        let config = path("XDG_CONFIG_HOME").or_else(|| under(home, ".config"));
        let paths = [
            under(docker, "config.json"),
            path("REGISTRY_AUTH_FILE"),
            by_custom,
            under(path("XDG_RUNTIME_DIR"), "containers/auth.json"),
            under(config, "containers/auth.json"),
        ];
        Self {
            paths: paths.into_iter().flatten().collect(),
        }
    }

    /// The login for a repository of a registry.
    pub(in super::super) async fn find(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Login, RegistryError> {
        let mut why = None;
        for path in &self.paths {
            let Some(document) = read(path)? else {
                continue;
            };
            if let Some(name) = helper_of(&document, registry) {
                match helper::get(&name, key_of(registry)).await {
                    Ok(Some(login)) => return Ok(login),
                    Ok(None) => {}
                    Err(error) if error.is_missing() => {
                        why = Some(format!(
                            "the credential helper `docker-credential-{name}` of {} is not installed",
                            path.display()
                        ));
                    }
                    Err(error) => return Err(login_error(path, error)),
                }
            }
            if let Some(login) = entry(&document, registry, repository) {
                return login.map_err(|error| login_error(path, error));
            }
        }
        Ok(Login::Nobody { why })
    }

    /// Keeps a login where Docker would.
    pub(in super::super) async fn store(
        &self,
        registry: &str,
        (user, login): (&str, &Login),
    ) -> Result<Stored, RegistryError> {
        let path = self.first()?;
        let document = read(path)?.unwrap_or_default();
        let key = key_of(registry);
        if let Some(name) = helper_of(&document, registry) {
            let stored = helper::store(&name, key, login).await;
            stored.map_err(|error| login_error(path, error))?;
            // Docker notes that there is one, so that it can be listed and erased.
            change(path, |auths| {
                auths.insert(key.to_owned(), json!({}));
                true
            })?;
            return Ok(Stored::Helper(name));
        }
        let entry = match login {
            Login::Nobody { .. } => json!({}),
            Login::User { name, password } => {
                json!({ "auth": STANDARD.encode(format!("{name}:{password}")) })
            }
            Login::Identity(token) => {
                json!({ "auth": STANDARD.encode(format!("{user}:")), "identitytoken": token })
            }
        };
        change(path, |auths| {
            auths.insert(key.to_owned(), entry);
            true
        })?;
        Ok(Stored::File(path.clone()))
    }

    /// Forgets a login.
    pub(in super::super) async fn erase(&self, registry: &str) -> Result<LoggedOut, RegistryError> {
        let path = self.first()?;
        let document = read(path)?.unwrap_or_default();
        let mut removed = false;
        if let Some(name) = helper_of(&document, registry) {
            let key = key_of(registry);
            let wrong = |error| login_error(path, error);
            removed = helper::get(&name, key).await.map_err(wrong)?.is_some();
            if removed {
                helper::erase(&name, key).await.map_err(wrong)?;
            }
        }
        if document.get("auths").is_some() {
            removed |= change(path, |auths| {
                let before = auths.len();
                auths.retain(|key, _| registry_of(key) != registry);
                before != auths.len()
            })?;
        }
        let mut elsewhere = Vec::new();
        for other in &self.paths[1..] {
            let document = read(other).ok().flatten().unwrap_or_default();
            if entry(&document, registry, "").is_some() {
                elsewhere.push(other.clone());
            }
        }
        Ok(LoggedOut { removed, elsewhere })
    }

    fn first(&self) -> Result<&PathBuf, RegistryError> {
        self.paths.first().ok_or_else(|| RegistryError::Login {
            path: "config.json".into(),
            source: "neither HOME nor DOCKER_CONFIG is set".into(),
        })
    }
}

fn login_error(
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> RegistryError {
    RegistryError::Login {
        path: path.to_owned(),
        source: source.into(),
    }
}

/// Reads a file; `None` = it is not there, or not for us to read.
fn read(path: &Path) -> Result<Option<Map<String, Value>>, RegistryError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            use ErrorKind::{NotADirectory, NotFound, PermissionDenied};
            return match error.kind() {
                NotFound | NotADirectory | PermissionDenied => Ok(None),
                _ => Err(login_error(path, error)),
            };
        }
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Some(Map::new()));
    }
    // Read as a plain value: an error about a typed one would quote what it found.
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(Some(map)),
        Ok(_) => Err(login_error(path, "it is no JSON object")),
        Err(error) => {
            let text = format!(
                "it is no JSON: line {}, column {}",
                error.line(),
                error.column()
            );
            Err(login_error(path, text))
        }
    }
}

/// The helper for a registry: its own, else the one for all.
fn helper_of(document: &Map<String, Value>, registry: &str) -> Option<String> {
    let own = document.get("credHelpers").and_then(Value::as_object);
    let own = own.and_then(|helpers| {
        let found = helpers.iter().find(|(key, _)| registry_of(key) == registry);
        found.and_then(|(_, name)| name.as_str())
    });
    let all = document.get("credsStore").and_then(Value::as_str);
    own.or(all)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// The login in the file itself. podman's keys may name a part of a registry: the longest wins
/// (containers-auth.json(5)).
fn entry(
    document: &Map<String, Value>,
    registry: &str,
    repository: &str,
) -> Option<Result<Login, &'static str>> {
    let auths = document.get("auths")?.as_object()?;
    let whole = format!("{registry}/{repository}");
    let fits = |key: &str| {
        let namespace = key.strip_prefix("docker.io/").is_some() || !key.contains("://");
        let under = namespace
            && whole
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let host = registry_of(key) == registry
            && (key.contains("://")
                || !key.contains('/')
                || key.ends_with("/v1/")
                || key.ends_with("/v2/"));
        match (under, host) {
            (true, _) => Some(key.len() + 1),
            (false, true) => Some(0),
            (false, false) => None,
        }
    };
    let mut found: Vec<_> = auths
        .iter()
        .filter_map(|(key, entry)| Some((fits(key)?, entry)))
        .collect();
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().find_map(|(_, entry)| login_of(entry))
}

fn login_of(entry: &Value) -> Option<Result<Login, &'static str>> {
    let text = |key: &str| {
        let text = entry.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    if let Some(token) = text("identitytoken") {
        return Some(Ok(Login::Identity(token.to_owned())));
    }
    if let (Some(name), Some(password)) = (text("username"), text("password")) {
        return Some(Ok(Login::User {
            name: name.to_owned(),
            password: password.to_owned(),
        }));
    }
    let decoded = STANDARD
        .decode(text("auth")?.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let both = decoded.as_deref().and_then(|both| both.split_once(':'));
    Some(match both {
        Some((name, password)) => Ok(Login::User {
            name: name.to_owned(),
            // Old versions of Docker padded it.
            password: password.trim_end_matches('\0').to_owned(),
        }),
        None => Err("an `auth` in it is not the base64 of `user:password`"),
    })
}

/// Changes the logins of a file, and nothing else in it; the file appears whole, for its owner alone.
fn change(
    path: &Path,
    edit: impl FnOnce(&mut Map<String, Value>) -> bool,
) -> Result<bool, RegistryError> {
    let mut document = read(path)?.unwrap_or_default();
    let auths = document.entry("auths").or_insert_with(|| json!({}));
    let Value::Object(auths) = auths else {
        return Err(login_error(path, "its `auths` is no JSON object"));
    };
    if !edit(auths) {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    let written = serde::Serialize::serialize(&document, &mut writer)
        .map_err(io::Error::from)
        .and_then(|()| replace(path, &bytes));
    written.map_err(|error| login_error(path, error))?;
    Ok(true)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(parent)?;
    }
    // People keep it in a directory of settings and link to it: the link stays.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = path.with_extension(format!(
        "tmp-{}-{:x}",
        std::process::id(),
        fastrand::u64(..)
    ));
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let owner = fs::metadata(&path).map(|found| (found.uid(), found.gid()));
    let written = (|| {
        file.write_all(bytes)?;
        if let Ok((uid, gid)) = owner {
            // Under sudo it is somebody else's; one who may not give it away keeps it.
            let _ = std::os::unix::fs::fchown(&file, Some(uid), Some(gid));
        }
        file.sync_all()?;
        fs::rename(&temporary, &path)
    })();
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn files(dir: &Path) -> LoginFiles {
        let dir = dir.display().to_string();
        let env = move |name: &str| match name {
            "DOCKER_CONFIG" => Some(format!("{dir}/docker")),
            "REGISTRY_AUTH_FILE" => Some(format!("{dir}/auth.json")),
            _ => None,
        };
        LoginFiles::from_environment(&env)
    }

    fn user(name: &str, password: &str) -> Login {
        Login::User {
            name: name.into(),
            password: password.into(),
        }
    }

    #[test]
    fn what_a_variable_names_comes_before_what_is_there_by_custom() {
        let env = |name: &str| match name {
            "HOME" => Some("/home/me".to_owned()),
            "XDG_RUNTIME_DIR" => Some("/run/me".to_owned()),
            "REGISTRY_AUTH_FILE" => Some("/x.json".to_owned()),
            _ => None,
        };
        let paths = LoginFiles::from_environment(&env).paths;
        assert_eq!(
            paths,
            [
                "/x.json",
                "/home/me/.docker/config.json",
                "/run/me/containers/auth.json",
                "/home/me/.config/containers/auth.json",
            ]
            .map(PathBuf::from)
        );
    }

    #[tokio::test]
    async fn logins_are_found_under_every_key_that_tools_write() {
        let dir = tempfile::tempdir().unwrap();
        // a:1 b:2 c:3 d:4
        let text = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YTox"},
            "http://old.lan/v1/": {"auth": "Yjoy"},
            "reg.lan:5000": {"auth": "Yzoz"},
            "reg.lan:5000/team": {"auth": "ZDo0"},
            "token.lan": {"auth": "YTo=", "identitytoken": "secret"},
            "helped.lan": {},
            "broken.lan": {"auth": "!"}
        }}"#;
        fs::write(dir.path().join("auth.json"), text).unwrap();
        let files = files(dir.path());
        for (registry, repository, login) in [
            ("docker.io", "library/a", user("a", "1")),
            ("old.lan", "a", user("b", "2")),
            ("reg.lan:5000", "a", user("c", "3")),
            ("reg.lan:5000", "teams/a", user("c", "3")),
            ("reg.lan:5000", "team/a", user("d", "4")),
            ("token.lan", "a", Login::Identity("secret".into())),
            ("helped.lan", "a", Login::nobody()),
            ("reg.lan", "a", Login::nobody()),
        ] {
            let found = files.find(registry, repository).await.unwrap();
            assert!(found == login, "{registry}/{repository}: {}", found.user());
        }
        let error = files.find("broken.lan", "a").await.unwrap_err();
        assert!(error.to_string().contains("auth.json"), "{error}");
    }

    #[tokio::test]
    async fn a_stored_login_keeps_the_rest_of_the_file_and_is_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let path = dir.path().join("docker/config.json");
        let login = user("me", "pw:1");
        let stored = files.store("docker.io", ("me", &login)).await.unwrap();
        assert_eq!(stored, Stored::File(path.clone()));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(files.find("docker.io", "a").await.unwrap() == login);

        let real = dir.path().join("real.json");
        fs::rename(&path, &real).unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        let mut document = read(&real).unwrap().unwrap();
        document.insert("detachKeys".into(), json!("ctrl-x"));
        fs::write(&real, serde_json::to_vec(&document).unwrap()).unwrap();
        let token = Login::Identity("t".into());
        files.store("b.lan", ("me", &token)).await.unwrap();
        assert!(path.is_symlink());
        assert_eq!(read(&path).unwrap().unwrap()["detachKeys"], "ctrl-x");
        assert!(files.find("b.lan", "x").await.unwrap() == token);

        let out = files.erase("docker.io").await.unwrap();
        assert_eq!(
            out,
            LoggedOut {
                removed: true,
                elsewhere: vec![]
            }
        );
        assert!(!files.erase("docker.io").await.unwrap().removed);
        assert!(files.find("docker.io", "a").await.unwrap() == Login::nobody());
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 2, "no temporary file is left");
    }

    #[tokio::test]
    async fn a_broken_file_is_named_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            r#"["hunter2"]"#,
            r#"{"auths": "hunter2"}"#,
            r#"{"auths": hunter2}"#,
        ] {
            fs::create_dir_all(dir.path().join("docker")).unwrap();
            fs::write(dir.path().join("docker/config.json"), text).unwrap();
            let stored = files(dir.path())
                .store("a", ("me", &user("me", "hunter2")))
                .await;
            let error = crate::image::testing::whole(&stored.unwrap_err());
            assert!(
                error.contains("config.json") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_helper_that_is_not_installed_makes_us_nobody_and_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("auth.json"),
            r#"{"credsStore": "no-such-helper"}"#,
        )
        .unwrap();
        let login = files(dir.path()).find("a.lan", "x").await.unwrap();
        assert!(
            login.user().contains("docker-credential-no-such-helper"),
            "{}",
            login.user()
        );
        fs::write(
            dir.path().join("auth.json"),
            r#"{"credsStore": "../../bin/sh"}"#,
        )
        .unwrap();
        assert!(files(dir.path()).find("a.lan", "x").await.is_err());
    }
}
