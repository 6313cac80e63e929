//! `stack run`: one program in a new container of a service.

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use clap::Args;
use indexmap::IndexMap;

use super::attach::{End, Signals, Streams, To, conclude, join, recorded_end};
use super::attach_to::no_terminal;
use super::build_phase::{When, build_needed, name_built};
use super::context::{Context, Warnings};
use super::docker_config::DockerConfig;
use super::drive::{block_on, broken_off, pause, show, to_done};
use super::error::{Error, Result};
use super::image_phase::{Failures, Pull, Shown, Wanted, ensure};
use super::instances;
use super::overrides::Overrides;
use super::plan::known_images;
use super::project::{Dependencies, select};
use super::provider;
use super::rehearsal;
use super::run_hooks::Running;
use super::up::{orphans, say_orphans};
use crate::compose::Loaded;
use crate::compose::model::{Hook, ServiceName, Stack};
use crate::control::{
    Client, Command, Event, Events, Kind, OneOff, Progress as Change, ProgressState, Removal, Up,
};
use crate::engine::native::objects::create_volume;
use crate::runtime::client::{Attached, ClientError, attach, signal};
use crate::runtime::protocol::{AttachInput, AttachRequest};
use crate::ui::raw_mode::RawMode;
use crate::ui::{Progress, ProgressMode};

/// Time between two attempts to reach a shim that is being started.
const RETRY: Duration = Duration::from_millis(2);

/// Flags of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Service whose image and configuration are used.
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Program and arguments; none = the service's.
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
    #[command(flatten)]
    overrides: Overrides,
    /// Run in the background and print the container's name.
    #[arg(short, long)]
    detach: bool,
    /// Keep standard input open.
    #[arg(
        short,
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true,
        hide_possible_values = true,
        action = clap::ArgAction::Set
    )]
    interactive: bool,
    /// Do not give the program a terminal.
    #[arg(short = 'T', long, visible_alias = "no-TTY")]
    no_tty: bool,
    /// Give the program a terminal; the default where there is one.
    #[arg(
        short,
        long,
        hide = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    tty: Option<bool>,
    /// Remove the container when the program ends.
    #[arg(long)]
    rm: bool,
    /// Name of the container.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Do not start the services that this one needs.
    #[arg(long)]
    no_deps: bool,
    /// Answer to the service's name and aliases on its networks.
    #[arg(long)]
    use_aliases: bool,
    /// Which images to fetch.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "policy")]
    pull: Pull,
    /// Fetch without showing it.
    #[arg(long)]
    quiet_pull: bool,
    /// Show nothing but the program's output.
    #[arg(short, long)]
    quiet: bool,
    /// Remove containers of services that the stack file does not have.
    #[arg(long)]
    remove_orphans: bool,
    /// Build the image first, also when it is here.
    #[arg(long)]
    build: bool,
    /// Build without showing it.
    #[arg(long)]
    quiet_build: bool,
}

/// What a one-off container is made from.
struct Chosen {
    stack: Stack,
    /// The services that it needs, without its own.
    needed: Vec<ServiceName>,
    /// Ids of the images of all of them.
    images: IndexMap<ServiceName, String>,
}

/// A one-off container that is to be made, and what to join it to.
struct Prepared {
    project: String,
    command: Command,
    auto_remove: bool,
    detach: bool,
    interactive: bool,
    hooks: Vec<Hook>,
}

