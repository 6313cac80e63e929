//! The spec's mounts, in their order, each made detached, then put in its place by descriptor.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, Mount};
use rustix::fs::{CWD, FileType, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use super::devices;
use super::options::Options;
use super::root::{Missing, Root};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::failure::{Attempt, Context, StartError, Step};
use crate::sys::mount_attr::{self, MountAttr, Reach};

const STEP: Step = Step::Mount;

/// Where the mounts go, and what some of them need.
pub(crate) struct Mounts<'a> {
    pub(crate) root: &'a Root,
    /// Relative bind sources start here (config.md, "Mounts").
    pub(crate) bundle: &'a Path,
    pub(crate) cgroup: Option<&'a Cgroup>,
    pub(crate) devices: &'a [LinuxDevice],
    /// Makes the place that `/dev/console` is mounted on.
    pub(crate) terminal: bool,
}

/// What later steps need of the mounts.
#[derive(Debug, Default)]
pub(crate) struct Mounted {
    /// `/dev` is a file system of ours, with its devices; this is its `null`.
    pub(crate) null: Option<OwnedFd>,
}

/// Makes the bind mounts among these below a root of this thread's mount namespace; sources that are
/// relative start at `bundle`.
pub(crate) fn bind_all(root: &Root, bundle: &Path, mounts: &[Mount]) -> Attempt<()> {
    let binds = Mounts {
        root,
        bundle,
        cgroup: None,
        devices: &[],
        terminal: false,
    };
    for mount in mounts {
        let options = Options::parse(mount.options().as_deref().unwrap_or_default());
        if options.bind.is_some() || mount.typ().as_deref() == Some("bind") {
            binds.bind(mount, &options)?;
        }
    }
    Ok(())
}

impl Mounts<'_> {
    /// Makes them all.
    pub(crate) fn make(&self, mounts: &[Mount]) -> Attempt<Mounted> {
        let mut mounted = Mounted::default();
        for mount in mounts {
            let options = Options::parse(mount.options().as_deref().unwrap_or_default());
            let typ = mount.typ().as_deref().unwrap_or("none");
            if options.bind.is_some() || typ == "bind" {
                self.bind(mount, &options)?;
            } else if typ == "cgroup" || typ == "cgroup2" {
                self.cgroup(mount, &options)?;
            } else {
                let null = self.file_system(mount, typ, &options)?;
                mounted.null = null.or(mounted.null);
            }
        }
        Ok(mounted)
    }

    fn bind(&self, mount: &Mount, options: &Options) -> Attempt<()> {
        let Some(source) = mount.source() else {
            return Err(StartError::because(
                STEP,
                subject(mount),
                "a bind mount needs a source",
            ));
        };
        let source = self.bundle.join(source);
        let reach = options.bind.unwrap_or(Reach::One);
        let tree = clone_tree(CWD, &source, reach).at(STEP, &source)?;
        if let Some((key, _)) = options.data.first() {
            let detail = format!("a bind mount has no option `{key}`");
            return Err(StartError::because(STEP, subject(mount), detail));
        }
        set_attributes(&tree, options).at(STEP, mount.destination())?;
        let target = self.target(mount, kind_of(&tree, &source)?)?;
        check_kinds(&tree, &target, mount)?;
        put(&tree, &target).at(STEP, mount.destination())
    }

    /// A file system of its own; `/dev` is filled before anyone can see it.
    fn file_system(&self, mount: &Mount, typ: &str, options: &Options) -> Attempt<Option<OwnedFd>> {
        let destination = mount.destination();
        let made = new_file_system(typ, mount.source().as_deref(), &options.data);
        let tree = made.map_err(|error| mount_error(mount, typ, error))?;
        let null = if typ == "tmpfs" && is_dev(destination) {
            Some(devices::fill(tree.as_fd(), self.devices, self.terminal)?)
        } else {
            None
        };
        set_attributes(&tree, options).at(STEP, destination)?;
        let target = if is_kernel_interface(typ) {
            // What masks and sysctls protect has to be where its name says (CVE-2019-19921,
            // CVE-2023-27561): no symbolic link on the way to it.
            self.plain_target(destination)?
        } else {
            self.target(mount, Missing::Directory)?
        };
        put(&tree, &target).at(STEP, destination)?;
        Ok(null)
    }

    fn target(&self, mount: &Mount, missing: Missing) -> Attempt<OwnedFd> {
        let destination = mount.destination();
        let target = self
            .root
            .open_or_make(destination, missing)
            .at(STEP, destination)?;
        // CVE-2019-16884: a mount over the container's /proc would take the place of what
        // the kernel is to read and write there. Whatever the way to it is called.
        if self.is_proc(&target).at(STEP, destination)? {
            let detail = "nothing can be mounted over /proc itself";
            return Err(StartError::because(
                STEP,
                destination.display().to_string(),
                detail,
            ));
        }
        Ok(target)
    }

    fn is_proc(&self, target: &OwnedFd) -> rustix::io::Result<bool> {
        let place = match self
            .root
            .open_plain(Path::new("/proc"), OFlags::PATH | OFlags::NOFOLLOW)
        {
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(false),
            other => rustix::fs::fstat(other?)?,
        };
        let target = rustix::fs::fstat(target)?;
        Ok((place.st_dev, place.st_ino) == (target.st_dev, target.st_ino))
    }

    fn plain_target(&self, destination: &Path) -> Attempt<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        match self.root.open_plain(destination, flags) {
            Err(Errno::NOENT) => {
                self.root
                    .open_or_make(destination, Missing::Directory)
                    .at(STEP, destination)?;
                self.root
                    .open_plain(destination, flags)
                    .at(STEP, destination)
            }
            Err(Errno::LOOP | Errno::NOTDIR) => {
                let detail = "the image has a symbolic link or a file where a directory must be";
                Err(StartError::because(
                    STEP,
                    destination.display().to_string(),
                    detail,
                ))
            }
            other => other.at(STEP, destination),
        }
    }

    /// The container's own cgroups: v2 as one mount, v1 as a directory with one for each hierarchy
    /// that the container has a cgroup of its own in.
    fn cgroup(&self, mount: &Mount, options: &Options) -> Attempt<()> {
        let destination = mount.destination();
        let Some(cgroup) = self.cgroup else {
            return Ok(());
        };
        let groups = cgroup.v1_hierarchies();
        if groups.is_empty() {
            let tree = new_file_system("cgroup2", None, &[]).at(STEP, destination)?;
            set_attributes(&tree, options).at(STEP, destination)?;
            let target = self.target(mount, Missing::Directory)?;
            return put(&tree, &target).at(STEP, destination);
        }
        let data = [("mode".to_owned(), Some("755".to_owned()))];
        let top = new_file_system("tmpfs", None, &data).at(STEP, destination)?;
        put(&top, &self.target(mount, Missing::Directory)?).at(STEP, destination)?;
        if cgroup.is_in_v2() {
            self.hierarchy(&destination.join("unified"), "cgroup2", &[], options)?;
        }
        for controllers in &groups {
            let data: Vec<_> = controllers
                .iter()
                .map(|name| ((*name).to_owned(), None))
                .collect();
            self.hierarchy(
                &destination.join(controllers.join(",")),
                "cgroup",
                &data,
                options,
            )?;
        }
        set_attributes(&top, options).at(STEP, destination)
    }

    fn hierarchy(
        &self,
        at: &Path,
        typ: &str,
        data: &[(String, Option<String>)],
        options: &Options,
    ) -> Attempt<()> {
        let tree = new_file_system(typ, None, data).at(STEP, at)?;
        set_attributes(&tree, options).at(STEP, at)?;
        let target = self
            .root
            .open_or_make(at, Missing::Directory)
            .at(STEP, at)?;
        put(&tree, &target).at(STEP, at)
    }
}

