//! `stack cp`: files into containers, and out of one.

use std::borrow::Cow;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use nix::unistd::{getegid, geteuid};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::context::Context;
use super::error::{Error, Result};
use super::pick::{self, Among, Index, pick};
use super::project::Project;
use crate::engine::native::{View, with_root};
use crate::image::LayerError;
use crate::image::layer::pack_entry;
use crate::plan::ObservedContainer;
use crate::runtime::Root;
use crate::transfer::{Destination, Owner, Source, UnpackError, goal, look, split, unpack};
use crate::ui::Progress;

/// Flags of `cp`.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// What is copied: SERVICE:PATH, a path of this machine, or `-` for an archive on standard input.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where it is copied to: a path of this machine, SERVICE:PATH, or `-` for an archive on standard
    /// output.
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// One-off containers of the service, too.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    which: Index,
}

/// Flags about how files are copied.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Manner {
    /// Keep the owners of the files that are copied out of a container; into one they are always kept.
    #[arg(short, long)]
    archive: bool,
    /// Copy what a symbolic link leads to, instead of the link.
    #[arg(short = 'L', long)]
    follow_link: bool,
}

/// A copy as it was asked for.
pub(crate) struct Copying<'a> {
    /// What is copied.
    pub(crate) source: &'a str,
    /// Where to.
    pub(crate) destination: &'a str,
    /// How.
    pub(crate) manner: Manner,
    /// What the names before a colon are of: `services`, `containers`.
    pub(crate) named: &'static str,
}

/// One end of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End<'a> {
    Local(&'a str),
    Inside(&'a str, &'a str),
}

impl<'a> End<'a> {
    /// `NAME:PATH`, unless it begins as a path does (`/a:b`, `./a:b`).
    fn parse(text: &'a str) -> Self {
        if text.starts_with(['/', '.']) {
            return Self::Local(text);
        }
        match text.split_once(':') {
            Some((name, path)) => Self::Inside(name, path),
            None => Self::Local(text),
        }
    }
}

/// A path in a container: all of them begin at its root, also those that do not say so.
fn rooted(path: &str) -> Cow<'_, str> {
    match path.starts_with('/') {
        true => path.into(),
        false => format!("/{path}").into(),
    }
}

impl Cp {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let copying = Copying {
            source: &self.source,
            destination: &self.destination,
            manner: self.manner,
            named: "services",
        };
        let find = |service: &str| self.containers(context, service);
        copying.run(context, &mut context.progress("cp"), &find)
    }

    /// The containers that are meant; at least one.
    fn containers(&self, context: &Context, service: &str) -> Result<Vec<ObservedContainer>> {
        context.require_root()?;
        let project = Project::find(context)?;
        if self.which.index > 0 {
            let which = (self.which.index, Among::All);
            return Ok(vec![pick(context, (&project, service), which)?]);
        }
        let mut found = pick::of_service(context, &project.name, service)?;
        found.retain(|container| self.all || !container.record.one_off);
        match found.is_empty() {
            true => Err(Error::new(format!(
                "no container found for service \"{service}\""
            ))),
            false => Ok(found),
        }
    }
}

impl Copying<'_> {
    /// Does it, and says so; `find` knows the containers of a name, at least one.
    pub(crate) fn run(
        &self,
        context: &Context,
        progress: &mut Progress,
        find: &dyn Fn(&str) -> Result<Vec<ObservedContainer>>,
    ) -> Result<()> {
        if self.source.is_empty() {
            return Err(Error::new("source can not be empty"));
        }
        if self.destination.is_empty() {
            return Err(Error::new("destination can not be empty"));
        }
        let saying = (context, progress);
        match (End::parse(self.source), End::parse(self.destination)) {
            (End::Inside(..), End::Inside(..)) => Err(Error::new(format!(
                "copying between {} is not supported",
                self.named
            ))),
            (End::Local(_), End::Local(_)) if self.named == "containers" => {
                Err(Error::new("must specify at least one container source"))
            }
            (End::Local(_), End::Local(_)) => Err(Error::new("unknown copy direction")
                .hint("write the container's side as SERVICE:PATH")),
            (End::Inside(name, path), End::Local(local)) => {
                let containers = find(name)?;
                let from = rooted(path);
                let each = |container: &_| self.manner.out_of(context, container, (&from, local));
                let say = |name: &str| format!("{name}:{path} to {local}");
                copy(saying, &containers[..1], &say, each)
            }
            (End::Local(local), End::Inside(name, path)) => {
                let containers = find(name)?;
                let mut input = Input::of(context, local, containers.len())?;
                let to = rooted(path);
                let each = |container: &_| {
                    let paths = (local, &*to);
                    self.manner
                        .put_into(context, container, paths, input.as_mut())
                };
                let say = |name: &str| format!("{local} to {name}:{path}");
                copy(saying, &containers, &say, each)
            }
        }
    }
}

