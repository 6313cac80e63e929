//! Carries plans out: stages at the same time, their steps one after the other.
//!
//! ```text
//! build() ─► a thread with a mount namespace of its own: mounts go when it goes, however it ends
//!              └─► one thread for each request, each with one for each stage of its plan
//! ```
//!
//! A stage waits for the stages that its steps need, a request for the requests that its contexts
//! need; plans have no circles, and whoever waits holds nothing that others wait for. The first
//! failure gives everything up.

mod add;
mod bases;
mod copy;
mod shared;
mod slot;
mod stage;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::cache::{Cache, FileHashes, Key, KeyMaker};
use super::cancel::Cancel;
use super::copy::{Filter, Verdict};
use super::dockerfile::Source;
use super::error::{Error, StepError};
use super::event::{Sink, Teller};
use super::export::{Output, export};
use super::files::Context;
use super::ignore::Matcher;
use super::image::Draft;
use super::plan::Plan;
use super::request::{NamedContext, NoCache, Request, Secret};
use super::run::{Runner, SecretValue, Secrets, Surroundings};
use super::shared::{CacheSource, Made};
use crate::image::{Digest, Hold, Image, ImageStore, Registries, Snapshot};
use crate::state::Paths;
pub(super) use bases::asked;
use slot::Slot;
use stage::Staged;

/// How often a wait looks whether the build was canceled.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// What builds need of the machine.
#[derive(Debug)]
pub struct Builder {
    store: ImageStore,
    cache: Cache,
    runner: Runner,
    registries: Registries,
}

impl Builder {
    /// A builder for one stack root; `exe` is this program.
    pub fn open(paths: &Paths, exe: &Path, registries: Registries) -> Result<Self, Error> {
        Ok(Self {
            store: ImageStore::open(paths.root())?,
            cache: Cache::open(paths.root())?,
            runner: Runner::new(paths, exe),
            registries,
        })
    }

    /// Builds images; a request may use what another one makes by its title. Gives the images in the
    /// order of the requests, or the first failure that was not caused by another.
    pub fn build(
        &self,
        requests: &[Request],
        sink: Sink<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Image>, Error> {
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                own_mounts().map_err(StepError::io("make", Path::new("a mount namespace")))?;
                self.build_here(requests, sink, cancel)
            });
            work.join().unwrap_or(Err(Error::Canceled))
        })
    }

    /// Writes the files of an image out of the store.
    pub fn export(&self, image: &Image, output: &Output) -> Result<(), Error> {
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                own_mounts().map_err(StepError::io("make", Path::new("a mount namespace")))?;
                export(&self.store, image, output)
            });
            work.join().unwrap_or(Err(Error::Canceled))
        })
    }

    fn build_here(
        &self,
        requests: &[Request],
        sink: Sink<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Image>, Error> {
        let hold = self.store.hold()?;
        let scratch = self.store.snapshot(None)?;
        let last = AtomicUsize::new(0);
        let session = Session {
            builder: self,
            _hold: &hold,
            scratch: &scratch,
            places: AtomicUsize::new(0),
            teller: Teller::new(sink, &last),
            cancel,
            results: requests
                .iter()
                .filter_map(|request| Some((request.title.clone()?, Slot::new())))
                .collect(),
            steps: Mutex::default(),
            pulls: Mutex::default(),
            imported: Mutex::default(),
            requests,
            waits: Mutex::default(),
        };
        let all: Vec<Result<Image, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = requests
                .iter()
                .map(|request| {
                    let session = &session;
                    scope.spawn(move || {
                        let result = session.request(request);
                        session.report(request, &result);
                        result
                    })
                })
                .collect();
            let results = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            results
                .map(|result| result.unwrap_or(Err(Error::Canceled)))
                .collect()
        });
        in_order(all)
    }
}

/// The images, or the failure that is the cause of the others.
fn in_order(all: Vec<Result<Image, Error>>) -> Result<Vec<Image>, Error> {
    let mut images = Vec::new();
    let mut canceled = false;
    for result in all {
        match result {
            Ok(image) => images.push(image),
            Err(Error::Canceled) => canceled = true,
            Err(error) => return Err(error),
        }
    }
    match canceled {
        true => Err(Error::Canceled),
        false => Ok(images),
    }
}

