//! The processes that a process has started, however deep.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A program that forks without end must not keep the shim busy for ever.
const MOST: usize = 4096;

/// Descriptors of all descendants of a process (children of processes that have ended belong to
/// the container's PID 1 by then, and are not found).
pub(super) fn of(pid: i32) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children_of(parent) {
            let Some(pid) = Pid::from_raw(child) else {
                continue;
            };
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
                continue;
            };
            // Still a child after it was opened: so that was no other process with a re-used pid.
            if children_of(parent).contains(&child) && found.len() < MOST {
                found.push(pidfd);
                parents.push(child);
            }
        }
    }
    found
}

/// By thread, as the kernel keeps them (proc_pid_children(5)).
fn children_of(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            text.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use rustix::process::{Signal, pidfd_send_signal};

    use super::*;

    #[test]
    fn children_of_children_are_found_even_in_sessions_of_their_own() {
        let mut shell = Command::new("sh")
            .args(["-c", "setsid sh -c 'sleep 1000 & echo ready; wait' & wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(shell.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let found = of(shell.id() as i32);
        shell.kill().unwrap();
        for pidfd in &found {
            pidfd_send_signal(pidfd, Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
        assert_eq!((line.trim(), found.len()), ("ready", 2));
    }
}
