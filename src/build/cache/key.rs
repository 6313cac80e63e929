//! Keys: hashes of everything that a result depends on.

use sha2::{Digest as _, Sha256};

use crate::image::Digest;

/// Everything that a result depends on, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::build) struct Key(Digest);

impl Key {
    pub(in crate::build) fn hex(&self) -> String {
        self.0.hex()
    }

    /// A key that was written down.
    pub(in crate::build) fn from_hex(text: &str) -> Option<Self> {
        format!("sha256:{text}").parse().ok().map(Self)
    }

    pub(in crate::build) fn digest(&self) -> Digest {
        self.0
    }
}

/// Collects what a result depends on. Names and lengths go in too: no two lists of fields give the
/// same bytes.
pub(in crate::build) struct KeyMaker {
    hasher: Sha256,
}

/// Changed when steps begin to do something else than before.
const GENERATION: &str = "1";

impl KeyMaker {
    pub(in crate::build) fn new(kind: &str) -> Self {
        let maker = Self {
            hasher: Sha256::new(),
        };
        maker.text("generation", GENERATION).text("kind", kind)
    }

    pub(in crate::build) fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.add(name, value);
        self
    }

    pub(in crate::build) fn add(&mut self, name: &str, value: &[u8]) {
        self.hasher.update((name.len() as u64).to_le_bytes());
        self.hasher.update(name.as_bytes());
        self.hasher.update((value.len() as u64).to_le_bytes());
        self.hasher.update(value);
    }

    pub(in crate::build) fn text(self, name: &str, value: &str) -> Self {
        self.bytes(name, value.as_bytes())
    }

    pub(in crate::build) fn number(self, name: &str, value: u64) -> Self {
        self.bytes(name, &value.to_le_bytes())
    }

    pub(in crate::build) fn digest(self, name: &str, value: &Digest) -> Self {
        self.text(name, &value.hex())
    }

    pub(in crate::build) fn list<'a>(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut count = 0_u64;
        for value in values {
            self.add(name, value.as_bytes());
            count += 1;
        }
        self.number(name, count)
    }

    pub(in crate::build) fn finish(self) -> Key {
        Key(Digest::from_hasher(self.hasher))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_of_fields_give_the_same_key() {
        let keys = [
            KeyMaker::new("a").list("x", ["1", "2"]).finish(),
            KeyMaker::new("a").list("x", ["12"]).finish(),
            KeyMaker::new("a").list("x", []).finish(),
            KeyMaker::new("a").text("x", "1").text("x", "2").finish(),
            KeyMaker::new("b").list("x", ["1", "2"]).finish(),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
    }
}
