//! Sees to it that the images of services are here before anything is started.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use indexmap::IndexMap;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::context::Context;
use super::drive::{block_on, pause};
use super::error::{Error, Result};
use crate::compose::Positions;
use crate::compose::model::{PullPolicy, Service, ServiceName, Stack};
use crate::compose::source::Source as _;
use crate::control;
use crate::control::{Kind, ProgressState};
use crate::image::{
    Digest, Image, ImageStore, Phase, Platform, PullOptions, Reference, Registries, pull,
};
use crate::ui::Progress;
use crate::ui::progress::Transfer;

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Pull {
    /// Fetch, also what is here.
    Always,
    /// Fetch what is not here.
    Missing,
    /// Fetch nothing.
    Never,
    /// As each service's `pull_policy` says.
    #[default]
    Policy,
}

/// Which images are wanted, and how.
pub(crate) struct Wanted<'a> {
    /// The stack.
    pub(crate) stack: &'a Stack,
    /// Its services whose images are wanted.
    pub(crate) services: &'a [ServiceName],
    /// Where they were written.
    pub(crate) positions: Option<&'a Positions>,
    /// `--pull`.
    pub(crate) pull: Pull,
    /// What becomes of an image that cannot be fetched.
    pub(crate) failures: Failures,
    /// What is said of it.
    pub(crate) shown: Shown,
}

/// What is said of images that are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Which ones, and how far they are.
    All,
    /// Which ones (`--quiet-pull`, `pull -q`): they may take long.
    Names,
    /// Nothing.
    Nothing,
}

impl Shown {
    /// `--quiet-pull`.
    pub(crate) fn unless_quiet(quiet: bool) -> Self {
        match quiet {
            true => Self::Names,
            false => Self::All,
        }
    }
}

/// What becomes of an image that cannot be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failures {
    /// The command fails.
    Fatal,
    /// The command says so and goes on (`pull --ignore-pull-failures`).
    Ignored,
}

/// What is to be done about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It is used as it is.
    Use,
    /// It is fetched.
    Fetch,
    /// It is not here and may not be fetched.
    Absent,
}

/// The decision about one image. `age` is the time since it was made or fetched, when it is here.
fn need(policy: PullPolicy, pull: Pull, age: Option<Duration>) -> Need {
    let policy = match pull {
        Pull::Policy => policy,
        Pull::Always => PullPolicy::Always,
        Pull::Missing => PullPolicy::Missing,
        Pull::Never => PullPolicy::Never,
    };
    match (policy, age) {
        (PullPolicy::Always, _) => Need::Fetch,
        (PullPolicy::Every(limit), Some(age)) if age >= limit => Need::Fetch,
        (_, Some(_)) => Need::Use,
        (PullPolicy::Missing | PullPolicy::Every(_), None) => Need::Fetch,
        (PullPolicy::Never | PullPolicy::Build, None) => Need::Absent,
    }
}

/// An image to fetch and the services that want it.
#[derive(Debug)]
struct Fetch {
    reference: Reference,
    text: String,
    platform: Option<Platform>,
    services: Vec<ServiceName>,
}

/// Makes sure of the images; gives the id of each service's.
pub(crate) fn ensure(
    context: &Context,
    wanted: &Wanted<'_>,
) -> Result<IndexMap<ServiceName, String>> {
    context.hold_images()?;
    let store = context.images()?;
    let mut ids = IndexMap::new();
    let mut fetches: BTreeMap<String, Fetch> = BTreeMap::new();
    // Services often share an image, and each look costs reads of the disk.
    let mut here: BTreeMap<String, Option<Image>> = BTreeMap::new();
    for name in wanted.services {
        let Some(service) = wanted.stack.services.get(name) else {
            continue;
        };
        if let Some(image) = image_by_id(&store, service)? {
            ids.insert(name.clone(), image.id.to_string());
            continue;
        }
        let (text, reference) = reference_of(wanted, name, service)?;
        let image = match here.entry(text.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(present(&store, &reference)?),
        };
        let platform = platform_of(context, wanted, (name, service))?;
        let fits = |image: &&Image| {
            let own = Platform::of_config(&image.config);
            platform.as_ref().is_none_or(|wanted| wanted.runs(&own))
        };
        let here = image.as_ref().filter(fits);
        match need(service.pull_policy, wanted.pull, here.map(age)) {
            Need::Use => {
                if let Some(image) = image {
                    ids.insert(name.clone(), image.id.to_string());
                }
            }
            Need::Absent => return Err(absent(wanted, name, service, &text)),
            // It was built just now, or is not to be built anew: no registry has it.
            Need::Fetch if service.has_build => match here {
                Some(image) => drop(ids.insert(name.clone(), image.id.to_string())),
                None => return Err(not_built(wanted, name, &text)),
            },
            Need::Fetch => fetches
                .entry(text.clone())
                .or_insert_with(|| Fetch {
                    reference,
                    text,
                    platform,
                    services: Vec::new(),
                })
                .services
                .push(name.clone()),
        }
    }
    if !fetches.is_empty() {
        let fetches: Vec<Fetch> = fetches.into_values().collect();
        let how = How {
            positions: wanted.positions,
            failures: wanted.failures,
            shown: wanted.shown,
        };
        ids.extend(fetch_all(context, &how, &store, fetches)?);
    }
    Ok(ids)
}