/// A mount namespace for this thread and those it starts; what others mount is still seen.
fn own_mounts() -> std::io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    let slave = rustix::mount::MountPropagationFlags::DOWNSTREAM;
    let all = slave | rustix::mount::MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", all)?)
}

/// One run of the builder.
struct Session<'a> {
    builder: &'a Builder,
    _hold: &'a Hold,
    /// Places to mount things at.
    scratch: &'a Snapshot,
    places: AtomicUsize,
    teller: Teller<'a>,
    cancel: &'a Cancel,
    /// What requests with titles have made.
    results: BTreeMap<String, Slot<Arc<Image>>>,
    /// Steps that are at work: two with one key do the work once.
    steps: Mutex<HashMap<Key, Arc<Mutex<()>>>>,
    /// The same for images that are fetched; `true` = it was, by this build.
    pulls: Mutex<HashMap<String, Arc<Mutex<bool>>>>,
    /// Caches of other machines that were looked at.
    imported: Mutex<Vec<CacheSource>>,
    requests: &'a [Request],
    /// Which request waits for which.
    waits: Mutex<Vec<(String, String)>>,
}

/// What the steps of one request have in common.
struct Work<'a> {
    session: &'a Session<'a>,
    request: &'a Request,
    source: &'a Source,
    plan: &'a Plan,
    context: Option<Context>,
    named: BTreeMap<String, Named>,
    secrets: Secrets,
    surroundings: Surroundings,
    stages: Vec<Slot<Arc<Staged>>>,
    /// What steps have made, where it is to be exported.
    made: Mutex<Vec<Made>>,
}

/// A named context, ready to be used.
enum Named {
    Directory(Context),
    Image(Arc<Staged>),
}

