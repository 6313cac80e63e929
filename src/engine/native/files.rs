//! Configs and secrets: files that a container finds at a path of its own.
//!
//! One that is a file of the host is mounted as it is, with its owner and permissions: an edit in place
//! is seen at once. One that is text, or a variable, is written below the container's own directory,
//! with the owner and permissions that the service asks for, and goes with the container. So is a copy
//! of a file of the host whose content is put in place while the program runs (`x-stack.reload`).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::compose::model::{FileObject, FileSource, FileUse, Mount, MountSource, Service};
use crate::engine::EngineError;
use crate::plan::{Desired, reload_of};
use crate::state::StateError;

/// Below the container's directory.
const DIRECTORY: &str = "files";

/// A file that is written for a container.
#[derive(PartialEq, Eq)]
pub(super) struct GivenFile {
    /// Its name below the container's directory.
    name: String,
    content: Vec<u8>,
    uid: u32,
    gid: u32,
    mode: u32,
    /// Its content is put in place when it is another one.
    renewed: bool,
}

/// What a container is given: how it is mounted, and what has to be written for it.
#[derive(Default)]
pub(super) struct Given {
    pub(super) mounts: Vec<Mount>,
    pub(super) files: Vec<GivenFile>,
}

/// The configs and secrets of a service for a container whose directory is `dir`.
pub(super) fn given(
    desired: &Desired,
    service: &Service,
    dir: &Path,
) -> Result<Given, EngineError> {
    let mut given = Given::default();
    let kinds = [
        ("config", &desired.configs, &service.configs),
        ("secret", &desired.secrets, &service.secrets),
    ];
    for (kind, objects, uses) in kinds {
        for wanted in uses {
            let Some(object) = objects.get(&wanted.source) else {
                return Err(EngineError::Value(format!(
                    "there is no {kind} `{}`",
                    wanted.source
                )));
            };
            let renewed = reload_of(service, object).is_some();
            given.add((kind, object, wanted), (dir, renewed))?;
        }
    }
    Ok(given)
}

impl Given {
    fn add(
        &mut self,
        (kind, object, wanted): (&str, &FileObject, &FileUse),
        (dir, renewed): (&Path, bool),
    ) -> Result<(), EngineError> {
        let key = &wanted.source;
        let content = match &object.source {
            FileSource::File(path) => {
                if !path.exists() {
                    let path = path.display();
                    return Err(EngineError::Value(format!(
                        "the file {path} of the {kind} `{key}` does not exist; create it, or correct its path"
                    )));
                }
                if renewed {
                    return self.copy(wanted, (path, dir));
                }
                self.mount(wanted, path.clone());
                return Ok(());
            }
            FileSource::Content(text) => text,
            FileSource::Environment {
                value: Some(text), ..
            } => text,
            FileSource::Environment { variable, .. } => {
                return Err(EngineError::Value(format!(
                    "the {kind} `{key}` is the variable `{variable}`, which is not set; set it in the environment or in `.env`"
                )));
            }
            FileSource::External => {
                return Err(EngineError::Value(format!(
                    "the {kind} `{key}` is external, and nothing here keeps such; give it a `file`, `environment` or `content`"
                )));
            }
        };
        let id = |text: &Option<String>, what: &str| match text.as_deref() {
            None | Some("") => Ok(0),
            Some(text) => text.parse().map_err(|_| {
                EngineError::Value(format!(
                    "the {what} of the {kind} `{key}` must be a number, not `{text}`"
                ))
            }),
        };
        let file = GivenFile {
            name: self.next_name(),
            content: content.clone().into_bytes(),
            uid: id(&wanted.uid, "uid")?,
            gid: id(&wanted.gid, "gid")?,
            mode: wanted.mode.unwrap_or(0o444) & 0o7777,
            renewed,
        };
        self.give(wanted, dir, file);
        Ok(())
    }

    /// A copy of a file of the host, with the owner and permissions that the file has.
    fn copy(&mut self, wanted: &FileUse, (path, dir): (&Path, &Path)) -> Result<(), EngineError> {
        let failed = |error| StateError::io("read", path, error);
        let content = fs::read(path).map_err(failed)?;
        let metadata = fs::metadata(path).map_err(failed)?;
        let file = GivenFile {
            name: self.next_name(),
            content,
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.mode() & 0o7777,
            renewed: true,
        };
        self.give(wanted, dir, file);
        Ok(())
    }