/// The image that a service names by its id, or by twelve or more of its first digits.
pub(super) fn image_by_id(store: &ImageStore, service: &Service) -> Result<Option<Image>> {
    const SHORT: usize = 12;
    let text = service.image.as_deref().unwrap_or_default();
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    match digits.len() >= SHORT && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(store.find(text)?),
        false => Ok(None),
    }
}

/// The image when it is here and whole. One whose layers a power cut may have hurt is unpacked again;
/// where that is not possible it is fetched like one that is not here.
fn present(store: &ImageStore, reference: &Reference) -> Result<Option<Image>> {
    match store.get(reference) {
        Err(crate::image::Error::LayerMissing { .. }) => {
            Ok(store.restore(reference).unwrap_or(None))
        }
        other => Ok(other?),
    }
}

/// The machine that a service's image is for: the service says, else the environment, as for Docker.
fn platform_of(
    context: &Context,
    wanted: &Wanted<'_>,
    (name, service): (&ServiceName, &Service),
) -> Result<Option<Platform>> {
    let by_default = context.source.env("DOCKER_DEFAULT_PLATFORM");
    let text = service.platform.clone().or(by_default);
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|error| {
        Error::new(format!(
            "service {name}{}: bad platform",
            place(wanted, name)
        ))
        .because(error)
    })
}

/// The reference of a service's image, as written and as read.
fn reference_of(
    wanted: &Wanted<'_>,
    name: &ServiceName,
    service: &Service,
) -> Result<(String, Reference)> {
    let text = image_text(wanted.stack, name, service);
    let reference = text.parse::<Reference>().map_err(|error| {
        let message = format!("service {name}{}: bad image name", place(wanted, name));
        Error::new(message).because(error)
    })?;
    Ok((text, reference))
}

/// The image of a service; one that is built without a name is called after project and service.
pub(crate) fn image_text(stack: &Stack, name: &ServiceName, service: &Service) -> String {
    let built = || {
        let parts = [stack.name.as_str(), name.as_str()];
        stack.separator.join(&parts)
    };
    service.image.clone().unwrap_or_else(built)
}

fn place(wanted: &Wanted<'_>, name: &ServiceName) -> String {
    place_in(wanted.positions, name)
}

fn place_in(positions: Option<&Positions>, name: &ServiceName) -> String {
    positions
        .and_then(|positions| positions.of(&format!("services.{name}.image")))
        .map(|place| format!(" ({}:{})", place.file.display(), place.line))
        .unwrap_or_default()
}

fn absent(wanted: &Wanted<'_>, name: &ServiceName, service: &Service, text: &str) -> Error {
    if service.has_build {
        return not_built(wanted, name, text);
    }
    let place = place(wanted, name);
    Error::new(format!(
        "service {name}{place}: image {text} is not here, and its pull policy says not to fetch it"
    ))
    .hint(format!(
        "fetch it with `stack pull --policy always {name}`, or bring it in with `stack image import` or `stack image load`"
    ))
}

fn not_built(wanted: &Wanted<'_>, name: &ServiceName, text: &str) -> Error {
    let place = place(wanted, name);
    Error::new(format!(
        "service {name}{place}: image {text} is not here, and was not built"
    ))
    .hint(format!("build it with `stack build {name}`"))
}

/// Time since the registry was asked for an image; for one that came in another way, since it came.
/// Its own date is the builder's, and the last that is looked at.
fn age(image: &Image) -> Duration {
    let now = Timestamp::now();
    let written = image
        .layers
        .last()
        .and_then(|layer| layer.parent()?.join("layer.json").metadata().ok())
        .and_then(|metadata| metadata.modified().ok())
        .and_then(|time| Timestamp::try_from(time).ok());
    let since = image.pulled.or(written).or(image.created).unwrap_or(now);
    crate::ui::words::between(since, now)
}

/// Fetches images by their names, apart from any stack; gives the names.
pub(super) fn fetch(
    context: &Context,
    images: &[Reference],
    (platform, quiet): (Option<Platform>, bool),
) -> Result<Vec<String>> {
    let how = How {
        positions: None,
        failures: Failures::Fatal,
        shown: match quiet {
            true => Shown::Nothing,
            false => Shown::All,
        },
    };
    let fetches = images.iter().map(|reference| Fetch {
        reference: reference.clone(),
        text: reference.familiar(),
        platform: platform.clone(),
        services: Vec::new(),
    });
    fetch_all(context, &how, &context.images()?, fetches.collect())?;
    Ok(images.iter().map(Reference::familiar).collect())
}

