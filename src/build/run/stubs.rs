//! Places that mounts need and the image does not have: made for a step, taken away after it, so
//! that they are no part of its layer.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;

use crate::runtime::Root;

/// One place that is missing in the root below.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stub {
    /// The deepest directory above it that is there, without links, below the root.
    existing: PathBuf,
    /// What is made in it: one or several directories, or at last a file.
    missing: PathBuf,
}

/// Which of these places a root does not have.
pub(super) fn find<'a>(root: &Root, targets: impl IntoIterator<Item = &'a Path>) -> Vec<Stub> {
    targets
        .into_iter()
        .filter_map(|target| stub(root, target))
        .collect()
}

fn stub(root: &Root, target: &Path) -> Option<Stub> {
    let mut existing = target.to_owned();
    let mut missing = Vec::new();
    loop {
        match root.open(&existing, OFlags::PATH) {
            Ok(_) if missing.is_empty() => return None,
            Ok(fd) => {
                let proc = |fd: i32| std::fs::read_link(format!("/proc/thread-self/fd/{fd}")).ok();
                let top = proc(root.fd().as_raw_fd())?;
                let real = proc(fd.as_raw_fd())?;
                missing.reverse();
                return Some(Stub {
                    existing: real.strip_prefix(top).ok()?.to_owned(),
                    missing: missing.iter().collect(),
                });
            }
            Err(Errno::NOENT) => {
                missing.push(existing.file_name()?.to_owned());
                existing.pop();
            }
            Err(_) => return None,
        }
    }
}

/// Takes what was made, and nothing was put into, out of a layer; and the directories above that are
/// in the layer for no other reason.
pub(super) fn remove(stubs: &[Stub], upper: &Path, below: &Root) {
    for stub in stubs {
        let mut path = stub.existing.join(&stub.missing);
        while path != stub.existing {
            if !remove_empty(&upper.join(&path)) {
                break;
            }
            path.pop();
        }
    }
    for stub in stubs {
        let mut path = stub.existing.clone();
        while !path.as_os_str().is_empty() {
            let directory = upper.join(&path);
            if !looks_like(&directory, below, &path) || std::fs::remove_dir(&directory).is_err() {
                break;
            }
            path.pop();
        }
    }
}

/// Removes an empty file or directory; no link is followed at its end.
fn remove_empty(path: &Path) -> bool {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        // It was taken away by the program.
        return true;
    };
    if metadata.is_dir() {
        return std::fs::remove_dir(path).is_ok();
    }
    metadata.is_file() && metadata.len() == 0 && std::fs::remove_file(path).is_ok()
}

/// Whether a directory of a layer says no more than the one below it.
fn looks_like(directory: &Path, below: &Root, path: &Path) -> bool {
    let Ok(fd) = below.open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW) else {
        return false;
    };
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let (Ok(ours), Ok(theirs)) = (
        rustix::fs::statat(rustix::fs::CWD, directory, nofollow),
        rustix::fs::fstat(&fd),
    ) else {
        return false;
    };
    let opaque = rustix::fs::lgetxattr(directory, "trusted.overlay.opaque", &mut [0_u8; 4][..]);
    FileType::from_raw_mode(ours.st_mode) == FileType::Directory
        && opaque.is_err()
        && (ours.st_mode, ours.st_uid, ours.st_gid)
            == (theirs.st_mode, theirs.st_uid, theirs.st_gid)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::Mode;

    use super::*;

    #[test]
    fn what_was_made_for_mounts_alone_is_no_part_of_the_layer() {
        let dir = tempfile::tempdir().unwrap();
        let (below, upper) = (dir.path().join("below"), dir.path().join("upper"));
        for path in [
            "below/etc",
            "below/usr",
            "upper/etc",
            "upper/usr",
            "upper/new/deep",
            "upper/proc",
        ] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let root = Root::new(rustix::fs::open(&below, flags, Mode::empty()).unwrap());
        let targets = ["/etc/hosts", "/usr/used", "/new/deep", "/proc", "/etc"].map(Path::new);
        let stubs = find(&root, targets);
        assert_eq!(stubs.len(), 4);
        fs::write(upper.join("etc/hosts"), "").unwrap();
        fs::write(upper.join("usr/used"), "content").unwrap();
        remove(&stubs, &upper, &root);
        let mut left: Vec<_> = fs::read_dir(&upper)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["usr"]);
        assert!(upper.join("usr/used").exists());
    }
}
