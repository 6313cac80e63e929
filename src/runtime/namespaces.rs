//! Which namespaces a container gets: new ones, or existing ones to join. Pure, but for opening.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fs::{Mode, OFlags};
use rustix::thread::LinkNameSpaceType;

use super::failure::{Attempt, Context, StartError, Step};

/// An existing namespace to join.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) kind: LinkNameSpaceType,
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
}

/// What a spec wants.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW*` for `clone`; the cgroup namespace is not among them.
    pub(crate) clone_flags: u64,
    /// A new cgroup namespace: made by the process itself once it is in its cgroups, because the
    /// namespace's root is where its maker is at that moment.
    pub(crate) new_cgroup: bool,
    /// Joined before `clone`: a process cannot change its own pid namespace, only its children's.
    pub(crate) pid: Option<Join>,
    /// Joined by the new process.
    pub(crate) others: Vec<Join>,
}

impl Namespaces {
    /// Whether a new namespace of this kind is made.
    pub(crate) fn creates(&self, flag: libc::c_int) -> bool {
        self.clone_flags & flag as u64 != 0
    }

    /// Whether the container has one that is not the host's.
    pub(crate) fn has_own(&self, flag: libc::c_int, kind: LinkNameSpaceType) -> bool {
        self.creates(flag) || self.others.iter().any(|join| join.kind == kind)
    }

    /// From the spec; a mount namespace is always new.
    pub(crate) fn from_spec(spec: &Spec) -> Attempt<Self> {
        let mut out = Self {
            clone_flags: libc::CLONE_NEWNS as u64,
            ..Self::default()
        };
        let listed = spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.namespaces().as_ref());
        for namespace in listed.into_iter().flatten() {
            let (flag, kind) = kind(namespace.typ())?;
            match namespace.path() {
                Some(path) if !path.as_os_str().is_empty() => out.join(kind, path.clone())?,
                _ if kind == LinkNameSpaceType::ControlGroup => out.new_cgroup = true,
                _ => out.clone_flags |= flag as u64,
            }
        }
        Ok(out)
    }

    fn join(&mut self, kind: LinkNameSpaceType, path: PathBuf) -> Attempt<()> {
        if kind == LinkNameSpaceType::Mount {
            let detail = "joining an existing mount namespace is not possible for a new container";
            return Err(StartError::because(
                Step::Namespaces,
                path.display().to_string(),
                detail,
            ));
        }
        let fd = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .at(Step::Namespaces, &path)?;
        let join = Join { kind, path, fd };
        if kind == LinkNameSpaceType::ProcessID {
            self.pid = Some(join);
        } else {
            self.others.push(join);
        }
        Ok(())
    }
}

fn kind(typ: LinuxNamespaceType) -> Attempt<(libc::c_int, LinkNameSpaceType)> {
    Ok(match typ {
        LinuxNamespaceType::Mount => (libc::CLONE_NEWNS, LinkNameSpaceType::Mount),
        LinuxNamespaceType::Cgroup => (libc::CLONE_NEWCGROUP, LinkNameSpaceType::ControlGroup),
        LinuxNamespaceType::Uts => (
            libc::CLONE_NEWUTS,
            LinkNameSpaceType::HostNameAndNISDomainName,
        ),
        LinuxNamespaceType::Ipc => (
            libc::CLONE_NEWIPC,
            LinkNameSpaceType::InterProcessCommunication,
        ),
        LinuxNamespaceType::Pid => (libc::CLONE_NEWPID, LinkNameSpaceType::ProcessID),
        LinuxNamespaceType::Network => (libc::CLONE_NEWNET, LinkNameSpaceType::Network),
        LinuxNamespaceType::User | LinuxNamespaceType::Time => {
            let detail = "this kind of namespace is not supported yet";
            return Err(StartError::because(
                Step::Spec,
                format!("linux.namespaces: {typ}"),
                detail,
            ));
        }
    })
}

/// A namespace that this process can come back to.
#[derive(Debug)]
pub(crate) struct PidNamespaceVisit {
    home: OwnedFd,
}

impl PidNamespaceVisit {
    /// Makes children be born in the pid namespace behind this descriptor (a namespace file, or a
    /// pidfd of one of its processes) until the visit ends.
    pub(crate) fn begin(target: &OwnedFd) -> rustix::io::Result<Self> {
        use std::os::fd::AsFd;
        let home = rustix::fs::open(
            "/proc/self/ns/pid",
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        rustix::thread::move_into_link_name_space(
            target.as_fd(),
            Some(LinkNameSpaceType::ProcessID),
        )?;
        Ok(Self { home })
    }
}

impl Drop for PidNamespaceVisit {
    fn drop(&mut self) {
        use std::os::fd::AsFd;
        // Coming back to one's own namespace needs nothing that entering another did not need.
        let _ = rustix::thread::move_into_link_name_space(
            self.home.as_fd(),
            Some(LinkNameSpaceType::ProcessID),
        );
    }
}