impl Manner {
    fn put_into(
        self,
        context: &Context,
        container: &ObservedContainer,
        (local, path): (&str, &str),
        input: Option<&mut Input>,
    ) -> Result<()> {
        let id = &container.record.id;
        let local = match input {
            Some(_) => None,
            None => Some(Local::look(local, self.follow_link)?),
        };
        let whole = (container, View::Whole);
        with_root(&context.paths, whole, |root| -> Result<()> {
            let seen = look(root, Path::new(path)).map_err(|error| lost(path, id, error))?;
            if let Some(kind) = seen.kind()
                && !matches!(kind, FileType::Directory | FileType::RegularFile)
            {
                return Err(Error::new(format!(
                    "destination \"{id}:{path}\" must be a directory or a regular file"
                )));
            }
            let (input, local) = match (input, local) {
                (Some(input), _) => {
                    if !seen.is_directory() {
                        let message = format!("destination \"{id}:{path}\" must be a directory");
                        return Err(Error::new(message));
                    }
                    let archive = input.again()?;
                    return unpack(archive, (root, &seen.path), Owner::Kept)
                        .map_err(|error| unpack_error(error, id));
                }
                (None, Some(local)) => ((), local),
                (None, None) => return Ok(()),
            };
            let () = input;
            let source = Source {
                path: Path::new(&local.given),
                is_directory: local.is_directory,
            };
            let destination = Destination {
                path: &seen.path,
                is_directory: seen.stat.map(|_| seen.is_directory()),
            };
            let goal = goal(source, destination)?;
            let name = goal.name.as_bytes();
            stream(
                |out| pack_entry((CWD, &local.path), name, out),
                |archive| unpack(archive, (root, &goal.directory), Owner::Kept),
            )
            .map_err(|failure| failure.named(id))
        })
    }

    fn out_of(
        self,
        context: &Context,
        container: &ObservedContainer,
        (path, local): (&str, &str),
    ) -> Result<()> {
        let id = &container.record.id;
        let target = match local {
            "-" => None,
            local => Some(local_target(local)?),
        };
        let whole = (container, View::Whole);
        with_root(&context.paths, whole, |root| -> Result<()> {
            let inside = Inside::look(root, path, self.follow_link)
                .map_err(|(path, error)| lost(&path.to_string_lossy(), id, error))?;
            let Some(target) = target else {
                let (_, name) = split(Path::new(path));
                let out = standard_output()?;
                let place = (inside.parent.as_fd(), inside.name.as_c_str());
                return pack_entry(place, name.as_bytes(), out).map_err(archive_error);
            };
            let source = Source {
                path: Path::new(path),
                is_directory: inside.is_directory,
            };
            let destination = Destination {
                path: &target.path,
                is_directory: target.is_directory,
            };
            let goal = goal(source, destination)?;
            let directory = open_local(&goal.directory)?;
            let owner = match self.archive {
                true => Owner::Kept,
                false => Owner::Ids(geteuid().as_raw(), getegid().as_raw()),
            };
            let place = (inside.parent.as_fd(), inside.name.as_c_str());
            stream(
                |out| pack_entry(place, goal.name.as_bytes(), out),
                |archive| unpack(archive, (&directory, Path::new(".")), owner),
            )
            .map_err(|failure| failure.named(id))
        })
    }
}

