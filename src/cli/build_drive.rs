//! Carries builds out and shows them; a person's interruption gives them up.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::context::Context;
use super::error::{Error, Result};
use super::image_phase::settle_later;
use crate::build::{Builder, Cancel, Error as BuildError, Event, Request};
use crate::image::Image;
use crate::ui::build::BuildView;
use crate::ui::text::output_line;
use crate::ui::{ProgressMode, Terminal};

/// How often interruptions are looked for when nothing moves.
const LOOK: Duration = Duration::from_millis(100);

/// Builds images, in the order of the requests.
pub(crate) fn build(
    context: &Context,
    requests: &[Request],
    mode: ProgressMode,
) -> Result<Vec<Image>> {
    let fault = |error: std::io::Error| Error::new("cannot start the build").because(error);
    let exe = std::env::current_exe().map_err(fault)?;
    let builder = Builder::open(&context.paths, &exe, context.registries())
        .map_err(|error| failed(error, Tail::Hidden))?;
    let cancel = Cancel::new().map_err(fault)?;
    let mut view = BuildView::new(mode, context.terminal);
    let tail = match mode {
        ProgressMode::Quiet => Tail::Shown,
        _ if view.frame().is_some() => Tail::Shown,
        _ => Tail::Hidden,
    };
    let signals = Signals::block().map_err(fault)?;
    let mut interrupted = false;
    let result = std::thread::scope(|scope| {
        let (sender, events) = channel::<Event>();
        let work = scope.spawn({
            let cancel = &cancel;
            let builder = &builder;
            move || {
                // Nobody looks any more: nothing to tell.
                let sink = move |event| drop(sender.send(event));
                builder.build(requests, &sink, cancel)
            }
        });
        loop {
            match events.recv_timeout(view.frame().unwrap_or(LOOK)) {
                Ok(event) => view.take(&event),
                Err(RecvTimeoutError::Timeout) => view.tick(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if signals.is_interrupted() {
                interrupted = true;
                cancel.cancel();
            }
        }
        work.join().unwrap_or(Err(BuildError::Canceled))
    });
    view.finish();
    drop(builder);
    drop(signals);
    match result {
        Ok(images) => {
            if let Ok(store) = context.images() {
                settle_later(context, &store);
            }
            Ok(images)
        }
        Err(_) if interrupted => Err(Error::interrupted()),
        Err(error) => Err(failed(error, tail)),
    }
}

/// Whether the last lines of a failed program's output are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Shown,
    /// They stand just above.
    Hidden,
}

/// A build that failed, whose output has been shown.
pub(crate) fn failed_build(error: BuildError) -> Error {
    failed(error, Tail::Hidden)
}

fn failed(error: BuildError, tail: Tail) -> Error {
    match error {
        BuildError::Dockerfile(report) => Error::from(*report),
        BuildError::Step {
            report,
            tail: lines,
            ..
        } => {
            if tail == Tail::Shown && !lines.is_empty() {
                Terminal::say("------");
                for line in &lines {
                    Terminal::say(&output_line(line));
                }
                Terminal::say("------");
            }
            Error::from(*report)
        }
        BuildError::Request { message, help } => {
            let error = Error::new(message);
            match help {
                Some(help) => error.hint(help),
                None => error,
            }
        }
        other => {
            let text = other.to_string();
            match std::error::Error::source(&other) {
                Some(_) => Error::new(text).because(other),
                None => Error::new(text),
            }
        }
    }
}

/// Interruptions as data; when it is dropped they are what they were before.
struct Signals {
    set: SigSet,
    fd: SignalFd,
}

impl Signals {
    fn block() -> std::io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&set, flags)?;
        Ok(Self { set, fd })
    }

    fn is_interrupted(&self) -> bool {
        matches!(self.fd.read_signal(), Ok(Some(_)))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        while self.is_interrupted() {}
        let _ = self.set.thread_unblock();
    }
}