/// How images are fetched.
struct How<'a> {
    /// Where services were written.
    positions: Option<&'a Positions>,
    failures: Failures,
    shown: Shown,
}

/// Lets a process of its own wait for the disk, when there is much to wait for. Nobody needs to know
/// when it fails: what is not settled is unpacked again after a power cut.
pub(super) fn settle_later(context: &Context, store: &ImageStore) {
    if store.is_settled().unwrap_or(true) {
        return;
    }
    let spawned = std::env::current_exe().and_then(|program| {
        std::process::Command::new(program)
            .args(["image", "settle"])
            .env("STACK_ROOT", context.paths.root())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    });
    if let Err(error) = spawned {
        tracing::debug!(%error, "nobody waits for the disk");
    }
}

/// What a fetch tells about itself.
enum Said {
    Progress(String, Transfer),
    /// Another process is at it.
    Elsewhere(String),
    End(Box<(Fetch, Result<Image, crate::image::Error>)>),
}

/// Fetches images at the same time and shows it.
fn fetch_all(
    context: &Context,
    how: &How<'_>,
    store: &ImageStore,
    fetches: Vec<Fetch>,
) -> Result<IndexMap<ServiceName, String>> {
    let mut progress = match how.shown {
        Shown::Nothing => Progress::Quiet,
        Shown::All | Shown::Names => context.progress("pull"),
    };
    let registries = context.registries();
    let total = fetches.len();
    let at_once = usize::try_from(context.global.parallel)
        .unwrap_or(total)
        .max(1);
    for fetch in &fetches {
        progress.update(&change(&fetch.text, ProgressState::Pulling, None));
    }
    block_on(async {
        let (sender, mut said) = mpsc::unbounded_channel();
        let work = stream::iter(fetches)
            .map(|fetch| fetch_one(store, fetch, (&registries, sender.clone())))
            .buffer_unordered(at_once)
            .for_each(|()| std::future::ready(()));
        let watch = async {
            let mut ids = IndexMap::new();
            let mut errors = Vec::new();
            let mut ended = 0;
            while ended < total {
                let frame = progress.frame();
                tokio::select! {
                    Some(message) = said.recv() => match message {
                        Said::Progress(text, transfer) if how.shown == Shown::All => {
                            progress.transfer(&text, transfer);
                        }
                        Said::Progress(..) => {}
                        Said::Elsewhere(text) => {
                            let why = "another process is fetching it".to_owned();
                            progress.update(&change(&text, ProgressState::Waiting, Some(why)));
                        }
                        Said::End(end) => {
                            ended += 1;
                            fetched(how, *end, &mut progress, (&mut ids, &mut errors));
                        }
                    },
                    () = pause(frame) => progress.tick(),
                }
            }
            (ids, errors)
        };
        let ((), (ids, mut errors)) = tokio::join!(work, watch);
        progress.finish();
        settle_later(context, store);
        match errors.pop() {
            Some(error) if how.failures == Failures::Fatal => Err(error),
            _ => Ok(ids),
        }
    })
}

async fn fetch_one(
    store: &ImageStore,
    fetch: Fetch,
    (registries, sender): (&Registries, mpsc::UnboundedSender<Said>),
) {
    let options = PullOptions {
        platform: fetch.platform.clone(),
        registries: registries.clone(),
        ..PullOptions::default()
    };
    let layers: Mutex<BTreeMap<Digest, Transfer>> = Mutex::new(BTreeMap::new());
    let told = AtomicBool::new(false);
    let tell = |step: crate::image::Progress| {
        let elsewhere = matches!(step.phase, Phase::Elsewhere { .. });
        if elsewhere && !told.swap(true, Ordering::Relaxed) {
            let _ = sender.send(Said::Elsewhere(fetch.text.clone()));
        }
        let mut layers = layers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sum) = account(&mut layers, &step) {
            let _ = sender.send(Said::Progress(fetch.text.clone(), sum));
        }
    };
    let result = pull(store, &fetch.reference, &options, &tell).await;
    let _ = sender.send(Said::End(Box::new((fetch, result))));
}