fn subject(mount: &Mount) -> String {
    mount.destination().display().to_string()
}

fn is_dev(destination: &Path) -> bool {
    destination.components().eq(Path::new("/dev").components())
}

fn is_kernel_interface(typ: &str) -> bool {
    matches!(typ, "proc" | "sysfs")
}

/// A detached mount of a new file system.
pub(crate) fn new_file_system(
    typ: &str,
    source: Option<&Path>,
    data: &[(String, Option<String>)],
) -> rustix::io::Result<OwnedFd> {
    let fs = rustix::mount::fsopen(typ, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", source.unwrap_or(Path::new(typ)))?;
    for (key, value) in data {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&fs, key.as_str(), value.as_str())?,
            None => rustix::mount::fsconfig_set_flag(&fs, key.as_str())?,
        }
    }
    rustix::mount::fsconfig_create(&fs)?;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn mount_error(mount: &Mount, typ: &str, error: Errno) -> StartError {
    let detail = match error {
        Errno::NODEV => format!("this kernel has no file system `{typ}`"),
        Errno::INVAL => {
            let options = mount.options().as_deref().unwrap_or_default().join(",");
            format!("the file system `{typ}` does not accept the options `{options}`")
        }
        other => return StartError::refused(STEP, subject(mount), other),
    };
    StartError::because(STEP, subject(mount), detail)
}

/// A detached copy of a mount, or of the tree of mounts, at this place.
pub(crate) fn clone_tree(at: impl AsFd, path: &Path, reach: Reach) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if reach == Reach::Tree {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    rustix::mount::open_tree(at, path, flags)
}

/// Puts a detached mount on a place, both by descriptor.
pub(crate) fn put(tree: impl AsFd, target: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", target, "", flags)
}

fn set_attributes(tree: &OwnedFd, options: &Options) -> std::io::Result<()> {
    let tree_attr = MountAttr {
        ..options.tree_attr
    };
    if tree_attr != MountAttr::default() {
        mount_attr::set(tree, Reach::Tree, &tree_attr)?;
    }
    if options.attr != MountAttr::default() {
        mount_attr::set(tree, Reach::One, &options.attr)?;
    }
    // Private unless asked otherwise, as Docker: what the host mounts later does not show up.
    let (propagation, reach) = options
        .propagation
        .unwrap_or((libc::MS_PRIVATE, Reach::Tree));
    if options.propagation.is_some() || options.bind.is_some() {
        mount_attr::set(
            tree,
            reach,
            &MountAttr {
                propagation,
                ..MountAttr::default()
            },
        )?;
    }
    Ok(())
}

fn kind_of(tree: &OwnedFd, source: &PathBuf) -> Attempt<Missing> {
    let stat = rustix::fs::fstat(tree).at(STEP, source)?;
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    Ok(if directory {
        Missing::Directory
    } else {
        Missing::File
    })
}

fn check_kinds(tree: &OwnedFd, target: &OwnedFd, mount: &Mount) -> Attempt<()> {
    let is_directory = |fd: &OwnedFd| -> Attempt<bool> {
        let stat = rustix::fs::fstat(fd).at(STEP, mount.destination())?;
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    };
    let detail = match (is_directory(tree)?, is_directory(target)?) {
        (true, false) => "the source is a directory, the target in the container a file",
        (false, true) => "the source is a file, the target in the container a directory",
        _ => return Ok(()),
    };
    Err(StartError::because(STEP, subject(mount), detail))
}
