//! What is mounted in a container: bind mounts, volumes, tmpfs, and the engine's own files.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount as OciMount, MountBuilder};

use super::oci;
use crate::compose::model::{Mount, MountSource};
use crate::engine::EngineError;
use crate::engine::native::create::with_image_volumes;
use crate::engine::native::volume::{self, Backing};
use crate::image::Image;
use crate::runtime::bundle::CopyUp;
use crate::state::Paths;
use crate::state::records::ContainerRecord;

/// What is mounted in a container, in order, and what is copied into volumes before.
#[derive(Default)]
pub(super) struct Mounts {
    pub(super) all: Vec<OciMount>,
    pub(super) copy_up: Vec<CopyUp>,
}

impl Mounts {
    /// Those of service and image; directories that a bind mount may make are made.
    pub(super) fn of(
        paths: &Paths,
        record: &ContainerRecord,
        image: &Image,
    ) -> Result<Self, EngineError> {
        let mut found = Self::default();
        for mount in with_image_volumes(&record.template, image) {
            found.add(&mount, (paths, record))?;
        }
        Ok(found)
    }

    fn add(
        &mut self,
        mount: &Mount,
        (paths, record): (&Paths, &ContainerRecord),
    ) -> Result<(), EngineError> {
        let backing = || volume::backing(paths, &volume_name(record, &mount.target));
        match &mount.source {
            MountSource::Bind {
                path,
                create_host_path,
                propagation,
                recursive,
            } => {
                ensure_bind_source(path, *create_host_path)?;
                let kind = if *recursive { "rbind" } else { "bind" };
                let propagation = propagation.as_deref().unwrap_or("rprivate");
                self.all.push(bind(path, mount, &[kind, propagation])?);
            }
            MountSource::Volume {
                nocopy, subpath, ..
            } => {
                let to_fill = self.volume(mount, backing()?, subpath.as_deref())?;
                if !nocopy && subpath.is_none() {
                    self.copy_up.extend(to_fill);
                }
            }
            MountSource::Anonymous => {
                let to_fill = self.volume(mount, backing()?, None)?;
                self.copy_up.extend(to_fill);
            }
            // Refused before it comes to this: see `capabilities`.
            MountSource::Image { .. } => {}
            MountSource::Tmpfs {
                size,
                mode,
                options,
                ..
            } => {
                let mut options = tmpfs_options(*size, *mode, options);
                if mount.read_only {
                    options.push("ro".to_owned());
                }
                let source = Path::new("tmpfs");
                self.all
                    .push(oci_mount("tmpfs", source, &mount.target, options)?);
            }
        }
        Ok(())
    }

    /// Mounts a volume; what an image's files could be copied into, when it is a directory.
    fn volume(
        &mut self,
        mount: &Mount,
        backing: Backing,
        subpath: Option<&str>,
    ) -> Result<Option<CopyUp>, EngineError> {
        match backing {
            Backing::Directory(directory) => {
                let source = match subpath {
                    Some(subpath) => inside(&directory, subpath)?,
                    None => directory.clone(),
                };
                self.all.push(bind(&source, mount, &["rbind", "rprivate"])?);
                Ok(Some(CopyUp {
                    image_path: mount.target.clone(),
                    volume: directory,
                }))
            }
            Backing::FileSystem {
                kind,
                device,
                mut options,
            } => {
                if mount.read_only {
                    options.push("ro".to_owned());
                }
                let device = Path::new(&device);
                self.all
                    .push(oci_mount(&kind, device, &mount.target, options)?);
                Ok(None)
            }
        }
    }

    /// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container's directory, unless the
    /// service mounts its own.
    pub(super) fn add_own_files(
        &mut self,
        record: &ContainerRecord,
        dir: &Path,
    ) -> Result<(), EngineError> {
        for (file, target) in [
            ("resolv.conf", "/etc/resolv.conf"),
            ("hostname", "/etc/hostname"),
            ("hosts", "/etc/hosts"),
        ] {
            let mut mounts = record.mounts.iter();
            if !mounts.any(|mount| mount.destination == target) {
                let options = ["rbind", "rprivate"].map(str::to_owned).to_vec();
                self.all
                    .push(oci_mount("bind", &dir.join(file), target, options)?);
            }
        }
        Ok(())
    }
}

fn tmpfs_options(size: Option<u64>, mode: Option<u32>, options: &[String]) -> Vec<String> {
    let mut all = vec!["nosuid".to_owned(), "nodev".to_owned()];
    if !options.iter().any(|option| option == "exec") {
        all.push("noexec".to_owned());
    }
    all.extend(options.iter().filter(|option| *option != "exec").cloned());
    all.extend(size.map(|size| format!("size={size}")));
    all.extend(mode.map(|mode| format!("mode={mode:o}")));
    all
}

fn volume_name(record: &ContainerRecord, target: &str) -> String {
    record
        .anonymous_volumes
        .get(target)
        .cloned()
        .or_else(|| {
            let found = record
                .mounts
                .iter()
                .find(|mount| mount.destination == target);
            found.map(|mount| mount.name.clone())
        })
        .unwrap_or_default()
}

fn ensure_bind_source(path: &Path, create: bool) -> Result<(), EngineError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            fs::create_dir_all(path).map_err(|source| EngineError::BindSource {
                path: path.to_owned(),
                source,
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(EngineError::NoBindSource(path.to_owned()))
        }
        Err(source) => Err(EngineError::BindSource {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A directory inside a volume; a link that leads out of it is refused.
fn inside(directory: &Path, subpath: &str) -> Result<PathBuf, EngineError> {
    let wanted = directory.join(subpath.trim_start_matches('/'));
    let found = wanted.canonicalize().map_err(|_| {
        EngineError::Value(format!(
            "the volume has no `{subpath}`; make it before it is mounted as a subpath"
        ))
    })?;
    let root = directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned());
    if found.starts_with(&root) {
        Ok(found)
    } else {
        Err(EngineError::Value(format!(
            "`{subpath}` leads out of the volume"
        )))
    }
}

fn bind(source: &Path, mount: &Mount, options: &[&str]) -> Result<OciMount, EngineError> {
    let mut options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    options.push(if mount.read_only { "ro" } else { "rw" }.to_owned());
    oci_mount("bind", source, &mount.target, options)
}

fn oci_mount(
    kind: &str,
    source: &Path,
    target: &str,
    options: Vec<String>,
) -> Result<OciMount, EngineError> {
    MountBuilder::default()
        .typ(kind)
        .source(source)
        .destination(target)
        .options(options)
        .build()
        .map_err(oci)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subpath_stays_inside_its_volume() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
        assert!(inside(dir.path(), "a/b").is_ok());
        assert!(inside(dir.path(), "/a").is_ok());
        assert!(inside(dir.path(), "out").is_err());
        assert!(inside(dir.path(), "../..").is_err());
        assert!(inside(dir.path(), "none").is_err());
    }
}
