//! The headers of a tar archive that is written: ustar, with pax records for what does not fit
//! (POSIX.1-2001, pax interchange format). Pure.

const BLOCK: usize = 512;
/// The largest number of a field of eight bytes: seven octal digits.
const SMALL_MAX: u64 = 0o7_777_777;
/// The largest number of a field of twelve bytes: eleven octal digits.
const LARGE_MAX: u64 = 0o77_777_777_777;
const NAME_MAX: usize = 100;

/// What an entry is.
#[derive(Debug, Clone, Copy)]
pub(in crate::image) enum Body<'a> {
    /// A file of so many bytes, which follow.
    File(u64),
    Directory,
    Symlink(&'a [u8]),
    HardLink(&'a [u8]),
    Fifo,
    Character((u32, u32)),
    Block((u32, u32)),
}

/// What an entry has beside its contents.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
    /// Value of `security.capability`.
    pub(super) capability: Option<Vec<u8>>,
    /// `user.` attributes.
    pub(super) user: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Bytes that fill the last block of a file.
pub(in crate::image) fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// The blocks in front of an entry's data.
pub(super) fn encode(name: &[u8], body: &Body<'_>, attributes: &Attributes) -> Vec<u8> {
    let records = records(name, body, attributes);
    let mut out = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let mut header = [0; BLOCK];
        field(&mut header, 0..100, b"PaxHeaders.0");
        octal(&mut header, 100..108, 0o644);
        octal(&mut header, 108..116, 0);
        octal(&mut header, 116..124, 0);
        octal(&mut header, 124..136, records.len() as u64);
        octal(&mut header, 136..148, 0);
        finish(&mut header, b'x');
        out.extend_from_slice(&header);
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(records.len() as u64), 0);
    }
    out.extend_from_slice(&plain(name, body, attributes));
    out
}

/// The same for an entry of root's without a time.
pub(in crate::image) fn encode_plain(name: &[u8], body: &Body<'_>, mode: u32) -> Vec<u8> {
    let attributes = Attributes {
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        capability: None,
        user: Vec::new(),
    };
    encode(name, body, &attributes)
}

fn plain(name: &[u8], body: &Body<'_>, attributes: &Attributes) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    field(&mut header, 0..100, name);
    octal(&mut header, 100..108, attributes.mode.into());
    octal(&mut header, 108..116, u64::from(attributes.uid));
    octal(&mut header, 116..124, u64::from(attributes.gid));
    let (kind, size, link, device) = match *body {
        Body::File(size) => (b'0', size, &b""[..], None),
        Body::HardLink(target) => (b'1', 0, target, None),
        Body::Symlink(target) => (b'2', 0, target, None),
        Body::Character(device) => (b'3', 0, &b""[..], Some(device)),
        Body::Block(device) => (b'4', 0, &b""[..], Some(device)),
        Body::Directory => (b'5', 0, &b""[..], None),
        Body::Fifo => (b'6', 0, &b""[..], None),
    };
    octal(&mut header, 124..136, size);
    octal(&mut header, 136..148, attributes.mtime);
    field(&mut header, 157..257, link);
    if let Some((major, minor)) = device {
        octal(&mut header, 329..337, major.into());
        octal(&mut header, 337..345, minor.into());
    }
    finish(&mut header, kind);
    header
}

/// Records for what the plain header cannot hold.
fn records(name: &[u8], body: &Body<'_>, attributes: &Attributes) -> Vec<u8> {
    let mut out = Vec::new();
    if name.len() > NAME_MAX {
        record(&mut out, b"path", name);
    }
    match *body {
        Body::Symlink(target) | Body::HardLink(target) if target.len() > NAME_MAX => {
            record(&mut out, b"linkpath", target);
        }
        Body::File(size) if size > LARGE_MAX => {
            record(&mut out, b"size", size.to_string().as_bytes());
        }
        _ => {}
    }
    for (key, id) in [("uid", attributes.uid), ("gid", attributes.gid)] {
        if u64::from(id) > SMALL_MAX {
            record(&mut out, key.as_bytes(), id.to_string().as_bytes());
        }
    }
    if attributes.mtime > LARGE_MAX {
        record(&mut out, b"mtime", attributes.mtime.to_string().as_bytes());
    }
    if let Some(capability) = &attributes.capability {
        record(&mut out, b"SCHILY.xattr.security.capability", capability);
    }
    for (name, value) in &attributes.user {
        record(&mut out, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    out
}

/// `length key=value\n`, where the length counts itself.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn field(header: &mut [u8; BLOCK], place: std::ops::Range<usize>, text: &[u8]) {
    let length = text.len().min(place.len());
    header[place.start..place.start + length].copy_from_slice(&text[..length]);
}

/// Octal digits and a NUL; a number that does not fit is in a record, and 0 here.
fn octal(header: &mut [u8; BLOCK], place: std::ops::Range<usize>, number: u64) {
    let digits = place.len() - 1;
    let text = format!("{number:0digits$o}");
    let text = if text.len() > digits {
        "0".repeat(digits)
    } else {
        text
    };
    field(header, place, text.as_bytes());
}

fn finish(header: &mut [u8; BLOCK], kind: u8) {
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let text = format!("{sum:06o}\0 ");
    header[148..156].copy_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::archive::{Archive, Kind};
    use super::*;

    fn attributes() -> Attributes {
        Attributes {
            mode: 0o4755,
            uid: 3_000_000,
            gid: 5,
            mtime: 1_700_000_000,
            capability: Some(b"\x01\n\x00=x".to_vec()),
            user: vec![(b"user.a".to_vec(), b"b".to_vec())],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for length in [1, 99, 100, 101, 96, 971, 972, 4000] {
            let name = "n".repeat(length).into_bytes();
            let target = [&name[..], b"/t"].concat();
            let mut bytes = encode(&name, &Body::Symlink(&target), &attributes());
            bytes.extend_from_slice(&[0; 1024]);
            let mut archive = Archive::new(&bytes[..]);
            let entry = archive.next().unwrap().unwrap();
            assert_eq!(entry.path, name);
            assert_eq!((entry.uid, entry.gid, entry.mode), (3_000_000, 5, 0o4755));
            assert_eq!(entry.mtime, (1_700_000_000, 0));
            assert_eq!(entry.xattrs.len(), 2);
            assert_eq!(entry.xattrs[0].1, b"\x01\n\x00=x");
            assert!(matches!(entry.kind, Kind::Symlink(found) if found == target));
            assert!(archive.next().unwrap().is_none());
        }
    }

    #[test]
    fn sizes_beyond_eleven_digits_are_read_back() {
        let bytes = encode(b"big", &Body::File(1 << 40), &attributes());
        let mut archive = Archive::new(&bytes[..]);
        let entry = archive.next().unwrap().unwrap();
        assert!(matches!(entry.kind, Kind::File { size, .. } if size == 1 << 40));
    }

    #[test]
    fn files_end_with_a_whole_block() {
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }
}
