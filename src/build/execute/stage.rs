//! The steps of a stage, one after the other.

use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::stat;
use serde_json::{Map, Value};

use super::{LOOK, Named, Session, Work, chain, lock_of};
use crate::build::cache::{Cache, Key, KeyMaker, Working};
use crate::build::copy::{Everything, Existing, Manner, Writer, find_owner};
use crate::build::error::{Error, StepError};
use crate::build::event::{End, Told};
use crate::build::files::{Files, Mounted};
use crate::build::image::HistoryEntry;
use crate::build::plan::step::{Action, Origin, Program, Run};
use crate::build::plan::{Mount, Stage, Step};
use crate::build::run::{Job, MountSources, exit_code};
use crate::build::shared::Made;
use crate::image::{Digest, Image, ImageStore, Packing, Snapshot, StoredLayer};

/// What a stage has come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Staged {
    pub(super) layers: Vec<StoredLayer>,
    /// The configuration of the image it began with.
    pub(super) base: Option<Arc<Map<String, Value>>>,
    /// What its steps add to that image's history.
    pub(super) history: Vec<HistoryEntry>,
    /// When its last layer was made.
    pub(super) created: Option<Timestamp>,
}

impl Staged {
    pub(super) fn of_image(store: &ImageStore, image: &Image) -> Result<Self, Error> {
        Ok(Self {
            layers: store.layers_of(image)?,
            base: Some(Arc::new(store.raw_config(image)?)),
            history: Vec::new(),
            created: None,
        })
    }

    pub(super) fn chain(&self) -> Digest {
        chain(&self.layers)
    }
}

/// Images that stages begin with, by origin.
pub(super) type Bases = std::collections::HashMap<Origin, Arc<Staged>>;

