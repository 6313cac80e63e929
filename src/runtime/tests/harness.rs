//! Containers of a busybox image, made in a process of their own.
//!
//! `create` wants a single-threaded caller, which a test runner is not: each test runs itself again as
//! the only test of a new process.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci_spec::runtime::{Mount, Process, Spec};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::runtime::bundle::{Bundle, CopyUp, NetworkSetup, Rootfs, Seccomp, ShimConfig};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::container::{Create, Created, Init, Running, Stdio, StdioSetup, create};
use crate::runtime::exec::{ExecRequest, exec};
use crate::runtime::failure::StartError;
use crate::runtime::spec::{Settings, default_spec};

const CHILD: &str = "STACK_TEST_CHILD";

/// Runs a test's body in a process of its own; `test` is the test function itself.
pub(super) fn alone<T>(_test: T, body: impl FnOnce()) {
    let path = std::any::type_name::<T>();
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        return body();
    }
    let exe = std::env::current_exe().expect("the test binary");
    let output = Command::new(exe)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the test binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let ran = text.contains("1 passed");
    assert!(
        output.status.success() && ran,
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Exit code, or 128 + signal.
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A container to be.
pub(super) struct Container {
    dir: tempfile::TempDir,
    pub(super) settings: Settings,
    pub(super) config: ShimConfig,
    pub(super) init: Option<Init>,
    /// The last word on the spec.
    pub(super) change: fn(&mut Spec),
}

const APPLETS: &str = "sh cat ls id hostname mount umount mknod sleep true false echo stat grep readlink \
    touch ps kill unshare chroot dd head tail wc tr cut mkdir ln pwd env test sort find date seq yes od chmod \
    chown dmesg ulimit setsid tty nc ip ifconfig ping time awk sed basename cp mv rm xargs printf";

impl Container {
    /// A container that runs this command.
    pub(super) fn new(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        for name in ["layer", "upper", "work", "bundle/rootfs"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let id = dir
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .trim_start_matches('.')
            .to_owned();
        let config = ShimConfig {
            version: 1,
            id: id.clone(),
            rootfs: Rootfs {
                lower: vec![at("layer")],
                upper: at("upper"),
                work: at("work"),
                snapshot: false,
            },
            network: NetworkSetup::Inherit,
            log: None,
            stdin_open: false,
            init: false,
            copy_up: Vec::new(),
            wait_attach: false,
            socket: at("socket"),
            on_lost: Vec::new(),
            end_when_lost: false,
            user: Some(String::new()),
            group_add: Vec::new(),
            seccomp: Seccomp::Default,
        };
        let settings = Settings {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            hostname: "box".into(),
            cgroup_path: Path::new("/stack-test").join(id),
            ..Settings::default()
        };
        let container = Self {
            dir,
            settings,
            config,
            init: None,
            change: |_| {},
        };
        container.busybox();
        container
    }

    /// A container that runs this shell script.
    pub(super) fn sh(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    fn busybox(&self) {
        let busybox = Path::new("/bin/busybox");
        assert!(busybox.exists(), "the tests need Debian's busybox-static");
        let layer = self.layer();
        for name in ["bin", "etc", "tmp", "root", "data"] {
            fs::create_dir_all(layer.join(name)).unwrap();
        }
        fs::copy(busybox, layer.join("bin/busybox")).unwrap();
        for applet in APPLETS.split_whitespace() {
            symlink("busybox", layer.join("bin").join(applet)).unwrap();
        }
        self.file(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nwww:x:33:34::/srv:/bin/sh\n",
        );
        self.file("etc/group", "root:x:0:\nwww:x:34:\naudio:x:29:www\n");
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The image.
    pub(super) fn layer(&self) -> PathBuf {
        self.dir().join("layer")
    }

    /// A file of the image.
    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.layer().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn mount(mut self, source: &Path, destination: &str, options: &[&str]) -> Self {
        let mut mount = Mount::default();
        mount
            .set_destination(destination.into())
            .set_typ(Some("bind".into()))
            .set_source(Some(source.into()))
            .set_options(Some(options.iter().map(|o| (*o).to_owned()).collect()));
        self.settings.mounts.push(mount);
        self
    }

    pub(super) fn copy_up(mut self, image_path: &str, volume: &Path) -> Self {
        self.config.copy_up.push(CopyUp {
            image_path: image_path.into(),
            volume: volume.into(),
        });
        self
    }

    pub(super) fn spec(&self) -> Spec {
        let mut spec = default_spec(self.settings.clone()).unwrap();
        (self.change)(&mut spec);
        spec
    }

    fn output(&self, name: &str) -> OwnedFd {
        File::options()
            .create(true)
            .append(true)
            .open(self.dir().join(name))
            .unwrap()
            .into()
    }

    pub(super) fn files(&self, name: &str) -> StdioSetup {
        StdioSetup::Pipes(Stdio {
            stdin: File::open("/dev/null").unwrap().into(),
            stdout: self.output(&format!("{name}.out")),
            stderr: self.output(&format!("{name}.err")),
        })
    }

    pub(super) fn create_with(
        &self,
        spec: &Spec,
        stdio: StdioSetup,
    ) -> Result<Created, StartError> {
        let bundle = Bundle::new(self.dir().join("bundle"));
        create(Create {
            bundle: &bundle,
            spec,
            config: &self.config,
            stdio,
            init: self.init,
        })
    }

    pub(super) fn start(self) -> Result<Live, StartError> {
        let spec = self.spec();
        let created = self.create_with(&spec, self.files("main"))?;
        let running = created.start()?;
        Ok(Live {
            container: self,
            spec,
            running,
            ended: None,
        })
    }

    /// Runs it to its end.
    pub(super) fn run(self) -> Outcome {
        let mut live = self.start().unwrap_or_else(|error| panic!("{error}"));
        live.wait()
    }

    /// Runs it to the error that it ends with before it starts.
    pub(super) fn fails(self) -> StartError {
        let cgroup = self.settings.cgroup_path.clone();
        let dir = self.dir().to_path_buf();
        let Err(error) = self.start() else {
            panic!("it started")
        };
        assert_nothing_left(&dir, &cgroup);
        error
    }
}

/// A container whose program runs.
pub(super) struct Live {
    pub(super) container: Container,
    pub(super) spec: Spec,
    pub(super) running: Running,
    ended: Option<i32>,
}

impl Live {
    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.running.cgroup
    }

    pub(super) fn kill(&self, signal: Signal) {
        pidfd_send_signal(&self.running.pidfd, signal).unwrap();
    }

    /// Waits for its end, removes its cgroup, and checks that nothing is left.
    pub(super) fn wait(&mut self) -> Outcome {
        let code = wait_for(&self.running.pidfd);
        self.ended = Some(code);
        self.running.cgroup.remove().unwrap();
        assert_nothing_left(self.container.dir(), &self.container.settings.cgroup_path);
        self.outcome("main", code)
    }

    pub(super) fn outcome(&self, name: &str, code: i32) -> Outcome {
        let read = |end: &str| {
            fs::read_to_string(self.container.dir().join(format!("{name}.{end}")))
                .unwrap_or_default()
        };
        Outcome {
            code,
            stdout: read("out"),
            stderr: read("err"),
        }
    }

    /// Runs a further program in it.
    pub(super) fn exec(
        &self,
        args: &[&str],
        change: impl FnOnce(&mut Process),
    ) -> Result<Outcome, StartError> {
        self.exec_as(None, args, change)
    }

    pub(super) fn exec_as(
        &self,
        user: Option<&str>,
        args: &[&str],
        change: impl FnOnce(&mut Process),
    ) -> Result<Outcome, StartError> {
        let mut process = self.spec.process().clone().unwrap();
        process.set_args(Some(args.iter().map(|arg| (*arg).to_owned()).collect()));
        change(&mut process);
        let child = exec(ExecRequest {
            target: &self.running.pidfd,
            process: &process,
            user,
            spec: &self.spec,
            config: &self.container.config,
            cgroup: &self.running.cgroup,
            stdio: self.container.files("exec"),
        })?;
        let code = wait_for(&child.pidfd);
        Ok(self.outcome("exec", code))
    }

    /// Leaves it to others to kill, or to have killed.
    pub(super) fn abandon(mut self) {
        self.ended = Some(0);
    }

    /// Waits until the program's output has this text.
    pub(super) fn until(&self, text: &str) {
        eventually(text, || self.outcome("main", 0).stdout.contains(text));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.running.cgroup.kill_all();
            let _ = pidfd_send_signal(&self.running.pidfd, Signal::KILL);
            wait_for(&self.running.pidfd);
            let _ = self.running.cgroup.remove();
        }
    }
}

/// Exit code, or 128 + signal, of a child.
pub(super) fn wait_for(pidfd: &OwnedFd) -> i32 {
    use std::os::fd::AsFd;
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
        .unwrap()
        .unwrap();
    status
        .exit_status()
        .or(status.terminating_signal().map(|signal| 128 + signal))
        .unwrap()
}

/// Waits until something becomes true.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !holds() {
        assert!(
            std::time::Instant::now() < deadline,
            "not within 10 s: {what}"
        );
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn assert_nothing_left(dir: &Path, cgroup: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let name = dir.file_name().unwrap().to_string_lossy().into_owned();
    assert!(!mounts.contains(&name), "a mount is left");
    let error = Cgroup::open(cgroup).err().map(|e| e.to_string());
    assert!(error.is_some(), "a cgroup is left: {}", cgroup.display());
}

/// Waits for the end of a child and leaves it to be reaped.
pub(super) fn wait_for_exit_without_reaping(pidfd: &OwnedFd) {
    use std::os::fd::AsFd;
    waitid(
        WaitId::PidFd(pidfd.as_fd()),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )
    .unwrap();
}
