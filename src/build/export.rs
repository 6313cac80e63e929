//! The files of an image that was built, outside the store.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::copy::{
    Everything, Existing, Manner, Ownership, Tree, Writer, open_archive, select_all,
};
use super::error::{Error, StepError};
use super::files::{Mounted, make, open_root};
use crate::image::{Image, ImageStore, Packing, pack_directory, spread_archive};

/// Where the files of an image go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Into a directory, which is made.
    Directory(PathBuf),
    /// Into a tar archive; `None` = standard output.
    Archive(Option<PathBuf>),
}

static EVERYTHING: Everything = Everything;

/// Writes the files of an image; in a thread with a mount namespace of its own.
pub(super) fn export(store: &ImageStore, image: &Image, output: &Output) -> Result<(), Error> {
    let _hold = store.hold()?;
    let scratch = store.snapshot(None)?;
    let place = scratch.scratch().join("image");
    let layers = store.layers_of(image)?;
    let mounted = Mounted::layers(&layers, &place)?;
    match output {
        Output::Directory(target) => copy(mounted, target),
        Output::Archive(path) => archive(&place, path.as_deref()),
    }
}

fn copy(mounted: Mounted, target: &Path) -> Result<(), Error> {
    make(target)?;
    let root = open_root(target).map_err(StepError::io("open", target))?;
    let source = mounted.again().map_err(StepError::io("open", target))?;
    let tree = Tree::new(source, &EVERYTHING, Ownership::Kept, "the image".to_owned());
    let tree = tree.map_err(StepError::io("open", target))?;
    let manner = Manner {
        owner: None,
        mode: None,
        exclude: &EVERYTHING,
        existing: Existing::Kept,
    };
    let mut writer = Writer::new(&root, manner);
    let found = select_all(&tree, &["."], false).map_err(StepError::from)?;
    for found in found {
        writer
            .copy(&tree, &found, ("/", false))
            .map_err(StepError::from)?;
    }
    Ok(())
}

fn archive(place: &Path, path: Option<&Path>) -> Result<(), Error> {
    let packing = Packing::default();
    match path {
        None => {
            let mut out = io::stdout().lock();
            pack_directory(place, &mut out, packing)?;
            Ok(out
                .flush()
                .map_err(StepError::io("write", Path::new("standard output")))?)
        }
        Some(path) => {
            let file = File::create(path).map_err(StepError::io("write", path))?;
            Ok(pack_directory(place, file, packing)?)
        }
    }
}

/// Spreads a context out that came as an archive; `false` = it is none, and nothing was written.
pub fn unpack_context(file: File, directory: &Path) -> Result<bool, Error> {
    let found =
        open_archive(file).map_err(StepError::io("read", Path::new("the build context")))?;
    match found {
        Some(archive) => {
            spread_archive(archive, directory)?;
            Ok(true)
        }
        None => Ok(false),
    }
}