impl Session<'_> {
    fn store(&self) -> &ImageStore {
        &self.builder.store
    }

    fn cache(&self) -> &Cache {
        &self.builder.cache
    }

    /// A new place in the scratch directory.
    fn place(&self) -> PathBuf {
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        self.scratch.scratch().join(format!("place-{number}"))
    }

    fn check(&self) -> Result<(), StepError> {
        match self.cancel.is_canceled() {
            true => Err(StepError::Canceled),
            false => Ok(()),
        }
    }

    /// Waits for something that only waits itself, unless the build is canceled.
    fn wait_for<T>(&self, work: impl Future<Output = T>) -> Result<T, StepError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StepError::io("start", Path::new("timers and sockets")))?;
        let result = runtime.block_on(async {
            tokio::pin!(work);
            loop {
                tokio::select! {
                    result = &mut work => return Ok(result),
                    () = tokio::time::sleep(LOOK) => self.check()?,
                }
            }
        });
        runtime.shutdown_background();
        result
    }

    fn report(&self, request: &Request, result: &Result<Image, Error>) {
        if result.is_err() {
            self.cancel.cancel();
        }
        if let Some(slot) = request
            .title
            .as_ref()
            .and_then(|title| self.results.get(title))
        {
            slot.set(result.as_ref().ok().cloned().map(Arc::new));
        }
    }

    fn request(&self, request: &Request) -> Result<Image, Error> {
        let text = &request.dockerfile;
        let source = Source::parse(&text.path, &text.bytes)
            .map_err(|report| Error::Dockerfile(Box::new(report)))?;
        let mut named = BTreeMap::new();
        for (name, context) in &request.contexts {
            named.insert(name.clone(), self.named(name, context, request)?);
        }
        self.import_caches(request)?;
        let (plan, bases) = bases::plan(self, request, &source, &named)?;
        let surroundings = surroundings(request)?;
        let work = Work {
            session: self,
            request,
            source: &source,
            plan: &plan,
            context: request
                .context
                .as_ref()
                .map(|path| self.context(path, &text.ignore, "the build context"))
                .transpose()?,
            named,
            secrets: secrets(request)?,
            surroundings,
            stages: plan.stages.iter().map(|_| Slot::new()).collect(),
            made: Mutex::default(),
        };
        let result = work.stages(&bases);
        for context in work.contexts() {
            context.hashes.save();
        }
        let staged = result?;
        let image = self.image(&work, &staged)?;
        self.export_caches(&work, &staged, &image)?;
        Ok(image)
    }

    fn context(&self, path: &Path, ignore: &str, title: &str) -> Result<Context, Error> {
        let path = path
            .canonicalize()
            .map_err(StepError::io("find the build context", path))?;
        let matcher = Matcher::parse(ignore).map_err(|error| Error::Request {
            message: format!(".dockerignore: {error}"),
            help: None,
        })?;
        let key = KeyMaker::new("context").text("path", &path.to_string_lossy());
        Ok(Context {
            hashes: FileHashes::open(self.cache().files(&key.finish())),
            path,
            ignore: Box::new(Ignored(matcher)),
            title: title.to_owned(),
        })
    }

    fn named(&self, name: &str, context: &NamedContext, request: &Request) -> Result<Named, Error> {
        Ok(match context {
            NamedContext::Directory(path) => {
                let ignore = std::fs::read_to_string(path.join(".dockerignore"));
                let ignore = ignore.unwrap_or_default();
                Named::Directory(self.context(path, &ignore, &format!("the context `{name}`"))?)
            }
            NamedContext::Image(reference) => {
                let platform = request.platform.clone();
                Named::Image(Arc::new(self.base(
                    reference,
                    platform.as_deref(),
                    request.pull,
                )?))
            }
            NamedContext::Request(title) => {
                let slot = self.results.get(title).ok_or_else(|| Error::Request {
                    message: format!(
                        "the context `{name}` is what `{title}` makes, which is not built"
                    ),
                    help: None,
                })?;
                let own = request.title.clone().unwrap_or_default();
                if !self.may_wait(&own, title) {
                    return Err(Error::Request {
                        message: format!("`{own}` and `{title}` need each other's image"),
                        help: Some("take one of the two out of `additional_contexts`".to_owned()),
                    });
                }
                let image = slot.wait(self.cancel)?;
                Named::Image(Arc::new(Staged::of_image(self.store(), &image)?))
            }
        })
    }

    /// Makes the image of the last stage and names it.
    fn image(&self, work: &Work<'_>, staged: &Staged) -> Result<Image, Error> {
        let Some(stage) = work.plan.stages.last() else {
            return Err(Error::Canceled);
        };
        let mut draft = Draft {
            base: staged.base.as_deref(),
            stage,
            layers: &staged.layers,
            history: &staged.history,
            labels: &work.request.labels,
            created: staged.created,
            records: None,
        };
        if draft.created.is_none() {
            // Nothing was made but words: the same words as before have the same date as before.
            draft.created = Some(self.date(work, &draft.bytes())?);
        }
        draft.records = work.inline_records(staged);
        let told = self.teller.begin(work.title("exporting to image"));
        let result = self
            .store()
            .name_image(&draft.bytes(), &staged.layers, &work.request.names);
        if let Ok(image) = &result {
            told.status(format!("image {}", image.id));
        }
        told.result(&result);
        Ok(result?)
    }

    /// When a document was made first.
    fn date(&self, work: &Work<'_>, undated: &[u8]) -> Result<Timestamp, Error> {
        if let Some(epoch) = work.request.epoch {
            return Ok(moment(epoch));
        }
        let key = KeyMaker::new("image").bytes("undated", undated).finish();
        match self.cache().find(&key) {
            Some(record) => Ok(record.created),
            None => {
                let now = Timestamp::now();
                self.cache().put_date(&key, now)?;
                Ok(now)
            }
        }
    }
}

