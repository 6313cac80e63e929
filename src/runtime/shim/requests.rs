//! What clients ask for.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::children::{Child, Probe, Purpose};
use super::clients::Role;
use super::{Container, Shim, ShimError};
use crate::runtime::container::{Stdio, StdioSetup};
use crate::runtime::exec::{ExecChild, ExecRequest as Start, exec};
use crate::runtime::failure::StartError;
use crate::runtime::log::Stream;
use crate::runtime::protocol::{
    AttachInput, AttachRequest, ExecRequest, Failure, Hello, MAX_FDS, ProbeRequest, Reply, Request,
    VERSION,
};
use crate::runtime::{protocol, pty};
use crate::sys;

impl Shim<'_> {
    /// Does what a connection was opened for. An error is the container's, not the client's.
    pub(super) fn carry_out(
        &mut self,
        id: u64,
        hello: Hello,
        fds: Vec<OwnedFd>,
    ) -> Result<(), ShimError> {
        if hello.version != VERSION {
            let found = hello.version;
            let error = format!(
                "this container's shim speaks version {VERSION}, the client {found}: they belong to different versions of `stack`; recreate the container"
            );
            self.refuse(id, refusal("talk", error));
            return Ok(());
        }
        let done = match hello.request {
            Request::Adopt => self.adopt(id),
            Request::Exec(request) => self.exec(id, request, fds),
            Request::Probe(request) => self.probe(id, request),
            Request::Attach(request) => return self.attach(id, request, fds),
            Request::Signal(signal) => self.signal(id, signal),
            Request::Hold => {
                self.held.extend(fds);
                Ok(())
            }
            Request::TakeHeld => {
                self.hand_out_held(id);
                Ok(())
            }
        };
        if let Err(failure) = done {
            self.refuse(id, failure);
        }
        Ok(())
    }

    fn refuse(&mut self, id: u64, failure: Failure) {
        self.clients.send(id, &Reply::Refused(failure), &[]);
        self.clients.remove(id);
    }

    fn adopt(&mut self, id: u64) -> Result<(), Failure> {
        self.clients.set_role(id, Role::Supervisor);
        let reply = Reply::Adopted {
            version: VERSION,
            state: self.container.state().cloned(),
        };
        self.clients.send(id, &reply, &self.dns_sockets());
        Ok(())
    }

    fn hand_out_held(&mut self, id: u64) {
        let mut left: Vec<BorrowedFd<'_>> = self.held.iter().map(AsFd::as_fd).collect();
        loop {
            let rest = left.split_off(left.len().min(MAX_FDS));
            let more = !rest.is_empty();
            self.clients.send(id, &Reply::Held { more }, &left);
            if !more {
                break;
            }
            left = rest;
        }
        self.clients.remove(id);
    }

    fn signal(&mut self, id: u64, signal: i32) -> Result<(), Failure> {
        let pidfd = self.container.pidfd();
        let pidfd = pidfd.ok_or_else(|| refusal("send a signal", "the container has ended"))?;
        sys::pidfd::send_signal(pidfd.as_fd(), signal).map_err(|error| {
            let error = format!("cannot send signal {signal} to the program: {error}");
            refusal("send a signal", error)
        })?;
        self.clients.send(id, &Reply::Signalled, &[]);
        self.clients.remove(id);
        Ok(())
    }

    fn exec(&mut self, id: u64, request: ExecRequest, fds: Vec<OwnedFd>) -> Result<(), Failure> {
        let user = request.user.as_deref();
        let (process, master) = match request.terminal {
            Some(size) => {
                let (ours, console) = pty::console().map_err(|e| streams(&e))?;
                let size = (size.rows, size.columns);
                let stdio = StdioSetup::Terminal { console, size };
                let process = self.run(&request.process, user, stdio)?;
                let master = pty::receive_master(&ours).map_err(|error| {
                    kill(&process);
                    streams(&error)
                })?;
                (process, Some(master))
            }
            None => {
                let [stdin, stdout, stderr] = fds.try_into().map_err(|_| {
                    refusal("run a process", "three descriptors have to come with it")
                })?;
                let stdio = StdioSetup::Pipes(Stdio {
                    stdin,
                    stdout,
                    stderr,
                });
                (self.run(&request.process, user, stdio)?, None)
            }
        };
        let reply = Reply::ExecStarted { pid: process.pid };
        let fds: Vec<BorrowedFd<'_>> = master.iter().map(AsFd::as_fd).collect();
        self.clients.send(id, &reply, &fds);
        self.add_child(id, process, Purpose::Exec);
        Ok(())
    }

    fn probe(&mut self, id: u64, request: ProbeRequest) -> Result<(), Failure> {
        let make = || -> io::Result<(OwnedFd, Stdio)> {
            let (reader, writer) = io::pipe()?;
            rustix::io::ioctl_fionbio(&reader, true)?;
            let stdio = Stdio {
                stdin: File::open("/dev/null")?.into(),
                stdout: writer.try_clone()?.into(),
                stderr: writer.into(),
            };
            Ok((reader.into(), stdio))
        };
        let (output, stdio) = make().map_err(|error| streams(&error))?;
        let probe = Probe::new(output, request.timeout_ms);
        let user = request.user.as_deref();
        match self.run(&request.process, user, StdioSetup::Pipes(stdio)) {
            Ok(process) => self.add_child(id, process, Purpose::Probe(probe)),
            // A program that is not in the container is a result: the probe failed.
            Err(failure) if matches!(failure.exit_code, 126 | 127) => {
                let result = protocol::ProbeResult {
                    exit_code: failure.exit_code,
                    output: failure.error,
                    timed_out: false,
                    duration_ms: 0,
                };
                self.clients.send(id, &Reply::ProbeDone(result), &[]);
                self.clients.remove(id);
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn add_child(&mut self, client: u64, process: ExecChild, purpose: Purpose) {
        self.clients.set_role(client, Role::Waiting);
        self.children.push(Child {
            process,
            client,
            purpose,
        });
    }

    /// Starts a process in the container.
    fn run(
        &self,
        process: &oci_spec::runtime::Process,
        user: Option<&str>,
        stdio: StdioSetup,
    ) -> Result<ExecChild, Failure> {
        let step = "run a process";
        let Container::Running {
            process: running, ..
        } = &self.container
        else {
            return Err(refusal(step, "the container's program does not run"));
        };
        // It would be stopped before its first instruction, and this process with it.
        if running.cgroup.is_frozen().unwrap_or(false) {
            let error = "the container is paused: `unpause` it first";
            return Err(refusal(step, error));
        }
        let start = Start {
            target: &running.pidfd,
            process,
            user,
            spec: &self.spec,
            config: &self.config,
            cgroup: &running.cgroup,
            stdio,
        };
        exec(start).map_err(|error: StartError| Failure {
            step: error.step().to_string(),
            error: error.to_string(),
            exit_code: error.exit_code(),
        })
    }

    fn attach(
        &mut self,
        id: u64,
        request: AttachRequest,
        fds: Vec<OwnedFd>,
    ) -> Result<(), ShimError> {
        if let Err(failure) = self.add_sinks(id, fds) {
            self.refuse(id, failure);
            return Ok(());
        }
        self.clients.set_role(id, Role::Attached);
        let reply = Reply::Attached {
            terminal: self.terminal.is_some(),
        };
        let input = match (&self.terminal, request.input) {
            (Some(terminal), _) => Some(terminal),
            (None, AttachInput::None) => None,
            (None, AttachInput::Keep | AttachInput::Once) => self.stdin.as_ref(),
        };
        let fds: Vec<BorrowedFd<'_>> = input.into_iter().map(AsFd::as_fd).collect();
        self.clients.send(id, &reply, &fds);
        if request.input == AttachInput::Once {
            // Now the client has the only writing end, and closing it is the end of the input.
            self.stdin = None;
        }
        self.start()
    }

    fn add_sinks(&mut self, id: u64, fds: Vec<OwnedFd>) -> Result<(), Failure> {
        let [stdout, stderr] = fds
            .try_into()
            .map_err(|_| refusal("attach", "two pipes have to come with it"))?;
        self.output
            .add_sink(id, Stream::Stdout, stdout)
            .map_err(|error| streams(&error))?;
        // A terminal has one stream only: the client reads end of file from the other.
        if self.terminal.is_none() {
            self.output
                .add_sink(id, Stream::Stderr, stderr)
                .map_err(|error| streams(&error))?;
        }
        Ok(())
    }
}

fn refusal(step: &str, error: impl Into<String>) -> Failure {
    Failure {
        step: step.into(),
        error: error.into(),
        exit_code: 128,
    }
}

fn streams(error: &io::Error) -> Failure {
    let error = format!("cannot make the process's standard streams: {error}");
    refusal("make the standard streams", error)
}

fn kill(process: &ExecChild) {
    let _ = sys::pidfd::send_signal(process.pidfd.as_fd(), libc::SIGKILL);
}
