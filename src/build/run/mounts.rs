//! `RUN --mount`: files of other stages, caches, memory, secrets, agents.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount as OciMount;
use rustix::fs::OFlags;
use rustix::mount::{MountFlags, mount};

use super::agent::Agent;
use super::{Job, caches};
use crate::build::cache::Cache;
use crate::build::copy::{Everything, Existing, Manner, Tree, Writer, select_all};
use crate::build::error::StepError;
use crate::build::files::{Files, Mounted, make, open_root};
use crate::build::plan::Mount;
use crate::build::plan::step::{Access, AgentMount, Origin, SecretMount};
use crate::build::request::AgentSource;
use crate::runtime::Root;

/// Where the files of mounts come from.
pub(in crate::build) trait MountSources {
    /// The files of an origin that is complete.
    fn files<'a>(&'a self, origin: &'a Origin) -> Result<Files<'a>, StepError>;
    /// Where caches are kept.
    fn cache(&self) -> &Cache;
}

/// What the caller gives to steps.
#[derive(Debug, Default)]
pub(in crate::build) struct Secrets {
    /// By name.
    pub(in crate::build) secrets: BTreeMap<String, SecretValue>,
    /// Agents, by name.
    pub(in crate::build) agents: BTreeMap<String, AgentSource>,
}

/// A secret.
#[derive(Clone)]
pub(in crate::build) struct SecretValue(pub(in crate::build) Vec<u8>);

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// Mounts of one step, and what has to live as long as it runs.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) mounts: Vec<OciMount>,
    pub(super) env: Vec<(String, String)>,
    pub(super) targets: Vec<PathBuf>,
    /// A directory in memory for what is nobody else's business.
    pub(super) private: PathBuf,
    held: Vec<Held>,
}

#[expect(dead_code, reason = "held: undone when dropped")]
enum Held {
    Mounted(Mounted),
    Lock(File),
    Agent(Agent),
    Private(Private),
}

/// A file system in memory, unmounted when dropped.
struct Private(PathBuf);

impl Drop for Private {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Makes everything ready that a step's mounts need.
pub(super) fn prepare(job: &Job<'_>, scratch: &Path) -> Result<Prepared, StepError> {
    let private = scratch.join("private");
    make(&private)?;
    let mut prepared = Prepared {
        private: private.clone(),
        ..Prepared::default()
    };
    let needs_memory = job
        .run
        .mounts
        .iter()
        .any(|mount| matches!(mount, Mount::Secret(_) | Mount::Ssh(_)));
    if needs_memory {
        mount(
            "tmpfs",
            &private,
            "tmpfs",
            MountFlags::empty(),
            c"mode=0711",
        )
        .map_err(|error| StepError::io("mount", &private)(error.into()))?;
        prepared.held.push(Held::Private(Private(private)));
    }
    for (index, wanted) in job.run.mounts.iter().enumerate() {
        let place = scratch.join(format!("mount-{index}"));
        prepared.add(job, wanted, (index, &place))?;
    }
    Ok(prepared)
}

impl Prepared {
    fn add(
        &mut self,
        job: &Job<'_>,
        wanted: &Mount,
        (index, place): (usize, &Path),
    ) -> Result<(), StepError> {
        match wanted {
            Mount::Bind {
                from,
                source,
                target,
                writable,
            } => {
                let found = self.origin(job, (from, source), (place, *writable))?;
                self.push(bind(&found, target, *writable)?, target);
            }
            Mount::Cache(cache) => {
                let (directory, lock) = caches::take(job, cache, place)?;
                self.held.push(Held::Lock(lock));
                self.push(
                    bind(&directory, &cache.target, cache.writable)?,
                    &cache.target,
                );
            }
            Mount::Tmpfs { target, size } => {
                let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
                options.extend(size.map(|size| format!("size={size}")));
                let mount = oci_mount("tmpfs", Path::new("tmpfs"), target, options)?;
                self.push(mount, target);
            }
            Mount::Secret(secret) => self.secret(job, secret, index)?,
            Mount::Ssh(agent) => self.agent(job, agent, index)?,
        }
        Ok(())
    }

    fn secret(
        &mut self,
        job: &Job<'_>,
        wanted: &SecretMount,
        index: usize,
    ) -> Result<(), StepError> {
        let Some(secret) = job.secrets.secrets.get(&wanted.id) else {
            return absent("secret", &wanted.id, wanted.required);
        };
        if let Some(name) = &wanted.env {
            let text = String::from_utf8_lossy(&secret.0).into_owned();
            self.env.push((name.clone(), text));
        }
        if let Some(target) = &wanted.target {
            let file = self.private.join(format!("secret-{index}"));
            let Access { mode, uid, gid } = wanted.access;
            let write = || -> std::io::Result<()> {
                fs::write(&file, &secret.0)?;
                chown(&file, Some(uid), Some(gid))?;
                fs::set_permissions(&file, fs::Permissions::from_mode(mode))
            };
            write().map_err(StepError::io("write", &file))?;
            self.push(bind(&file, target, false)?, target);
        }
        Ok(())
    }

