//! Stopping: a signal, patience as long as it makes sense, then SIGKILL.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::pidfd::PidFd;
use super::{Native, observe};
use crate::engine::EngineError;
use crate::plan::ObservedContainer;
use crate::runtime::bundle::{Bundle, RuntimeState};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::signal::stop_signal_reaches;
use crate::state::journal::{Entry, note};
use crate::state::read_json;
use crate::state::records::ContainerRecord;

/// What a stop begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopStep {
    /// It has gone already.
    Gone,
    /// The signal was sent: wait this long for the end.
    Wait(Duration),
    /// It was killed at once: the kernel would have dropped the signal.
    Killed,
}

/// How a stop begins: PID 1 without a handler never gets its signal, so that waiting for it to act
/// on it is waiting for nothing.
fn decide(reaches: bool, grace: Duration) -> StopStep {
    if !reaches || grace.is_zero() {
        StopStep::Killed
    } else {
        StopStep::Wait(grace)
    }
}

impl Native {
    /// Sends the stop signal, or SIGKILL where the signal would be lost.
    pub(super) fn begin_stop(
        &self,
        container: &ObservedContainer,
        timeout: Option<Duration>,
    ) -> Result<StopStep, EngineError> {
        let record = &container.record;
        let Some(process) = self.process(record)? else {
            return Ok(StopStep::Gone);
        };
        let reaches = stop_signal_reaches(process.pid, record.stop_signal).unwrap_or(true);
        let step = decide(reaches, timeout.unwrap_or(record.stop_grace));
        let signal = match step {
            StopStep::Wait(_) => record.stop_signal,
            _ => Signal::SIGKILL as i32,
        };
        send(&process, record, signal)?;
        self.note_signal(record, signal);
        self.thaw(record);
        Ok(step)
    }

    /// Sends a signal to PID 1.
    pub(super) fn send_signal(
        &self,
        record: &ContainerRecord,
        signal: i32,
    ) -> Result<(), EngineError> {
        match self.process(record)? {
            Some(process) => {
                send(&process, record, signal)?;
                if signal == Signal::SIGKILL as i32 {
                    self.thaw(record);
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Writes into the journal that a signal was sent.
    pub(super) fn note_signal(&self, record: &ContainerRecord, signal: i32) {
        let entry = Entry::of(record, "kill").with("signal", signal);
        note(&self.paths, &entry);
    }

    /// PID 1, held by a descriptor so that the signal cannot meet another process.
    fn process(&self, record: &ContainerRecord) -> Result<Option<Process>, EngineError> {
        let bundle = Bundle::new(self.paths.container(&record.id));
        let Some(state) = read_json::<RuntimeState>(&bundle.state())? else {
            return Ok(None);
        };
        let Ok(fd) = PidFd::open(state.pid) else {
            return Ok(None);
        };
        // Asked after it was opened: from here on the descriptor means this process.
        Ok(observe::is_alive(state.pid, state.pid_start).then_some(Process { pid: state.pid, fd }))
    }

    /// A frozen process does not act on signals.
    fn thaw(&self, record: &ContainerRecord) {
        if let Ok(cgroup) = Cgroup::open(&observe::cgroup_path(record))
            && cgroup.is_frozen().unwrap_or(false)
            && let Err(error) = cgroup.thaw()
        {
            tracing::warn!(container = record.name, %error, "cannot let it go on");
        }
    }
}

struct Process {
    pid: i32,
    fd: PidFd,
}

fn send(process: &Process, record: &ContainerRecord, signal: i32) -> Result<(), EngineError> {
    match process.fd.send_signal(signal) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
        Err(source) => Err(EngineError::Signal {
            container: record.name.clone(),
            source,
        }),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_would_be_lost_is_not_waited_for() {
        let ten = Duration::from_secs(10);
        assert_eq!(decide(true, ten), StopStep::Wait(ten));
        assert_eq!(decide(false, ten), StopStep::Killed);
        assert_eq!(decide(true, Duration::ZERO), StopStep::Killed);
    }
}
