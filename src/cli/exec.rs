//! `stack exec`.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxCapabilities, Process, Spec};

use super::attach::{Signals, Streams, To, conclude, join, not_started};
use super::context::{Context, Reading};
use super::detach::DetachKeys;
use super::docker_config::DockerConfig;
use super::error::{Error, Result};
use super::pick::{Among, Target};
use crate::plan::{ObservedContainer, Phase};
use crate::runtime::bundle::{Bundle, ShimConfig};
use crate::runtime::client::{ClientError, Exec as Program, ExecStdio, exec};
use crate::runtime::protocol::{ExecRequest, TerminalSize};
use crate::runtime::spec::{Settings, default_spec};
use crate::state::journal::{Entry, note};
use crate::state::read_json;
use crate::ui::raw_mode::{RawMode, window_size};

/// Flags about how a program is run.
#[derive(Debug, Args)]
pub(crate) struct Manner {
    /// Run it in the background.
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Set a variable, or pass on the caller's.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Give the program all capabilities.
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Run as this user.
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Directory to run in.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
}

/// Flags of `exec`.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    target: Target,
    /// Program and arguments.
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
    #[command(flatten)]
    manner: Manner,
    /// Do not give the program a terminal.
    #[arg(short = 'T', long, visible_alias = "no-TTY")]
    no_tty: bool,
    /// Pass standard input on.
    #[arg(
        short,
        long,
        hide = true,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    interactive: bool,
    /// Give the program a terminal; the default where there is one.
    #[arg(short, long, hide = true)]
    tty: bool,
}

impl Exec {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        if !context.global.dry_run {
            context.require_root()?;
        }
        let container = self.target.find(context, Among::Running)?;
        let inside = Inside {
            command: self.command,
            manner: self.manner,
            terminal: match self.no_tty {
                true => Terminal::None,
                false => Terminal::WhereThereIsOne,
            },
            input: match self.interactive {
                true => Input::Callers,
                false => Input::Nothing,
            },
        };
        inside.run(context, &container)
    }
}

/// A program that is to be run in a container.
pub(crate) struct Inside {
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// How.
    pub(crate) manner: Manner,
    /// Whether it gets a terminal.
    pub(crate) terminal: Terminal,
    /// What it reads where it gets none.
    pub(crate) input: Input,
}

/// What a program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// What the caller reads.
    Callers,
    /// Nothing.
    Nothing,
}

/// Whether a program gets a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// It gets none.
    None,
    /// It gets one where the caller has one.
    WhereThereIsOne,
}

impl Inside {
    /// Runs it.
    pub(crate) fn run(self, context: &Context, container: &ObservedContainer) -> Result<()> {
        if let Phase::Paused { .. } = &container.phase {
            let message = format!("container {} is paused", container.record.name);
            let hint = format!(
                "let it go on with `stack unpause {}`",
                container.record.service
            );
            return Err(Error::new(message).hint(hint));
        }
        if context.global.dry_run && self.manner.detach {
            return Ok(());
        }
        context.refuse_dry_run("interactive exec")?;
        let has_terminal = self.terminal == Terminal::WhereThereIsOne
            && !self.manner.detach
            && io::stdin().is_terminal()
            && io::stdout().is_terminal();
        let request = self.request(context, container, has_terminal)?;
        let socket = context.paths.shim_socket(&container.record.id);
        let journal = Told::begin(context, container, &self.command);
        let result = match (self.manner.detach, has_terminal) {
            (true, _) => return detached(&socket, request),
            (_, true) => {
                let keys = DockerConfig::read(context).detach_keys();
                on_terminal(&socket, request, keys.unwrap_or_default())
            }
            (_, false) => match self.input {
                Input::Callers => on_streams(&socket, request, io::stdin().as_fd()),
                Input::Nothing => on_streams(&socket, request, nothing()?.as_fd()),
            },
        };
        journal.end(&result);
        result
    }

