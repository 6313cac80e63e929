//! Reads attributes; lengths that do not fit end the reading, they never index outside.

use super::TYPE_MASK;

/// One attribute of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Attribute<'a> {
    /// Its type without flag bits.
    pub(in crate::net) kind: u16,
    /// Its value.
    pub(in crate::net) value: &'a [u8],
}

/// Iterates over the attributes in `bytes`.
pub(in crate::net) fn attributes(bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (header, _) = rest.split_at_checked(4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Attribute { kind, value })
    })
}

/// The value of the first attribute of a type.
pub(in crate::net) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|attribute| attribute.kind == kind)
        .map(|attribute| attribute.value)
}

/// A string attribute without its terminating NUL.
pub(in crate::net) fn cstr(value: &[u8]) -> String {
    let end = value
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A number in network byte order.
pub(in crate::net) fn u32_be(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lengths_end_the_reading() {
        let table: &[(&[u8], usize)] = &[
            (&[], 0),
            (&[4, 0], 0),
            (&[3, 0, 1, 0], 0),
            (&[4, 0, 1, 0], 1),
            (&[8, 0, 1, 0, 9], 0),
            (&[5, 0, 1, 0, 9, 0, 0, 0, 4, 0, 2, 0], 2),
            (&[5, 0, 1, 0, 9], 1),
        ];
        for (bytes, count) in table {
            assert_eq!(attributes(bytes).count(), *count, "{bytes:?}");
        }
    }

    #[test]
    fn strings_end_at_nul() {
        assert_eq!(cstr(b"eth0\0\0\0"), "eth0");
        assert_eq!(cstr(b"eth0"), "eth0");
        assert_eq!(cstr(b""), "");
    }
}