impl Run {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let dry_run = context.global.dry_run;
        if !dry_run {
            context.require_root()?;
        }
        let loaded = context.load(Warnings::Shown)?;
        let names = std::slice::from_ref(&self.service);
        let service = ServiceName::new(&self.service);
        let asked = instances::Asked {
            names,
            dependencies: match self.no_deps {
                true => Dependencies::LeftOut,
                false => Dependencies::Included,
            },
            without_ports: Some(&service),
        };
        select(&loaded.stack, names, Dependencies::Included)?;
        let loaded = &*instances::settle(context, &loaded, &asked, dry_run)?;
        let Chosen {
            mut stack,
            needed,
            mut images,
        } = self.choose(context, loaded, &service)?;
        let image_id = images.shift_remove(&service).unwrap_or_default();
        let as_written = stack.clone();
        let has_terminal = self.wants_terminal()?;
        if has_terminal && self.interactive && !self.detach && !io::stdin().is_terminal() {
            return Err(no_terminal());
        }
        if let Some(model) = stack.services.get_mut(&service) {
            let given = (self.command.as_slice(), &loaded.variables);
            self.overrides.apply(model, &mut stack.volumes, given)?;
            model.tty = has_terminal;
            model.stdin_open = self.interactive;
        }
        instances::settle_one_off(context, loaded, (&mut stack, &service))?;
        if !dry_run {
            make_given(context, &stack, &as_written)?;
        }
        self.tidy_orphans(context, (loaded, &as_written))?;
        let up = match needed.is_empty() {
            true => None,
            false => Some(self.needs(&as_written, (needed, images))),
        };
        let one_off = OneOff {
            stack,
            service,
            image_id,
            name: self.name.clone(),
            auto_remove: self.rm,
            wait_attach: !self.detach,
            use_aliases: self.use_aliases,
            no_deps: self.no_deps,
        };
        if dry_run {
            return self.rehearse(context, up.as_ref(), &one_off);
        }
        if let Some(up) = &up {
            self.drive(context, &as_written, up)?;
        }
        let prepared = Prepared {
            project: one_off.stack.name.to_string(),
            auto_remove: self.rm,
            detach: self.detach,
            interactive: self.interactive,
            hooks: one_off
                .model()
                .map(|model| model.post_start.clone())
                .unwrap_or_default(),
            command: Command::Run(Box::new(one_off)),
        };
        prepared.run(context, self.progress(context))
    }

    /// Whether the program gets a terminal.
    fn wants_terminal(&self) -> Result<bool> {
        match (self.tty, self.no_tty) {
            (Some(_), true) => Err(Error::new("--tty and --no-tty can't be used together")),
            (Some(tty), false) => Ok(tty),
            (None, true) => Ok(false),
            (None, false) => Ok(io::stdin().is_terminal() && io::stdout().is_terminal()),
        }
    }

    /// Makes sure of the images; their ids.
    fn images(
        &self,
        context: &Context,
        loaded: &Loaded,
        (stack, services): (&Stack, &[ServiceName]),
    ) -> Result<IndexMap<ServiceName, String>> {
        let mode = match self.quiet || self.quiet_build {
            true => ProgressMode::Quiet,
            false => context.progress_mode(),
        };
        let when = When::of(self.build, false);
        build_needed(context, (stack, services), (when, mode))?;
        let wanted = Wanted {
            stack,
            services,
            positions: Some(&loaded.positions),
            pull: self.pull,
            failures: Failures::Fatal,
            shown: match self.quiet {
                true => Shown::Nothing,
                false => Shown::unless_quiet(self.quiet_pull),
            },
        };
        ensure(context, &wanted)
    }

    /// Selects the service and what it needs; their images and providers are there then.
    fn choose(&self, context: &Context, loaded: &Loaded, service: &ServiceName) -> Result<Chosen> {
        let dry_run = context.global.dry_run;
        let names = std::slice::from_ref(&self.service);
        let mut selection = select(&loaded.stack, names, Dependencies::Included)?;
        name_built(&mut selection.stack);
        let mut needed = selection.services.clone();
        if self.no_deps {
            needed.retain(|name| name == service);
        }
        context.review(loaded, &selection.stack, &needed)?;
        let provided = provider::take(&mut selection);
        needed.retain(|name| selection.services.contains(name));
        let images = match dry_run {
            true => known_images(context, &selection)?,
            false => self.images(context, loaded, (&selection.stack, &needed))?,
        };
        if !self.no_deps && !dry_run {
            provider::bring_up(context, loaded, &provided, &mut selection.stack)?;
        }
        needed.retain(|name| name != service);
        Ok(Chosen {
            stack: selection.stack,
            needed,
            images,
        })
    }

    /// Says what would be done.
    fn rehearse(&self, context: &Context, up: Option<&Command>, one_off: &OneOff) -> Result<()> {
        let (stack, service) = (&one_off.stack, one_off.service.as_str());
        let random = || {
            let slug = format!("{:012x}", fastrand::u64(..) >> 16);
            let parts = [stack.name.as_str(), service, "run", &slug];
            stack.separator.join(&parts)
        };
        let name = one_off.name.clone().unwrap_or_else(random);
        if one_off.image_id.is_empty()
            && let Some(model) = one_off.model()
        {
            let states = match model.has_build {
                true => [ProgressState::Building, ProgressState::Built],
                false => [ProgressState::Pulling, ProgressState::Pulled],
            };
            rehearsal::show_images(context, model.image.as_deref(), states);
        }
        rehearsal::show_run(context, up, (one_off, &name))?;
        if self.detach {
            return Ok(writeln!(io::stdout(), "{name}")?);
        }
        context.refuse_dry_run("interactive run")
    }

    /// Says which containers are left of something else, or removes them.
    fn tidy_orphans(&self, context: &Context, (loaded, stack): (&Loaded, &Stack)) -> Result<()> {
        let flag = |name: &str| context.says(loaded, name);
        let found = orphans(context, stack)?;
        if found.is_empty() {
            return Ok(());
        }
        if !self.remove_orphans && !flag("COMPOSE_REMOVE_ORPHANS") {
            if !flag("COMPOSE_IGNORE_ORPHANS") {
                say_orphans(context, found.iter());
            }
            return Ok(());
        }
        if found.iter().any(|orphan| !orphan.one_off) {
            // Nothing comes up: what the stack file does not have goes.
            let none = (Vec::new(), IndexMap::new());
            self.drive(context, stack, &self.needs(stack, none))?;
        }
        let once = found.iter().filter(|orphan| orphan.one_off);
        let removal = Removal {
            containers: once.clone().map(|orphan| orphan.id.clone()).collect(),
            services: once.map(|orphan| orphan.service.clone()).collect(),
            ..Removal::default()
        };
        if removal.containers.is_empty() {
            return Ok(());
        }
        self.drive(context, stack, &Command::Remove(removal))
    }

    /// The command that brings up what the service needs.
    fn needs(
        &self,
        stack: &Stack,
        (services, image_ids): (Vec<ServiceName>, IndexMap<ServiceName, String>),
    ) -> Command {
        Command::Up(Box::new(Up {
            image_ids,
            remove_orphans: self.remove_orphans,
            ..Up::new(stack.clone(), services)
        }))
    }

    fn drive(&self, context: &Context, stack: &Stack, command: &Command) -> Result<()> {
        if context.global.dry_run {
            return rehearsal::show(context, stack.name.as_str(), command);
        }
        let client = Client::new(&context.paths, stack.name.as_str());
        let mut progress = self.progress(context);
        block_on(async {
            let mut events = client.command(command).await?;
            to_done(&mut events, &mut progress, context.terminal.stderr).await
        })
    }

    fn progress(&self, context: &Context) -> Progress {
        match self.quiet {
            true => Progress::Quiet,
            false => context.progress("run"),
        }
    }
}