impl Work<'_> {
    /// Makes all stages; gives the last.
    pub(super) fn stages(&self, bases: &Bases) -> Result<Arc<Staged>, Error> {
        let results: Vec<Result<(), Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .plan
                .stages
                .iter()
                .zip(&self.stages)
                .map(|(stage, slot)| {
                    scope.spawn(move || {
                        let result = self.stage(stage, bases);
                        if result.is_err() {
                            self.session.cancel.cancel();
                        }
                        slot.set(result.as_ref().ok().map(Arc::clone));
                        result.map(drop)
                    })
                })
                .collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined
                .map(|result| result.unwrap_or(Err(Error::Canceled)))
                .collect()
        });
        let mut canceled = false;
        for result in results {
            match result {
                Ok(()) => {}
                Err(Error::Canceled) => canceled = true,
                Err(error) => return Err(error),
            }
        }
        match (canceled, self.stages.last()) {
            (false, Some(slot)) => Ok(slot.wait(self.session.cancel)?),
            _ => Err(Error::Canceled),
        }
    }

    fn stage(&self, stage: &Stage, bases: &Bases) -> Result<Arc<Staged>, Error> {
        let mut staged = match &stage.base {
            Origin::Scratch => Staged::default(),
            Origin::Stage(id) => (*self.finished(*id)?).clone(),
            Origin::Named(name) => match self.named.get(name) {
                Some(Named::Image(image)) => (**image).clone(),
                _ => {
                    return Err(Error::Request {
                        message: format!("FROM {name}: this context is a directory, not an image"),
                        help: None,
                    });
                }
            },
            origin @ Origin::Image { reference, .. } => match bases.get(origin) {
                Some(base) => (**base).clone(),
                None => {
                    return Err(Error::Request {
                        message: format!("FROM {reference}: the image was not looked up"),
                        help: None,
                    });
                }
            },
            Origin::Context => Staged::default(),
        };
        let working = |step: &&Step| !matches!(step.action, Action::Configure);
        let total = stage.steps.iter().filter(working).count() + 1;
        let mut number = 1;
        for step in &stage.steps {
            if matches!(step.action, Action::Configure) {
                self.remember(&mut staged, step);
                continue;
            }
            number += 1;
            // A step begins when what it needs is there: until then it only waits.
            let origins = match Origins::new(self, bases, &step.action) {
                Ok(origins) => origins,
                Err(StepError::Canceled) => return Err(Error::Canceled),
                Err(error) => return Err(self.failed(step, error)),
            };
            let name = self.name(stage, (number, total), &step.text);
            let told = self.session.teller.begin(name);
            match self.step((stage, step), &staged, &origins, &told) {
                Ok((layer, created, end)) => {
                    staged.layers.push(layer);
                    staged.created = Some(created);
                    self.remember(&mut staged, step);
                    told.end(end);
                }
                Err(StepError::Canceled) => return Err(Error::Canceled),
                Err(error) => {
                    told.end(End::Failed(error.story()));
                    return Err(self.failed(step, error));
                }
            }
        }
        Ok(Arc::new(staged))
    }

    /// `[web build 2/4] RUN make`.
    fn name(&self, stage: &Stage, (number, total): (usize, usize), text: &str) -> String {
        let single = self.plan.stages.len() == 1;
        let stage = match &stage.name {
            Some(name) => format!("{name} "),
            None if single => String::new(),
            None => format!("stage-{} ", stage.id.0),
        };
        let title = match &self.request.title {
            Some(title) => format!("{title} "),
            None => String::new(),
        };
        format!("[{title}{stage}{number}/{total}] {text}")
    }

    fn remember(&self, staged: &mut Staged, step: &Step) {
        if let Some(history) = &step.history {
            staged.history.push(HistoryEntry {
                created: staged.created.or(self.request.epoch.map(super::moment)),
                created_by: history.created_by.clone(),
                empty_layer: history.empty_layer && matches!(step.action, Action::Configure),
            });
        }
    }

    /// Says where in the Dockerfile it happened.
    fn failed(&self, step: &Step, error: StepError) -> Error {
        let (tail, code) = match &error {
            StepError::Exit { tail, .. } => (tail.clone(), exit_code(&error)),
            _ => (Vec::new(), exit_code(&error)),
        };
        let help = match &error {
            StepError::Exit {
                out_of_memory: true,
                ..
            } => Some("the kernel killed it for memory: give the build more with `--memory`"),
            StepError::Missing { what: "secret", .. } => {
                Some("give it with `--secret id=…,src=…`, or in `build.secrets` of the service")
            }
            StepError::Missing { .. } => Some("give it with `--ssh default`, or in `build.ssh`"),
            _ => None,
        };
        let label = error.story();
        let report = self.source.error(
            step.span,
            &format!("{} failed", first_word(&step.text)),
            &label,
            help,
        );
        Error::Step {
            report: Box::new(report),
            source: Box::new(error),
            tail,
            code,
        }
    }

    pub(super) fn finished(
        &self,
        id: crate::build::plan::step::StageId,
    ) -> Result<Arc<Staged>, StepError> {
        let position = self.plan.stages.iter().position(|stage| stage.id == id);
        let slot = position.and_then(|position| self.stages.get(position));
        let slot = slot.ok_or_else(|| StepError::Value(format!("there is no stage {}", id.0)))?;
        slot.wait(self.session.cancel)
    }

    fn step(
        &self,
        (stage, step): (&Stage, &Step),
        staged: &Staged,
        origins: &Origins<'_>,
        told: &Told<'_>,
    ) -> Result<(StoredLayer, Timestamp, End), StepError> {
        self.session.check()?;
        let bench = Bench {
            work: self,
            stage,
            step,
            staged,
            origins,
        };
        match &step.action {
            Action::Run(run) => {
                let key = bench.run_key(run)?;
                bench.layer(key, |snapshot| bench.run(run, snapshot, told))
            }
            Action::Copy(copy) => bench.copy(copy),
            Action::Add(add) => bench.add(add, told),
            Action::Workdir { path, user } => {
                let key = KeyMaker::new("workdir")
                    .digest("chain", &staged.chain())
                    .text("path", path)
                    .text("user", user);
                bench.layer(key.finish(), |snapshot| {
                    bench.workdir((path, user), snapshot)
                })
            }
            Action::Configure => Err(StepError::Value("nothing to do".to_owned())),
        }
    }
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or("the step")
}

/// The files that one step needs of others, which are complete.
pub(super) struct Origins<'a> {
    work: &'a Work<'a>,
    staged: Vec<(Origin, Arc<Staged>, String)>,
}

