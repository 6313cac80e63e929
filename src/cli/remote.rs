//! Build contexts that are on other machines.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::context::Context;
use super::drive::block_on;
use super::error::{Error, Result};
use crate::build::{Remote, Scratch, unpack_context};
use crate::image::{Registries, fetch_file};
use crate::ui::Terminal;

/// A context that was fetched.
pub(super) struct Fetched {
    /// Its files.
    pub(super) directory: PathBuf,
    /// The Dockerfile, when the address was that of one: there are no files then.
    pub(super) dockerfile: Option<Vec<u8>>,
    /// Where it is, for as long as it is needed.
    pub(super) scratch: Arc<Scratch>,
}

/// Fetches a context. `keep` leaves the `.git` of a repository in it.
pub(super) fn fetch(context: &Context, text: &str, keep: bool) -> Result<Fetched> {
    let failed = || Error::new(format!("cannot fetch the build context {text}"));
    let remote = Remote::parse(text).ok_or_else(|| {
        failed().hint("write the address of a git repository, or one that begins with https://")
    })?;
    let path = context.paths.run();
    let path = path.join(format!("context-{:016x}", fastrand::u64(..)));
    let scratch = Scratch::new(path).map_err(|error| failed().because(error))?;
    let files = scratch.path().join("files");
    fs::create_dir(&files).map_err(|error| failed().because(error))?;
    Terminal::say(&format!("fetching the build context {text}"));
    let (directory, dockerfile) = match remote {
        Remote::Repository(repository) => {
            let inside = repository
                .fetch(&files, keep)
                .and_then(|_| repository.within(&files))
                .map_err(|error| failed().because(error))?;
            (inside, None)
        }
        Remote::File(url) => {
            let copy = scratch.path().join("file");
            download(&context.registries(), &url, &copy)
                .map_err(|error| failed().because(error))?;
            let file = fs::File::open(&copy).map_err(|error| failed().because(error))?;
            let is_archive =
                unpack_context(file, &files).map_err(|error| failed().because(error))?;
            match is_archive {
                true => (files, None),
                false => {
                    let bytes = fs::read(&copy).map_err(|error| failed().because(error))?;
                    (files, Some(bytes))
                }
            }
        }
    };
    Ok(Fetched {
        directory,
        dockerfile,
        scratch: Arc::new(scratch),
    })
}

fn download(registries: &Registries, url: &str, path: &std::path::Path) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    let mut sink = |bytes: &[u8]| file.write_all(bytes);
    let done = block_on(async {
        let fetched = fetch_file(registries, url, None, &mut sink).await;
        Ok(fetched
            .map(drop)
            .map_err(|error| io::Error::other(error.to_string())))
    });
    done.unwrap_or_else(|error| Err(io::Error::other(error.summary())))
}
