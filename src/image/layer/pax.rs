//! The extended headers of pax archives.

use super::error::ArchiveError;
use super::sparse::Segment;

/// What the extended headers in front of an entry say about it.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

/// The three ways in which GNU tar writes sparse files into pax archives (its manual, "Sparse
/// Formats").
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// The map of format 0.0 or 0.1.
    pub(super) map: Option<Vec<Segment>>,
    /// The map of format 1.0 stands in front of the data.
    pub(super) map_in_data: bool,
    offset: Option<u64>,
}

impl Extensions {
    /// Takes the records of one extended header: `length key=value\n`, each.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), ArchiveError> {
        while !records.is_empty() {
            let (key, value, rest) = split_record(records).ok_or(ArchiveError::Pax)?;
            self.set(key, value)?;
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value, "size")?),
            b"uid" => self.uid = Some(number(value, "uid")?),
            b"gid" => self.gid = Some(number(value, "gid")?),
            b"mtime" => {
                self.mtime = Some(time(value).ok_or(ArchiveError::Number { field: "mtime" })?)
            }
            b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                self.sparse.real_size = Some(number(value, "GNU.sparse.size")?);
            }
            b"GNU.sparse.major" => self.sparse.map_in_data = value == b"1",
            b"GNU.sparse.map" => self.sparse.map = Some(map_of(value)?),
            b"GNU.sparse.offset" => {
                self.sparse.offset = Some(number(value, "GNU.sparse.offset")?);
            }
            b"GNU.sparse.numbytes" => {
                let offset = self.sparse.offset.take().ok_or(ArchiveError::Sparse)?;
                let length = number(value, "GNU.sparse.numbytes")?;
                self.sparse
                    .map
                    .get_or_insert_default()
                    .push(Segment { offset, length });
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// The value may hold anything, newlines too: only the length says where it ends.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|b| *b == b' ')?;
    let length = usize::try_from(number(&records[..space], "").ok()?).ok()?;
    if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
        return None;
    }
    let record = &records[space + 1..length - 1];
    let equals = record.iter().position(|b| *b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}

pub(super) fn number(text: &[u8], field: &'static str) -> Result<u64, ArchiveError> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)
        .and_then(|t| t.parse().ok());
    value.ok_or(ArchiveError::Number { field })
}

/// Seconds with a fraction, maybe negative: rounded down to nanoseconds.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}")[..9].parse().ok()?;
    match (whole.starts_with('-'), nanos) {
        (true, 1..) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos)),
        _ => Some((seconds, nanos)),
    }
}

fn map_of(text: &[u8]) -> Result<Vec<Segment>, ArchiveError> {
    let numbers = text
        .split(|b| *b == b',')
        .map(|part| number(part, "GNU.sparse.map"))
        .collect::<Result<Vec<_>, _>>()?;
    let pairs = numbers.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(ArchiveError::Sparse);
    }
    Ok(pairs
        .map(|pair| Segment {
            offset: pair[0],
            length: pair[1],
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_newlines_and_binary() {
        let mut extensions = Extensions::default();
        extensions
            .read(b"34 SCHILY.xattr.user.a=x\n\0\xff=\n0123\n12 path=a/b\n")
            .unwrap();
        assert_eq!(
            extensions.xattrs,
            [(b"user.a".to_vec(), b"x\n\0\xff=\n0123".to_vec())]
        );
        assert_eq!(extensions.path.as_deref(), Some(&b"a/b"[..]));
    }

    #[test]
    fn broken_records_are_refused() {
        for text in [
            "5",
            "99 path=a\n",
            "3 a\n",
            "10 path=a/b\n",
            "x path=a\n",
            "0 a=b\n",
        ] {
            assert!(
                Extensions::default().read(text.as_bytes()).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn times_are_rounded_down() {
        for (text, expected) in [
            ("1", Some((1, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("1.1234567899", Some((1, 123_456_789))),
            ("-1.25", Some((-2, 750_000_000))),
            ("1.x", None),
            ("", None),
        ] {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }
}
