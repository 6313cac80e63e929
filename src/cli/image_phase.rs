//! Sees to it that the images of services are here before anything is started.

mod fetch;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::context::Context;
use super::error::{Error, Result};
use crate::compose::Positions;
use crate::compose::model::{PullPolicy, Service, ServiceName, Stack};
use crate::compose::source::Source as _;
use crate::image::{Image, ImageStore, Platform, Reference};
use fetch::{Fetch, How, fetch_all};

pub(super) use fetch::{account, fetch, settle_later};

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
}
