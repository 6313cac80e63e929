//! The files of a container, whether it runs or not.
//!
//! A program that runs has its root, with all that is mounted in it, in its own mount namespace, which
//! the kernel shows below `/proc/<pid>/root`. Without one the root is put together in a mount namespace
//! of a thread, and goes with that thread, whatever ends it.

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, MountBuilder, Spec};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountPropagationFlags;

use super::{observe, template};
use crate::engine::EngineError;
use crate::image::ImageStore;
use crate::plan::ObservedContainer;
use crate::runtime::bundle::{Bundle, Rootfs, ShimConfig};
use crate::runtime::{Root, StartError, bind_all, layers_at, overlay_at};
use crate::state::records::ContainerRecord;
use crate::state::{Paths, StateError, read_json};

/// Which files of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// What its programs see: with volumes and all other mounts.
    Whole,
    /// Its image and what it has written there itself; read-only.
    Own,
}

/// Why the files of a container cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    /// State could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The container is not as it was observed.
    #[error("container {0} has just changed; try again")]
    Changed(String),
    /// Its image is gone.
    #[error("the image of container {0} is not here any more")]
    NoImage(String),
    /// The image store.
    #[error(transparent)]
    Images(#[from] crate::image::Error),
    /// Something that is only wrong once it is used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A mount.
    #[error("cannot put the files of container {name} together")]
    Mount {
        /// The container.
        name: String,
        /// The step.
        source: StartError,
    },
    /// The kernel.
    #[error("cannot {action} of container {name}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The container.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// Calls `work` with the root of a container.
pub(crate) fn with_root<T: Send, E: From<RootError> + Send>(
    paths: &Paths,
    (container, view): (&ObservedContainer, View),
    work: impl FnOnce(&Root) -> Result<T, E> + Send,
) -> Result<T, E> {
    match (container.pid(), view) {
        (Some(pid), View::Whole) => work(&running(paths, container, pid)?),
        _ => in_own_mounts(container, || {
            let root = assembled(paths, container, view)?;
            work(&root)
        }),
    }
}

/// The user whom a container's program is started as, in the words of its service or image.
pub(crate) fn user_of(
    paths: &Paths,
    record: &ContainerRecord,
) -> Result<Option<String>, RootError> {
    let gone = || RootError::NoImage(record.name.clone());
    let id = record.image_id.parse().map_err(|_| gone())?;
    let image = ImageStore::open(paths.root())?.get_by_id(&id)?;
    Ok(template::user(&record.template, &image.ok_or_else(gone)?))
}

/// The root of a program that runs.
fn running(paths: &Paths, container: &ObservedContainer, pid: i32) -> Result<Root, RootError> {
    let name = &container.record.name;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty());
    // The number may mean another process by now: what was opened counts only if it still was ours
    // afterwards.
    let now = observe::observe_container(paths, &container.record.id, None)?;
    let same = now.is_some_and(|now| {
        now.pid() == container.pid() && now.started_at() == container.started_at()
    });
    if !same {
        return Err(RootError::Changed(name.clone()));
    }
    let root = opened.map_err(|error| RootError::Io {
        action: "open the root",
        name: name.clone(),
        source: error.into(),
    })?;
    Ok(Root::new(root))
}

/// Calls `work` in a thread with a mount namespace of its own, whose mounts nobody else sees.
fn in_own_mounts<T: Send, E: From<RootError> + Send>(
    container: &ObservedContainer,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    let failed = |source: io::Error| RootError::Io {
        action: "make a mount namespace for the files",
        name: container.record.name.clone(),
        source,
    };
    let enter = || -> io::Result<()> {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        Ok(rustix::mount::mount_change("/", private)?)
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter().map_err(failed)?;
            work()
        });
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Puts the root of a container together, in this thread's mount namespace.
fn assembled(paths: &Paths, container: &ObservedContainer, view: View) -> Result<Root, RootError> {
    let record = &container.record;
    let bundle = Bundle::new(paths.container(&record.id));
    let failed = |source| RootError::Mount {
        name: record.name.clone(),
        source,
    };
    let rootfs = rootfs(paths, record, &bundle)?;
    let place = bundle.rootfs();
    let make = |path: &Path| {
        std::fs::create_dir_all(path).map_err(|error| StateError::io("make", path, error))
    };
    for path in [&place, &rootfs.upper, &rootfs.work] {
        make(path)?;
    }
    if view == View::Own {
        let layers: Vec<PathBuf> = std::iter::once(rootfs.upper).chain(rootfs.lower).collect();
        return layers_at(&layers, &place).map_err(failed);
    }
    let root = overlay_at(&rootfs, &place).map_err(failed)?;
    let mounts = mounts(record, &bundle)?;
    bind_all(&root, bundle.dir(), &mounts).map_err(failed)?;
    Ok(root)
}

/// The layers: as at the last start, or those that the first one will have.
fn rootfs(paths: &Paths, record: &ContainerRecord, bundle: &Bundle) -> Result<Rootfs, RootError> {
    if let Some(config) = read_json::<ShimConfig>(&bundle.shim_config())? {
        return Ok(config.rootfs);
    }
    let gone = || RootError::NoImage(record.name.clone());
    let store = ImageStore::open(paths.root())?;
    let id = record.image_id.parse().map_err(|_| gone())?;
    let image = store.get_by_id(&id)?.ok_or_else(gone)?;
    Ok(Rootfs {
        lower: image.layers.into_iter().rev().collect(),
        upper: bundle.dir().join("upper"),
        work: bundle.dir().join("work"),
        snapshot: false,
    })
}

/// What is mounted: as at the last start, or the volumes that the first one will have.
fn mounts(record: &ContainerRecord, bundle: &Bundle) -> Result<Vec<Mount>, RootError> {
    if let Some(spec) = read_json::<Spec>(&bundle.spec())? {
        return Ok(spec.mounts().clone().unwrap_or_default());
    }
    let sources = record
        .mounts
        .iter()
        .filter(|mount| !mount.source.as_os_str().is_empty());
    sources
        .map(|mount| {
            let writable = if mount.writable { "rw" } else { "ro" };
            MountBuilder::default()
                .destination(&mount.destination)
                .source(&mount.source)
                .typ("bind")
                .options(["rbind", writable].map(str::to_owned))
                .build()
                .map_err(|error| EngineError::Value(error.to_string()).into())
        })
        .collect()
}
