//! What a test needs of this machine, and a network of its own on it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Says why a test cannot run here; where tests must all run (`CI=true`) that is a failure.
///
/// `programs` are those that the test starts itself.
pub(crate) fn is_able(programs: &[&str]) -> bool {
    let missing = reasons(programs);
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    let must_run = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!must_run, "this test cannot run here: {missing}");
    eprintln!("SKIPPED: {missing}");
    false
}

fn reasons(programs: &[&str]) -> Vec<String> {
    let mut missing = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        missing.push("it needs root".to_owned());
    }
    for program in ["busybox", "ip", "nft"].iter().chain(programs) {
        if !is_installed(program) {
            missing.push(format!("there is no program `{program}`"));
        }
    }
    missing
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/sbin"].map(Into::into));
    places.iter().any(|dir| dir.join(program).is_file())
}

/// Gives the calling thread, and all that it starts, a network with nothing but `lo`.
///
/// Every published port is free in it, no other test is seen, and what is left in it at the end was
/// left by this test.
pub(super) fn enter_own_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    run("ip", ["link", "set", "lo", "up"]);
}

/// Gives the calling thread, and all that it starts, mounts of its own.
pub(super) fn enter_own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    run("mount", ["--make-rprivate", "/"]);
}

/// Runs a program of this machine that must succeed; its output.
#[track_caller]
pub(crate) fn run<I: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = I>,
) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The links of the calling thread's network, but for `lo`.
pub(super) fn links() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let names = text
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next());
    let names = names.map(|name| name.trim().to_owned());
    names.filter(|name| name != "lo").collect()
}

/// What identifies the calling thread's network.
pub(super) fn own_network() -> Option<std::path::PathBuf> {
    std::fs::read_link("/proc/thread-self/ns/net").ok()
}

/// What identifies the network of a process.
pub(super) fn network_of(pid: i32) -> Option<std::path::PathBuf> {
    std::fs::read_link(Path::new("/proc").join(pid.to_string()).join("ns/net")).ok()
}
