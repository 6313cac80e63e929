//! Writes messages one behind the other into one buffer.

use super::{NESTED, REQUEST};

/// Messages to send in one go. Message `n` has sequence number `n + 1`.
#[derive(Debug, Default)]
pub(in crate::net) struct Batch {
    bytes: Vec<u8>,
    actions: Vec<String>,
}

impl Batch {
    pub(in crate::net) fn new() -> Batch {
        Batch {
            bytes: Vec::with_capacity(4096),
            actions: Vec::with_capacity(16),
        }
    }

    /// Starts a message. `action` says what it is to do, for errors: `create bridge stk-…`.
    /// `header` is the fixed part that follows the netlink header, a multiple of four bytes.
    pub(in crate::net) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        header: &[u8],
        action: impl Into<String>,
    ) -> Message<'_> {
        debug_assert!(header.len().is_multiple_of(4));
        let start = self.bytes.len();
        self.actions.push(action.into());
        let sequence = self.actions.len() as u32;
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes
            .extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(header);
        Message {
            bytes: &mut self.bytes,
            start,
        }
    }

    pub(in crate::net) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(in crate::net) fn len(&self) -> usize {
        self.actions.len()
    }

    /// What the message with this sequence number was to do.
    pub(in crate::net) fn action(&self, sequence: u32) -> Option<&str> {
        let index = usize::try_from(sequence).ok()?.checked_sub(1)?;
        self.actions.get(index).map(String::as_str)
    }
}

/// A message being written; its length is filled in when this is dropped.
#[derive(Debug)]
pub(in crate::net) struct Message<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
}

impl Message<'_> {
    /// Adds an attribute.
    pub(in crate::net) fn attr(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        debug_assert_eq!(usize::from(length), value.len() + 4);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// Adds a NUL-terminated string.
    pub(in crate::net) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.attr(kind, &bytes)
    }

    /// Adds a number in the machine's byte order (route netlink).
    pub(in crate::net) fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Adds a number in network byte order (netfilter netlink).
    pub(in crate::net) fn u32_be(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Adds bytes that are no attribute: the header of a nested interface message.
    pub(in crate::net) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Adds an attribute that holds what `fill` adds.
    pub(in crate::net) fn nest(
        &mut self,
        kind: u16,
        fill: impl FnOnce(&mut Message<'_>),
    ) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        let length = u32::try_from(self.bytes.len() - self.start).unwrap_or(u32::MAX);
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_padding_follow_the_netlink_rules() {
        let mut batch = Batch::new();
        batch
            .message(16, super::super::CREATE, &[1, 2, 3, 4], "one")
            .text(3, "eth0")
            .nest(18, |inner| {
                inner.u32(1, 7);
            });
        batch.message(17, 0, &[], "two");
        let bytes = batch.bytes();
        assert_eq!(&bytes[0..4], &(16u32 + 4 + 12 + 12).to_ne_bytes());
        assert_eq!(&bytes[6..8], &0x401u16.to_ne_bytes());
        assert_eq!(&bytes[20..22], &9u16.to_ne_bytes());
        assert_eq!(&bytes[24..32], b"eth0\0\0\0\0");
        assert_eq!(&bytes[32..34], &12u16.to_ne_bytes());
        assert_eq!(&bytes[34..36], &(18u16 | 0x8000).to_ne_bytes());
        assert_eq!(bytes.len(), 44 + 16);
        assert_eq!(batch.action(2), Some("two"));
        assert_eq!(batch.action(0), None);
        assert_eq!(batch.action(3), None);
    }
}
