//! Files that steps start from, copy and mount: layers of the store, or a directory of the machine.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::cache::FileHashes;
use super::copy::{Everything, Filter, Ownership, Tree};
use super::error::StepError;
use crate::image::StoredLayer;
use crate::runtime::bundle::Rootfs;
use crate::runtime::{Root, layers_at, overlay_at};

/// A directory of this machine that steps may copy from.
pub(super) struct Context {
    /// Absolute.
    pub(super) path: PathBuf,
    /// Which of its files take part.
    pub(super) ignore: Box<dyn Filter + Send>,
    /// Hashes of its files.
    pub(super) hashes: FileHashes,
    /// What to call it in messages.
    pub(super) title: String,
}

/// Where files come from.
#[derive(Clone, Copy)]
pub(super) enum Files<'a> {
    /// Layers, the bottom one first; none: there are no files.
    Layers(&'a [StoredLayer], &'a str),
    /// A directory.
    Context(&'a Context),
}

impl<'a> Files<'a> {
    /// Opens them to be read; layers are mounted at `place`, which is made.
    pub(super) fn open(self, place: &Path) -> Result<(Mounted, Tree<'a>), StepError> {
        static EVERYTHING: Everything = Everything;
        let (mounted, ignore, ownership, title): (_, &dyn Filter, _, _) = match self {
            Self::Layers(layers, title) => {
                let mounted = Mounted::layers(layers, place)?;
                (mounted, &EVERYTHING, Ownership::Kept, title.to_owned())
            }
            Self::Context(context) => {
                let root =
                    open_root(&context.path).map_err(StepError::io("open", &context.path))?;
                let mounted = Mounted { root, place: None };
                let ignore: &dyn Filter = &*context.ignore;
                (mounted, ignore, Ownership::Root, context.title.clone())
            }
        };
        let root = mounted.again().map_err(StepError::io("open", place))?;
        let tree = Tree::new(root, ignore, ownership, title);
        Ok((mounted, tree.map_err(StepError::io("open", place))?))
    }
}

/// A root; when it was mounted, it is unmounted when this is dropped.
#[derive(Debug)]
pub(super) struct Mounted {
    pub(super) root: Root,
    place: Option<PathBuf>,
}

impl Mounted {
    /// Layers, to be read.
    pub(super) fn layers(layers: &[StoredLayer], place: &Path) -> Result<Self, StepError> {
        make(place)?;
        if layers.is_empty() {
            let root = open_root(place).map_err(StepError::io("open", place))?;
            return Ok(Self { root, place: None });
        }
        let lower = lower(layers);
        let root = layers_at(&lower, place).map_err(StepError::Mount)?;
        Ok(Self {
            root,
            place: Some(place.to_owned()),
        })
    }

    /// Layers with a writable one on top.
    pub(super) fn writable(
        layers: &[StoredLayer],
        (upper, work): (PathBuf, PathBuf),
        place: &Path,
    ) -> Result<Self, StepError> {
        make(place)?;
        if layers.is_empty() {
            let root = open_root(&upper).map_err(StepError::io("open", &upper))?;
            return Ok(Self { root, place: None });
        }
        let rootfs = Rootfs {
            lower: lower(layers),
            upper,
            work,
            snapshot: true,
        };
        let root = overlay_at(&rootfs, place).map_err(StepError::Mount)?;
        Ok(Self {
            root,
            place: Some(place.to_owned()),
        })
    }

    /// A second descriptor of the same root.
    pub(super) fn again(&self) -> io::Result<Root> {
        Ok(Root::new(self.root.fd().try_clone_to_owned()?))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            // It goes with the mount namespace at the latest.
            let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

/// The directories of layers as overlayfs wants them: the top one first.
pub(super) fn lower(layers: &[StoredLayer]) -> Vec<PathBuf> {
    layers
        .iter()
        .rev()
        .map(|layer| layer.files.clone())
        .collect()
}

pub(super) fn make(place: &Path) -> Result<(), StepError> {
    std::fs::create_dir_all(place).map_err(StepError::io("make", place))
}

pub(super) fn open_root(path: &Path) -> io::Result<Root> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Root::new(rustix::fs::open(path, flags, Mode::empty())?))
}
