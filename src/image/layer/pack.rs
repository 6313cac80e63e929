//! A directory of overlayfs becomes an archive: the way back of `unpack`.
//!
//! The same files give the same bytes: names are sorted, times are whole seconds and may be cut off
//! at a moment, no name of a user, no time of access. Deletion marks are written as the OCI image
//! spec has them (layer.md): `.wh.name` for a character device 0:0, `.wh..wh..opq` for an opaque
//! directory.

mod hashed;
mod kept;

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::super::digest::Digest;
use super::error::LayerError;
use super::header::{self, Body};
use hashed::{BUFFER, Hashed};
use kept::{Kept, attributes, is_opaque};

/// No directory that anybody uses is deeper; each one is held open while it is walked.
const DEPTH_MAX: usize = 512;

/// What a directory is that is packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Packed {
    /// A layer that nobody writes to any more: it may be tidied up.
    #[default]
    Layer,
    /// A layer that is written to meanwhile. It is not touched; what vanishes is left out.
    LiveLayer,
    /// Files that may change meanwhile: the same, and no file is a mark of overlayfs.
    Files,
}

/// How a directory is packed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Packing {
    /// What it is.
    pub what: Packed,
    /// Times after this moment (seconds since 1970) become this moment, in the archive and in the
    /// directory itself.
    pub latest: Option<i64>,
    /// Whether owner and mode of the top directory are a part of the layer.
    pub root: bool,
}

/// What came out.
#[derive(Debug)]
pub(in crate::image) struct Archived {
    /// Digest of the archive.
    pub(in crate::image) digest: Digest,
    /// Bytes of the archive.
    pub(in crate::image) size: u64,
    /// Bytes of the files in it.
    pub(in crate::image) bytes: u64,
    /// Entries.
    pub(in crate::image) entries: u64,
}

