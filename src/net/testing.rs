//! Network namespaces for tests, each kept by a thread of its own: they vanish with it, also when a
//! test fails, and tests that run side by side do not meet.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;

use ipnetwork::IpNetwork;
use nix::sched::{CloneFlags, unshare};

use super::Endpoint;
use super::bridge::Bridge;
use super::names::{host_if_name, mac_from_name};

type Task = Box<dyn FnOnce() + Send>;

/// A network namespace that lives as long as this.
pub(super) struct Namespace {
    tid: i32,
    tasks: Option<mpsc::Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    pub(super) fn new() -> Namespace {
        let (tasks, receiver) = mpsc::channel::<Task>();
        let (ready, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
            ready
                .send(nix::unistd::gettid().as_raw())
                .expect("the test waits");
            for task in receiver {
                task();
            }
        });
        let tid = started.recv().expect("the namespace's thread starts");
        Namespace {
            tid,
            tasks: Some(tasks),
            thread: Some(thread),
        }
    }

    /// A namespace with loopback up.
    pub(super) fn with_loopback() -> Namespace {
        let namespace = Namespace::new();
        namespace.sh("ip link set lo up");
        namespace
    }

    /// What stands for the namespace where a process id is wanted.
    pub(super) fn pid(&self) -> i32 {
        self.tid
    }

    /// Runs `work` inside, and passes its panic on.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel::<Result<T, Box<dyn Any + Send>>>();
        let task: Task = Box::new(move || {
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        });
        self.tasks
            .as_ref()
            .expect("not dropped")
            .send(task)
            .expect("the thread lives");
        match receiver.recv().expect("the thread answers") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Runs a shell command inside and returns what it prints; fails the test when it fails.
    pub(super) fn sh(&self, script: &str) -> String {
        let (output, success) = self.try_sh(script);
        assert!(success, "`{script}` failed: {output}");
        output
    }

    /// Runs a shell command inside; what it prints, and whether it succeeded.
    pub(super) fn try_sh(&self, script: &str) -> (String, bool) {
        let script = script.to_owned();
        self.run(move || {
            let output = Command::new("sh")
                .args(["-c", &script])
                .output()
                .expect("there is a shell");
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            (text, output.status.success())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.tasks.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether programs are installed; loud when not, and a failure where everything must run.
pub(super) fn have(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| {
            !std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|directory| directory.join(program).exists())
            })
        })
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "programs that these tests need are missing: {missing:?}"
    );
    eprintln!("SKIPPED: programs that this test needs are missing: {missing:?}");
    false
}

/// A bridge named for a test.
pub(super) fn bridge(name: &str, addresses: &[&str]) -> Bridge {
    Bridge {
        name: name.to_owned(),
        addresses: addresses
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect(),
        mtu: 1500,
    }
}

/// An endpoint on `bridge` whose gateways are the bridge's addresses.
pub(super) fn endpoint(bridge: &Bridge, addresses: &[&str]) -> Endpoint {
    let key = format!("{}{addresses:?}", bridge.name);
    Endpoint {
        bridge: bridge.name.clone(),
        host_if: host_if_name(&key, 0),
        name: "eth0".to_owned(),
        mac: mac_from_name(&key),
        addresses: addresses
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect(),
        gateways: bridge.addresses.iter().map(IpNetwork::ip).collect(),
        mtu: 1500,
    }
}