    fn agent(&mut self, job: &Job<'_>, wanted: &AgentMount, index: usize) -> Result<(), StepError> {
        let Some(source) = job.secrets.agents.get(&wanted.id) else {
            return absent("ssh agent", &wanted.id, wanted.required);
        };
        let file = self.private.join(format!("agent-{index}"));
        let agent = Agent::start(&file, source, wanted.access)?;
        self.held.push(Held::Agent(agent));
        let target = wanted
            .target
            .clone()
            .unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{index}"));
        if !self.env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK") {
            self.env.push(("SSH_AUTH_SOCK".to_owned(), target.clone()));
        }
        self.push(bind(&file, &target, true)?, &target);
        Ok(())
    }

    fn push(&mut self, mount: OciMount, target: &str) {
        self.mounts.push(mount);
        self.targets.push(target.into());
    }

    /// The path on this machine of something in an origin. What is written there is thrown away.
    fn origin(
        &mut self,
        job: &Job<'_>,
        (from, source): (&Origin, &str),
        (place, writable): (&Path, bool),
    ) -> Result<PathBuf, StepError> {
        let files = job.sources.files(from)?;
        let (root, top) = match files {
            Files::Layers(layers, _) => {
                let top = place.join("root");
                let mounted = match writable && !layers.is_empty() {
                    true => Mounted::writable(layers, throwaway(place)?, &top)?,
                    false => Mounted::layers(layers, &top)?,
                };
                let root = open_root(&top).map_err(StepError::io("open", &top))?;
                self.held.push(Held::Mounted(mounted));
                (root, top)
            }
            Files::Context(_) => {
                // Only what takes part is to be seen, and nothing of the machine to be written.
                let top = place.join("copy");
                make(&top)?;
                let root = open_root(&top).map_err(StepError::io("open", &top))?;
                let (_mounted, tree) = files.open(&place.join("context"))?;
                copy_into(&tree, source, &root)?;
                (root, top)
            }
        };
        inside(&root, &top, source)
    }
}

fn absent(what: &'static str, id: &str, required: bool) -> Result<(), StepError> {
    match required {
        true => Err(StepError::Missing {
            what,
            id: id.to_owned(),
        }),
        false => Ok(()),
    }
}

fn throwaway(place: &Path) -> Result<(PathBuf, PathBuf), StepError> {
    let (upper, work) = (place.join("upper"), place.join("work"));
    make(&upper)?;
    make(&work)?;
    Ok((upper, work))
}

/// Copies a part of a context to the same place below a root.
fn copy_into(tree: &Tree<'_>, source: &str, root: &Root) -> Result<(), StepError> {
    for found in select_all(tree, &[source], false)? {
        let clean = Path::new("/").join(source.trim_start_matches('/'));
        writer(root).copy(tree, &found, (&clean.to_string_lossy(), false))?;
    }
    Ok(())
}

pub(super) fn writer(root: &Root) -> Writer<'_> {
    static EVERYTHING: Everything = Everything;
    let manner = Manner {
        owner: None,
        mode: None,
        exclude: &EVERYTHING,
        existing: Existing::Kept,
    };
    Writer::new(root, manner)
}

/// The path on this machine of a path in a root, wherever links in it lead.
fn inside(root: &Root, top: &Path, source: &str) -> Result<PathBuf, StepError> {
    let path = Path::new(if source.is_empty() { "/" } else { source });
    let missing = |error: std::io::Error| StepError::io("mount", path)(error);
    let fd = root
        .open(path, OFlags::PATH)
        .map_err(|error| missing(error.into()))?;
    let real = fs::read_link(format!("/proc/thread-self/fd/{}", fd.as_raw_fd()));
    let real = real.map_err(missing)?;
    if real.starts_with(top) {
        return Ok(real);
    }
    Err(StepError::Value(format!(
        "{} is not below {}",
        real.display(),
        top.display()
    )))
}

/// A bind mount for the runtime.
pub(super) fn bind(source: &Path, target: &str, writable: bool) -> Result<OciMount, StepError> {
    let access = if writable { "rw" } else { "ro" };
    let options = ["rbind", "rprivate", access].map(str::to_owned).to_vec();
    oci_mount("bind", source, target, options)
}

fn oci_mount(
    kind: &str,
    source: &Path,
    target: &str,
    options: Vec<String>,
) -> Result<OciMount, StepError> {
    let mut mount = OciMount::default();
    mount
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.to_owned()))
        .set_destination(target.into())
        .set_options(Some(options));
    Ok(mount)
}
