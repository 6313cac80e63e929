//! What a container has other than its image: its upper directory beside the layers below it, as overlayfs
//! puts them on each other. No name leads out of one of them, whatever links they have.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fgetxattr, openat, statat};
use rustix::io::Errno;

/// overlayfs: what lies below a directory with this is hidden.
const OPAQUE: [&CStr; 2] = [c"trusted.overlay.opaque", c"user.overlay.opaque"];

/// What has become of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// It is new.
    Added,
    /// It, or something in it, is another one.
    Changed,
    /// It is gone.
    Deleted,
}

/// The paths that are not as in the layers (the bottom one first), in their order.
pub(crate) fn differences(upper: &Path, layers: &[&Path]) -> io::Result<Vec<(Vec<u8>, Change)>> {
    let layers: Vec<OwnedFd> = layers
        .iter()
        .rev()
        .map(|layer| open_directory(CWD, layer))
        .collect::<Result<_, _>>()?;
    let mut search = Search {
        layers,
        found: Vec::new(),
    };
    let upper = open_directory(CWD, upper)?;
    search.directory(upper.as_fd(), &mut Vec::new(), Below::Looked)?;
    search.found.sort();
    Ok(search.found)
}

/// What is known of the layers below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    /// They may have what is in it.
    Looked,
    /// They have no such directory.
    Nothing,
}

struct Search {
    /// The top one first.
    layers: Vec<OwnedFd>,
    found: Vec<(Vec<u8>, Change)>,
}

impl Search {
    /// Looks through a directory; whether anything in it is another one.
    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &mut Vec<u8>,
        below: Below,
    ) -> io::Result<bool> {
        let mut any = false;
        let names: Vec<CString> = Dir::read_from(directory)?
            .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
            .collect::<Result<_, _>>()?;
        for name in names {
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let length = path.len();
            path.push(b'/');
            path.extend_from_slice(name.to_bytes());
            if !is_placeholder(path) {
                any |= self.entry((directory, &name), path, below)?;
            }
            path.truncate(length);
        }
        Ok(any)
    }

    fn entry(
        &mut self,
        (directory, name): (BorrowedFd<'_>, &CStr),
        path: &mut Vec<u8>,
        below: Below,
    ) -> io::Result<bool> {
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It has just gone.
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let before = match below {
            Below::Looked => self.below(path)?,
            Below::Nothing => None,
        };
        if is_whiteout(&stat) {
            if before.is_some() {
                self.found.push((path.clone(), Change::Deleted));
            }
            return Ok(before.is_some());
        }
        let is_directory = |stat: &Stat| kind(stat) == FileType::Directory;
        let was_directory = before.as_ref().is_some_and(is_directory);
        let mut any = false;
        if is_directory(&stat) {
            let inner = openat(directory, name, DIRECTORY, Mode::empty())?;
            let below = match was_directory && !is_opaque(inner.as_fd()) {
                true => Below::Looked,
                false => Below::Nothing,
            };
            any = self.directory(inner.as_fd(), path, below)?;
        }
        let change = match &before {
            None => Change::Added,
            // One that was only brought up to put something into it that does not count.
            Some(before)
                if was_directory && is_directory(&stat) && !any && alike(before, &stat) =>
            {
                return Ok(false);
            }
            Some(_) => Change::Changed,
        };
        self.found.push((path.clone(), change));
        Ok(true)
    }

    /// What the layers have at a path.
    fn below(&self, path: &[u8]) -> io::Result<Option<Stat>> {
        for layer in &self.layers {
            match look(layer.as_fd(), path)? {
                Seen::There(stat) => return Ok(Some(*stat)),
                Seen::Hidden => return Ok(None),
                Seen::Nothing => {}
            }
        }
        Ok(None)
    }
}

/// What one layer says of a path.
enum Seen {
    /// It is there.
    There(Box<Stat>),
    /// It is not there, nor is what other layers have of it.
    Hidden,
    /// It says nothing.
    Nothing,
}