impl<'a> Origins<'a> {
    fn new(work: &'a Work<'a>, bases: &Bases, action: &Action) -> Result<Self, StepError> {
        let wanted: Vec<&Origin> = match action {
            Action::Copy(copy) => vec![&copy.from],
            Action::Run(run) => run.mounts.iter().filter_map(Mount::origin).collect(),
            _ => Vec::new(),
        };
        let mut staged = Vec::new();
        for origin in wanted {
            let (found, title) = match origin {
                Origin::Stage(id) => (work.finished(*id)?, format!("stage {}", id.0)),
                Origin::Image { reference, .. } => {
                    let base = bases.get(origin).cloned();
                    let missing = || StepError::Value(format!("no image {reference}"));
                    (base.ok_or_else(missing)?, format!("the image {reference}"))
                }
                Origin::Named(name) => match work.named.get(name) {
                    Some(Named::Image(image)) => (Arc::clone(image), format!("`{name}`")),
                    _ => continue,
                },
                Origin::Scratch | Origin::Context => continue,
            };
            staged.push((origin.clone(), found, title));
        }
        Ok(Self { work, staged })
    }

    /// What stands for the whole content of an origin that never changes; `None`: it may.
    pub(super) fn fixed(&self, origin: &Origin) -> Option<Digest> {
        match origin {
            Origin::Scratch => Some(chain(&[])),
            _ => self
                .staged
                .iter()
                .find(|(known, ..)| known == origin)
                .map(|(_, staged, _)| staged.chain()),
        }
    }
}

impl MountSources for Origins<'_> {
    fn files<'a>(&'a self, origin: &'a Origin) -> Result<Files<'a>, StepError> {
        if let Some((_, staged, title)) = self.staged.iter().find(|(known, ..)| known == origin) {
            return Ok(Files::Layers(&staged.layers, title));
        }
        match origin {
            Origin::Context => match &self.work.context {
                Some(context) => Ok(Files::Context(context)),
                None => Err(StepError::Value(
                    "this build has no context: its Dockerfile came from standard input".to_owned(),
                )),
            },
            Origin::Named(name) => match self.work.named.get(name) {
                Some(Named::Directory(context)) => Ok(Files::Context(context)),
                _ => Err(StepError::Value(format!("there is no context `{name}`"))),
            },
            _ => Ok(Files::Layers(&[], "nothing")),
        }
    }

    fn cache(&self) -> &Cache {
        self.work.session.cache()
    }
}

/// One step at work.
pub(super) struct Bench<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) stage: &'a Stage,
    pub(super) step: &'a Step,
    pub(super) staged: &'a Staged,
    pub(super) origins: &'a Origins<'a>,
}