/// Copies for each container, and says so.
fn copy(
    (context, progress): (&Context, &mut Progress),
    containers: &[ObservedContainer],
    say: &dyn Fn(&str) -> String,
    mut each: impl FnMut(&ObservedContainer) -> Result<()>,
) -> Result<()> {
    let mut failed = Vec::new();
    for container in containers {
        let name = &container.record.name;
        progress.note(&format!("{name} Copying {}", say(name)));
        if context.global.dry_run {
            continue;
        }
        match each(container) {
            Ok(()) => progress.note(&format!("{name} Copied {}", say(name))),
            // Mostly it is the same for all of them.
            Err(error)
                if failed
                    .iter()
                    .any(|other: &Error| other.summary() == error.summary()) => {}
            Err(error) => failed.push(error),
        }
    }
    match failed.len() {
        0 => Ok(()),
        1 => Err(failed.remove(0)),
        _ => Err(Error::several(failed.iter().map(Error::summary).collect())),
    }
}

/// An archive on standard input, which several containers may need.
enum Input {
    Once,
    Kept(File),
}

impl Input {
    /// The archive, where standard input is meant; kept when it is needed more than once.
    fn of(context: &Context, local: &str, containers: usize) -> Result<Option<Self>> {
        if local != "-" {
            return Ok(None);
        }
        if containers < 2 || context.global.dry_run {
            return Ok(Some(Self::Once));
        }
        let keep = || -> io::Result<File> {
            let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
            let fd = rustix::fs::open(context.paths.root(), flags, Mode::RUSR | Mode::WUSR)?;
            let mut file = File::from(fd);
            io::copy(&mut io::stdin().lock(), &mut file)?;
            Ok(file)
        };
        let kept = keep().map_err(|error| {
            Error::new("cannot keep the archive from standard input").because(error)
        })?;
        Ok(Some(Self::Kept(kept)))
    }

    /// From its beginning.
    fn again(&mut self) -> Result<Box<dyn Read>> {
        match self {
            Self::Once => Ok(Box::new(io::stdin())),
            Self::Kept(file) => {
                let rewound = file.rewind().and_then(|()| file.try_clone());
                let file = rewound
                    .map_err(|error| Error::new("cannot read the archive again").because(error))?;
                Ok(Box::new(file))
            }
        }
    }
}

/// What is to be copied from this machine.
struct Local {
    /// The path as it was given: its last name is that of the copy.
    given: PathBuf,
    /// The path to read.
    path: CString,
    is_directory: bool,
}

impl Local {
    fn look(text: &str, follow: bool) -> Result<Self> {
        let failed = |path: &Path, error: io::Error| {
            let path = std::path::absolute(path).unwrap_or(path.to_owned());
            let why = match error.kind() {
                io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                _ => error.to_string(),
            };
            Error::new(format!("lstat {}: {why}", path.display()))
        };
        let given = PathBuf::from(text);
        let path = match follow {
            true => given
                .canonicalize()
                .map_err(|error| failed(&given, error))?,
            false => given.clone(),
        };
        let found = path
            .symlink_metadata()
            .map_err(|error| failed(&path, error))?;
        let bytes = path.into_os_string().into_vec();
        Ok(Self {
            // No argument has a NUL.
            path: CString::new(bytes).unwrap_or_default(),
            given,
            is_directory: found.is_dir(),
        })
    }
}

/// What is to be copied out of a container: a name in a directory that is open.
struct Inside {
    parent: OwnedFd,
    name: CString,
    is_directory: bool,
}

impl Inside {
    /// Looks at a path of a root. The error has the path that was not found.
    fn look(root: &Root, text: &str, follow: bool) -> Result<Self, (PathBuf, Errno)> {
        let mut path = PathBuf::from(text);
        if follow {
            path = look(root, &path).map_err(|error| (path, error))?.path;
        }
        let found = |path: &Path| -> Result<Self, Errno> {
            // With a slash at its end a link stands for the directory that it leads to.
            let through = path.as_os_str().as_bytes().ends_with(b"/");
            let (directory, name) = match through {
                true => (path.to_owned(), OsStr::new(".").to_owned()),
                false => split(path),
            };
            let directory = match directory.as_os_str().is_empty() {
                true => PathBuf::from("/"),
                false => directory,
            };
            let parent = root.open(&directory, OFlags::PATH | OFlags::DIRECTORY)?;
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            let stat = rustix::fs::statat(&parent, &name, flags)?;
            Ok(Self {
                parent,
                name: CString::new(name.into_vec()).map_err(|_| Errno::INVAL)?,
                is_directory: FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
            })
        };
        found(&path).map_err(|error| (path, error))
    }
}

