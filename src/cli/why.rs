//! `stack why`: why a service is as it is.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::context::Context;
use super::error::{Error, Result};
use super::project::Project;
use crate::control::{chronicle, why};
use crate::engine::native::observe;
use crate::image::Reference;
use crate::plan::{Desired, Observed, ObservedContainer, plan};
use crate::runtime::log::{Range, read};
use crate::state::SocketPath;

/// Flags of `why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The service.
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Form of the answer.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// Lines of output that are shown of each container.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5)]
    tail: u64,
}

impl Why {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let name = project.name.clone();
        let service = project.service(&self.service)?;
        let desired = project.desired()?.cloned();
        let desired = desired.unwrap_or_else(|| Desired::new(&name));
        let journal = chronicle::read(&context.paths, &name);
        let mut observed = observe(&context.paths, Some(&name))?;
        look_up_images(context, &desired, &mut observed)?;
        observed.failures = chronicle::failures(&journal);
        let now = Timestamp::now();
        let plan = plan(&desired, &observed, now);
        let supervisor = has_supervisor(context, &name);
        let log = |container: &ObservedContainer| self.last_lines(context, container);
        let why = why::why(
            &service,
            (&desired, &observed, &plan),
            (&journal, supervisor),
            log,
        );
        let mut out = std::io::stdout().lock();
        if self.format == "json" {
            let text = serde_json::to_string_pretty(&why)
                .map_err(|error| Error::new("cannot write JSON").because(error))?;
            writeln!(out, "{text}")?;
        } else {
            write!(out, "{}", why.text(now, &TimeZone::system()))?;
        }
        out.flush()?;
        if self.format != "json" {
            super::reload::note_trouble(context, &name);
        }
        Ok(())
    }

    fn last_lines(&self, context: &Context, container: &ObservedContainer) -> Vec<String> {
        let record = &container.record;
        let dir = context
            .paths
            .logs(&record.project, record.service.as_str(), record.number);
        let range = Range {
            tail: Some(self.tail),
            ..Range::default()
        };
        let mut lines = Vec::new();
        // Without a log there are no lines.
        let _ = read(&dir, range, &mut |line| {
            lines.push(String::from_utf8_lossy(line.text).into_owned());
            ControlFlow::Continue(())
        });
        lines
    }
}

/// Which images the services' references mean here.
fn look_up_images(context: &Context, desired: &Desired, observed: &mut Observed) -> Result<()> {
    let store = context.images()?;
    for service in desired.services.values() {
        let Some(text) = &service.service.image else {
            continue;
        };
        let known = service.image_id.clone();
        let reference = text.parse::<Reference>().ok();
        let found = match (known, reference) {
            (Some(id), _) => Some(id),
            (None, Some(reference)) => store.get(&reference)?.map(|image| image.id.to_string()),
            (None, None) => None,
        };
        observed.images.extend(found.map(|id| (text.clone(), id)));
    }
    Ok(())
}

/// Whether a supervisor of the project answers.
fn has_supervisor(context: &Context, project: &str) -> bool {
    SocketPath::new(&context.paths.api_socket(project))
        .and_then(|path| UnixStream::connect(path.as_path()))
        .is_ok()
}
