//! Credential helpers: programs called `docker-credential-<name>` that keep logins.
//!
//! The protocol (docker-credential-helpers, README): `get`, `store` or `erase` as the argument, a
//! server's address or a JSON document on standard input, JSON or an error on standard output.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::Login;

/// Time for a helper; a person may have to unlock something first.
const PATIENCE: Duration = Duration::from_secs(120);
const OUTPUT_MAX: u64 = 1 << 20;
/// What every helper says about a server that it does not know.
const NOT_FOUND: &str = "credentials not found";
/// The user's name that says: the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Why a helper gave no answer. Holds nothing of what it said: that may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error("the credential helper `docker-credential-{name}` cannot be run")]
    Run { name: String, source: io::Error },
    #[error("the credential helper `docker-credential-{name}` failed to {action} ({how})")]
    Failed {
        name: String,
        action: &'static str,
        how: String,
    },
    #[error("the credential helper `docker-credential-{name}` gave an answer that is none")]
    Answer { name: String },
    #[error("`{name}` is no name of a credential helper")]
    Name { name: String },
}

impl HelperError {
    /// There is no such program: a configuration that came from another machine.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Run { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The login for a server; `None` = it has none.
pub(super) async fn get(name: &str, server: &str) -> Result<Option<Login>, HelperError> {
    let (good, output) = run(name, "get", server).await?;
    if !good {
        let text = String::from_utf8_lossy(&output);
        if text.contains(NOT_FOUND) {
            return Ok(None);
        }
        return Err(failed(name, "get", "it ended with an error"));
    }
    let wrong = || HelperError::Answer {
        name: name.to_owned(),
    };
    let answer: Value = serde_json::from_slice(&output).map_err(|_| wrong())?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    let (Some(user), Some(secret)) = (text("Username"), text("Secret")) else {
        return Err(wrong());
    };
    Ok(match (user.as_str(), secret.is_empty()) {
        (_, true) => None,
        (TOKEN_USER, _) => Some(Login::Identity(secret)),
        _ => Some(Login::User {
            name: user,
            password: secret,
        }),
    })
}

/// Keeps a login.
pub(super) async fn store(name: &str, server: &str, login: &Login) -> Result<(), HelperError> {
    let (user, secret) = match login {
        Login::Nobody { .. } => return Ok(()),
        Login::User { name, password } => (name.as_str(), password),
        Login::Identity(token) => (TOKEN_USER, token),
    };
    let document = json!({ "ServerURL": server, "Username": user, "Secret": secret }).to_string();
    match run(name, "store", &document).await? {
        (true, _) => Ok(()),
        (false, _) => Err(failed(name, "store", "it ended with an error")),
    }
}

/// Forgets a login; one that is not there is fine.
pub(super) async fn erase(name: &str, server: &str) -> Result<(), HelperError> {
    match run(name, "erase", server).await? {
        (true, _) => Ok(()),
        (false, output) if String::from_utf8_lossy(&output).contains(NOT_FOUND) => Ok(()),
        (false, _) => Err(failed(name, "erase", "it ended with an error")),
    }
}

fn failed(name: &str, action: &'static str, how: &str) -> HelperError {
    HelperError::Failed {
        name: name.to_owned(),
        action,
        how: how.to_owned(),
    }
}

/// Runs a helper: whether it ended well, and what it wrote.
async fn run(
    name: &str,
    action: &'static str,
    input: &str,
) -> Result<(bool, Vec<u8>), HelperError> {
    // The name comes from a file: it must not lead anywhere but to a program in PATH.
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(good) {
        return Err(HelperError::Name {
            name: name.chars().filter(|c| !c.is_control()).take(64).collect(),
        });
    }
    let wrong = |source| HelperError::Run {
        name: name.to_owned(),
        source,
    };
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(wrong)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let work = async {
        if let Some(mut stdin) = stdin {
            // One that does not read to the end has its reasons: its exit code tells.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(OUTPUT_MAX).read_to_end(&mut output).await?;
        }
        let status = child.wait().await?;
        Ok((status.success(), output))
    };
    let late = |_| failed(name, action, "it does not answer");
    timeout(PATIENCE, work).await.map_err(late)?.map_err(wrong)
}