/// Where something goes on this machine.
struct LocalTarget {
    path: PathBuf,
    is_directory: Option<bool>,
}

fn local_target(text: &str) -> Result<LocalTarget> {
    let path = PathBuf::from(text);
    if let Ok(found) = path.metadata() {
        if !found.is_dir() && !found.is_file() {
            return Err(Error::new(format!(
                "invalid output path: \"{text}\" must be a directory or a regular file"
            )));
        }
        let real = match found.is_dir() {
            true => path,
            // A link to a file stands for that file.
            false => path.canonicalize().unwrap_or(path),
        };
        return Ok(LocalTarget {
            path: real,
            is_directory: Some(found.is_dir()),
        });
    }
    let path = match path.read_link() {
        Ok(target) => path.parent().unwrap_or(Path::new("")).join(target),
        Err(_) => path,
    };
    let (directory, _) = split(&path);
    let absolute = std::path::absolute(match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => &directory,
    });
    match absolute {
        Ok(directory) if !directory.is_dir() => Err(Error::new(format!(
            "invalid output path: directory \"{}\" does not exist",
            directory.display()
        ))),
        _ => Ok(LocalTarget {
            path,
            is_directory: None,
        }),
    }
}

fn open_local(path: &Path) -> Result<Root> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let opened = opened
        .map_err(|error| Error::new(format!("cannot open {}", path.display())).because(error))?;
    Ok(Root::new(opened))
}

/// What went wrong with a stream.
enum Failure {
    Pack(LayerError),
    Unpack(UnpackError),
}

impl Failure {
    fn named(self, id: &str) -> Error {
        match self {
            Self::Pack(error) => archive_error(error),
            Self::Unpack(error) => unpack_error(error, id),
        }
    }
}

/// Packs on one side and unpacks on the other.
fn stream(
    pack: impl FnOnce(PipeWriter) -> Result<(), LayerError> + Send,
    unpack: impl FnOnce(PipeReader) -> Result<(), UnpackError>,
) -> Result<(), Failure> {
    let (reader, writer) = io::pipe().map_err(|source| {
        Failure::Unpack(UnpackError::Directory {
            path: PathBuf::from("a pipe"),
            source,
        })
    })?;
    let (packed, unpacked) = std::thread::scope(|scope| {
        let packer = scope.spawn(move || pack(writer));
        // The reader is gone when this returns: a packer that writes on is told so.
        let unpacked = unpack(reader);
        (packer.join(), unpacked)
    });
    let packed = packed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    match (packed, unpacked) {
        (Ok(()), Ok(())) => Ok(()),
        // An archive that ends early is what is left of a packer that failed.
        (Err(error), Ok(()) | Err(UnpackError::Archive(_))) => Err(Failure::Pack(error)),
        (_, Err(error)) => Err(Failure::Unpack(error)),
    }
}

/// Docker's sentence for a path that is not there.
fn lost(path: &str, id: &str, error: Errno) -> Error {
    match error {
        Errno::NOENT | Errno::NOTDIR => {
            Error::new(format!("Could not find the file {path} in container {id}"))
        }
        error => Error::new(format!("cannot look at {path} in container {id}")).because(error),
    }
}

fn unpack_error(error: UnpackError, id: &str) -> Error {
    match &error {
        UnpackError::Directory { path, source } if source.kind() == io::ErrorKind::NotFound => {
            lost(&path.to_string_lossy(), id, Errno::NOENT)
        }
        _ => error.into(),
    }
}

/// Standard output without a buffer: what is written to it are large pieces.
pub(super) fn standard_output() -> Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Nobody who reads an archive on standard output is no failure.
pub(super) fn archive_error(error: LayerError) -> Error {
    match error {
        LayerError::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
            source.into()
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_path_unless_it_names_something_else() {
        for (text, expected) in [
            ("web:/a", End::Inside("web", "/a")),
            ("web:a:b", End::Inside("web", "a:b")),
            ("web:", End::Inside("web", "")),
            ("/a:b", End::Local("/a:b")),
            ("./a:b", End::Local("./a:b")),
            ("../a", End::Local("../a")),
            ("-", End::Local("-")),
            ("a", End::Local("a")),
        ] {
            assert_eq!(End::parse(text), expected, "{text}");
        }
    }
}