impl Prepared {
    fn run(self, context: &Context, mut progress: Progress) -> Result<()> {
        let client = Client::new(&context.paths, &self.project);
        let paint = context.terminal.stderr;
        if self.detach {
            let id = block_on(async {
                let mut events = client.command(&self.command).await?;
                let (id, _) = made(&mut events, &mut progress, context).await?;
                to_done(&mut events, &mut progress, paint).await?;
                Ok(id)
            })?;
            let hooks = Running::begin(context, &id, &self.hooks);
            writeln!(io::stdout(), "{id}")?;
            return hooks.map_or(Ok(()), Running::end);
        }
        let (id, attached) = block_on(async {
            let mut events = client.command(&self.command).await?;
            let (id, name) = made(&mut events, &mut progress, context).await?;
            progress.finish();
            let attached = self.reach(context, &mut events, (&id, &name)).await;
            Ok((id, attached))
        })?;
        context.release_images();
        let hooks = match &attached {
            Ok(_) => Running::begin(context, &id, &self.hooks),
            Err(_) => None,
        };
        let end = attached.and_then(|attached| self.stay(context, &id, attached));
        if let Ok(End::Detached) = end {
            return Ok(());
        }
        // One that could not be started goes, too.
        let removed = match self.auto_remove {
            true => remove(context, &client, &id),
            false => Ok(()),
        };
        let end = end?;
        let hooks = hooks.map_or(Ok(()), Running::end);
        removed?;
        conclude(end)?;
        hooks
    }