/// Takes a step into account; the sum over all layers when it changed.
pub(super) fn account(
    layers: &mut BTreeMap<Digest, Transfer>,
    step: &crate::image::Progress,
) -> Option<Transfer> {
    let layer = layers.entry(step.layer?).or_default();
    match step.phase {
        Phase::Waiting { total } => layer.total = total.unwrap_or(layer.total),
        Phase::Transfer { done, total } => {
            layer.done = done;
            layer.total = total.unwrap_or(layer.total).max(done);
        }
        Phase::Elsewhere { done, total } => {
            layer.done = done;
            layer.total = total.max(done);
        }
        // The other half is sending it.
        Phase::Compressing { done, total } => {
            layer.done = done / 2;
            layer.total = total.max(done);
        }
        Phase::Unpacked | Phase::Present | Phase::Mounted | Phase::Sent => layer.done = layer.total,
        Phase::Resolving | Phase::Retrying { .. } | Phase::Syncing | Phase::Done => return None,
    }
    let sum = |part: fn(&Transfer) -> u64| {
        layers
            .values()
            .fold(0_u64, |sum, layer| sum.saturating_add(part(layer)))
    };
    Some(Transfer {
        done: sum(|layer| layer.done),
        total: sum(|layer| layer.total),
    })
}

fn fetched(
    how: &How<'_>,
    (fetch, result): (Fetch, Result<Image, crate::image::Error>),
    progress: &mut Progress,
    (ids, errors): (&mut IndexMap<ServiceName, String>, &mut Vec<Error>),
) {
    match result {
        Ok(image) => {
            progress.update(&change(&fetch.text, ProgressState::Pulled, None));
            for service in fetch.services {
                ids.insert(service, image.id.to_string());
            }
        }
        Err(error) => {
            let why = error.to_string();
            progress.update(&change(&fetch.text, ProgressState::Error, Some(why)));
            errors.push(not_fetched(how, &fetch, error));
        }
    }
}

fn not_fetched(how: &How<'_>, fetch: &Fetch, error: crate::image::Error) -> Error {
    let services: Vec<String> = fetch
        .services
        .iter()
        .map(|name| format!("{name}{}", place_in(how.positions, name)))
        .collect();
    let word = if services.len() == 1 {
        "service"
    } else {
        "services"
    };
    let text = &fetch.text;
    if fetch.services.is_empty() {
        return Error::new(format!("image {text} cannot be fetched")).because(error);
    }
    Error::new(format!(
        "{word} {}: image {text} cannot be fetched",
        services.join(", ")
    ))
    .because(error)
    .hint(format!(
        "bring it in with `stack image import FILE {text}` or `stack image load -i FILE`, or see to it that its registry can be reached"
    ))
}

fn change(image: &str, state: ProgressState, detail: Option<String>) -> control::Progress {
    control::Progress {
        kind: Kind::Image,
        name: image.to_owned(),
        state,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_policy_and_the_policy_over_what_is_here() {
        let day = Duration::from_secs(86_400);
        let here = Some(Duration::from_secs(60));
        let old = Some(day * 2);
        for (policy, pull, age, expected) in [
            (PullPolicy::Missing, Pull::Policy, here, Need::Use),
            (PullPolicy::Missing, Pull::Policy, None, Need::Fetch),
            (PullPolicy::Always, Pull::Policy, here, Need::Fetch),
            (PullPolicy::Never, Pull::Policy, None, Need::Absent),
            (PullPolicy::Never, Pull::Policy, here, Need::Use),
            (PullPolicy::Build, Pull::Policy, None, Need::Absent),
            (PullPolicy::Every(day), Pull::Policy, here, Need::Use),
            (PullPolicy::Every(day), Pull::Policy, old, Need::Fetch),
            (PullPolicy::Every(day), Pull::Policy, None, Need::Fetch),
            (PullPolicy::Never, Pull::Always, here, Need::Fetch),
            (PullPolicy::Always, Pull::Never, None, Need::Absent),
            (PullPolicy::Always, Pull::Missing, here, Need::Use),
            (PullPolicy::Never, Pull::Missing, None, Need::Fetch),
        ] {
            assert_eq!(
                need(policy, pull, age),
                expected,
                "{policy:?} {pull:?} {age:?}"
            );
        }
    }

    #[test]
    fn the_bytes_of_all_layers_add_up_and_hostile_numbers_do_not_overflow() {
        let mut layers = BTreeMap::new();
        let mut step = |layer: &[u8], phase| {
            let step = crate::image::Progress {
                layer: Some(Digest::of(layer)),
                phase,
            };
            account(&mut layers, &step)
        };
        step(b"a", Phase::Waiting { total: Some(100) });
        step(b"b", Phase::Waiting { total: Some(50) });
        let transfer = Phase::Transfer {
            done: 30,
            total: Some(100),
        };
        let sum = step(b"a", transfer).unwrap();
        assert_eq!((sum.done, sum.total), (30, 150));
        let sum = step(b"b", Phase::Present).unwrap();
        assert_eq!((sum.done, sum.total), (80, 150));
        let endless = Phase::Waiting {
            total: Some(u64::MAX),
        };
        assert_eq!(step(b"c", endless).unwrap().total, u64::MAX);
        assert_eq!(step(b"c", Phase::Syncing), None);
    }
}
