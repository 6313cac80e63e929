//! Stopping: a signal, patience as long as it makes sense, then SIGKILL.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::pidfd::PidFd;
use super::{Native, observe};
use crate::engine::{Applied, Engine as _, EngineError};
use crate::plan::{Desired, ObservedContainer, Then};
use crate::runtime::bundle::{Bundle, RuntimeState};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::signal::stop_signal_reaches;
use crate::state::journal::{Entry, note};
use crate::state::read_json;
use crate::state::records::ContainerRecord;

/// What a stop begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopStep {
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
    /// Stops a container: what comes before, the signal, patience.
    pub(super) async fn stop(
        self: &Arc<Self>,
        container: ObservedContainer,
        (timeout, then): (Option<Duration>, Then),
        desired: &Desired,
    ) -> Result<Applied, EngineError> {
        let ended = self.wait_ended(&container.record.id);
        tokio::pin!(ended);
        if then == Then::GiveWay {
            let patience = timeout.unwrap_or(container.record.stop_grace);
            tokio::select! {
                () = self.drain(&container, patience) => {}
                () = &mut ended => {}
            }
        } else {
            self.lead_elsewhere(&container);
        }
        if container.is_up()
            && let Err(error) = self.pre_stop(&container, desired).await
        {
            self.come_back(&container);
            return Err(error);
        }
        if then == Then::StartAgain {
            let mut status = observe::container_status(&self.paths, &container.record.id)?;
            status.interrupted = true;
            self.save_status(&container.record.id, &status)?;
        }
        let step = self.begin_stop(&container, timeout)?;
        let in_time = match step {
            StopStep::Wait(grace) => tokio::time::timeout(grace, &mut ended).await.is_ok(),
            StopStep::Gone | StopStep::Killed => false,
        };
        if !in_time {
            if matches!(step, StopStep::Wait(_)) {
                self.send_signal(&container.record, nix::libc::SIGKILL)?;
                self.note_signal(&container.record, nix::libc::SIGKILL);
            }
            ended.await;
        }
        let found = observe::observe_container(&self.paths, &container.record.id, None)?;
        let found = match found {
            Some(found) if found.is_up() => self.settle(&found.record)?,
            Some(found) => found,
            None => return Ok(Applied::ContainerGone(container.record.id.clone())),
        };
        if step != StopStep::Gone {
            note(&self.paths, &Entry::of(&found.record, "stop"));
        }
        Ok(Applied::Container(Box::new(found)))
    }

    /// A container stops at once: where others are behind its ports, they get what is new.
    fn lead_elsewhere(&self, container: &ObservedContainer) {
        if let Err(error) = self.ports.leave(&container.record.id) {
            let container = &container.record.name;
            tracing::warn!(container, %error, "cannot lead its ports elsewhere");
        }
    }

    /// A container that was to stop does not: it is behind its ports and names again.
    fn come_back(&self, container: &ObservedContainer) {
        let record = &container.record;
        if let Some(live) = self.live().get_mut(&record.id) {
            live.leaving = false;
        }
        self.refresh_names();
        if let Err(error) = self.ports.running(&record.id, container.health()) {
            tracing::warn!(container = record.name, %error, "cannot lead its ports back");
        }
    }

    /// Sends the stop signal, or SIGKILL where the signal would be lost.
    fn begin_stop(
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
    pub(super) fn thaw(&self, record: &ContainerRecord) {
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
