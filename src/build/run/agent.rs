//! Forwards an ssh agent into a step: a socket of the step's user that leads to the caller's.

use std::io;
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A socket that leads to another. Dropped, it accepts no more.
pub(super) struct Agent {
    place: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Listens at `place` and passes everything on to `socket`.
    pub(super) fn start(
        place: &Path,
        socket: &Path,
        (mode, uid, gid): (u32, u32, u32),
    ) -> io::Result<Self> {
        // A caller without an agent is told before the step runs.
        drop(UnixStream::connect(socket)?);
        let listener = UnixListener::bind(place)?;
        chown(place, Some(uid), Some(gid))?;
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode))?;
        let ended = Arc::new(AtomicBool::new(false));
        let (stop, socket) = (Arc::clone(&ended), socket.to_owned());
        let thread = std::thread::Builder::new()
            .name("agent".into())
            .spawn(move || {
                while let Ok((client, _)) = listener.accept() {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    if let Ok(agent) = UnixStream::connect(&socket) {
                        // A client that stays connected is cut off with the step, which ends it.
                        let _ = std::thread::Builder::new()
                            .name("agent-client".into())
                            .spawn(move || join(&client, &agent));
                    }
                }
            })?;
        Ok(Self {
            place: place.to_owned(),
            ended,
            thread: Some(thread),
        })
    }
}

/// Copies both ways until both are at their end.
fn join(client: &UnixStream, agent: &UnixStream) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &*client, &mut &*agent);
            let _ = agent.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut &*agent, &mut &*client);
        let _ = client.shutdown(Shutdown::Both);
    });
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Wakes the thread up.
        drop(UnixStream::connect(&self.place));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_question_reaches_the_agent_and_its_answer_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (real, place) = (dir.path().join("real"), dir.path().join("place"));
        let listener = UnixListener::bind(&real).unwrap();
        let server = std::thread::spawn(move || {
            // The first connection only looks whether there is an agent.
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).unwrap();
            stream
                .write_all(question.to_uppercase().as_bytes())
                .unwrap();
        });
        let owner = (
            0o600,
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        let agent = Agent::start(&place, &real, owner).unwrap();
        let mut client = UnixStream::connect(&place).unwrap();
        client.write_all(b"keys?").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "KEYS?");
        server.join().unwrap();
        drop(agent);
        assert!(Agent::start(&dir.path().join("other"), &real, owner).is_err());
    }
}
