//! `index.json`: which name stands for which manifest. Pure.
//!
//! A name has one descriptor, an image as many as it has names; one that lost its last name to a
//! newer image keeps a descriptor without, so that it can be listed and pruned.

use super::super::digest::Digest;
use super::super::oci::{Descriptor, INDEX, Index};
use super::super::reference::Reference;

/// The name, for tools that know the OCI layout (image spec, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The name, as containerd and Docker write it.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// Digest of the configuration, to find an image by its ID without reading its manifest.
pub(super) const IMAGE_ID: &str = "dev.stack.image.id";
/// Bytes of the unpacked layers.
pub(super) const UNPACKED_SIZE: &str = "dev.stack.image.size";
/// What the registry calls the image: the digest of its index, where it has several platforms, and of
/// the manifest with compressed layers, where it was sent there.
pub(super) const REPO_DIGEST: &str = "dev.stack.image.repo-digest";

/// When the registry was last asked for the image.
pub(super) const PULLED: &str = "dev.stack.image.pulled";

impl Index {
    pub(super) fn new() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(INDEX.to_owned()),
            manifests: Vec::new(),
        }
    }

    /// The descriptor that a name stands for. A digest is found under any name of its repository.
    pub(super) fn find(&self, reference: &Reference) -> Option<&Descriptor> {
        let exact = self.named().find(|(_, name)| name == reference);
        let by_digest = || {
            let digest = reference.digest()?;
            self.named().find(|(descriptor, name)| {
                let known = descriptor.digest == *digest
                    || descriptor.annotations.get(REPO_DIGEST) == Some(&digest.to_string());
                known && name.shares_repository(reference)
            })
        };
        exact.or_else(by_digest).map(|(descriptor, _)| descriptor)
    }

    /// Every descriptor of this program, with its name.
    fn named(&self) -> impl Iterator<Item = (&Descriptor, Reference)> {
        self.manifests
            .iter()
            .filter_map(|descriptor| Some((descriptor, name_of(descriptor)?)))
    }

    /// The names that stand for a manifest.
    pub(super) fn names(&self, manifest: &Digest) -> Vec<Reference> {
        self.named()
            .filter(|(found, _)| found.digest == *manifest)
            .map(|(_, name)| name)
            .collect()
    }

    /// What registries call a manifest, each of its repositories once.
    pub(super) fn repo_digests(&self, manifest: &Digest) -> Vec<Reference> {
        let mut digests = Vec::new();
        for (descriptor, name) in self.named().filter(|(found, _)| found.digest == *manifest) {
            let digest = descriptor.annotations.get(REPO_DIGEST);
            let Some(digest) = digest.and_then(|text| text.parse().ok()) else {
                continue;
            };
            let reference = name.at(digest);
            if !digests.contains(&reference) {
                digests.push(reference);
            }
        }
        digests
    }

    /// Lets a name stand for a manifest, and for nothing else.
    pub(super) fn set(&mut self, reference: &Reference, mut descriptor: Descriptor) {
        self.forget(reference);
        let manifest = descriptor.digest;
        self.manifests
            .retain(|found| found.digest != manifest || name_of(found).is_some());
        for key in [REF_NAME, IMAGE_NAME] {
            descriptor
                .annotations
                .insert(key.to_owned(), reference.to_string());
        }
        self.manifests.push(descriptor);
    }

    /// Adds a manifest without a name, unless it is there.
    pub(super) fn add(&mut self, mut descriptor: Descriptor) {
        if self
            .manifests
            .iter()
            .all(|found| found.digest != descriptor.digest)
        {
            unname(&mut descriptor);
            self.manifests.push(descriptor);
        }
    }

    /// Writes something down about what a name stands for.
    pub(super) fn note(&mut self, reference: &Reference, (key, value): (&str, String)) {
        let is_it = |found: &&mut Descriptor| name_of(found).as_ref() == Some(reference);
        if let Some(descriptor) = self.manifests.iter_mut().find(is_it) {
            descriptor.annotations.insert(key.to_owned(), value);
        }
    }

    /// Takes a name away; what it stood for stays, without a name if it has no other.
    pub(super) fn forget(&mut self, reference: &Reference) {
        let is_it = |found: &Descriptor| name_of(found).as_ref() == Some(reference);
        let Some(at) = self.manifests.iter().position(is_it) else {
            return;
        };
        let mut descriptor = self.manifests.remove(at);
        unname(&mut descriptor);
        self.add(descriptor);
    }
}

fn unname(descriptor: &mut Descriptor) {
    for key in [REF_NAME, IMAGE_NAME] {
        descriptor.annotations.remove(key);
    }
}

/// The name of a descriptor; other tools may have written one that is not complete.
pub(super) fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let name = [IMAGE_NAME, REF_NAME]
        .iter()
        .find_map(|key| descriptor.annotations.get(*key))?;
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::oci::MANIFEST;
    use super::*;

    fn name(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn image(number: u8) -> Descriptor {
        Descriptor::new(MANIFEST, Digest::of(&[number]), 1)
    }

    #[test]
    fn a_name_stands_for_one_image_and_the_old_one_stays_without_a_name() {
        let mut index = Index::new();
        index.set(&name("a"), image(1));
        index.set(&name("b"), image(1));
        index.set(&name("a"), image(2));
        assert_eq!(index.find(&name("a")).unwrap().digest, image(2).digest);
        assert_eq!(index.names(&image(1).digest), [name("b")]);
        assert_eq!(index.manifests.len(), 2);
        index.set(&name("b"), image(2));
        assert_eq!(index.manifests.len(), 3);
        assert_eq!(index.names(&image(1).digest), []);
        index.set(&name("c"), image(1));
        assert_eq!(index.manifests.len(), 3);
        let before = index.clone();
        index.forget(&name("nobody"));
        assert_eq!(index, before);
    }

    #[test]
    fn a_digest_is_found_under_any_name_of_its_repository_only() {
        let mut index = Index::new();
        let mut descriptor = image(1);
        let repo = Digest::of(b"index");
        descriptor
            .annotations
            .insert(REPO_DIGEST.to_owned(), repo.to_string());
        index.set(&name("a:1"), descriptor);
        for (repository, digest, found) in [
            ("a", image(1).digest, true),
            ("a", repo, true),
            ("b", repo, false),
            ("a", Digest::of(b"other"), false),
        ] {
            let reference = name(repository).at(digest);
            assert_eq!(index.find(&reference).is_some(), found, "{reference}");
        }
    }
}
