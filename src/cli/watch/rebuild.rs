//! Building the images of services anew while they run.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use tokio::sync::mpsc::UnboundedSender;

use super::session::Said;
use super::setup::Setup;
use crate::build::{Builder, Cancel, Event, Request};
use crate::cli::build_drive::failed_build;
use crate::cli::build_phase::{Extra, requests};
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::image_phase::image_text;
use crate::compose::model::ServiceName;
use crate::control::{Command, Recreate, Up};
use crate::image::{LabelRule, PruneRules, Reference, Registries};
use crate::state::Paths;
use crate::ui::build::BuildLines;

/// Builds the images of these services, and of those whose images their builds are made of.
pub(super) async fn build(
    context: &Context,
    setup: &Setup,
    services: &BTreeSet<ServiceName>,
    said: &UnboundedSender<Said>,
) -> Result<()> {
    let names: Vec<ServiceName> = services.iter().cloned().collect();
    let requests = requests(context, &setup.stack, &names, &Extra::default())?;
    let cancel =
        Cancel::new().map_err(|error| Error::new("cannot start the build").because(error))?;
    let cancel = Arc::new(cancel);
    // When nobody waits for it any more, it is given up.
    let _guard = CancelOnDrop(Arc::clone(&cancel));
    let work = Work {
        paths: context.paths.clone(),
        registries: context.registries(),
        requests,
        said: (!setup.how.quiet).then(|| said.clone()),
    };
    let built = tokio::task::spawn_blocking(move || work.carry_out(&cancel)).await;
    built.unwrap_or_else(|error| Err(Error::new("the build broke off").because(error)))
}

struct CancelOnDrop(Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A build on its way to another thread.
struct Work {
    paths: Paths,
    registries: Registries,
    requests: Vec<Request>,
    /// Where its lines go.
    said: Option<UnboundedSender<Said>>,
}

impl Work {
    fn carry_out(self, cancel: &Cancel) -> Result<()> {
        let exe = std::env::current_exe()
            .map_err(|error| Error::new("cannot start the build").because(error))?;
        let builder = Builder::open(&self.paths, &exe, self.registries).map_err(failed_build)?;
        let lines = std::sync::Mutex::new(BuildLines::default());
        let sink = |event: Event| {
            let Some(said) = &self.said else {
                return;
            };
            let mut lines = lines
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            for line in lines.take(&event) {
                // Nobody listens any more.
                let _ = said.send(Said::Line(line));
            }
        };
        let built = builder.build(&self.requests, &sink, cancel);
        built.map(drop).map_err(failed_build)
    }
}

/// The command that replaces the containers of services by ones of the new images.
pub(super) fn replacement(
    context: &Context,
    setup: &Setup,
    services: &BTreeSet<ServiceName>,
) -> Result<Command> {
    let store = context.images()?;
    let stack = &setup.stack;
    let recorded = context.desired(stack.name.as_str())?;
    let mut image_ids = IndexMap::new();
    let mut scale = IndexMap::new();
    for name in services {
        let Some(service) = stack.services.get(name) else {
            continue;
        };
        let text = image_text(stack, name, service);
        if let Ok(reference) = text.parse::<Reference>()
            && let Some(image) = store.get(&reference)?
        {
            image_ids.insert(name.clone(), image.id.to_string());
        }
        // As many as there are: `--scale` is not in the stack file.
        let known = recorded
            .as_ref()
            .and_then(|recorded| recorded.services.get(name));
        if let Some(known) = known {
            scale.insert(name.clone(), known.replicas);
        }
    }
    Ok(Command::Up(Box::new(Up {
        image_ids,
        scale,
        recreate: Recreate::All,
        ..Up::new(stack.clone(), services.iter().cloned().collect())
    })))
}

/// Which images have lost their name to one that was built for the project.
pub(super) fn superseded(project: &str) -> PruneRules {
    PruneRules {
        labels: vec![LabelRule {
            name: "com.docker.compose.project".to_owned(),
            value: Some(project.to_owned()),
            wanted: true,
        }],
        ..PruneRules::default()
    }
}
