//! Kernel parameters of a container's own namespaces.
//!
//! They are written through the host's procfs before the image's root file system is entered: the
//! kernel takes the namespace from who writes, and no name of the image is on the way.

use std::collections::HashMap;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::masks::check_host_proc;
use crate::runtime::failure::{Attempt, Context, StartError, Step};

const STEP: Step = Step::Sysctl;

/// Which kinds of parameters belong to the container alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) network: bool,
    pub(crate) ipc: bool,
    pub(crate) uts: bool,
}

/// Sets them; one that would change the host is refused.
pub(crate) fn apply(parameters: &HashMap<String, String>, own: Own) -> Attempt<()> {
    if parameters.is_empty() {
        return Ok(());
    }
    check_host_proc()?;
    for (name, value) in parameters {
        let path = path(name);
        check(&path, own).map_err(|detail| StartError::because(STEP, name.as_str(), detail))?;
        let path = format!("/proc/sys/{path}");
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat2(CWD, path.as_str(), flags, Mode::empty(), resolve)
            .at(STEP, name.as_str())?;
        rustix::io::write(&file, value.as_bytes()).at(STEP, name.as_str())?;
    }
    Ok(())
}

/// sysctl(8): the separator is what comes first, so that `net/ipv4/conf/eth0.1/x` can be said.
fn path(name: &str) -> String {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'.') => name
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

fn check(path: &str, own: Own) -> Result<(), &'static str> {
    if path
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err("is not the name of a kernel parameter");
    }
    let (belongs, missing) = if path.starts_with("net/") {
        (
            own.network,
            "belongs to the host, whose network the container uses",
        )
    } else if IPC.contains(&path) || path.starts_with("fs/mqueue/") {
        (
            own.ipc,
            "belongs to the host, whose IPC namespace the container uses",
        )
    } else if path == "kernel/domainname" {
        (
            own.uts,
            "belongs to the host, whose host name the container uses",
        )
    } else if path == "kernel/hostname" {
        return Err("is set by `hostname`");
    } else {
        return Err("is one for the whole machine, not for a container: set it on the host");
    };
    if belongs { Ok(()) } else { Err(missing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parameters_of_the_containers_own_namespaces_can_be_set() {
        let all = Own {
            network: true,
            ipc: true,
            uts: true,
        };
        let none = Own {
            network: false,
            ipc: false,
            uts: false,
        };
        let table = [
            ("net.ipv4.ip_forward", all, true),
            ("net/ipv4/conf/eth0.1/forwarding", all, true),
            ("net.ipv4.ip_forward", none, false),
            ("kernel.shmmax", all, true),
            ("kernel.shmmax", none, false),
            ("fs.mqueue.msg_max", all, true),
            ("kernel.domainname", all, true),
            ("kernel.hostname", all, false),
            ("kernel.panic", all, false),
            ("vm.swappiness", all, false),
            ("net.../kernel.panic", all, false),
            ("net/../kernel/panic", all, false),
            ("net//x", all, false),
            ("", all, false),
        ];
        for (name, own, want) in table {
            assert_eq!(check(&path(name), own).is_ok(), want, "{name}");
        }
    }

    #[test]
    fn the_first_separator_counts() {
        assert_eq!(path("net.ipv4.conf.eth0/1.x"), "net/ipv4/conf/eth0.1/x");
        assert_eq!(path("net/ipv4/conf/eth0.1/x"), "net/ipv4/conf/eth0.1/x");
    }
}
