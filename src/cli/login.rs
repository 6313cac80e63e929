//! `stack login`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::context::Context;
use super::drive::block_on;
use super::error::{Error, Result};
use crate::image::{Stored, log_in};
use crate::ui::Terminal;

/// No password is near this; an endless stream must not fill the memory.
const PASSWORD_MAX: u64 = 1 << 20;

/// Flags of `login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The registry, as `host` or `host:port`; Docker Hub unless given.
    #[arg(value_name = "SERVER")]
    server: Option<String>,
    /// Name of the user; asked for unless given.
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password or access token; others can see it in the list of processes.
    #[arg(
        short,
        long,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin"
    )]
    password: Option<String>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
}

impl Login {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("login")?;
        // The words are Docker's.
        if self.password.is_some() {
            Terminal::say(
                "WARNING! Using --password via the CLI is insecure. Use --password-stdin.",
            );
        }
        let server = self.server.clone().unwrap_or_default();
        let (user, password) = self.ask()?;
        let registries = context.registries();
        let stored = block_on(async {
            let work = log_in(&registries, &server, (&user, &password));
            work.await
                .map_err(|error| Error::from(crate::image::Error::from(error)))
        })?;
        if let Stored::File(path) = stored {
            let path = path.display().to_string();
            Terminal::say(&format!(
                "WARNING! Your credentials are stored unencrypted in '{}'.\n\
                 Configure a credential helper (`credsStore`) to remove this warning.",
                crate::ui::text::printable(&path)
            ));
        }
        let mut out = io::stdout().lock();
        writeln!(out, "Login Succeeded")?;
        Ok(out.flush()?)
    }

    /// Name and password, from flags, standard input or a person.
    fn ask(self) -> Result<(String, String)> {
        if self.password_stdin {
            let user = self.username.filter(|user| !user.is_empty());
            let user = user.ok_or_else(|| Error::new("--password-stdin needs --username"))?;
            let mut password = String::new();
            let read = io::stdin()
                .lock()
                .take(PASSWORD_MAX)
                .read_to_string(&mut password);
            read.map_err(|error| Error::new("cannot read the password").because(error))?;
            // As Docker: what `echo` puts behind it is not a part of it.
            let password = password
                .trim_end_matches('\n')
                .trim_end_matches('\r')
                .to_owned();
            return checked(user, password);
        }
        if (self.username.is_none() || self.password.is_none()) && !io::stdin().is_terminal() {
            return Err(
                Error::new("cannot ask for a password: standard input is no terminal")
                    .hint("give --username and --password-stdin"),
            );
        }
        let user = match self.username {
            Some(user) => user,
            None => line("Username: ")?,
        };
        let password = match self.password {
            Some(password) => password,
            None => secret("Password: ")?,
        };
        checked(user, password)
    }
}

fn checked(user: String, password: String) -> Result<(String, String)> {
    if user.trim().is_empty() {
        return Err(Error::new("a login needs the name of a user"));
    }
    if password.is_empty() {
        return Err(Error::new(
            "a login needs a password, and the one given is empty",
        ));
    }
    Ok((user.trim().to_owned(), password))
}

fn line(prompt: &str) -> Result<String> {
    let mut err = io::stderr().lock();
    write!(err, "{prompt}")?;
    err.flush()?;
    let mut text = String::new();
    let read = io::stdin().lock().take(PASSWORD_MAX).read_line(&mut text);
    read.map_err(|error| Error::new("cannot read from the terminal").because(error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks without showing what is typed.
fn secret(prompt: &str) -> Result<String> {
    let wrong = |error: rustix::io::Errno| {
        Error::new("cannot hide what is typed").because(io::Error::from(error))
    };
    let before = tcgetattr(io::stdin()).map_err(wrong)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).map_err(wrong)?;
    let text = line(prompt);
    tcsetattr(io::stdin(), OptionalActions::Flush, &before).map_err(wrong)?;
    if text.as_ref().is_ok_and(String::is_empty) {
        Terminal::say("");
    }
    text
}
