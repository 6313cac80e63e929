//! `ADD`: copies, archives that are unpacked, and downloads.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::copy::{exclude, inline, mode, paths};
use super::stage::Bench;
use crate::build::cache::KeyMaker;
use crate::build::copy::{
    Everything, Existing, Manner, Ownership, Tree, Writer, open_archive, select_all,
};
use crate::build::error::StepError;
use crate::build::event::{End, Told};
use crate::build::files::{Mounted, make, open_root};
use crate::build::plan::step::{Add, Origin, Transfer};
use crate::build::remote::Repository;
use crate::build::run::MountSources;
use crate::image::{
    Digest, Fetched, FileVersion, Snapshot, StoredLayer, fetch_file, spread_archive,
};

/// A file of the web.
struct Download {
    url: String,
    digest: Digest,
    /// The directory with the file, if it was fetched.
    place: Option<PathBuf>,
}

/// A repository at one commit.
struct Checkout {
    files: PathBuf,
    directory: String,
    commit: String,
}

/// What was found out about a file of the web.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    digest: Digest,
    etag: Option<String>,
    modified: Option<String>,
}

static EVERYTHING: Everything = Everything;

impl Bench<'_> {
    pub(super) fn add(
        &self,
        add: &Add,
        told: &Told<'_>,
    ) -> Result<(StoredLayer, Timestamp, End), StepError> {
        let all = paths(&add.transfer);
        let (remote, all): (Vec<&str>, Vec<&str>) =
            all.into_iter().partition(|path| is_repository(path));
        let mut checkouts = Vec::new();
        for address in remote {
            checkouts.extend(self.checkout(address, add, told)?);
        }
        let (urls, local): (Vec<&str>, Vec<&str>) = all.into_iter().partition(|path| is_url(path));
        let mut downloads = Vec::new();
        for url in urls {
            downloads.push(self.look(url, add, told)?);
        }
        let kind = match add.unpack {
            None => "add",
            Some(true) => "add-unpack",
            Some(false) => "add-plain",
        };
        let key = self.transfer_key(kind, &add.transfer, (&Origin::Context, &local, false))?;
        let mut key = KeyMaker::new("add").digest("files", &key.digest());
        for download in &downloads {
            key = key
                .text("url", &download.url)
                .digest("content", &download.digest);
        }
        for checkout in &checkouts {
            key = key
                .text("repository", &checkout.directory)
                .text("commit", &checkout.commit)
                .text("git-directory", if add.keep_git_dir { "kept" } else { "" });
        }
        self.layer(key.finish(), |snapshot| {
            let target = self.target(snapshot, add.transfer.link)?;
            self.put_local(add, &local, (&target, snapshot))?;
            for checkout in &checkouts {
                self.put_checkout(add, checkout, &target)?;
            }
            for download in &mut downloads {
                self.put_download(add, download, (&target, snapshot), told)?;
            }
            let mode = mode(&add.transfer)?;
            let manner = self.manner(&add.transfer, mode.as_ref(), &EVERYTHING)?;
            inline(&mut Writer::new(&target.root, manner), &add.transfer)
        })
    }

    /// Fetches a repository: its files depend on the commit alone.
    fn checkout(
        &self,
        address: &str,
        add: &Add,
        told: &Told<'_>,
    ) -> Result<Option<Checkout>, StepError> {
        let Some(mut repository) = Repository::parse(address) else {
            return Ok(None);
        };
        if let Some(checksum) = &add.checksum {
            repository.checksum = Some(checksum.clone());
        }
        let place = self.session().place();
        make(&place)?;
        told.status(format!("fetching {}", repository.url));
        let commit = repository.fetch(&place, add.keep_git_dir)?;
        Ok(Some(Checkout {
            files: repository.within(&place)?,
            directory: repository.directory.unwrap_or_default(),
            commit,
        }))
    }

    fn put_checkout(
        &self,
        add: &Add,
        checkout: &Checkout,
        target: &Mounted,
    ) -> Result<(), StepError> {
        let exclude = exclude(&add.transfer)?;
        let mode = mode(&add.transfer)?;
        let manner = self.manner(&add.transfer, mode.as_ref(), &*exclude)?;
        let mut writer = Writer::new(&target.root, manner);
        let tree = tree_of(&checkout.files)?;
        for found in select_all(&tree, &["."], false)? {
            self.session().check()?;
            writer.copy(&tree, &found, (&add.transfer.destination, false))?;
        }
        Ok(())
    }

    fn manner<'m>(
        &self,
        transfer: &Transfer,
        mode: Option<&'m crate::build::copy::ModeChange>,
        exclude: &'m dyn crate::build::copy::Filter,
    ) -> Result<Manner<'m>, StepError> {
        Ok(Manner {
            owner: self.owner(transfer)?,
            mode,
            exclude,
            existing: Existing::Kept,
        })
    }

    fn put_local(
        &self,
        add: &Add,
        paths: &[&str],
        (target, snapshot): (&Mounted, &Snapshot),
    ) -> Result<(), StepError> {
        if paths.is_empty() {
            return Ok(());
        }
        let exclude = exclude(&add.transfer)?;
        let mode = mode(&add.transfer)?;
        let manner = self.manner(&add.transfer, mode.as_ref(), &*exclude)?;
        let mut writer = Writer::new(&target.root, manner);
        let files = self.origins.files(&Origin::Context)?;
        let (_mounted, tree) = files.open(&self.session().place())?;
        for found in select_all(&tree, paths, false)? {
            self.session().check()?;
            if add.unpack != Some(false) && found.is_file() {
                let file = tree.open(found.path());
                let file = file.map_err(StepError::io("read", found.path()))?;
                if self.unpack(add, file, (target, snapshot))? {
                    continue;
                }
            }
            writer.copy(&tree, &found, (&add.transfer.destination, false))?;
        }
        Ok(())
    }

    /// Unpacks a file into the destination, if it is an archive.
    fn unpack(
        &self,
        add: &Add,
        file: File,
        (target, snapshot): (&Mounted, &Snapshot),
    ) -> Result<bool, StepError> {
        let place = snapshot
            .scratch()
            .join(format!("unpacked-{:08x}", fastrand::u32(..)));
        let archive =
            open_archive(file).map_err(StepError::io("read", Path::new("the archive")))?;
        let Some(archive) = archive else {
            return Ok(false);
        };
        make(&place)?;
        spread_archive(archive, &place)?;
        let tree = tree_of(&place)?;
        let destination = Path::new(&add.transfer.destination);
        let manner = self.manner(&add.transfer, None, &EVERYTHING)?;
        Writer::new(&target.root, manner).directory(destination)?;
        // As Docker: `--chown` is not for what is in an archive, which has owners of its own.
        let manner = Manner {
            owner: None,
            mode: None,
            exclude: &EVERYTHING,
            existing: Existing::Changed,
        };
        let mut writer = Writer::new(&target.root, manner);
        for found in select_all(&tree, &["."], false)? {
            writer.copy(&tree, &found, (&add.transfer.destination, false))?;
        }
        Ok(true)
    }

    /// Finds out what a URL's content hashes to: from its checksum, from an earlier build when the
    /// server says that it has not changed, or by fetching it.
    fn look(&self, url: &str, add: &Add, told: &Told<'_>) -> Result<Download, StepError> {
        let mut download = Download {
            url: url.to_owned(),
            digest: Digest::of(b""),
            place: None,
        };
        if let Some(checksum) = &add.checksum {
            download.digest = checksum
                .parse()
                .map_err(|error| StepError::Value(format!("--checksum: {error}")))?;
            return Ok(download);
        }
        let key = KeyMaker::new("url").text("url", url).finish();
        let known: Option<Remembered> = self.session().cache().document(&key);
        let version = known.as_ref().map(|known| FileVersion {
            etag: known.etag.clone(),
            modified: known.modified.clone(),
        });
        let version = version.filter(|version| *version != FileVersion::default());
        match self.fetch(&mut download, version.as_ref(), told)? {
            Fetched::Unchanged => {
                if let Some(known) = known {
                    download.digest = known.digest;
                }
            }
            Fetched::File(version) => {
                let fresh = Remembered {
                    digest: download.digest,
                    etag: version.etag,
                    modified: version.modified,
                };
                self.session().cache().put_document(&key, &fresh)?;
            }
        }
        Ok(download)
    }

    fn fetch(
        &self,
        download: &mut Download,
        known: Option<&FileVersion>,
        told: &Told<'_>,
    ) -> Result<Fetched, StepError> {
        let place = self.session().place();
        make(&place)?;
        let path = place.join(name_of(&download.url));
        let mut file = File::create(&path).map_err(StepError::io("write", &path))?;
        let mut hasher = Sha256::new();
        let mut done = 0_u64;
        let fetched = {
            let mut sink = |bytes: &[u8]| {
                let before = done;
                done += bytes.len() as u64;
                if before >> 20 != done >> 20 {
                    told.status(format!("{} MiB", done >> 20));
                }
                hasher.update(bytes);
                file.write_all(bytes)
            };
            let work = fetch_file(
                &self.session().builder.registries,
                &download.url,
                known,
                &mut sink,
            );
            self.session().wait_for(work)?
        };
        let failed = |source| StepError::Fetch {
            url: download.url.clone(),
            source,
        };
        let fetched = fetched.map_err(failed)?;
        if let Fetched::File(version) = &fetched {
            download.digest = Digest::from_hasher(hasher);
            let dress = || -> std::io::Result<()> {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
                // Without a date it is as old as can be, so that the layer is the same each time.
                let modified = version.modified.as_deref();
                let time = modified.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
                let time = time.map_or(0, |time| time.timestamp().as_second());
                let time = u64::try_from(time).unwrap_or(0);
                let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time);
                file.set_modified(time)
            };
            dress().map_err(StepError::io("write", &path))?;
            download.place = Some(place);
        }
        Ok(fetched)
    }

    fn put_download(
        &self,
        add: &Add,
        download: &mut Download,
        (target, snapshot): (&Mounted, &Snapshot),
        told: &Told<'_>,
    ) -> Result<(), StepError> {
        if download.place.is_none() {
            let promised = download.digest;
            self.fetch(download, None, told)?;
            if add.checksum.is_some() && download.digest != promised {
                return Err(StepError::Value(format!(
                    "{} has the digest {}, but {promised} was promised: it was changed or tampered with",
                    download.url, download.digest
                )));
            }
        }
        let Some(place) = &download.place else {
            return Err(StepError::Value(format!(
                "{} was not fetched",
                download.url
            )));
        };
        let name = name_of(&download.url);
        if add.unpack == Some(true) {
            let path = place.join(&name);
            let file = File::open(&path).map_err(StepError::io("read", &path))?;
            if self.unpack(add, file, (target, snapshot))? {
                return Ok(());
            }
        }
        let tree = tree_of(place)?;
        let mode = mode(&add.transfer)?;
        let manner = self.manner(&add.transfer, mode.as_ref(), &EVERYTHING)?;
        let mut writer = Writer::new(&target.root, manner);
        for found in select_all(&tree, &["*"], false)? {
            writer.copy(&tree, &found, (&add.transfer.destination, false))?;
        }
        Ok(())
    }
}

/// A directory of ours with files whose owners are right.
fn tree_of(place: &Path) -> Result<Tree<'static>, StepError> {
    let root = open_root(place).map_err(StepError::io("open", place))?;
    let tree = Tree::new(root, &EVERYTHING, Ownership::Kept, "the archive".to_owned());
    tree.map_err(StepError::io("open", place))
}

/// In a Dockerfile `github.com/…` is a path.
fn is_repository(path: &str) -> bool {
    !path.starts_with("github.com/") && Repository::parse(path).is_some()
}

fn is_url(path: &str) -> bool {
    path.starts_with("http://") || path.starts_with("https://")
}

/// The name of the file that a URL stands for.
fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.split_once('/').map_or("", |(_, rest)| rest);
    let name = name
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    match name {
        "" | "." | ".." => "download".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_file_names() {
        for (text, name) in [
            ("https://a.example/b/c.tar.gz?x=/y", "c.tar.gz"),
            ("http://a.example", "download"),
            ("https://a.example/x/..", "download"),
        ] {
            assert!(is_url(text));
            assert_eq!(name_of(text), name);
        }
        assert!(!is_url("file.txt"));
    }
}