    /// One name for each use, whatever the object is: it is found again when its content is renewed.
    fn next_name(&self) -> String {
        format!("{DIRECTORY}/{}", self.mounts.len())
    }

    fn give(&mut self, wanted: &FileUse, dir: &Path, file: GivenFile) {
        self.mount(wanted, dir.join(&file.name));
        self.files.push(file);
    }

    fn mount(&mut self, wanted: &FileUse, path: PathBuf) {
        self.mounts.push(Mount {
            target: wanted.target.clone(),
            read_only: true,
            source: MountSource::Bind {
                path,
                create_host_path: false,
                propagation: None,
                recursive: true,
            },
        });
    }
}

/// Writes the files into a container's directory.
pub(super) fn write(files: &[GivenFile], dir: &Path) -> Result<(), StateError> {
    if files.is_empty() {
        return Ok(());
    }
    let own = dir.join(DIRECTORY);
    // The container sees the files by their mounts; on the host nobody else has the way to them.
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&own)
        .map_err(|error| StateError::io("make", &own, error))?;
    for file in files {
        let path = dir.join(&file.name);
        // Nobody else reads it before it has its owner.
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut open| open.write_all(&file.content))
            .and_then(|()| chown(&path, Some(file.uid), Some(file.gid)))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)))
            .map_err(|error| StateError::io("write", &path, error))?;
    }
    Ok(())
}

/// Writes the contents that are put in place, into the files that are there: their mounts stay.
pub(super) fn renew(files: &[GivenFile], dir: &Path) -> Result<(), StateError> {
    for file in files.iter().filter(|file| file.renewed) {
        let path = dir.join(&file.name);
        let length = file.content.len() as u64;
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut open| {
                open.write_all(&file.content)
                    .and_then(|()| open.set_len(length))
            })
            .and_then(|()| chown(&path, Some(file.uid), Some(file.gid)))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)))
            .map_err(|error| StateError::io("write", &path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use indexmap::IndexMap;

    use super::*;

    fn object(source: FileSource) -> FileObject {
        FileObject {
            name: "p_s".to_owned(),
            source,
            labels: IndexMap::new(),
            driver: None,
            driver_opts: BTreeMap::new(),
            template_driver: None,
            content_hash: None,
            reload: None,
        }
    }

    fn of(source: FileSource, uid: &str) -> Result<Given, EngineError> {
        let mut desired = Desired::new("p");
        desired.secrets.insert("s".to_owned(), object(source));
        let service = Service {
            secrets: vec![FileUse {
                source: "s".to_owned(),
                target: "/run/secrets/s".to_owned(),
                uid: Some(uid.to_owned()),
                gid: None,
                mode: Some(0o400),
            }],
            ..Service::default()
        };
        given(&desired, &service, Path::new("/c"))
    }

    fn path(given: &Given) -> &Path {
        match &given.mounts[0].source {
            MountSource::Bind { path, .. } => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_of_the_host_is_mounted_and_text_is_written() {
        let host = of(FileSource::File("/dev/null".into()), "7").unwrap();
        assert_eq!(path(&host), Path::new("/dev/null"));
        assert!(host.files.is_empty());
        let text = of(FileSource::Content("hello".to_owned()), "7").unwrap();
        assert_eq!(path(&text), Path::new("/c/files/0"));
        assert_eq!(text.mounts[0].target, "/run/secrets/s");
        assert!(text.mounts[0].read_only);
        let file = &text.files[0];
        assert_eq!((file.uid, file.gid, file.mode), (7, 0, 0o400));
        assert_eq!(file.content, b"hello");
    }

    #[test]
    fn what_has_no_content_says_what_to_do() {
        let unset = FileSource::Environment {
            variable: "TOKEN".to_owned(),
            value: None,
        };
        let message = |result: Result<Given, EngineError>| result.err().unwrap().to_string();
        insta::assert_snapshot!(message(of(unset, "0")), @"the secret `s` is the variable `TOKEN`, which is not set; set it in the environment or in `.env`");
        insta::assert_snapshot!(message(of(FileSource::File("/no/such".into()), "0")), @"the file /no/such of the secret `s` does not exist; create it, or correct its path");
        insta::assert_snapshot!(message(of(FileSource::External, "0")), @"the secret `s` is external, and nothing here keeps such; give it a `file`, `environment` or `content`");
        insta::assert_snapshot!(message(of(FileSource::Content(String::new()), "root")), @"the uid of the secret `s` must be a number, not `root`");
    }
}