    /// Attaches as soon as the shim is there; it starts the program then.
    async fn reach(
        &self,
        context: &Context,
        events: &mut Events,
        (id, name): (&str, &str),
    ) -> Result<Attached> {
        let socket = context.paths.shim_socket(id);
        let input = match self.interactive {
            true => AttachInput::Once,
            false => AttachInput::None,
        };
        let mut silent = Progress::Quiet;
        loop {
            match attach(&socket, AttachRequest { input }) {
                Ok(attached) => return Ok(attached),
                // Not there yet; or there no more, because the program could not be started: the
                // supervisor says why.
                Err(ClientError::Connect { .. } | ClientError::Gone) => {}
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event? else {
                        return Err(broken_off());
                    };
                    match show(&event, &mut silent, context.terminal.stderr) {
                        Some(Err(error)) => return Err(error),
                        Some(Ok(())) => return Err(Error::new(format!(
                            "container {name} ended before it could be attached to"
                        ))),
                        None => {}
                    }
                }
                () = pause(Some(RETRY)) => {}
            }
        }
    }

    /// Stays with the program to its end.
    fn stay(&self, context: &Context, id: &str, attached: Attached) -> Result<End> {
        let signals = Signals::take()?;
        let socket = context.paths.shim_socket(id);
        // A program that has ended meanwhile needs no signal.
        let mut send = |number| drop(signal(&socket, number));
        let fault = |error| Error::new("cannot use the program's terminal").because(error);
        let mut streams = Streams {
            outputs: vec![(attached.stdout, To::Stdout), (attached.stderr, To::Stderr)],
            ..Streams::default()
        };
        let mut raw = None;
        if attached.terminal {
            let master = attached.stdin.as_ref();
            streams.terminal = master.map(|fd| fd.try_clone()).transpose().map_err(fault)?;
            if io::stdin().is_terminal() && self.interactive {
                let usual = DockerConfig::read(context).detach_keys();
                streams.detach = Some(usual.unwrap_or_default());
                raw = Some(RawMode::enter().map_err(fault)?);
            }
        }
        streams.input = attached.stdin.filter(|_| self.interactive);
        let end = join(streams, &attached.connection, &signals, &mut send);
        drop(raw);
        match end? {
            End::Unknown => Ok(recorded_end(context, id)),
            end => Ok(end),
        }
    }
}

/// Makes the volumes that only the command line names: they are the caller's, not the project's.
fn make_given(context: &Context, stack: &Stack, as_written: &Stack) -> Result<()> {
    for (key, volume) in &stack.volumes {
        if !as_written.volumes.contains_key(key) {
            create_volume(&context.paths, volume)?;
        }
    }
    Ok(())
}

/// Waits until the container has been made: its id and name.
async fn made(
    events: &mut Events,
    progress: &mut Progress,
    context: &Context,
) -> Result<(String, String)> {
    loop {
        let Some(event) = super::drive::next(events, progress).await? else {
            return Err(broken_off());
        };
        if let Event::OneOff { id, name } = event {
            for state in [ProgressState::Creating, ProgressState::Created] {
                progress.update(&Change {
                    kind: Kind::Container,
                    name: name.clone(),
                    state,
                    detail: None,
                });
            }
            return Ok((id, name));
        }
        match show(&event, progress, context.terminal.stderr) {
            Some(Err(error)) => return Err(error),
            Some(Ok(())) => return Err(broken_off()),
            None => {}
        }
    }
}

/// Sees to it that the container is gone before we are. The supervisor removes it by itself when the
/// program ends; asking makes it sure, and is the way to wait for it.
fn remove(context: &Context, client: &Client, id: &str) -> Result<()> {
    if !context.paths.container(id).exists() {
        return Ok(());
    }
    let command = Command::RemoveOneOff { id: id.to_owned() };
    block_on(async {
        let mut events = client.command(&command).await?;
        to_done(&mut events, &mut Progress::Quiet, context.terminal.stderr).await
    })
}