    /// The program with the container's own environment, directory and rights, and the flags' changes.
    fn request(
        &self,
        context: &Context,
        container: &ObservedContainer,
        has_terminal: bool,
    ) -> Result<ExecRequest> {
        let (mut process, user) = process_of(context, container)?;
        process.set_args(Some(self.command.clone()));
        process.set_terminal(Some(has_terminal));
        let env = process.env().clone().unwrap_or_default();
        process.set_env(Some(self.environment(context, env, has_terminal)));
        if let Some(workdir) = &self.manner.workdir {
            process.set_cwd(workdir.into());
        }
        if self.manner.privileged {
            process.set_capabilities(all_capabilities()?);
        }
        let terminal = has_terminal.then(|| {
            window_size().map_or(
                TerminalSize {
                    rows: 24,
                    columns: 80,
                },
                |size| TerminalSize {
                    rows: size.ws_row,
                    columns: size.ws_col,
                },
            )
        });
        Ok(ExecRequest {
            process,
            user: self.manner.user.clone().or(user),
            terminal,
        })
    }

    /// The container's variables with those of the flags: `NAME` alone passes on the caller's or, when
    /// it has none, that of `.env`.
    fn environment(&self, context: &Context, env: Vec<String>, has_terminal: bool) -> Vec<String> {
        let own = |name: &str| std::env::var(name).ok();
        let of_file = |name: &String| !name.contains('=') && own(name).is_none();
        let loaded = match self.manner.env.iter().any(of_file) {
            true => context.load_to_find(Reading::Names).ok(),
            false => None,
        };
        merged_environment(env, &self.manner.env, has_terminal, |name| {
            own(name).or_else(|| loaded.as_ref()?.variables.get(name).cloned())
        })
    }
}

/// What the journal hears of a program that is run in a container.
struct Told<'a> {
    context: &'a Context,
    container: &'a ObservedContainer,
    id: String,
}

impl<'a> Told<'a> {
    fn begin(context: &'a Context, container: &'a ObservedContainer, command: &[String]) -> Self {
        let told = Self {
            context,
            container,
            id: (0..4)
                .map(|_| format!("{:016x}", fastrand::u64(..)))
                .collect(),
        };
        // Docker: the program, a blank, its arguments.
        let (program, arguments) = command
            .split_first()
            .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let text = format!("{program} {}", arguments.join(" "));
        told.note(format!("exec_create: {text}"), None);
        told.note(format!("exec_start: {text}"), None);
        told
    }

    fn end(&self, result: &Result<()>) {
        let code = result.as_ref().err().map_or(0, Error::exit_code);
        self.note("exec_die".to_owned(), Some(code));
    }

    fn note(&self, action: String, code: Option<u8>) {
        let mut entry = Entry::of(&self.container.record, action).with("execID", &self.id);
        if let Some(code) = code {
            entry = entry.with("exitCode", code);
        }
        note(&self.context.paths, &entry);
    }
}

/// The container's own program, and its user as the service names it.
pub(crate) fn process_of(
    context: &Context,
    container: &ObservedContainer,
) -> Result<(Process, Option<String>)> {
    let bundle = Bundle::new(context.paths.container(&container.record.id));
    let gone = || Error::new(format!("container {} has just gone", container.record.name));
    let spec: Spec = read_json(&bundle.spec())?.ok_or_else(gone)?;
    let config: ShimConfig = read_json(&bundle.shim_config())?.ok_or_else(gone)?;
    let process = spec.process().clone().ok_or_else(gone)?;
    Ok((process, config.user))
}

/// All capabilities that there are.
pub(crate) fn all_capabilities() -> Result<Option<LinuxCapabilities>> {
    let settings = Settings {
        privileged: true,
        ..Settings::default()
    };
    let all = default_spec(settings)
        .map_err(|error| Error::new("cannot give all capabilities").because(error))?;
    let process = all.process().as_ref();
    Ok(process.and_then(|process| process.capabilities().clone()))
}

