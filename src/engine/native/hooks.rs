//! `post_start` and `pre_stop`: commands that run in a container at turning points of its life.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read as _};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use indexmap::IndexMap;
use oci_spec::runtime::{Process, Spec};

use super::{Native, blocking};
use crate::compose::model::Hook;
use crate::engine::{EngineError, Note};
use crate::plan::{Desired, ObservedContainer};
use crate::runtime::bundle::{Bundle, ShimConfig};
use crate::runtime::client::{ClientError, ExecStdio, exec};
use crate::runtime::protocol::ExecRequest;
use crate::runtime::spec::{Settings, default_spec};
use crate::state::records::ContainerRecord;
use crate::state::{Paths, read_json};

/// The longest line that is handed on whole.
const MAX_LINE: u64 = 16 << 10;
/// Lines that are told of a command that failed.
const TOLD_LINES: usize = 10;
/// What a command leaves running in the background may keep its output open: that is not waited for.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

impl Native {
    /// Runs what is to follow the start of a container, one after the other.
    pub(super) async fn post_start(
        self: &Arc<Self>,
        container: &ObservedContainer,
    ) -> Result<(), EngineError> {
        let hooks = container.record.template.post_start.clone();
        self.run_hooks(container, hooks).await
    }

    /// Runs what is to come before the stop of a container: what the last command had of its stack
    /// file, else what the container was made with.
    pub(super) async fn pre_stop(
        self: &Arc<Self>,
        container: &ObservedContainer,
        desired: &Desired,
    ) -> Result<(), EngineError> {
        let record = &container.record;
        let hooks = desired.pre_stop.get(&record.service);
        let hooks = hooks.unwrap_or(&record.template.pre_stop).clone();
        self.run_hooks(container, hooks).await
    }

    async fn run_hooks(
        self: &Arc<Self>,
        container: &ObservedContainer,
        hooks: Vec<Hook>,
    ) -> Result<(), EngineError> {
        // Those of `run` are run by the command; before their stop there are none (Docker Compose).
        if container.record.one_off {
            return Ok(());
        }
        for hook in hooks {
            let (engine, record) = (Arc::clone(self), Arc::clone(&container.record));
            blocking(move || {
                let notes = engine.notes.get().cloned();
                let (service, name) = (record.service.clone(), record.name.clone());
                let tell = move |line| {
                    if let Some(notes) = &notes {
                        let _ = notes.send(Note::Output {
                            service: service.clone(),
                            name: name.clone(),
                            line,
                        });
                    }
                };
                run_hook(&engine.paths, &record, (&hook, tell))
            })
            .await?;
        }
        Ok(())
    }
}

