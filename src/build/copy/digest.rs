//! What files hash to: names, kinds, modes, owners, contents.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};

use super::CopyError;
use super::select::Selected;
use super::tree::{Entry, Filter, Ownership, Tree};
use crate::build::cache::{FileHashes, Identity, KeyMaker};
use crate::image::Digest;

const BUFFER: usize = 256 << 10;

/// The hash of everything that was selected. `hashes` remembers those of single files.
pub(in crate::build) fn content(
    tree: &Tree<'_>,
    selected: &[Selected],
    exclude: &dyn Filter,
    hashes: Option<&FileHashes>,
) -> Result<Digest, CopyError> {
    let mut key = KeyMaker::new("content");
    for found in selected {
        key.add("selected", found.name.as_bytes());
        key.add("above", found.above.as_os_str().as_bytes());
        let top = Entry {
            relative: std::path::PathBuf::new(),
            real: found.real.clone(),
            stat: found.stat,
        };
        if found.is_directory() {
            key.add("directory", b"");
            for entry in tree.list(&found.real, exclude)? {
                add(&mut key, tree, &entry, hashes)?;
            }
        } else {
            add(&mut key, tree, &top, hashes)?;
        }
    }
    Ok(key.finish().digest())
}

fn add(
    key: &mut KeyMaker,
    tree: &Tree<'_>,
    entry: &Entry,
    hashes: Option<&FileHashes>,
) -> Result<(), CopyError> {
    let failed = |source: io::Error| CopyError::Read {
        path: entry.real.clone(),
        source,
    };
    let stat = &entry.stat;
    key.add("path", entry.relative.as_os_str().as_bytes());
    key.add("mode", &stat.st_mode.to_le_bytes());
    if tree.ownership == Ownership::Kept {
        key.add("owner", &stat.st_uid.to_le_bytes());
        key.add("group", &stat.st_gid.to_le_bytes());
    }
    match entry.kind() {
        FileType::RegularFile => {
            let digest = file(tree, entry, hashes).map_err(failed)?;
            key.add("content", digest.as_bytes());
        }
        FileType::Symlink => {
            let target = tree.link_target(&entry.real).map_err(failed)?;
            key.add("target", target.as_bytes());
        }
        FileType::CharacterDevice | FileType::BlockDevice => {
            key.add("device", &stat.st_rdev.to_le_bytes());
        }
        _ => {}
    }
    Ok(())
}

fn file(tree: &Tree<'_>, entry: &Entry, hashes: Option<&FileHashes>) -> io::Result<Digest> {
    let identity = Identity::of(&entry.stat);
    if let Some(known) = hashes.and_then(|hashes| hashes.find(&identity)) {
        return Ok(known);
    }
    let mut file = tree.open(&entry.real)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER.min(usize::try_from(entry.stat.st_size).unwrap_or(BUFFER) + 1)];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = Digest::from_hasher(hasher);
    // Only if it did not change while it was read.
    let after = Identity::of(&rustix::fs::fstat(&file)?);
    if let Some(hashes) = hashes.filter(|_| after == identity) {
        hashes.put(identity, digest);
    }
    Ok(digest)
}
