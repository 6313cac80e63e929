//! What a layer keeps of extended attributes.

use std::os::fd::BorrowedFd;

use rustix::fs;
use rustix::io::Errno;

use crate::image::layer::tree::OPAQUE;

const CAPABILITY: &str = "security.capability";

/// Longest list of names of attributes, and longest value, that is read (xattr(7): 64 KiB).
const XATTR_MAX: usize = 64 << 10;

/// Extended attributes that a layer keeps: the same that one may bring (see `attributes`).
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) capability: Option<Vec<u8>>,
    pub(super) user: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Those of a file.
pub(super) fn attributes(fd: BorrowedFd<'_>) -> Result<Kept, Errno> {
    let mut kept = Kept::default();
    // Most files have none: asking for the length alone is one cheap call.
    let length = match fs::flistxattr(fd, &mut [0_u8; 0][..]) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(kept),
        Ok(length) => length.min(XATTR_MAX),
        Err(error) => return Err(error),
    };
    let mut list = vec![0_u8; length];
    let length = fs::flistxattr(fd, &mut list[..])?;
    let mut names: Vec<&[u8]> = list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    for name in names {
        if name == CAPABILITY.as_bytes() {
            kept.capability = Some(value(fd, name)?);
        } else if name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") {
            kept.user.push((name.to_vec(), value(fd, name)?));
        }
    }
    Ok(kept)
}

fn value(fd: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0_u8; XATTR_MAX];
    let length = fs::fgetxattr(fd, name, &mut buffer[..])?;
    buffer.truncate(length);
    Ok(buffer)
}

/// Whether a directory hides what layers below have in its place.
pub(super) fn is_opaque(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    for name in OPAQUE {
        let mut value = [0_u8; 4];
        match fs::fgetxattr(directory, name, &mut value[..]) {
            Ok(length) if &value[..length] == b"y" => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