impl Work<'_> {
    /// A step's name, with the request's title where there are several.
    fn title(&self, text: &str) -> String {
        match &self.request.title {
            Some(title) => format!("[{title}] {text}"),
            None => text.to_owned(),
        }
    }

    fn contexts(&self) -> impl Iterator<Item = &Context> {
        let named = self.named.values().filter_map(|named| match named {
            Named::Directory(context) => Some(context),
            Named::Image(_) => None,
        });
        self.context.iter().chain(named)
    }

    /// Whether a stage may use what earlier builds made.
    fn may_use_cache(&self, stage: &super::plan::Stage) -> bool {
        match &self.request.no_cache {
            NoCache::Nothing => true,
            NoCache::Everything => false,
            NoCache::Stages(names) => !names.iter().any(|name| {
                stage.name.as_deref() == Some(&name.to_lowercase())
                    || *name == stage.id.0.to_string()
            }),
        }
    }

    fn epoch(&self) -> Option<i64> {
        self.request.epoch
    }

    fn now(&self) -> Timestamp {
        self.epoch().map_or_else(Timestamp::now, moment)
    }
}

fn moment(epoch: i64) -> Timestamp {
    Timestamp::from_second(epoch).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `.dockerignore` as a filter.
struct Ignored(Matcher);

impl Filter for Ignored {
    fn verdict(&self, path: &Path, is_directory: bool) -> Verdict {
        if self.0.is_empty() {
            return Verdict::Keep;
        }
        let mut level = super::ignore::Level::default();
        let mut so_far = String::new();
        let mut verdict = Verdict::Keep;
        for part in path {
            if !so_far.is_empty() {
                so_far.push('/');
            }
            so_far.push_str(&part.to_string_lossy());
            let entry = self.0.enter(&level, &so_far);
            if entry.skip {
                return Verdict::Prune;
            }
            verdict = match entry.ignored {
                true if is_directory => Verdict::Leave,
                true => Verdict::Prune,
                false => Verdict::Keep,
            };
            level = entry.level;
        }
        verdict
    }
}

fn secrets(request: &Request) -> Result<Secrets, Error> {
    let mut all = Secrets {
        agents: request.agents.clone(),
        ..Secrets::default()
    };
    for (name, secret) in &request.secrets {
        let bytes = match secret {
            Secret::Value(value) => value.0.clone(),
            Secret::File(path) => {
                std::fs::read(path).map_err(StepError::io("read the secret in", path))?
            }
        };
        all.secrets.insert(name.clone(), SecretValue(bytes));
    }
    Ok(all)
}

fn surroundings(request: &Request) -> Result<Surroundings, Error> {
    let mut rlimits = Vec::new();
    for (name, soft, hard) in &request.ulimits {
        let text = format!("RLIMIT_{}", name.to_ascii_uppercase());
        let kind = serde_json::from_value(serde_json::Value::String(text));
        let kind = kind.map_err(|_| Error::Request {
            message: format!("there is no ulimit `{name}`"),
            help: None,
        })?;
        let kind: oci_spec::runtime::PosixRlimitType = kind;
        // -1 is unlimited, which the kernel writes as all ones.
        let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        let limit = oci_spec::runtime::PosixRlimitBuilder::default()
            .typ(kind)
            .soft(value(*soft))
            .hard(value(*hard))
            .build();
        rlimits.push(limit.map_err(|error| Error::Request {
            message: format!("the ulimit `{name}` cannot be set: {error}"),
            help: None,
        })?);
    }
    Ok(Surroundings {
        network: request.network,
        extra_hosts: request.extra_hosts.clone(),
        shm_size: request.shm_size,
        rlimits,
        memory: request.memory,
        insecure: request.insecure,
    })
}

/// What stands for the content of an origin in keys.
fn chain(layers: &[crate::image::StoredLayer]) -> Digest {
    let hex: Vec<String> = layers.iter().map(|layer| layer.diff_id.hex()).collect();
    let key = KeyMaker::new("chain").list("layers", hex.iter().map(String::as_str));
    key.finish().digest()
}

/// A lock of a map of locks.
fn lock_of<K: std::hash::Hash + Eq, T: Default>(
    locks: &Mutex<HashMap<K, Arc<Mutex<T>>>>,
    key: K,
) -> Arc<Mutex<T>> {
    let mut locks = locks.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(locks.entry(key).or_default())
}
