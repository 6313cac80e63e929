//! `stack build`.

use std::io::{self, Write as _};

use super::bake::{self, Outcome};
use super::build_phase::{Extra, build_and_say, requests, with_needed};
use super::context::{Context, Warnings};
use super::drive::block_on;
use super::error::{Error, Result};
use super::image::build::argument;
use super::image_phase::image_text;
use super::project::{Dependencies, select};
use super::rehearsal;
use crate::build::{Request, check_request};
use crate::compose::model::ServiceName;
use crate::control::ProgressState;
use crate::image::{PushOptions, no_progress, push};
use crate::ui::{ProgressMode, Terminal};
use clap::Args;

/// Flags of `build`.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Services whose images are built; none = all that have a `build` section.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Value of a build argument; without `=VALUE` the one of the environment.
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    build_args: Vec<String>,
    /// Name of another builder; this program is its own.
    #[arg(long, value_name = "NAME", hide = true)]
    builder: Option<String>,
    /// Of the builder before BuildKit: contexts were sent over a connection.
    #[arg(long, hide = true)]
    compress: bool,
    /// Of the builder before BuildKit: steps left containers behind.
    #[arg(long, hide = true)]
    force_rm: bool,
    /// The same.
    #[arg(long, hide = true)]
    no_rm: bool,
    /// Images are built at the same time anyway.
    #[arg(long, hide = true)]
    parallel: bool,
    /// How progress is shown; scripts have it here, too.
    #[arg(long, value_name = "MODE", hide = true)]
    progress: Option<ProgressMode>,
    /// Check the Dockerfiles and build nothing.
    #[arg(long)]
    check: bool,
    /// Limit of memory of each step.
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,
    /// Do not use what earlier builds have made.
    #[arg(long)]
    no_cache: bool,
    /// Print what would be built, as a file for `docker buildx bake`.
    #[arg(long)]
    print: bool,
    /// Notes of where images come from; none are written.
    #[arg(long, value_name = "MODE", hide = true)]
    provenance: Option<String>,
    /// Fetch base images even if they are here.
    #[arg(long)]
    pull: bool,
    /// Send the images to their registries.
    #[arg(long)]
    push: bool,
    /// Print nothing.
    #[arg(short, long)]
    quiet: bool,
    /// Lists of what is in images; none are written.
    #[arg(long, value_name = "MODE", hide = true)]
    sbom: Option<String>,
    /// An ssh agent for steps that ask for it: `default`, `NAME=SOCKET`, or `NAME=KEY,…` (private keys).
    #[arg(long, value_name = "SPEC")]
    ssh: Vec<String>,
    /// Build the images of the services that these need, too.
    #[arg(long)]
    with_dependencies: bool,
}

impl Build {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let loaded = context.load(Warnings::Shown)?;
        if self.services.is_empty() && loaded.stack.services.is_empty() {
            Terminal::say("warning: No services to build");
            return Ok(());
        }
        let dependencies = match self.with_dependencies {
            true => Dependencies::Included,
            false => Dependencies::LeftOut,
        };
        let selection = select(&loaded.stack, &self.services, dependencies)?;
        let stack = &selection.stack;
        let has_build = |name: &&ServiceName| {
            let service = stack.services.get(*name);
            service.is_some_and(|service| service.has_build)
        };
        let services: Vec<ServiceName> = selection
            .services
            .iter()
            .filter(has_build)
            .cloned()
            .collect();
        if services.is_empty() {
            Terminal::say("warning: No services to build");
            return Ok(());
        }
        if context.global.dry_run && !self.print && !self.check {
            let images: Vec<String> = services
                .iter()
                .filter_map(|name| Some((name, stack.services.get(name)?)))
                .map(|(name, service)| image_text(stack, name, service))
                .collect();
            let states = [ProgressState::Building, ProgressState::Built];
            rehearsal::show_images(context, images.iter().map(String::as_str), states);
            return Ok(());
        }
        let extra = Extra {
            args: self
                .build_args
                .iter()
                .filter_map(|text| argument(text, context))
                .collect(),
            ssh: self.ssh.clone(),
            no_cache: self.no_cache,
            pull: self.pull,
            memory: self.memory()?,
        };
        if self.print {
            let outcome = match (self.check, self.push) {
                (true, _) => Outcome::Checked,
                (false, true) => Outcome::Pushed,
                (false, false) => Outcome::Kept,
            };
            let all = with_needed(stack, &services);
            let document = bake::document(stack, &all, (&extra, outcome));
            return Ok(writeln!(io::stdout(), "{document:#}")?);
        }
        let requests = requests(context, stack, &services, &extra)?;
        if self.check {
            return checked(context, &requests);
        }
        context.require_root()?;
        let mode = match self.quiet {
            true => ProgressMode::Quiet,
            false => self.progress.unwrap_or(context.progress_mode()),
        };
        build_and_say(context, (stack, &requests), mode)?;
        match self.push {
            true => send(context, &requests),
            false => Ok(()),
        }
    }

    fn memory(&self) -> Result<Option<u64>> {
        let Some(text) = self.memory.as_deref().filter(|text| *text != "0") else {
            return Ok(None);
        };
        let bytes = crate::compose::parse_bytes(text);
        let wrong = || Error::new(format!("`{text}` is no size")).hint("write it like `512m`");
        bytes.map(Some).ok_or_else(wrong)
    }
}

/// Checks the Dockerfiles.
fn checked(context: &Context, requests: &[Request]) -> Result<()> {
    use crate::compose::Color;
    let color = match context.terminal.stderr {
        crate::ui::Paint::On => Color::Always,
        crate::ui::Paint::Off => Color::Never,
    };
    let width = crate::ui::terminal::size().0;
    let mut found = false;
    for request in requests {
        let report = check_request(request);
        found |= report.has_errors();
        if report.is_empty() {
            Terminal::say("Check complete, no warnings found.");
        } else {
            Terminal::say(report.render(color, width).trim_end());
        }
    }
    match found {
        true => Err(Error::new("the checks have found errors")),
        false => Ok(()),
    }
}

/// Sends every image to its registry.
fn send(context: &Context, requests: &[Request]) -> Result<()> {
    let store = context.images()?;
    let options = PushOptions {
        registries: context.registries(),
        ..PushOptions::default()
    };
    for reference in requests.iter().flat_map(|request| &request.names) {
        let name = reference.familiar();
        Terminal::say(&format!("Image {name} Pushing"));
        block_on(async {
            let pushed = push(&store, reference, &options, &no_progress).await;
            pushed
                .map(drop)
                .map_err(|error| Error::new(format!("cannot push {name}")).because(error))
        })?;
        Terminal::say(&format!("Image {name} Pushed"));
    }
    Ok(())
}