/// Runs one command in a container to its end; each line that it writes is told.
pub(crate) fn run_hook(
    paths: &Paths,
    record: &ContainerRecord,
    (hook, tell): (&Hook, impl FnMut(String) + Send + 'static),
) -> Result<(), EngineError> {
    let failed = |status, output: String| EngineError::Hook {
        service: record.service.to_string(),
        status,
        output: if output.is_empty() {
            output
        } else {
            format!(": {output}")
        },
    };
    let not_running = || EngineError::HookNotRunning(record.name.clone());
    let request = hook_request(paths, record, hook)?;
    let (reader, writer) = std::io::pipe().map_err(ClientError::Io)?;
    let null = File::open("/dev/null").map_err(ClientError::Io)?;
    let stdio = ExecStdio {
        stdin: null.as_fd(),
        stdout: writer.as_fd(),
        stderr: writer.as_fd(),
    };
    let program = match exec(&paths.shim_socket(&record.id), request, stdio) {
        Ok(program) => program,
        Err(ClientError::Refused(failure)) if matches!(failure.exit_code, 126 | 127) => {
            return Err(failed(failure.exit_code, failure.error));
        }
        // Nobody answers, or what answers has no program any more.
        Err(_) => return Err(not_running()),
    };
    drop(writer);
    let output = hand_on(reader, tell);
    let status = program.wait().map_err(|_| not_running())?;
    let said = output.last();
    match status {
        0 => Ok(()),
        status => Err(failed(status, said)),
    }
}

/// The command with the container's own environment, directory and rights, and its own changes.
fn hook_request(
    paths: &Paths,
    record: &ContainerRecord,
    hook: &Hook,
) -> Result<ExecRequest, EngineError> {
    let bundle = Bundle::new(paths.container(&record.id));
    let spec: Spec = read_json(&bundle.spec())?.ok_or(EngineError::CutShort)?;
    let config: ShimConfig = read_json(&bundle.shim_config())?.ok_or(EngineError::CutShort)?;
    let mut process: Process = spec.process().clone().ok_or(EngineError::CutShort)?;
    process
        .set_args(Some(hook.command.clone()))
        .set_terminal(Some(false));
    let own = process.env().clone().unwrap_or_default();
    process.set_env(Some(environment(own, &hook.environment)));
    if let Some(dir) = &hook.working_dir {
        process.set_cwd(dir.into());
    }
    if hook.privileged {
        let settings = Settings {
            privileged: true,
            ..Settings::default()
        };
        let all = default_spec(settings)?;
        let all = all.process().as_ref();
        process.set_capabilities(all.and_then(|process| process.capabilities().clone()));
    }
    Ok(ExecRequest {
        process,
        user: hook.user.clone().or(config.user),
        terminal: None,
    })
}

/// Reads what a command writes, on a thread of its own, and hands it on.
fn hand_on(reader: PipeReader, mut tell: impl FnMut(String) + Send + 'static) -> Output {
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let (done, ended) = mpsc::channel::<()>();
    let kept = Arc::clone(&tail);
    std::thread::spawn(move || {
        each_line(reader, |line| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == TOLD_LINES {
                kept.pop_front();
            }
            kept.push_back(line.clone());
            tell(line);
        });
        drop(done);
    });
    Output { tail, ended }
}

/// What a command writes.
struct Output {
    tail: Arc<Mutex<VecDeque<String>>>,
    ended: mpsc::Receiver<()>,
}

impl Output {
    /// Its last lines, when it has ended.
    fn last(self) -> String {
        // The sender only ever goes away; either way there is nothing more to wait for.
        let _ = self.ended.recv_timeout(LAST_OUTPUT);
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = tail.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}

/// Reads lines up to the end of a pipe; what is longer than a line may be comes in several.
fn each_line(reader: PipeReader, mut sink: impl FnMut(String)) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line) {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        sink(String::from_utf8_lossy(text).into_owned());
        line.clear();
    }
}

/// The variables of a container with those of a command; `None` takes one away.
fn environment(own: Vec<String>, changes: &IndexMap<String, Option<String>>) -> Vec<String> {
    let name_of = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut env = own;
    env.retain(|entry| !changes.contains_key(&name_of(entry)));
    let set = changes
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
    env.extend(set);
    env
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn variables_are_set_and_taken_away() {
        let own = ["A=1", "B=2", "C=3"].map(str::to_owned).to_vec();
        let changes = IndexMap::from([
            ("B".to_owned(), Some("two".to_owned())),
            ("C".to_owned(), None),
            ("D".to_owned(), Some("a=b".to_owned())),
        ]);
        assert_eq!(environment(own, &changes), ["A=1", "B=two", "D=a=b"]);
    }

    #[test]
    fn output_comes_in_lines_that_are_not_too_long() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let long = "x".repeat(20 << 10);
        let text = format!("one\n\n{long}\nlast");
        let writing = std::thread::spawn(move || writer.write_all(text.as_bytes()));
        let mut lines = Vec::new();
        each_line(reader, |line| lines.push(line));
        writing.join().unwrap().unwrap();
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [3, 0, 16 << 10, 4 << 10, 4]);
    }
}
