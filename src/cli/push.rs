//! `stack push`, and what it has in common with `stack image push`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;

use clap::Args;
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;

use super::context::{Context, Warnings};
use super::drive::{block_on, pause};
use super::error::{Error, Result};
use super::image_phase::{Failures, Shown, account};
use super::project::{Dependencies, select};
use super::rehearsal;
use crate::control::{self, Kind, ProgressState};
use crate::image::{ImageStore, PushOptions, Pushed, Reference, push};
use crate::ui::Progress;
use crate::ui::progress::Transfer;

/// Flags of `push`.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Services whose images are sent; none = all that are built here.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Go on when an image cannot be sent.
    #[arg(long)]
    ignore_push_failures: bool,
    /// Images of services that the named ones need, too.
    #[arg(long)]
    include_deps: bool,
    /// Do not show it.
    #[arg(short, long)]
    quiet: bool,
}

impl Push {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        if !context.global.dry_run {
            context.require_root()?;
        }
        let loaded = context.load(Warnings::Shown)?;
        if self.services.is_empty() && loaded.stack.services.is_empty() {
            return Ok(());
        }
        let dependencies = match self.include_deps {
            true => Dependencies::Included,
            false => Dependencies::LeftOut,
        };
        let selection = select(&loaded.stack, &self.services, dependencies)?;
        let store = context.images()?;
        let mut images: BTreeMap<String, Reference> = BTreeMap::new();
        let mut skipped = Vec::new();
        for name in &selection.services {
            // As Docker Compose: only what is built here and has a name of its own.
            let service = selection.stack.services.get(name);
            let Some(text) = service
                .filter(|service| service.has_build)
                .and_then(|service| service.image.clone())
            else {
                skipped.push(name);
                continue;
            };
            let reference: Reference = text.parse().map_err(|error| {
                Error::new(format!("service {name}: bad image name")).because(error)
            })?;
            if !self.ignore_push_failures && store.get(&reference)?.is_none() {
                return Err(Error::new(format!(
                    "service {name}: there is no image `{text}` to push yet"
                ))
                .hint(format!("`stack build {name}` makes it")));
            }
            images.insert(text, reference);
        }
        if !skipped.is_empty() {
            let mut progress = context.progress("push");
            for name in skipped {
                progress.note(&format!(" {name} Skipped"));
            }
        }
        if images.is_empty() {
            return Ok(());
        }
        if context.global.dry_run {
            let states = [ProgressState::Pushing, ProgressState::Pushed];
            rehearsal::show_images(context, images.keys().map(String::as_str), states);
            return Ok(());
        }
        let wanted = Wanted {
            images: images.into_iter().collect(),
            failures: match self.ignore_push_failures {
                true => Failures::Ignored,
                false => Failures::Fatal,
            },
            shown: Shown::unless_quiet(self.quiet),
        };
        send(context, wanted).map(drop)
    }
}

/// Images to send.
pub(super) struct Wanted {
    /// As people write them, and as they are read.
    pub(super) images: Vec<(String, Reference)>,
    pub(super) failures: Failures,
    pub(super) shown: Shown,
}

/// What a transfer tells about itself.
enum Said {
    Progress(String, Transfer),
    End(String, Box<Result<Pushed, crate::image::Error>>),
}

/// Sends images at the same time and shows it; what the registries have then.
pub(super) fn send(context: &Context, wanted: Wanted) -> Result<Vec<(String, Pushed)>> {
    let store = context.images()?;
    let shown = wanted.shown;
    let options = PushOptions {
        registries: context.registries(),
        ..PushOptions::default()
    };
    let mut progress = match wanted.shown {
        Shown::Nothing => Progress::Quiet,
        Shown::All | Shown::Names => context.progress("push"),
    };
    let total = wanted.images.len();
    let at_once = usize::try_from(context.global.parallel)
        .unwrap_or(total)
        .max(1);
    for (text, _) in &wanted.images {
        progress.update(&change(text, ProgressState::Pushing, None));
    }
    block_on(async {
        let (sender, mut said) = mpsc::unbounded_channel();
        let work = stream::iter(wanted.images)
            .map(|image| send_one(&store, image, (&options, sender.clone())))
            .buffer_unordered(at_once)
            .for_each(|()| std::future::ready(()));
        let watch = async {
            let (mut sent, mut errors) = (Vec::new(), Vec::new());
            while sent.len() + errors.len() < total {
                let frame = progress.frame();
                tokio::select! {
                    Some(message) = said.recv() => match message {
                        Said::Progress(text, transfer) if shown == Shown::All => {
                            progress.transfer(&text, transfer);
                        }
                        Said::Progress(..) => {}
                        Said::End(text, result) => match *result {
                            Ok(pushed) => {
                                progress.update(&change(&text, ProgressState::Pushed, None));
                                sent.push((text, pushed));
                            }
                            Err(error) => {
                                let why = Some(error.to_string());
                                progress.update(&change(&text, ProgressState::Error, why));
                                let failure = Error::new(format!("image {text} cannot be pushed"));
                                errors.push(failure.because(error));
                            }
                        },
                    },
                    () = pause(frame) => progress.tick(),
                }
            }
            (sent, errors)
        };
        let ((), (sent, mut errors)) = tokio::join!(work, watch);
        progress.finish();
        match errors.pop() {
            Some(error) if wanted.failures == Failures::Fatal => Err(error),
            _ => Ok(sent),
        }
    })
}

async fn send_one(
    store: &ImageStore,
    (text, reference): (String, Reference),
    (options, sender): (&PushOptions, mpsc::UnboundedSender<Said>),
) {
    let blobs = Mutex::new(BTreeMap::new());
    let tell = |step: crate::image::Progress| {
        let mut blobs = blobs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sum) = account(&mut blobs, &step) {
            let _ = sender.send(Said::Progress(text.clone(), sum));
        }
    };
    let result = push(store, &reference, options, &tell).await;
    let _ = sender.send(Said::End(text.clone(), Box::new(result)));
}

fn change(image: &str, state: ProgressState, detail: Option<String>) -> control::Progress {
    control::Progress {
        kind: Kind::Image,
        name: image.to_owned(),
        state,
        detail,
    }
}

/// One line for each, as `docker push` ends with it.
pub(super) fn print(sent: &[(String, Pushed)]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (text, pushed) in sent {
        writeln!(
            out,
            "{text}: digest: {} size: {}",
            pushed.digest, pushed.size
        )?;
    }
    Ok(out.flush()?)
}
