//! Archives for tests, also such as no program would write.

use std::io::Write;

use tar::{EntryType, Header};

use super::store::ImageStore;

/// A tar archive in the making.
#[derive(Default)]
pub(super) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds an entry as it is, whatever its name says.
    pub(super) fn entry(
        mut self,
        kind: u8,
        path: &str,
        change: impl FnOnce(&mut Header),
        data: &[u8],
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        let name = path.as_bytes();
        if name.len() > 100 {
            self = self.long(b'L', name);
        }
        let short = &name[..name.len().min(100)];
        header.as_mut_bytes()[..short.len()].copy_from_slice(short);
        change(&mut header);
        header.set_cksum();
        self.raw(header.as_bytes()).data(data)
    }

    fn long(self, kind: u8, name: &[u8]) -> Self {
        self.entry(kind, "././@LongLink", |_| {}, &[name, b"\0"].concat())
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, path: &str, data: &str) -> Self {
        self.entry(b'0', path, |_| {}, data.as_bytes())
    }

    pub(super) fn dir(self, path: &str) -> Self {
        self.entry(b'5', path, |_| {}, b"")
    }

    pub(super) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, |header| link(header, target), b"")
    }

    pub(super) fn hardlink(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, |header| link(header, target), b"")
    }

    pub(super) fn device(self, kind: u8, path: &str, major: u32, minor: u32) -> Self {
        let set = |header: &mut Header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        };
        self.entry(kind, path, set, b"")
    }

    /// Puts pax records in front of the next entry.
    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.entry(b'x', "pax", |_| {}, &data)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

fn link(header: &mut Header, target: &str) {
    header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

/// A store of its own, gone with the directory.
pub(super) fn store() -> (tempfile::TempDir, ImageStore) {
    let root = tempfile::tempdir().unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    (root, store)
}

/// The message of an error with all its causes.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
