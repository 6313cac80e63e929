//! The supervisor's process: one per project, started by a command, ended by having nothing to do.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use thiserror::Error;

use super::reconcile::Reconciler;
use crate::engine::EngineError;
use crate::engine::native::Native;
use crate::runtime::cgroup::apart::{self, Half};
use crate::state::{Lock, Paths, StateError, remove_dir, sweep_gone};

/// Threads for work that touches disk or kernel: enough to keep the cores busy while some wait.
const WORKERS: usize = 8;
/// Idle ones go soon: their stacks are most of what a quiet supervisor would hold.
const WORKER_IDLE: std::time::Duration = std::time::Duration::from_millis(500);
/// The log of a supervisor is begun anew when it has this size.
const LOG_LIMIT: u64 = 1 << 20;

#[derive(Debug, Error)]
enum SupervisorError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("cannot {0}")]
    Io(&'static str, #[source] std::io::Error),
}

/// Runs the supervisor of a project until it has nothing left to look after.
///
/// Arguments: root, run-time root, project. The end of standard output says that it answers on its
/// socket, or that another supervisor holds the project's lock.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let [root, run, project] = arguments else {
        eprintln!("usage: stack supervise ROOT RUN PROJECT (started by `stack up`)");
        return ExitCode::from(2);
    };
    let paths = Paths::given(root.into(), run.into());
    let Some(project) = project.to_str() else {
        return ExitCode::from(2);
    };
    // There is one thread, and nothing is held yet.
    if apart::go_on_apart() == Half::Stays {
        return ExitCode::SUCCESS;
    }
    let result = supervise(&paths, project);
    apart::leave();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the supervisor cannot go on"
            );
            ExitCode::FAILURE
        }
    }
}

fn supervise(paths: &Paths, project: &str) -> Result<(), SupervisorError> {
    let dir = paths.run_project(project);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|error| StateError::io("make", &dir, error))?;
    let Some(lock) = Lock::try_acquire(&paths.supervisor_lock(project))? else {
        return Ok(());
    };
    detach(&dir)?;
    let exe =
        std::env::current_exe().map_err(|error| SupervisorError::Io("find this program", error))?;
    let pools = std::env::var("STACK_ADDRESS_POOL").ok();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(WORKERS)
        .thread_keep_alive(WORKER_IDLE)
        .thread_stack_size(512 * 1024)
        .build()
        .map_err(|error| SupervisorError::Io("start", error))?;
    runtime.block_on(async {
        let engine = Arc::new(Native::open(paths, project, exe, pools)?);
        let names = tokio::spawn(Arc::clone(&engine).follow_foreign_names());
        let result = Reconciler::start(paths, project, engine, announce)?
            .run()
            .await;
        names.abort();
        result
    })?;
    // What was being emptied in the background when there was nothing else left to do.
    drop(runtime);
    sweep_gone(&paths.containers());
    if !paths.project(project).exists() {
        // Nothing of the project is left: neither is this, log and lock included.
        remove_dir(&dir)?;
    }
    drop(lock);
    Ok(())
}

/// A session of its own, no terminal, complaints into a log.
fn detach(dir: &Path) -> Result<(), SupervisorError> {
    let _ = nix::unistd::setsid(); // Fails for a session leader, which has what it needs.
    let path = dir.join("supervisor.log");
    if path
        .metadata()
        .is_ok_and(|metadata| metadata.len() > LOG_LIMIT)
    {
        let _ = std::fs::remove_file(&path);
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| StateError::io("open", &path, error))?;
    nix::unistd::dup2_stderr(&log)
        .map_err(|error| SupervisorError::Io("open the log", error.into()))?;
    let filter = std::env::var("STACK_LOG").unwrap_or_else(|_| "info".to_owned());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .try_init();
    Ok(())
}

/// Tells who started it that it answers.
fn announce() {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(b"\n").and_then(|()| stdout.flush());
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(&null);
    }
}
