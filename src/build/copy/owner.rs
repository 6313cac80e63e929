//! `--chown`: `user[:group]`, names or numbers, in the words of the stage's own files.

use std::io::{self, Read};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::CopyError;
use crate::runtime::Root;

/// More than any real one; an image may bring anything.
const FILE_MAX: u64 = 4 << 20;

/// User and group.
pub(in crate::build) type Owner = (u32, u32);

/// Whether numbers alone say it, so that no file has to be read.
pub(super) fn of_numbers(text: &str) -> Option<Owner> {
    let (user, group) = split(text);
    let user: u32 = user.parse().ok()?;
    match group {
        Some(group) => Some((user, group.parse().ok()?)),
        // BuildKit: a number without a group is its own group.
        None => Some((user, user)),
    }
}

/// Looks an owner up in a stage's files.
pub(in crate::build) fn find(root: &Root, text: &str) -> Result<Owner, CopyError> {
    if let Some(owner) = of_numbers(text) {
        return Ok(owner);
    }
    let (user, group) = split(text);
    let unknown = |what: &'static str, name: &str, file: &'static str| CopyError::NoSuchOwner {
        what,
        name: name.to_owned(),
        file,
    };
    let (uid, own_gid) = match user.parse::<u32>() {
        Ok(uid) => (uid, uid),
        // `:group`.
        Err(_) if user.is_empty() => (0, 0),
        Err(_) => {
            let text = read(root, "/etc/passwd")?;
            field(&text, user, 2)
                .and_then(|uid| Some((uid, field(&text, user, 3)?)))
                .ok_or_else(|| unknown("user", user, "/etc/passwd"))?
        }
    };
    let gid = match group {
        None => own_gid,
        Some(group) => match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => field(&read(root, "/etc/group")?, group, 2)
                .ok_or_else(|| unknown("group", group, "/etc/group"))?,
        },
    };
    Ok((uid, gid))
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((user, "")) => (user, None),
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    }
}

/// A number in the line of `name`: both files have colons between their fields.
fn field(text: &str, name: &str, index: usize) -> Option<u32> {
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(index)?.trim().parse().ok()
}

fn read(root: &Root, path: &'static str) -> Result<String, CopyError> {
    let failed = |source: io::Error| CopyError::Read {
        path: path.into(),
        source,
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match root.open(Path::new(path), flags) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(error) => return Err(failed(error.into())),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > FILE_MAX {
        return Err(failed(io::Error::other(
            "it is not a file of a sensible size",
        )));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use rustix::fs::Mode;

    use super::*;

    #[test]
    fn owners_are_looked_up_in_the_stages_own_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(
            dir.path().join("etc/passwd"),
            "root:x:0:0::/:/bin/sh\napp:x:33:34::/:\nbad:x:y:z\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("etc/group"), "www:x:80:\n").unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let root = Root::new(rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap());
        for (text, expected) in [
            ("7", Some((7, 7))),
            ("7:8", Some((7, 8))),
            ("app", Some((33, 34))),
            ("app:www", Some((33, 80))),
            ("app:9", Some((33, 9))),
            ("7:www", Some((7, 80))),
            ("nobody", None),
            ("bad", None),
            ("app:nogroup", None),
        ] {
            assert_eq!(find(&root, text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_hostile_file_does_not_stop_the_build_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let fd = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(&fd, "etc/passwd", kind, Mode::RUSR, 0).unwrap();
        assert!(find(&Root::new(fd), "app").is_err());
    }
}