impl Bench<'_> {
    pub(super) fn session(&self) -> &Session<'_> {
        self.work.session
    }

    /// The layer that a key stands for: an earlier build's, or what `make` puts into a snapshot.
    pub(super) fn layer(
        &self,
        key: Key,
        make: impl FnOnce(&Snapshot) -> Result<(), StepError>,
    ) -> Result<(StoredLayer, Timestamp, End), StepError> {
        let session = self.session();
        let lock = lock_of(&session.steps, key);
        let _one = lock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = self.found(&key)? {
            return Ok(found);
        }
        let _working = match self.work.may_use_cache(self.stage) {
            true => Some(self.wait_for_work(&key)?),
            false => None,
        };
        // Another process may have made it meanwhile.
        if let Some(found) = self.found(&key)? {
            return Ok(found);
        }
        session.check()?;
        let below = self.staged.layers.last().map(|layer| layer.files.clone());
        let snapshot = session.store().snapshot(below.as_deref())?;
        make(&snapshot)?;
        let packing = Packing {
            latest: self.work.epoch(),
            root: root_changed(&snapshot, below.as_deref())?,
            ..Packing::default()
        };
        let created = self.work.now();
        let layer = session.store().keep(snapshot, packing)?;
        session
            .cache()
            .put(&key, layer.diff_id, (created, &self.step.text))?;
        self.made(key, &layer, created);
        Ok((layer, created, End::Done))
    }

    /// What an earlier build has made of the step, or another one at the same time.
    fn found(&self, key: &Key) -> Result<Option<(StoredLayer, Timestamp, End)>, StepError> {
        let session = self.session();
        if self.work.may_use_cache(self.stage)
            && let Some(record) = session.cache().find(key)
            && let Some(layer) = session.store().kept(&record.layer)?
        {
            self.made(*key, &layer, record.created);
            return Ok(Some((layer, record.created, End::Cached)));
        }
        Ok(None)
    }

    /// Waits until no other process works at the step.
    fn wait_for_work(&self, key: &Key) -> Result<Working, StepError> {
        let session = self.session();
        loop {
            session.check()?;
            if let Some(working) = session.cache().work(key)? {
                return Ok(working);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Remembers what the step's key stands for, for those who export it.
    fn made(&self, key: Key, layer: &StoredLayer, created: Timestamp) {
        if self.work.request.cache_to.is_empty() {
            return;
        }
        let mut made = self
            .work
            .made
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        made.push(Made {
            key,
            layer: layer.clone(),
            created,
            text: self.step.text.clone(),
        });
    }

    fn run_key(&self, run: &Run) -> Result<Key, StepError> {
        let mut key = KeyMaker::new("run")
            .digest("chain", &self.staged.chain())
            .text("platform", &self.stage.platform)
            .text("workdir", &run.workdir)
            .text("user", &run.user)
            .text(
                "network",
                &format!("{:?} {:?}", run.network, self.work.surroundings.network),
            )
            .text("security", &format!("{:?}", run.security));
        key = match &run.program {
            Program::Arguments(words) => key.list("arguments", words.iter().map(String::as_str)),
            Program::Script { name, content } => key.text("script", name).text("content", content),
        };
        for (name, value) in &run.env {
            key = key.text("env", name).text("value", value);
        }
        for (name, address) in &self.work.surroundings.extra_hosts {
            key = key.text("host", name).text("address", address);
        }
        for mount in &run.mounts {
            key = key.text("mount", &format!("{mount:?}"));
            if let Mount::Bind { from, source, .. } = mount {
                let content = self.content(from, &[source.as_str()], (&[], false))?;
                key = key.digest("content", &content);
            }
        }
        Ok(key.finish())
    }

    fn run(&self, run: &Run, snapshot: &Snapshot, told: &Told<'_>) -> Result<(), StepError> {
        let job = Job {
            run,
            layers: &self.staged.layers,
            snapshot,
            surroundings: &self.work.surroundings,
            sources: self.origins,
            secrets: &self.work.secrets,
            canceled: self.session().cancel.fd(),
        };
        self.session().builder.runner.run(&job, told)
    }

    /// The stage's files with the snapshot on top.
    pub(super) fn writable(&self, snapshot: &Snapshot) -> Result<Mounted, StepError> {
        Mounted::writable(
            &self.staged.layers,
            (snapshot.upper(), snapshot.work()),
            &snapshot.scratch().join("merged"),
        )
    }

    fn workdir(&self, (path, user): (&str, &str), snapshot: &Snapshot) -> Result<(), StepError> {
        let mounted = self.writable(snapshot)?;
        let owner = match user {
            "" => None,
            user => Some(find_owner(&mounted.root, user)?),
        };
        let manner = Manner {
            owner,
            mode: None,
            exclude: &Everything,
            existing: Existing::Kept,
        };
        Writer::new(&mounted.root, manner).directory(std::path::Path::new(path))?;
        Ok(())
    }
}

/// Whether a step has changed owner or mode of the top directory.
fn root_changed(snapshot: &Snapshot, below: Option<&std::path::Path>) -> Result<bool, StepError> {
    let upper = snapshot.upper();
    let look = |path: &std::path::Path| {
        stat(path)
            .map(|found| (found.st_mode & 0o7777, found.st_uid, found.st_gid))
            .map_err(|error| StepError::io("look at", path)(error.into()))
    };
    let before = match below {
        Some(below) => look(below)?,
        None => (0o755, 0, 0),
    };
    Ok(look(&upper)? != before)
}