fn look(layer: BorrowedFd<'_>, path: &[u8]) -> io::Result<Seen> {
    let mut names = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .peekable();
    let mut directory = layer.try_clone_to_owned()?;
    let mut hides = false;
    while let Some(name) = names.next() {
        let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) if hides => return Ok(Seen::Hidden),
            Err(Errno::NOENT) => return Ok(Seen::Nothing),
            Err(error) => return Err(error.into()),
        };
        if is_whiteout(&stat) {
            return Ok(Seen::Hidden);
        }
        if names.peek().is_none() {
            return Ok(Seen::There(Box::new(stat)));
        }
        if kind(&stat) != FileType::Directory {
            return Ok(Seen::Hidden);
        }
        directory = openat(&directory, name, DIRECTORY, Mode::empty())?;
        hides |= is_opaque(directory.as_fd());
    }
    Ok(Seen::Nothing)
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn open_directory(at: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    openat(at, path, DIRECTORY, Mode::empty())
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// overlayfs: a character device 0:0 stands for something that is gone.
fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 1];
    OPAQUE
        .iter()
        .any(|name| fgetxattr(directory, *name, &mut value[..]) == Ok(1) && value == *b"y")
}

fn alike(a: &Stat, b: &Stat) -> bool {
    (a.st_mode, a.st_uid, a.st_gid) == (b.st_mode, b.st_uid, b.st_gid)
}

/// What is made at the start for something to be mounted on, which Docker has in every container.
fn is_placeholder(path: &[u8]) -> bool {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    [
        &b"dev"[..],
        b"proc",
        b"sys",
        b"etc/hosts",
        b"etc/hostname",
        b"etc/resolv.conf",
    ]
    .contains(&path)
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    fn whiteout(path: &Path) {
        let made = rustix::fs::mknodat(
            CWD,
            path,
            FileType::CharacterDevice,
            Mode::empty(),
            rustix::fs::makedev(0, 0),
        );
        made.expect("root");
    }

    fn told(upper: &Path, layers: &[&Path]) -> String {
        let found = differences(upper, layers).unwrap();
        let lines = found.iter().map(|(path, change)| {
            let path = String::from_utf8_lossy(path);
            format!("{change:?} {path}\n")
        });
        lines.collect()
    }

    #[test]
    fn what_is_new_other_or_gone_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let [bottom, top, upper] = ["bottom", "top", "upper"].map(|name| dir.path().join(name));
        for path in [
            "bottom/etc",
            "bottom/opt/a",
            "top/etc",
            "top/lib",
            "upper/etc",
            "upper/new",
        ] {
            create_dir_all(dir.path().join(path)).unwrap();
        }
        for file in [
            "bottom/etc/passwd",
            "bottom/etc/group",
            "bottom/opt/a/b",
            "top/lib/x",
            "upper/etc/passwd",
            "upper/etc/hosts",
            "upper/new/file",
        ] {
            write(dir.path().join(file), file).unwrap();
        }
        // Gone in the layer above the one that has it: it is new again.
        whiteout(&top.join("etc/group"));
        write(upper.join("etc/group"), "").unwrap();
        whiteout(&upper.join("opt"));
        whiteout(&upper.join("never"));
        assert_eq!(
            told(&upper, &[&bottom, &top]),
            "Changed /etc\nAdded /etc/group\nChanged /etc/passwd\nAdded /new\nAdded /new/file\nDeleted /opt\n"
        );
    }

    #[test]
    fn a_directory_with_nothing_of_its_own_is_as_it_was_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let [layer, upper] = ["layer", "upper"].map(|name| dir.path().join(name));
        create_dir_all(layer.join("etc")).unwrap();
        create_dir_all(upper.join("etc")).unwrap();
        write(upper.join("etc/resolv.conf"), "").unwrap();
        symlink("/etc", layer.join("out")).unwrap();
        create_dir_all(upper.join("out")).unwrap();
        write(upper.join("out/passwd"), "").unwrap();
        assert_eq!(told(&upper, &[&layer]), "Changed /out\nAdded /out/passwd\n");
    }
}
