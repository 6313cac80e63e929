//! `/dev`: the standard nodes, those of the spec, and the links that programs expect.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;

use super::mounts::{clone_tree, put};
use super::root::{Missing, Root};
use crate::runtime::failure::{Attempt, Context, StartError, Step};
use crate::sys::mount_attr::Reach;

const STEP: Step = Step::Devices;

/// OCI runtime spec, "Default Devices"; `console` and `ptmx` are made elsewhere.
const STANDARD: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// OCI runtime spec, "Dev symbolic links".
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Fills a file system that becomes `/dev`, before it is mounted anywhere, so that nobody can
/// exchange a node for something else (CVE-2025-31133); returns `null` (`O_PATH`).
pub(crate) fn fill(dev: BorrowedFd<'_>, extra: &[LinuxDevice], console: bool) -> Attempt<OwnedFd> {
    for (name, major, minor) in STANDARD {
        let mode = Mode::from_raw_mode(0o666);
        match rustix::fs::mknodat(
            dev,
            name,
            FileType::CharacterDevice,
            mode,
            makedev(major, minor),
        ) {
            Ok(()) => {}
            Err(Errno::PERM) => bind_from_host(dev, name)?,
            Err(error) => return Err(StartError::refused(STEP, format!("/dev/{name}"), error)),
        }
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, dev, name)
            .at(STEP, Path::new("/dev").join(name).as_path())?;
    }
    if console {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(dev, "console", flags, Mode::from_raw_mode(0o600))
            .at(STEP, "/dev/console")?;
    }
    let inside = Root::new(dev.try_clone_to_owned().at(STEP, "/dev")?);
    for device in extra {
        if let Ok(path) = device.path().strip_prefix("/dev") {
            node(&inside, path, device)?;
        }
    }
    let null = rustix::fs::openat(
        dev,
        "null",
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    );
    null.at(STEP, "/dev/null")
}

/// Nodes of the spec that do not lie in a `/dev` of ours.
pub(crate) fn make_elsewhere(root: &Root, devices: &[LinuxDevice], own_dev: bool) -> Attempt<()> {
    let ours = |device: &&LinuxDevice| !(own_dev && device.path().starts_with("/dev"));
    devices
        .iter()
        .filter(ours)
        .try_for_each(|device| node(root, device.path(), device))
}

fn node(root: &Root, path: &Path, device: &LinuxDevice) -> Attempt<()> {
    let Some(name) = path.file_name() else {
        return Err(StartError::because(
            STEP,
            device.path().display().to_string(),
            "not the name of a node",
        ));
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let directory = root
        .open_or_make(directory, Missing::Directory)
        .at(STEP, device.path())?;
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::A => {
            let detail = "the type of a device is one of c, b, u, p";
            return Err(StartError::because(
                STEP,
                device.path().display().to_string(),
                detail,
            ));
        }
    };
    let number = |n: i64| u32::try_from(n).unwrap_or(0);
    let rdev = makedev(number(device.major()), number(device.minor()));
    let mode = Mode::from_raw_mode(device.file_mode().unwrap_or(0o666) & 0o7777);
    match rustix::fs::mknodat(&directory, name, kind, mode, rdev) {
        // Of the image, or one of the standard nodes again: only if it is the same.
        Err(Errno::EXIST) if is_same_node(directory.as_fd(), Path::new(name), kind, rdev) => {}
        other => other.at(STEP, device.path())?,
    }
    let owner = (
        device.uid().map(Uid::from_raw),
        device.gid().map(Gid::from_raw),
    );
    let nofollow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(&directory, name, owner.0, owner.1, nofollow).at(STEP, device.path())
}

fn is_same_node(directory: BorrowedFd<'_>, name: &Path, kind: FileType, rdev: u64) -> bool {
    rustix::fs::statat(directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == rdev)
}

/// Without the right to make nodes (a user namespace) the host's are bound instead.
fn bind_from_host(dev: BorrowedFd<'_>, name: &str) -> Attempt<()> {
    let path = Path::new("/dev").join(name);
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC;
    let place = rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(0o666)).at(STEP, &path)?;
    let tree = clone_tree(CWD, &path, Reach::One).at(STEP, &path)?;
    put(&tree, &place).at(STEP, &path)
}

/// The host's `/dev/null`, checked to be what its name says.
pub(crate) fn host_null() -> Attempt<OwnedFd> {
    let path = "/dev/null";
    let null = rustix::fs::open(
        path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .at(STEP, path)?;
    let stat = rustix::fs::fstat(&null).at(STEP, path)?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == makedev(1, 3);
    if is_null {
        Ok(null)
    } else {
        Err(StartError::because(
            STEP,
            path,
            "is not the null device on this machine",
        ))
    }
}
