//! An ssh agent for a step: a socket of the step's user that leads to the caller's agent, or to one of our own
//! that has the keys of some files.

mod keys;
mod wire;

use std::io;
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::build::plan::step::Access;
use crate::build::request::AgentSource;
use keys::Key;
pub use keys::KeyError;

/// Why a step gets no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nobody answers at the caller's socket.
    #[error("cannot reach the ssh agent at {}", socket.display())]
    Away {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The step's socket cannot be made.
    #[error("cannot listen for the step")]
    Listen(#[from] io::Error),
}

/// Who answers.
enum Answers {
    Socket(PathBuf),
    Keys(Vec<(Key, String)>),
}

impl Answers {
    fn new(source: &AgentSource) -> Result<Self, AgentError> {
        match source {
            AgentSource::Socket(socket) => {
                // A caller without an agent is told before the step runs.
                match UnixStream::connect(socket) {
                    Ok(_) => Ok(Self::Socket(socket.clone())),
                    Err(source) => Err(AgentError::Away {
                        socket: socket.clone(),
                        source,
                    }),
                }
            }
            AgentSource::Keys(paths) => {
                let keys = paths.iter().map(|path| {
                    let comment = path.file_name().unwrap_or_default();
                    Ok((Key::read(path)?, comment.to_string_lossy().into_owned()))
                });
                Ok(Self::Keys(keys.collect::<Result<_, KeyError>>()?))
            }
        }
    }

    /// Talks to a client until one of them has nothing more to say.
    fn talk(&self, client: &UnixStream) {
        match self {
            Self::Socket(socket) => {
                if let Ok(agent) = UnixStream::connect(socket) {
                    join(client, &agent);
                }
            }
            // It always ends with an error: the client's end.
            Self::Keys(keys) => drop(wire::serve(keys, &mut &*client)),
        }
    }
}

/// A socket at which an agent answers. Dropped, it accepts no more.
pub(super) struct Agent {
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Listens at `place`, a path that is made with this mode and owner.
    pub(super) fn start(
        place: &Path,
        source: &AgentSource,
        access: Access,
    ) -> Result<Self, AgentError> {
        let answers = Arc::new(Answers::new(source)?);
        let listener = UnixListener::bind(place)?;
        let Access { mode, uid, gid } = access;
        chown(place, Some(uid), Some(gid))?;
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode))?;
        let accepting = listener.try_clone()?;
        let thread = std::thread::Builder::new()
            .name("agent".into())
            .spawn(move || {
                while let Ok((client, _)) = accepting.accept() {
                    let answers = Arc::clone(&answers);
                    // A client that stays connected is cut off with the step, which ends it.
                    let _ = std::thread::Builder::new()
                        .name("agent-client".into())
                        .spawn(move || answers.talk(&client));
                }
            })?;
        Ok(Self {
            listener,
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
        // Ends the wait for clients. The socket's path may be gone by now.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::Command;

    use super::*;

    /// A socket for this user alone.
    fn own() -> Access {
        Access {
            mode: 0o600,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        }
    }

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
        let agent = Agent::start(&place, &AgentSource::Socket(real), own()).unwrap();
        let mut client = UnixStream::connect(&place).unwrap();
        client.write_all(b"keys?").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "KEYS?");
        server.join().unwrap();
        // A step's directory goes before its agent.
        std::fs::remove_file(&place).unwrap();
        drop(agent);
        let nobody = AgentSource::Socket(dir.path().join("nobody"));
        let error = Agent::start(&dir.path().join("other"), &nobody, own());
        assert!(matches!(error, Err(AgentError::Away { .. })));
    }

    /// What OpenSSH's programs say, asked with these arguments.
    fn openssh(program: &str, arguments: &[&str], (dir, socket): (&Path, &Path)) -> String {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .env("SSH_AUTH_SOCK", socket)
            .output()
            .unwrap_or_else(|error| panic!("{program} is needed (openssh-client): {error}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {complaint}"
        );
        said
    }

    #[test]
    fn openssh_knows_the_keys_of_files_and_believes_what_they_sign() {
        let dir = tempfile::tempdir().unwrap();
        let (here, place) = (dir.path(), dir.path().join("agent"));
        let kinds: [(&str, &[&str]); 6] = [
            ("ed25519", &["-t", "ed25519"]),
            ("rsa", &["-t", "rsa", "-b", "2048"]),
            ("p256", &["-t", "ecdsa", "-b", "256"]),
            ("p384", &["-t", "ecdsa", "-b", "384"]),
            ("pkcs1", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
            ("pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
        ];
        for (name, kind) in kinds {
            let file = ["-q", "-N", "", "-C", name, "-f", name];
            openssh("ssh-keygen", &[kind, &file].concat(), (here, &place));
        }
        let files = kinds.map(|(name, _)| here.join(name));
        let agent = Agent::start(&place, &AgentSource::Keys(files.to_vec()), own()).unwrap();
        let known = openssh("ssh-add", &["-L"], (here, &place));
        std::fs::write(here.join("message"), "a message").unwrap();
        for (name, _) in kinds {
            let public = std::fs::read_to_string(here.join(format!("{name}.pub"))).unwrap();
            assert!(known.contains(public.trim()), "{name}: {known}");
            // The agent has to sign: the file is out of the way.
            std::fs::rename(here.join(name), here.join("away")).unwrap();
            let key = format!("{name}.pub");
            let sign = ["-Y", "sign", "-n", "file", "-f", &key, "message"];
            openssh("ssh-keygen", &sign, (here, &place));
            std::fs::write(here.join("allowed"), format!("me {public}")).unwrap();
            let verify = "ssh-keygen -Y verify -n file -f allowed -I me -s message.sig < message";
            openssh("sh", &["-c", verify], (here, &place));
            std::fs::remove_file(here.join("message.sig")).unwrap();
        }
        drop(agent);
    }

    #[test]
    fn a_file_that_gives_no_key_is_told_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path();
        let nothing = here.join("nothing");
        for (name, format) in [("own", "RFC4716"), ("pem", "PEM")] {
            let file = ["-q", "-N", "secret", "-f", name, "-t", "rsa", "-m", format];
            openssh("ssh-keygen", &file, (here, &nothing));
        }
        let small = ["-q", "-N", "", "-f", "small", "-t", "rsa", "-b", "1024"];
        openssh("ssh-keygen", &small, (here, &nothing));
        std::fs::write(here.join("text"), "no key").unwrap();
        let cut = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n";
        std::fs::write(here.join("cut"), cut).unwrap();
        for (name, said) in [
            ("own", "is protected by a passphrase"),
            ("pem", "is protected by a passphrase"),
            ("small", "is no private key that can be used"),
            ("text", "it does not begin like one"),
            ("cut", "is no private key that can be used"),
            ("missing", "cannot read the key"),
        ] {
            let error = Key::read(&here.join(name)).unwrap_err().to_string();
            assert!(error.contains(said), "{name}: {error}");
        }
    }
}
