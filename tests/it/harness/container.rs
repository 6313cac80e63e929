//! One container, driven through its shim alone.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{BoxBuilder, Process, Spec};
use stack::runtime::bundle::{
    Bundle, ExitRecord, LogConfig, NetworkSetup, Rootfs, RuntimeState, ShimConfig,
};
use stack::runtime::client::{self, ClientError, ShimProcess, Spawn, Started};
use stack::runtime::log::{self, Range, Stream};
use stack::runtime::spec::{self, Settings as SpecSettings};

use super::{PATIENCE, Root, eventually};

/// What a test wants to be different.
#[derive(Default)]
pub(crate) struct Settings {
    /// Changes the spec.
    pub(crate) spec: SpecSettings,
    /// Size of the terminal; none when zero.
    pub(crate) terminal: Option<(u64, u64)>,
    pub(crate) stdin_open: bool,
    pub(crate) init: bool,
    pub(crate) wait_attach: bool,
    pub(crate) on_lost: Vec<String>,
}

impl Settings {
    /// A container that runs these.
    pub(crate) fn run<const N: usize>(arguments: [&str; N]) -> Self {
        let mut settings = Self::default();
        settings.spec.args = arguments.map(str::to_owned).to_vec();
        settings
    }

    /// A container that runs a shell script.
    pub(crate) fn script(script: &str) -> Self {
        Self::run(["sh", "-c", script])
    }
}

/// A container whose shim was started by the test.
pub(crate) struct Container {
    pub(crate) bundle: Bundle,
    pub(crate) config: ShimConfig,
    pub(crate) spec: Spec,
    pub(crate) shim: ShimProcess,
    log: PathBuf,
}

impl Container {
    /// Writes the bundle and starts the shim.
    pub(crate) fn spawn(root: &Root, settings: Settings) -> Self {
        let id = format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..));
        let dir = root.path().join("containers").join(&id);
        let log = dir.join("log");
        for name in ["rootfs", "upper", "work", "log"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let spec = make_spec(root, &id, &settings);
        let config = ShimConfig {
            version: 1,
            id,
            rootfs: Rootfs {
                lower: vec![root.busybox()],
                upper: dir.join("upper"),
                work: dir.join("work"),
                snapshot: false,
            },
            network: NetworkSetup::Private {
                endpoints: Vec::new(),
                dns: true,
            },
            log: Some(LogConfig {
                dir: log.clone(),
                max_size: 64 << 20,
                max_files: 3,
            }),
            stdin_open: settings.stdin_open,
            init: settings.init,
            copy_up: Vec::new(),
            wait_attach: settings.wait_attach,
            socket: dir.join("shim.sock"),
            on_lost: settings.on_lost,
            end_when_lost: false,
            user: None,
            group_add: Vec::new(),
            seccomp: Default::default(),
        };
        let bundle = Bundle::new(&dir);
        fs::write(bundle.spec(), serde_json::to_vec(&spec).unwrap()).unwrap();
        fs::write(bundle.shim_config(), serde_json::to_vec(&config).unwrap()).unwrap();
        let shim = spawn(&bundle);
        Self {
            bundle,
            config,
            spec,
            shim,
            log,
        }
    }

    /// Starts it and waits until its program runs.
    pub(crate) fn start(root: &Root, settings: Settings) -> (Self, Started) {
        let container = Self::spawn(root, settings);
        let started = container.shim.wait_started(Some(PATIENCE)).unwrap();
        (container, started)
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.config.socket
    }

    /// A process to run in it, with the container's own environment and privileges.
    pub(crate) fn process<const N: usize>(&self, arguments: [&str; N]) -> Process {
        let mut process = self.spec.process().clone().unwrap();
        process.set_args(Some(arguments.map(str::to_owned).to_vec()));
        process.set_terminal(Some(false));
        process
    }

    /// Kills its PID 1.
    pub(crate) fn kill(&self) {
        client::signal(self.socket(), libc_kill()).unwrap();
    }

    /// Waits for the shim's end: what it has recorded.
    pub(crate) fn wait(&self) -> ExitRecord {
        eventually("the shim ends", || self.shim.reap().unwrap().then_some(()));
        self.exit_record().expect("an exit record")
    }

    pub(crate) fn exit_record(&self) -> Option<ExitRecord> {
        serde_json::from_slice(&fs::read(self.bundle.exit()).ok()?).ok()
    }

    pub(crate) fn state(&self) -> Option<RuntimeState> {
        serde_json::from_slice(&fs::read(self.bundle.state()).ok()?).ok()
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> Vec<(Stream, String)> {
        let mut lines = Vec::new();
        log::read(&self.log, Range::default(), &mut |line| {
            lines.push((line.stream, String::from_utf8_lossy(line.text).into_owned()));
            ControlFlow::Continue(())
        })
        .unwrap();
        lines
    }

    /// The text of its standard output.
    pub(crate) fn output(&self) -> String {
        let lines = self.log().into_iter();
        let lines = lines.filter(|(stream, _)| *stream == Stream::Stdout);
        lines.map(|(_, text)| text + "\n").collect()
    }

    /// Waits until this line has been written.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, line: &str) {
        eventually(&format!("the line `{line}`"), || {
            let found = self.log().iter().any(|(_, text)| text.trim_end() == line);
            found.then_some(())
        });
    }
}

impl Drop for Container {
    /// Ends what a failed test has not ended.
    fn drop(&mut self) {
        if self.shim.reap().unwrap_or(true) {
            return;
        }
        let _ = client::signal(self.socket(), libc_kill());
        let ended = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            self.shim.reap().unwrap_or(true)
        });
        if !ended {
            let kill = rustix::process::Signal::KILL;
            let _ = rustix::process::pidfd_send_signal(&self.shim.pidfd, kill);
        }
    }
}

fn libc_kill() -> i32 {
    rustix::process::Signal::KILL.as_raw()
}

/// Starts a shim for what is in the bundle.
pub(crate) fn spawn(bundle: &Bundle) -> ShimProcess {
    let complaints = fs::File::options()
        .create(true)
        .append(true)
        .open(bundle.dir().join("complaints"))
        .unwrap();
    let started = client::spawn(Spawn {
        exe: Path::new(env!("CARGO_BIN_EXE_stack")),
        bundle,
        complaints: Some(complaints),
    });
    match started {
        Ok(shim) => shim,
        Err(ClientError::Spawn { exe, source }) => panic!("{}: {source}", exe.display()),
        Err(error) => panic!("{error}"),
    }
}

fn make_spec(root: &Root, id: &str, settings: &Settings) -> Spec {
    let mut wanted = settings.spec.clone();
    wanted.cgroup_path = PathBuf::from("/stack").join(root.name()).join(&id[..12]);
    wanted.tty = settings.terminal.is_some();
    if wanted.env.is_empty() {
        wanted.env = vec!["PATH=/bin".into()];
    }
    let mut spec = spec::default_spec(wanted).unwrap();
    if let Some((rows, columns)) = settings.terminal {
        let size = BoxBuilder::default().height(rows).width(columns).build();
        let mut process = spec.process().clone().unwrap();
        process.set_console_size(Some(size.unwrap()));
        spec.set_process(Some(process));
    }
    spec
}