/// Packs what is in `directory` and hashes it on the way.
///
/// Sockets are no part of a layer (no archive has a word for them) and are removed.
pub(in crate::image) fn pack(
    directory: &Path,
    out: impl Write,
    packing: Packing,
) -> Result<Archived, LayerError> {
    let failed = |source: io::Error| LayerError::Io {
        action: "pack",
        path: directory.to_owned(),
        source,
    };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let root = fs::open(directory, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    let mut packer = Packer::new(out, packing);
    packer.archive(&root).map_err(|failure| LayerError::Io {
        action: "pack",
        path: directory.join(Path::new(&*String::from_utf8_lossy(&failure.name))),
        source: failure.source,
    })?;
    let (digest, size) = packer.out.finish().map_err(failed)?;
    Ok(Archived {
        digest,
        size,
        bytes: packer.bytes,
        entries: packer.entries,
    })
}

/// Packs the file or directory `name` of `parent`, with all that is in it, under the name `called`; without
/// one, what is in the directory, and not the directory itself.
///
/// Symbolic links are packed, not followed. Sockets are left out.
pub(crate) fn pack_entry(
    (parent, name): (BorrowedFd<'_>, &CStr),
    called: &[u8],
    out: impl Write,
) -> Result<(), LayerError> {
    let packing = Packing {
        what: Packed::Files,
        ..Packing::default()
    };
    let mut packer = Packer::new(out, packing);
    let failed = |failure: Failure| LayerError::Io {
        action: "pack",
        path: Path::new(&*String::from_utf8_lossy(&failure.name)).to_owned(),
        source: failure.source,
    };
    let packed = match called {
        b"" => {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let directory = fs::openat(parent, name, flags, Mode::empty());
            let directory = directory.map_err(Failure::at(name.to_bytes()));
            directory.and_then(|directory| packer.children(directory.as_fd(), b"", 0))
        }
        called => packer.child(parent, name, called.to_vec(), 0),
    };
    packed
        .and_then(|()| packer.out.write(&[0; 1024]).map_err(Failure::at(called)))
        .map_err(failed)?;
    packer
        .out
        .finish()
        .map_err(Failure::at(called))
        .map_err(failed)?;
    Ok(())
}

/// What went wrong, and with which file.
struct Failure {
    name: Vec<u8>,
    source: io::Error,
}

impl Failure {
    fn at<E: Into<io::Error>>(name: &[u8]) -> impl FnOnce(E) -> Self {
        let name = name.to_vec();
        |source| Self {
            name,
            source: source.into(),
        }
    }
}

struct Packer<W> {
    out: Hashed<W>,
    packing: Packing,
    /// Files with several names: the first one.
    links: HashMap<(u64, u64), Vec<u8>>,
    bytes: u64,
    entries: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Packer<W> {
    fn new(out: W, packing: Packing) -> Self {
        Self {
            out: Hashed::new(out),
            packing,
            links: HashMap::new(),
            bytes: 0,
            entries: 0,
            buffer: vec![0; BUFFER],
        }
    }

    fn is_live(&self) -> bool {
        self.packing.what != Packed::Layer
    }

    fn archive(&mut self, root: &OwnedFd) -> Result<(), Failure> {
        if self.packing.root {
            let stat = fs::fstat(root).map_err(Failure::at(b""))?;
            let attributes = attributes(root.as_fd()).map_err(Failure::at(b""))?;
            self.put(b"./", Body::Directory, &stat, &attributes)?;
        }
        self.children(root.as_fd(), b"", 0)?;
        // Two empty blocks end an archive.
        self.out.write(&[0; 1024]).map_err(Failure::at(b""))
    }

    fn children(
        &mut self,
        directory: BorrowedFd<'_>,
        prefix: &[u8],
        depth: usize,
    ) -> Result<(), Failure> {
        if depth > DEPTH_MAX {
            return Err(Failure::at::<Errno>(prefix)(Errno::NAMETOOLONG));
        }
        let mut names = names(directory).map_err(Failure::at(prefix))?;
        names.sort_unstable();
        for name in names {
            let full = [prefix, name.as_bytes()].concat();
            match self.child(directory, &name, full, depth) {
                Err(failure)
                    if self.is_live() && failure.source.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn child(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        full: Vec<u8>,
        depth: usize,
    ) -> Result<(), Failure> {
        let stat =
            fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Failure::at(&full))?;
        let stat = self.clamp(parent, name, stat).map_err(Failure::at(&full))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.directory(parent, name, full, (&stat, depth)),
            FileType::RegularFile => self.file(parent, name, &full, &stat),
            FileType::Symlink => {
                let target =
                    fs::readlinkat(parent, name, Vec::new()).map_err(Failure::at(&full))?;
                self.linked(&full, &stat, Body::Symlink(target.as_bytes()))
            }
            FileType::CharacterDevice
                if stat.st_rdev == 0 && self.packing.what != Packed::Files =>
            {
                let split = full.len() - name.to_bytes().len();
                let mark = [&full[..split], b".wh.", name.to_bytes()].concat();
                // A mark has neither owner nor time of its own.
                let none = header::Attributes {
                    mode: 0o600,
                    uid: 0,
                    gid: 0,
                    mtime: 0,
                    capability: None,
                    user: Vec::new(),
                };
                self.entry(&mark, Body::File(0), &none)
            }
            FileType::CharacterDevice => {
                let device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
                self.linked(&full, &stat, Body::Character(device))
            }
            FileType::BlockDevice => {
                let device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
                self.linked(&full, &stat, Body::Block(device))
            }
            FileType::Fifo => self.linked(&full, &stat, Body::Fifo),
            FileType::Socket if self.is_live() => Ok(()),
            FileType::Socket => {
                fs::unlinkat(parent, name, AtFlags::empty()).map_err(Failure::at(&full))
            }
            FileType::Unknown => Err(Failure::at::<Errno>(&full)(Errno::INVAL)),
        }
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        mut full: Vec<u8>,
        (stat, depth): (&Stat, usize),
    ) -> Result<(), Failure> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = fs::openat(parent, name, flags, Mode::empty()).map_err(Failure::at(&full))?;
        let attributes = attributes(fd.as_fd()).map_err(Failure::at(&full))?;
        full.push(b'/');
        self.put(&full, Body::Directory, stat, &attributes)?;
        if self.packing.what != Packed::Files
            && is_opaque(fd.as_fd()).map_err(Failure::at(&full))?
        {
            let mark = [&full, &b".wh..wh..opq"[..]].concat();
            self.put(&mark, Body::File(0), stat, &Kept::default())?;
        }
        self.children(fd.as_fd(), &full, depth + 1)
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        full: &[u8],
        stat: &Stat,
    ) -> Result<(), Failure> {
        if let Some(first) = self.first_name(full, stat) {
            return self.put(full, Body::HardLink(&first), stat, &Kept::default());
        }
        // Should it have become something else by now, opening it must not wait.
        let flags = OFlags::RDONLY
            | OFlags::CLOEXEC
            | OFlags::NOFOLLOW
            | OFlags::NOATIME
            | OFlags::NONBLOCK;
        let fd = fs::openat(parent, name, flags, Mode::empty()).map_err(Failure::at(full))?;
        let attributes = attributes(fd.as_fd()).map_err(Failure::at(full))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.put(full, Body::File(size), stat, &attributes)?;
        self.bytes += size;
        self.contents(File::from(fd), size)
            .map_err(Failure::at(full))
    }

    fn contents(&mut self, mut file: File, size: u64) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let count = match file.read(&mut self.buffer[..most]) {
                // Somebody has cut it off since it was measured.
                Ok(0) if self.is_live() => {
                    self.buffer[..most].fill(0);
                    most
                }
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.out.write(&self.buffer[..count])?;
            left -= count as u64;
        }
        self.out.write(&[0; 512][..header::padding(size)])
    }

    /// An entry without data, that may be another name of one before.
    fn linked(&mut self, full: &[u8], stat: &Stat, body: Body<'_>) -> Result<(), Failure> {
        match self.first_name(full, stat) {
            Some(first) => self.put(full, Body::HardLink(&first), stat, &Kept::default()),
            None => self.put(full, body, stat, &Kept::default()),
        }
    }

    fn first_name(&mut self, full: &[u8], stat: &Stat) -> Option<Vec<u8>> {
        if stat.st_nlink < 2 {
            return None;
        }
        let key = (stat.st_dev, stat.st_ino);
        match self.links.get(&key) {
            Some(first) => Some(first.clone()),
            None => {
                self.links.insert(key, full.to_vec());
                None
            }
        }
    }

    fn put(
        &mut self,
        name: &[u8],
        body: Body<'_>,
        stat: &Stat,
        kept: &Kept,
    ) -> Result<(), Failure> {
        let attributes = header::Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: u64::try_from(stat.st_mtime).unwrap_or(0),
            capability: kept.capability.clone(),
            user: kept.user.clone(),
        };
        self.entry(name, body, &attributes)
    }

    fn entry(
        &mut self,
        name: &[u8],
        body: Body<'_>,
        attributes: &header::Attributes,
    ) -> Result<(), Failure> {
        self.entries += 1;
        let blocks = header::encode(name, &body, attributes);
        self.out.write(&blocks).map_err(Failure::at(name))
    }

    /// Cuts the time of a file off, in the directory too: who uses the layer from here and who
    /// unpacks it elsewhere see the same.
    fn clamp(&self, parent: BorrowedFd<'_>, name: &CStr, mut stat: Stat) -> Result<Stat, Errno> {
        let Some(latest) = self.packing.latest.filter(|latest| stat.st_mtime > *latest) else {
            return Ok(stat);
        };
        let time = Timespec {
            tv_sec: latest,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        stat.st_mtime = latest;
        Ok(stat)
    }
}

fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::archive::Archive;
    use super::super::unpack::{Limits, unpack};
    use super::*;

    fn packed(directory: &Path, packing: Packing) -> (Vec<u8>, Archived) {
        let mut bytes = Vec::new();
        let packed = pack(directory, &mut bytes, packing).unwrap();
        assert_eq!(packed.size, bytes.len() as u64);
        assert_eq!(packed.digest, Digest::of(&bytes));
        (bytes, packed)
    }

    fn sample() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("b")).unwrap();
        std::fs::write(at("b/file"), vec![7; 700_000]).unwrap();
        std::fs::write(at("a"), "one").unwrap();
        std::fs::hard_link(at("a"), at("z")).unwrap();
        symlink("../somewhere", at("b/link")).unwrap();
        std::fs::write(at(&"long".repeat(60)), "two").unwrap();
        std::fs::set_permissions(at("a"), PermissionsExt::from_mode(0o4755)).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = fs::open(dir.path(), flags, Mode::empty()).unwrap();
        let device = FileType::CharacterDevice;
        fs::mknodat(&fd, "gone", device, Mode::empty(), 0).unwrap();
        fs::mknodat(&fd, "fifo", FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::fsetxattr(
            fs::open(at("b"), flags, Mode::empty()).unwrap(),
            crate::image::layer::tree::OPAQUE[0],
            b"y",
            fs::XattrFlags::empty(),
        )
        .unwrap();
        dir
    }

    #[test]
    fn what_is_unpacked_again_packs_to_the_same_bytes() {
        let dir = sample();
        let packing = Packing {
            latest: Some(1_000_000_000),
            ..Packing::default()
        };
        let (bytes, first) = packed(dir.path(), packing);
        assert_eq!((first.bytes, first.entries), (700_006, 9));
        let again = tempfile::tempdir().unwrap();
        let mut archive = Archive::new(&bytes[..]);
        unpack(&mut archive, again.path(), Limits::default()).unwrap();
        let (same, second) = packed(again.path(), Packing::default());
        assert_eq!(first.digest, second.digest);
        assert_eq!(bytes, same);
    }

    #[test]
    fn files_of_every_length_stay_in_their_order() {
        let half = BUFFER / 2;
        for length in [
            1,
            half - 1,
            half,
            half + 1,
            BUFFER - 1024,
            BUFFER,
            BUFFER + half,
        ] {
            let dir = tempfile::tempdir().unwrap();
            for (name, byte) in [("a", 1), ("b", 2)] {
                std::fs::write(dir.path().join(name), vec![byte; length]).unwrap();
            }
            let (bytes, _) = packed(dir.path(), Packing::default());
            let again = tempfile::tempdir().unwrap();
            let mut archive = Archive::new(&bytes[..]);
            unpack(&mut archive, again.path(), Limits::default()).unwrap();
            for (name, byte) in [("a", 1), ("b", 2)] {
                let content = std::fs::read(again.path().join(name)).unwrap();
                assert!(content == vec![byte; length], "{name} of {length} bytes");
            }
        }
    }

    #[test]
    fn other_programs_read_the_archive() {
        let dir = sample();
        let (bytes, _) = packed(dir.path(), Packing::default());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let list = std::process::Command::new("tar")
            .args(["-tf"])
            .arg(file.path())
            .output()
            .unwrap();
        assert!(list.status.success());
        let text = String::from_utf8(list.stdout).unwrap();
        let long = "long".repeat(60);
        let names: Vec<&str> = text.lines().collect();
        let expected = [
            "a",
            "b/",
            "b/.wh..wh..opq",
            "b/file",
            "b/link",
            "fifo",
            ".wh.gone",
            &long,
            "z",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn times_after_the_given_moment_are_cut_off_in_the_directory_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("new"), "x").unwrap();
        let packing = Packing {
            latest: Some(1234),
            ..Packing::default()
        };
        packed(dir.path(), packing);
        let stat = fs::stat(dir.path().join("new")).unwrap();
        assert_eq!(stat.st_mtime, 1234);
    }
}
