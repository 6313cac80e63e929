//! Waits for everything at once, until the container's PID 1 has ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitOptions, wait};

use super::children::Purpose;
use super::clients::Heard;
use super::{Shim, ShimError, lost};
use crate::runtime::exit::ExitStatus;
use crate::runtime::protocol::Reply;
use crate::sys;

/// What a descriptor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Signals,
    Listener,
    Output,
    Client(u64),
    /// Output of the probe with this pid.
    Probe(i32),
}

impl Shim<'_> {
    /// Serves until PID 1 of the container has ended: how it did.
    pub(super) fn serve(&mut self) -> Result<ExitStatus, ShimError> {
        loop {
            self.call_supervisor();
            if let Some(status) = self.ended {
                return Ok(status);
            }
            for event in self.wait().map_err(ShimError::Wait)? {
                match event {
                    Event::Signals => self.take_signals(),
                    Event::Listener => self.clients.accept(self.listener.socket.as_fd()),
                    Event::Output => self.output.pump(),
                    Event::Client(id) => self.hear(id)?,
                    Event::Probe(pid) => self.read_probe(pid),
                }
            }
            if self
                .output
                .deadline()
                .is_some_and(|at| at <= Instant::now())
            {
                self.output.pump();
            }
            self.end_late_probes();
        }
    }

    /// Blocks until something has happened: what.
    fn wait(&self) -> io::Result<Vec<Event>> {
        let mut wanted: Vec<(Event, BorrowedFd<'_>, PollFlags)> =
            vec![(Event::Signals, self.signals.as_fd(), PollFlags::IN)];
        let output = self.output.interests().into_iter();
        wanted.extend(output.map(|(fd, flags)| (Event::Output, fd, flags)));
        let clients = self.clients.sockets();
        wanted.extend(clients.map(|(id, fd)| (Event::Client(id), fd, PollFlags::IN)));
        wanted.extend(
            self.children
                .iter()
                .filter_map(|child| match &child.purpose {
                    Purpose::Probe(probe) => Some((
                        Event::Probe(child.process.pid),
                        probe.output()?,
                        PollFlags::IN,
                    )),
                    Purpose::Exec => None,
                }),
        );
        // Last: those who are there already are heard before others are let in.
        wanted.push((Event::Listener, self.listener.socket.as_fd(), PollFlags::IN));
        let mut fds: Vec<_> = wanted
            .iter()
            .map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
            .collect();
        let timeout = self.deadline().map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec::try_from(left).unwrap_or_default()
        });
        match poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            other => other?,
        };
        let mut events: Vec<Event> = Vec::new();
        for ((event, ..), fd) in wanted.iter().zip(&fds) {
            // The descriptors of the output are next to each other.
            if !fd.revents().is_empty() && events.last() != Some(event) {
                events.push(*event);
            }
        }
        Ok(events)
    }

    fn deadline(&self) -> Option<Instant> {
        let probes = self
            .children
            .iter()
            .filter_map(|child| match &child.purpose {
                Purpose::Probe(probe) => Some(probe.deadline()),
                Purpose::Exec => None,
            });
        let lost = match self.config.on_lost.is_empty() {
            true => None,
            false => self.lost.deadline(),
        };
        probes.chain(lost).chain(self.output.deadline()).min()
    }

    fn call_supervisor(&mut self) {
        let supervisors = self.clients.supervisors();
        if supervisors == 0 && self.config.end_when_lost {
            if let Some(pidfd) = self.container.pidfd() {
                let _ = sys::pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
            }
            return;
        }
        if self.lost.update(supervisors, Instant::now()) {
            lost::call(&self.config.on_lost);
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) => self.reap(),
                // The machine goes down: so does the program, and it may say good-bye.
                Ok(Signal::SIGTERM | Signal::SIGINT) => {
                    if let Some(pidfd) = self.container.pidfd() {
                        let _ = sys::pidfd::send_signal(pidfd.as_fd(), libc::SIGTERM);
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes every process that has ended: PID 1, those run for clients, orphans, callers.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some(status) = ExitStatus::from_wait(status) else {
                continue;
            };
            let pid = pid.as_raw_nonzero().get();
            if self.container.pid() == Some(pid) {
                self.ended = Some(status);
            }
            self.end_child(pid, Some(status));
        }
    }

    /// Tells the client how its process ended; `None` = it took too long.
    fn end_child(&mut self, pid: i32, status: Option<ExitStatus>) {
        let is_it = |child: &super::Child| child.process.pid == pid;
        let Some(index) = self.children.iter().position(is_it) else {
            return;
        };
        let child = self.children.swap_remove(index);
        let reply = match child.purpose {
            Purpose::Exec => Reply::ExecExited {
                exit_code: status.map_or(128, ExitStatus::exit_code),
            },
            Purpose::Probe(mut probe) => Reply::ProbeDone(probe.result(status)),
        };
        self.clients.send(child.client, &reply, &[]);
        self.clients.remove(child.client);
    }

    fn read_probe(&mut self, pid: i32) {
        for child in &mut self.children {
            if let Purpose::Probe(probe) = &mut child.purpose
                && child.process.pid == pid
            {
                probe.read();
            }
        }
    }

    fn end_late_probes(&mut self) {
        let now = Instant::now();
        let late: Vec<i32> = self
            .children
            .iter()
            .filter(|child| match &child.purpose {
                Purpose::Probe(probe) => probe.deadline() <= now,
                Purpose::Exec => false,
            })
            .map(|child| {
                child.kill_tree();
                child.process.pid
            })
            .collect();
        for pid in late {
            self.end_child(pid, None);
        }
    }

    fn hear(&mut self, id: u64) -> Result<(), ShimError> {
        match self.clients.hear(id) {
            Heard::Request(hello, fds) => self.carry_out(id, *hello, fds),
            Heard::Nothing => Ok(()),
            Heard::Gone => {
                self.clients.remove(id);
                self.output.remove_client(id);
                // What it had started goes on, a probe until its timeout: its processes are no
                // business of a container's PID 1, and one that sees an orphan die by SIGKILL may
                // take it for its own (PostgreSQL restarts all its server processes then).
                Ok(())
            }
        }
    }
}
