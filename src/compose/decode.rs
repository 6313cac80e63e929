//! From bytes to text.

use std::borrow::Cow;

use super::source::MAX_BYTES;

/// The text of a file's bytes: UTF-8, or UTF-16 that says so with its first bytes (what some shells
/// write); says what is wrong when it is neither. A byte order mark is not part of the text.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!(
            "the file is too large; it may have {} MiB",
            MAX_BYTES >> 20
        ));
    }
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(decode_utf16(rest, u16::from_le_bytes)?),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(decode_utf16(rest, u16::from_be_bytes)?),
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(decode_utf8(rest)?),
        _ => Cow::Borrowed(decode_utf8(bytes)?),
    };
    match memchr::memchr(0, text.as_bytes()) {
        Some(_) => Err("the file is binary".to_owned()),
        None => Ok(text),
    }
}

fn decode_utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        match bytes.contains(&0) {
            true => "the file is binary".to_owned(),
            false => format!("line {line} is not UTF-8; save the file as UTF-8"),
        }
    })
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return Err("the file is UTF-16 and ends in the middle of a character".to_owned());
    };
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .collect::<Result<String, _>>()
        .map_err(|_| "the file is not valid UTF-16; save it as UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_named() {
        let table: [(&[u8], &str); 6] = [
            (
                b"a\nb: \xff\n",
                "line 2 is not UTF-8; save the file as UTF-8",
            ),
            (
                b"\xff\xfea\0\n",
                "the file is UTF-16 and ends in the middle of a character",
            ),
            (
                b"\xfe\xff\xd8\0",
                "the file is not valid UTF-16; save it as UTF-8",
            ),
            (b"\xff\xfe\0\0", "the file is binary"),
            (b"\x7fELF\0", "the file is binary"),
            (b"\x7fELF\0\xff", "the file is binary"),
        ];
        for (bytes, expected) in table {
            assert_eq!(decode(bytes), Err(expected.to_owned()));
        }
    }
}
