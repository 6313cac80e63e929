//! The root file system: an overlay of the image's layers, and `pivot_root` into it.

use std::fmt::Write;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use super::options::root_propagation;
use super::root::Root;
use crate::runtime::bundle::Rootfs;
use crate::runtime::failure::{Attempt, Context, StartError, Step};
use crate::sys::mount_attr::{self, MountAttr, Reach};

const STEP: Step = Step::Rootfs;

/// Makes this mount namespace one whose mounts never reach the host, and mounts the root on
/// `target`. With no layers, `plain` itself becomes the root.
pub(crate) fn mount(
    rootfs: &Rootfs,
    plain: &Path,
    target: &Path,
    propagation: Option<&str>,
) -> Attempt<Root> {
    let Some(flag) = root_propagation(propagation) else {
        let detail = "no such mount propagation; write private, slave, shared or unbindable";
        return Err(StartError::because(
            Step::Spec,
            propagation.unwrap_or_default(),
            detail,
        ));
    };
    // Even for `shared` below: what the container mounts is to stay in the container.
    let change = if flag == libc::MS_PRIVATE || flag == libc::MS_UNBINDABLE {
        MountPropagationFlags::PRIVATE
    } else {
        MountPropagationFlags::DOWNSTREAM
    };
    rustix::mount::mount_change("/", change | MountPropagationFlags::REC).at(STEP, "/")?;
    let fd = if rootfs.lower.is_empty() {
        bind(plain)?
    } else {
        overlay(rootfs, target)?
    };
    match fd {
        Some(fd) => Ok(Root::new(attach(fd, target)?)),
        None => open(target),
    }
}

/// Mounts an overlay in this thread's mount namespace.
pub(crate) fn overlay_at(rootfs: &Rootfs, target: &Path) -> Attempt<Root> {
    match overlay(rootfs, target)? {
        Some(fd) => attach(fd, target).map(Root::new),
        None => open(target),
    }
}

/// Mounts layers (the top one first) in this thread's mount namespace, to be read.
pub(crate) fn layers_at(lower: &[std::path::PathBuf], target: &Path) -> Attempt<Root> {
    let mut distinct = once_each(lower);
    if let (Some(only), None) = (distinct.next(), distinct.next()) {
        // overlayfs wants two of them when nothing is written.
        let Some(fd) = bind(only)? else {
            return open(target);
        };
        let root = Root::new(attach(fd, target)?);
        make_readonly(&root)?;
        return Ok(root);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open_layer =
        |path: &std::path::PathBuf| rustix::fs::open(path, flags, Mode::empty()).at(STEP, path);
    let layers = once_each(lower)
        .map(open_layer)
        .collect::<Attempt<Vec<_>>>()?;
    match detached_layers(&layers) {
        Ok(fd) => attach(fd, target).map(Root::new),
        Err(Errno::INVAL | Errno::NOSYS) => {
            let names: Vec<String> = layers.iter().map(name).collect();
            let data = format!("lowerdir={}", names.join(":"));
            let data = std::ffi::CString::new(data).at(STEP, "overlay")?;
            let flags = MountFlags::RDONLY;
            rustix::mount::mount("overlay", target, "overlay", flags, data.as_c_str())
                .map_err(overlay_error)?;
            open(target)
        }
        Err(error) => Err(overlay_error(error)),
    }
}

fn detached_layers(layers: &[OwnedFd]) -> rustix::io::Result<OwnedFd> {
    require_single_layers()?;
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", "overlay")?;
    for layer in layers {
        rustix::mount::fsconfig_set_string(&fs, "lowerdir+", name(layer))?;
    }
    rustix::mount::fsconfig_create(&fs)?;
    rustix::mount::fsmount(
        &fs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY,
    )
}

fn open(target: &Path) -> Attempt<Root> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(target, flags, Mode::empty());
    Ok(Root::new(opened.at(STEP, target)?))
}

fn attach(fd: OwnedFd, target: &Path) -> Attempt<OwnedFd> {
    rustix::mount::move_mount(
        &fd,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .at(STEP, target)?;
    Ok(fd)
}

fn bind(source: &Path) -> Attempt<Option<OwnedFd>> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, source, flags)
        .at(STEP, source)
        .map(Some)
}

/// An image may have the same layer twice, which overlayfs refuses (`ELOOP`). The lower one of the
/// two changes nothing: the upper one has all that it has.
fn once_each(layers: &[std::path::PathBuf]) -> impl Iterator<Item = &std::path::PathBuf> {
    let is_first = |(at, layer): &(usize, &std::path::PathBuf)| !layers[..*at].contains(layer);
    let numbered = layers.iter().enumerate();
    numbered.filter(is_first).map(|(_, layer)| layer)
}

/// The directories of an overlay, named by descriptor: any length, any character, and nothing of
/// the host's paths is seen in the container's `/proc/mounts`.
struct Directories {
    lower: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
}

impl Directories {
    fn open(rootfs: &Rootfs) -> Attempt<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open =
            |path: &std::path::PathBuf| rustix::fs::open(path, flags, Mode::empty()).at(STEP, path);
        Ok(Self {
            lower: once_each(&rootfs.lower).map(open).collect::<Attempt<_>>()?,
            upper: open(&rootfs.upper)?,
            work: open(&rootfs.work)?,
        })
    }
}