/// The container's variables with those of the command line; `NAME` alone passes on the caller's.
fn merged_environment(
    mut env: Vec<String>,
    changes: &[String],
    has_terminal: bool,
    caller: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let name_of = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    for change in changes {
        let name = name_of(change);
        let entry = match change.contains('=') {
            true => Some(change.clone()),
            false => caller(&name).map(|value| format!("{name}={value}")),
        };
        env.retain(|old| name_of(old) != name);
        env.extend(entry);
    }
    // As Docker: programs on a terminal want to know what kind it is.
    if has_terminal && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    env
}

fn start(socket: &std::path::Path, request: ExecRequest, stdio: ExecStdio<'_>) -> Result<Program> {
    exec(socket, request, stdio).map_err(|error| match error {
        // Docker: a program that is there and cannot be run, for whatever reason.
        ClientError::Refused(failure) if failure.exit_code == 128 => {
            not_started("exec failed: exec failed", &failure).ending_with(126)
        }
        ClientError::Refused(failure) => not_started("exec failed: exec failed", &failure),
        error => error.into(),
    })
}

fn detached(socket: &std::path::Path, request: ExecRequest) -> Result<()> {
    let null = nothing()?;
    let stdio = ExecStdio {
        stdin: null.as_fd(),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
    };
    start(socket, request, stdio)?;
    Ok(())
}

/// What has nothing to say and takes everything.
fn nothing() -> Result<File> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| Error::new("cannot open /dev/null").because(error))
}

fn on_streams(socket: &std::path::Path, request: ExecRequest, stdin: BorrowedFd<'_>) -> Result<()> {
    let signals = Signals::take()?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let stdio = ExecStdio {
        stdin,
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
    };
    let program = start(socket, request, stdio)?;
    let mut send = |signal| pass_on(program.pid, signal);
    conclude(join(
        Streams::default(),
        &program.connection,
        &signals,
        &mut send,
    )?)
}

fn on_terminal(socket: &std::path::Path, request: ExecRequest, keys: DetachKeys) -> Result<()> {
    let signals = Signals::take()?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let stdio = ExecStdio {
        stdin: stdin.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
    };
    let program = start(socket, request, stdio)?;
    let Some(terminal) = &program.terminal else {
        return Err(Error::new(
            "the container's shim gave the program no terminal",
        ));
    };
    let copy = || {
        terminal
            .try_clone()
            .map_err(|error| Error::new("cannot use the program's terminal").because(error))
    };
    let streams = Streams {
        input: Some(copy()?),
        outputs: vec![(copy()?, To::Stdout)],
        terminal: Some(copy()?),
        detach: Some(keys),
        ..Streams::default()
    };
    let raw = RawMode::enter()
        .map_err(|error| Error::new("cannot put the terminal into raw mode").because(error))?;
    let mut send = |signal| pass_on(program.pid, signal);
    let end = join(streams, &program.connection, &signals, &mut send);
    drop(raw);
    conclude(end?)
}

/// Sends a signal to the program; it may have ended by now, and then there is nobody to tell.
fn pass_on(pid: i32, signal: i32) {
    if let Ok(signal) = Signal::try_from(signal) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_set_passed_on_and_taken_away() {
        let env = vec!["A=1".to_owned(), "B=2".to_owned(), "C=3".to_owned()];
        let changes = ["A=one=two", "B", "NEW", "PASSED"].map(str::to_owned);
        let caller = |name: &str| (name == "PASSED").then(|| "yes".to_owned());
        let merged = merged_environment(env.clone(), &changes, false, caller);
        assert_eq!(merged, ["C=3", "A=one=two", "PASSED=yes"]);
        let merged = merged_environment(env, &[], true, caller);
        assert_eq!(merged.last().unwrap(), "TERM=xterm");
        let own = merged_environment(vec!["TERM=vt100".to_owned()], &[], true, caller);
        assert_eq!(own, ["TERM=vt100"]);
    }
}
