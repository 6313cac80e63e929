//! `stack attach`: the caller's terminal becomes that of a container's program.

use std::io::{self, IsTerminal as _};

use clap::Args;
use rustix::termios::{tcgetwinsize, tcsetwinsize};

use super::attach::{End, OnSignal, Signals, Streams, To, conclude, join, recorded_end};
use super::context::Context;
use super::detach::DetachKeys;
use super::docker_config::DockerConfig;
use super::error::{Error, Result};
use super::pick::{Among, Target};
use crate::plan::{ObservedContainer, Phase};
use crate::runtime::client::{Attached, attach, signal};
use crate::runtime::protocol::{AttachInput, AttachRequest};
use crate::ui::raw_mode::RawMode;

/// Flags of `attach`.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    joining: Joining,
}

/// Flags about how a terminal is joined.
#[derive(Debug, Args)]
pub(crate) struct Joining {
    /// Keys that let go of the container; ctrl-p,ctrl-q unless given.
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    /// Do not pass on what is typed.
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the program.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true,
        hide_possible_values = true,
        action = clap::ArgAction::Set
    )]
    sig_proxy: bool,
}

impl Attach {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let container = self.target.find(context, Among::Running)?;
        self.joining.join(context, &container)
    }
}

impl Joining {
    /// Joins a container that runs.
    pub(crate) fn join(self, context: &Context, container: &ObservedContainer) -> Result<()> {
        if matches!(container.phase, Phase::Paused { .. }) {
            return Err(Error::new(
                "cannot attach to a paused container, unpause it first",
            ));
        }
        context.refuse_dry_run("interactive run")?;
        context.require_root()?;
        let model = &container.record.template;
        if model.tty && !self.no_stdin && !io::stdin().is_terminal() {
            return Err(no_terminal());
        }
        let input = match model.stdin_open && !self.no_stdin {
            true => AttachInput::Keep,
            false => AttachInput::None,
        };
        let socket = context.paths.shim_socket(&container.record.id);
        let attached = attach(&socket, AttachRequest { input })?;
        self.stay(context, container, attached)
    }

    /// Stays until the program ends, or the caller lets go.
    fn stay(
        self,
        context: &Context,
        container: &ObservedContainer,
        attached: Attached,
    ) -> Result<()> {
        let model = &container.record.template;
        let takes_input = model.stdin_open && !self.no_stdin;
        let fault = |error| Error::new("cannot use the program's terminal").because(error);
        let signals = Signals::take()?;
        let id = &container.record.id;
        let socket = context.paths.shim_socket(id);
        // A program that has ended meanwhile needs no signal.
        let mut send = |number| drop(signal(&socket, number));
        let mut streams = Streams {
            outputs: vec![(attached.stdout, To::Stdout), (attached.stderr, To::Stderr)],
            signals: match self.sig_proxy && !attached.terminal {
                true => OnSignal::PassedOn,
                false => OnSignal::EndsCaller,
            },
            ..Streams::default()
        };
        let mut raw = None;
        if attached.terminal {
            let master = attached.stdin.as_ref();
            streams.terminal = master.map(|fd| fd.try_clone()).transpose().map_err(fault)?;
            if let Some(terminal) = &streams.terminal {
                provoke(terminal);
            }
            if takes_input {
                let usual = || DockerConfig::read(context).detach_keys();
                let keys = self.detach_keys.or_else(usual);
                streams.detach = Some(keys.unwrap_or_default());
                raw = Some(RawMode::enter().map_err(fault)?);
            }
        }
        streams.input = attached.stdin.filter(|_| takes_input);
        let end = join(streams, &attached.connection, &signals, &mut send);
        drop(raw);
        conclude(match end? {
            End::Unknown => recorded_end(context, id),
            end => end,
        })
    }
}

/// A program draws its screen anew when the size of its terminal changes: so who attaches sees it. The
/// right size follows.
fn provoke(terminal: impl std::os::fd::AsFd) {
    if let Ok(mut size) = tcgetwinsize(&terminal) {
        size.ws_row = size.ws_row.saturating_add(1);
        size.ws_col = size.ws_col.saturating_add(1);
        let _ = tcsetwinsize(&terminal, size);
    }
}

/// Docker's refusal to type into a terminal from something that is none.
pub(super) fn no_terminal() -> Error {
    Error::new("cannot attach stdin to a TTY-enabled container because stdin is not a terminal")
        .hint(
            "leave it out with `--no-stdin`, or give a program without a terminal (`-T`) its input",
        )
}