fn name(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Mounts the overlay: detached, or (`None`) on `target` where the kernel is too old for that.
fn overlay(rootfs: &Rootfs, target: &Path) -> Attempt<Option<OwnedFd>> {
    let directories = Directories::open(rootfs)?;
    match detached_overlay(&directories, rootfs.snapshot) {
        Ok(fd) => Ok(Some(fd)),
        // Without `lowerdir+`: a value of fsconfig has 255 bytes at most.
        Err(Errno::INVAL | Errno::NOSYS) => {
            legacy_overlay(&directories, target, rootfs.snapshot).map(|()| None)
        }
        Err(error) => Err(overlay_error(error)),
    }
}

/// What makes a writable layer stand for itself: no directory is only a reference to one below
/// (overlayfs.rst, "Renaming directories", "Metadata only copy up").
const STANDALONE: [(&str, &str); 3] = [
    ("redirect_dir", "off"),
    ("metacopy", "off"),
    ("index", "off"),
];

/// `ENOSYS` where overlayfs does not take layers one by one (`lowerdir+`, since Linux 6.7). To try it there
/// is a complaint in the kernel's log, at every start of a container.
fn require_single_layers() -> rustix::io::Result<()> {
    let release = rustix::system::uname();
    match has_single_layers(&release.release().to_string_lossy()) {
        true => Ok(()),
        false => Err(Errno::NOSYS),
    }
}

/// By the kernel's release; one that cannot be read is tried.
fn has_single_layers(release: &str) -> bool {
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    let version: Option<(u32, u32)> = numbers.next().zip(numbers.next());
    version.is_none_or(|version| version >= (6, 7))
}

fn detached_overlay(directories: &Directories, snapshot: bool) -> rustix::io::Result<OwnedFd> {
    require_single_layers()?;
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", "overlay")?;
    if snapshot {
        for (name, value) in STANDALONE {
            rustix::mount::fsconfig_set_string(&fs, name, value)?;
        }
        // Without it, unmounting syncs the whole file system that the layer lies on. Before Linux
        // 5.10 there is no such option.
        let _ = rustix::mount::fsconfig_set_flag(&fs, "volatile");
    }
    for layer in &directories.lower {
        rustix::mount::fsconfig_set_string(&fs, "lowerdir+", name(layer))?;
    }
    rustix::mount::fsconfig_set_string(&fs, "upperdir", name(&directories.upper))?;
    rustix::mount::fsconfig_set_string(&fs, "workdir", name(&directories.work))?;
    rustix::mount::fsconfig_create(&fs)?;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// `mount(2)`, whose options have one page: some two hundred layers by descriptor.
fn legacy_overlay(directories: &Directories, target: &Path, snapshot: bool) -> Attempt<()> {
    let mut data = String::from("lowerdir=");
    for (n, layer) in directories.lower.iter().enumerate() {
        let separator = if n == 0 { "" } else { ":" };
        // Writing to a String does not fail.
        let _ = write!(data, "{separator}{}", name(layer));
    }
    let _ = write!(
        data,
        ",upperdir={},workdir={}",
        name(&directories.upper),
        name(&directories.work)
    );
    for (name, value) in STANDALONE.iter().filter(|_| snapshot) {
        let _ = write!(data, ",{name}={value}");
    }
    if snapshot {
        data.push_str(",volatile");
    }
    let data = std::ffi::CString::new(data).at(STEP, "overlay")?;
    rustix::mount::mount(
        "overlay",
        target,
        "overlay",
        MountFlags::empty(),
        data.as_c_str(),
    )
    .map_err(overlay_error)
}

fn overlay_error(error: Errno) -> StartError {
    let hint = match error {
        Errno::NODEV => Some("this kernel has no overlay file system: modprobe overlay"),
        Errno::INVAL => Some(
            "overlayfs refused the directories: the writable layer cannot lie on overlayfs or NFS",
        ),
        _ => None,
    };
    match hint {
        Some(hint) => StartError::because(STEP, "overlay", hint),
        None => StartError::refused(STEP, "overlay", error),
    }
}

/// Makes the root read-only; what is mounted below it is not touched.
pub(crate) fn make_readonly(root: &Root) -> Attempt<()> {
    let attr = MountAttr {
        set: mount_attr::RDONLY,
        ..MountAttr::default()
    };
    mount_attr::set(root.fd(), Reach::One, &attr).at(STEP, "/")
}

/// Makes the root this process's `/` and lets go of the host's.
pub(crate) fn enter(root: BorrowedFd<'_>) -> Attempt<()> {
    rustix::process::fchdir(root).at(STEP, "/")?;
    // pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one, and goes.
    rustix::process::pivot_root(".", ".").at(STEP, "/")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).at(STEP, "/")?;
    rustix::process::chdir("/").at(STEP, "/")
}

/// The propagation that the container's own mounts have among themselves.
pub(crate) fn share(propagation: Option<&str>) -> Attempt<()> {
    if root_propagation(propagation) == Some(libc::MS_SHARED) {
        let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", flags).at(STEP, "/")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_given_one_by_one_since_linux_6_7() {
        for (release, expected) in [
            ("6.1.0-56-cloud-amd64", false),
            ("5.15.0", false),
            ("6.6", false),
            ("6.7.0-rc1", true),
            ("6.12.117+deb12-cloud-amd64", true),
            ("7.0-x", true),
            ("strange", true),
        ] {
            assert_eq!(has_single_layers(release), expected, "{release}");
        }
    }
}
