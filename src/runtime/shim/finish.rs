//! The end: the last output, the exit record, nothing left behind.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::clients::{Clients, Role};
use super::{Container, Shim, ShimError, record};
use crate::runtime::bundle::{Bundle, ExitRecord, RuntimeState};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::exit::ExitStatus;
use crate::runtime::protocol::Reply;

/// How long processes that were run for clients may take to die with the container.
const LAST_EXITS: Duration = Duration::from_secs(2);

impl Shim<'_> {
    /// PID 1 has ended.
    pub(super) fn finish(mut self, status: ExitStatus) -> Result<(), ShimError> {
        let finished_at = Timestamp::now();
        let (cgroup, state, oom_before) =
            match std::mem::replace(&mut self.container, Container::None) {
                Container::Running {
                    process,
                    state,
                    oom_kills,
                } => (Some(process.cgroup), Some(state), oom_kills),
                // Dropped, it removes its cgroup.
                Container::Waiting(_) | Container::None => (None, None, 0),
            };
        if let Some(cgroup) = &cgroup {
            // With a pid namespace of its own all are dead already; in a shared one, these are not.
            kill_all(cgroup);
        }
        self.reap_last();
        self.output.drain();
        let oom_kills = cgroup.as_ref().and_then(|cgroup| cgroup.oom_kills().ok());
        let record = ExitRecord {
            version: 1,
            exit_code: status.exit_code(),
            signal: status.signal(),
            oom_killed: oom_kills.is_some_and(|now| now > oom_before),
            error: None,
            started_at: state.map(|state: RuntimeState| state.started_at),
            finished_at,
        };
        // What cannot be written is told all the same, and the rest is cleared up.
        let written = record::write_exit(self.bundle, &record);
        self.tell_exited(record);
        remove(cgroup);
        drop(self.listener);
        self.output.farewell();
        Ok(written?)
    }

    /// Something else went wrong while the program ran: it must not go on without its shim.
    pub(super) fn abandon(mut self) {
        if let Container::Running { process, .. } =
            std::mem::replace(&mut self.container, Container::None)
        {
            kill_all(&process.cgroup);
            // The cgroup cannot be removed before.
            let killed =
                rustix::process::pidfd_send_signal(&process.pidfd, rustix::process::Signal::KILL);
            if killed.is_ok() {
                let _ = waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED);
            }
            self.output.drain();
            remove(Some(process.cgroup));
        }
    }

    /// Gives the clients of processes that died with the container their exit codes.
    fn reap_last(&mut self) {
        let deadline = Instant::now() + LAST_EXITS;
        loop {
            self.reap();
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(child) = self.children.first() else {
                return;
            };
            if left.is_zero() {
                return;
            }
            let mut fds = [PollFd::new(&child.process.pidfd, PollFlags::IN)];
            let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        }
    }
}

fn kill_all(cgroup: &Cgroup) {
    if let Err(error) = cgroup.kill_all() {
        eprintln!("stack shim: {error}");
    }
}

/// What stays is swept by whoever looks next.
fn remove(cgroup: Option<Cgroup>) {
    if let Some(cgroup) = cgroup
        && let Err(error) = cgroup.remove()
    {
        eprintln!("stack shim: {error}");
    }
}

/// The container could not be made, or its program not started: whatever was made is gone already.
pub(super) fn failed(bundle: &Bundle, clients: &Clients, error: &ShimError) -> ExitCode {
    let failure = error.failure();
    let record = ExitRecord {
        version: 1,
        exit_code: failure.exit_code,
        signal: None,
        oom_killed: false,
        error: Some(failure.error.clone()),
        started_at: None,
        finished_at: Timestamp::now(),
    };
    let written = record::write_exit(bundle, &record);
    let reply = Reply::Failed(failure);
    clients.tell(Role::Supervisor, &reply, &[]);
    clients.tell(Role::Attached, &reply, &[]);
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stack shim: {error}");
            ExitCode::FAILURE
        }
    }
}
