//! Looks for what a test has left behind.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::machine;

/// Everything that still has to do with a test's directory or name: described for people.
pub(super) fn find(root: &Path, name: &str) -> Vec<String> {
    let mut found: Vec<String> = processes_named(name)
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
    for (pid, _) in processes_named(name) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for path in cgroups(name) {
        let path = Path::new("/").join(path);
        let _ = fs::remove_dir(path);
    }
}

/// What a project's commands have left: described for people.
///
/// The calling thread has a network of its own, so all that is in it counts.
pub(super) fn find_of(root: &Path, projects: &[String]) -> Vec<String> {
    let text = root.to_string_lossy();
    let mut found: Vec<String> = processes_of(&text, projects)
        .into_iter()
        .map(|(pid, what)| format!("process {pid}: {what}"))
        .collect();
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    // The root itself may be a disk of the test's own.
    let disk = format!(" {text} ");
    let ours = mounts
        .lines()
        .filter(|line| line.contains(&*text) && !line.contains(&disk));
    found.extend(ours.map(|line| format!("mount {line}")));
    for project in projects {
        let groups = cgroups(&format!("/stack/{project}"));
        found.extend(
            groups
                .iter()
                .map(|path| format!("cgroup {}", path.display())),
        );
    }
    found.extend(machine::links().iter().map(|name| format!("link {name}")));
    found.extend(firewall());
    for dir in [
        "containers",
        "volumes",
        "networks",
        "projects",
        "run/shims",
        "run/projects",
    ] {
        for entry in fs::read_dir(root.join(dir)).into_iter().flatten().flatten() {
            found.push(format!("{}", entry.path().display()));
        }
    }
    found
}

/// Ends and removes what was found, so that one failure does not become many.
pub(super) fn remove_of(root: &Path, projects: &[String]) {
    // A shim's end may start a supervisor: until nothing is left.
    for _ in 0..100 {
        let left = processes_of(&root.to_string_lossy(), projects);
        if left.is_empty() {
            break;
        }
        for (pid, _) in left {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for path in projects
        .iter()
        .flat_map(|project| cgroups(&format!("/stack/{project}")))
    {
        let _ = fs::remove_dir(path);
    }
}

/// Sets and maps of the firewall that still have elements.
fn firewall() -> Vec<String> {
    let output = std::process::Command::new("nft")
        .args(["-j", "list", "ruleset"])
        .output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    let ruleset: serde_json::Value = serde_json::from_slice(&output).unwrap_or_default();
    let objects = ruleset["nftables"].as_array().cloned().unwrap_or_default();
    let named = objects
        .iter()
        .flat_map(|object| [&object["set"], &object["map"]]);
    named
        .filter(|object| {
            object["table"]
                .as_str()
                .is_some_and(|table| table.contains("stack"))
        })
        .filter(|object| {
            object["elem"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        })
        .map(|object| format!("firewall {object}"))
        .collect()
}

/// The process ids of all that has to do with a root or its projects.
pub(super) fn pids_of(root: &Path, projects: &[String]) -> Vec<i32> {
    let found = processes_of(&root.to_string_lossy(), projects);
    found.into_iter().map(|(pid, _)| pid).collect()
}

/// Processes that have to do with a root or its projects.
fn processes_of(root: &str, projects: &[String]) -> Vec<(i32, String)> {
    let own = std::process::id() as i32;
    let network = machine::own_network();
    let is_ours = |pid: i32, arguments: &str| {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let in_group = |project: &String| cgroup.contains(&format!("/stack/{project}/"));
        arguments.contains(root)
            || projects.iter().any(in_group)
            || (network.is_some() && machine::network_of(pid) == network)
    };
    let pids = pids().into_iter().filter(|pid| *pid != own);
    pids.filter_map(|pid| {
        let arguments = arguments(pid)?.join(" ");
        // What has ended and waits for its parent has no arguments; neither has, for a moment, what begins
        // another program.
        let lives = !arguments.is_empty() || fs::read_link(format!("/proc/{pid}/exe")).is_ok();
        (lives && is_ours(pid, &arguments)).then_some((pid, arguments))
    })
    .collect()
}

/// The processes whose arguments are as wanted.
pub(super) fn processes(wanted: impl Fn(&[String]) -> bool) -> Vec<i32> {
    let is_wanted = |pid: &i32| arguments(*pid).is_some_and(|arguments| wanted(&arguments));
    pids().into_iter().filter(is_wanted).collect()
}

fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

fn arguments(pid: i32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    Some(
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    )
}

/// Processes with the test's name in their arguments or their cgroup; not this one.
fn processes_named(name: &str) -> Vec<(i32, String)> {
    let own = std::process::id() as i32;
    pids()
        .into_iter()
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            let arguments = arguments(pid)?.join(" ");
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
