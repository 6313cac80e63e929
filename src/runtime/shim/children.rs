//! Processes that were started in the container for a client.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::descendants;
use crate::runtime::exec::ExecChild;
use crate::runtime::exit::ExitStatus;
use crate::runtime::protocol::{MAX_PROBE_OUTPUT, ProbeResult};

/// No probe runs longer than this, whatever its timeout says.
const LONGEST_PROBE: Duration = Duration::from_secs(24 * 3600);

/// One process.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) process: ExecChild,
    /// Whom to tell about its end.
    pub(super) client: u64,
    pub(super) purpose: Purpose,
}

#[derive(Debug)]
pub(super) enum Purpose {
    /// Its client has its streams.
    Exec,
    /// The shim has its output.
    Probe(Probe),
}

/// A health probe that runs.
#[derive(Debug)]
pub(super) struct Probe {
    output: Option<OwnedFd>,
    text: Vec<u8>,
    /// There was more.
    is_cut: bool,
    started: Instant,
    deadline: Instant,
}

impl Probe {
    /// Began just now; `output` is the reading end of a pipe and does not block.
    pub(super) fn new(output: OwnedFd, timeout_ms: u64) -> Self {
        let started = Instant::now();
        let timeout = Duration::from_millis(timeout_ms).min(LONGEST_PROBE);
        Self {
            output: Some(output),
            text: Vec::new(),
            is_cut: false,
            started,
            deadline: started + timeout,
        }
    }

    /// Where its output comes from, until it ends.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes the output there is, and keeps its beginning.
    pub(super) fn read(&mut self) {
        let mut buffer = [0; 4096];
        // At most a pipe's content: a probe that never stops writing must not stop the shim.
        for _ in 0..16 {
            let Some(fd) = &self.output else { return };
            match rustix::io::read(fd, &mut buffer) {
                Ok(0) => self.output = None,
                Ok(count) => {
                    let room = MAX_PROBE_OUTPUT - self.text.len();
                    self.text.extend_from_slice(&buffer[..count.min(room)]);
                    self.is_cut |= count > room;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => self.output = None,
            }
        }
    }

    /// What to tell the client; `None` = it took too long.
    pub(super) fn result(&mut self, status: Option<ExitStatus>) -> ProbeResult {
        self.read();
        let mut output = String::from_utf8_lossy(&self.text).into_owned();
        if self.is_cut {
            // Docker's mark.
            output.push_str("...");
        }
        ProbeResult {
            exit_code: status.map_or(128 + libc::SIGKILL, ExitStatus::exit_code),
            output,
            timed_out: status.is_none(),
            duration_ms: self.started.elapsed().as_millis() as u64,
        }
    }
}

impl Child {
    /// Kills it, its process group and its descendants. Not reaped yet, it keeps its pid and so the
    /// number of its group from meaning anybody else.
    pub(super) fn kill_tree(&self) {
        let descendants = descendants::of(self.process.pid);
        if let Some(group) = Pid::from_raw(self.process.pid) {
            // Without an effect when all of it is dead.
            let _ = kill_process_group(group, Signal::KILL);
        }
        for pidfd in descendants {
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        }
        let _ = rustix::process::pidfd_send_signal(&self.process.pidfd, Signal::KILL);
    }
}
