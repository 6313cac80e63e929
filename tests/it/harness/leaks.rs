//! Looks for what a test has left behind.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// Everything that still has to do with a test's directory or name: described for people.
pub(super) fn find(root: &Path, name: &str) -> Vec<String> {
    let mut found: Vec<String> = processes(name)
        .into_iter()
        .map(|(pid, what)| format!("process {pid}: {what}"))
        .collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let ours = mounts.lines().filter(|line| line.contains(name));
    found.extend(ours.map(|line| format!("mount {line}")));
    found.extend(
        cgroups(name)
            .iter()
            .map(|path| format!("cgroup {}", path.display())),
    );
    found.extend(
        sockets(root)
            .iter()
            .map(|path| format!("socket {}", path.display())),
    );
    found
}

/// Ends what was found, so that one failure does not become many.
pub(super) fn remove(name: &str) {
    for (pid, _) in processes(name) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for path in cgroups(name) {
        let path = Path::new("/").join(path);
        let _ = fs::remove_dir(path);
    }
}

/// Processes with the test's name in their arguments or their cgroup; not this one.
fn processes(name: &str) -> Vec<(i32, String)> {
    let own = std::process::id() as i32;
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter_map(|pid: i32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
            let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
            (arguments.contains(name) || cgroup.contains(name)).then_some((pid, arguments))
        })
        .collect()
}

fn cgroups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Two levels of hierarchies (v2, or v1 below a directory each), two of our own.
    let mut left = vec![(PathBuf::from("/sys/fs/cgroup"), 4)];
    while let Some((dir, depth)) = left.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if path.to_string_lossy().contains(name) {
                found.push(path.clone());
            }
            if depth > 0 {
                left.push((path, depth - 1));
            }
        }
    }
    // The inner ones first.
    found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    found
}

fn sockets(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("containers"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let socket = entry.path().join("shim.sock");
        if socket.exists() {
            found.push(socket);
        }
    }
    found
}
