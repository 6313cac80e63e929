//! What agents and their clients say (the agent protocol of OpenSSH, draft-miller-ssh-agent): a length,
//! a kind, and fields as in RFC 4251, section 5.

use std::io::{self, Read, Write};

use super::keys::Key;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// The longest message of OpenSSH's own agent.
const MESSAGE_MAX: u32 = 256 << 10;

/// Answers a client until it goes.
pub(super) fn serve(keys: &[(Key, String)], client: &mut (impl Read + Write)) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MESSAGE_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; length as usize];
        client.read_exact(&mut message)?;
        let said = answer(keys, &message).unwrap_or_else(|| vec![FAILURE]);
        let mut framed = Writer::default();
        framed.string(&said);
        client.write_all(&framed.into_bytes())?;
    }
}

/// The answer to a message; `None` to what is not understood, or asks for more than keys and signatures.
fn answer(keys: &[(Key, String)], message: &[u8]) -> Option<Vec<u8>> {
    let (kind, fields) = message.split_first()?;
    let mut fields = Fields(fields);
    let mut answer = Writer::default();
    match *kind {
        REQUEST_IDENTITIES => {
            answer.byte(IDENTITIES_ANSWER);
            answer.number(u32::try_from(keys.len()).ok()?);
            for (key, comment) in keys {
                answer.string(&key.public());
                answer.string(comment.as_bytes());
            }
        }
        SIGN_REQUEST => {
            let (public, data, flags) = (fields.string()?, fields.string()?, fields.number()?);
            let (key, _) = keys.iter().find(|(key, _)| key.public() == public)?;
            answer.byte(SIGN_RESPONSE);
            answer.string(&key.sign(data, flags)?);
        }
        _ => return None,
    }
    Some(answer.into_bytes())
}

/// Writes fields.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn number(&mut self, number: u32) {
        self.0.extend(number.to_be_bytes());
    }

    /// Bytes with their length in front.
    pub(super) fn string(&mut self, bytes: &[u8]) {
        self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend(bytes);
    }

    /// A number that is not negative, from its big-endian digits (`mpint`).
    pub(super) fn positive(&mut self, digits: &[u8]) {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = &digits[zeros..];
        match digits.first() {
            Some(first) if first & 0x80 != 0 => self.string(&[&[0], digits].concat()),
            _ => self.string(digits),
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_or_unknown_is_no_question() {
        for message in [
            &[][..],
            &[99],
            &[SIGN_REQUEST],
            &[SIGN_REQUEST, 0, 0, 0, 9, 1],
            &[SIGN_REQUEST, 255, 255, 255, 255],
            // Adding and removing keys, and locks, are not offered.
            &[17, 0, 0, 0, 0],
            &[19],
            &[22, 0, 0, 0, 0],
        ] {
            assert_eq!(answer(&[], message), None, "{message:?}");
        }
        assert_eq!(
            answer(&[], &[REQUEST_IDENTITIES]),
            Some(vec![IDENTITIES_ANSWER, 0, 0, 0, 0])
        );
    }

    #[test]
    fn a_message_that_is_too_long_ends_the_conversation() {
        let mut conversation = io::Cursor::new(u32::MAX.to_be_bytes().to_vec());
        assert!(serve(&[], &mut conversation).is_err());
    }

    #[test]
    fn numbers_are_written_without_leading_zeros_and_without_a_sign() {
        for (digits, written) in [
            (&[0, 0][..], &[0, 0, 0, 0][..]),
            (&[0, 0x7f], &[0, 0, 0, 1, 0x7f]),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
        ] {
            let mut writer = Writer::default();
            writer.positive(digits);
            assert_eq!(writer.into_bytes(), written);
        }
    }
}
