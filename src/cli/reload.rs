//! Following the stack file: `up` asks for it, and a process that the supervisor starts applies edits.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use indexmap::IndexMap;
use jiff::Timestamp;

use super::args::{self, Cli};
use super::build_phase::{When, build_needed, name_built};
use super::context::{Context, Warnings};
use super::drive::{block_on, note, to_done, warn};
use super::error::{Error, Result};
use super::image_phase::{Failures, Shown, Wanted, ensure};
use super::instances;
use super::plan;
use super::project::{Dependencies, Selection, select_to_make};
use super::provider;
use super::up::{Flags, scale, with_step_images};
use super::volume::changed::{Answer, agreed};
use crate::compose::Loaded;
use crate::compose::model::ServiceName;
use crate::control::follow::{Inputs, Owner, Report, Start, Status, trouble};
use crate::control::{Client, Command, Edit, Touched, Up};
use crate::plan::Desired;
use crate::state::Paths;
use crate::ui::{Ansi, Paint, ProgressMode, Terminal};

/// Who has the stack file followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// This command, as long as it lives.
    Us,
    /// The project: until `down`, or an `up -d` that does not ask for it.
    Project,
}

/// Has the files that were loaded followed. A file that cannot be read twice (a pipe) keeps a command
/// from following only when that was asked for.
pub(super) fn follow(context: &Context, project: &str, who: Who) -> Result<()> {
    let seen = context.source.seen();
    let args: Option<Vec<String>> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.into_string().ok())
        .collect();
    let args = match args {
        Some(args) if seen.lasts() => args,
        _ if who == Who::Us => return Ok(()),
        _ => {
            return Err(
                Error::new("the stack file cannot be followed: it cannot be read again")
                    .hint("name a file that stays, or leave `--watch-file` out"),
            );
        }
    };
    let owner = match who {
        Who::Us => Some(
            Owner::this()
                .map_err(|error| Error::new("cannot look at this process").because(error))?,
        ),
        Who::Project => None,
    };
    let inputs = Inputs {
        version: 1,
        args,
        working_dir: context.working_dir().to_owned(),
        env: crate::compose::source::Source::variables(&context.source),
        stdin: context
            .read_stdin()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        colour: context.terminal.stderr == Paint::On,
        owner,
    };
    context.require_root()?;
    let client = Client::new(&context.paths, project);
    block_on(async { Ok(client.follow(&Start { inputs, seen }).await?) })
}

/// Ends what an earlier `up -d --watch-file` has begun: the last one says how it is to be. What a
/// command in another terminal follows is left to it.
pub(super) fn unfollow(context: &Context, project: &str) -> Result<()> {
    match Inputs::read(&context.paths, project)? {
        Some(inputs) if inputs.owner.is_none() => {
            let client = Client::new(&context.paths, project);
            block_on(async { Ok(client.unfollow().await?) })
        }
        _ => Ok(()),
    }
}

/// The project that follows the files which we could not load, and could not load them either: it goes
/// on as it was, and can be looked at.
pub(super) fn broken_project(context: &Context) -> Option<String> {
    let ours = context.source.seen();
    let names = crate::engine::native::projects(&context.paths).ok()?;
    names.into_iter().find(|name| {
        let status = Status::read(&context.paths, name).ok().flatten();
        status.is_some_and(|status| status.trouble.is_some() && status.seen.shares(&ours))
    })
}

/// Says what is wrong with the last edit of a file that is followed.
pub(super) fn note_trouble(context: &Context, project: &str) {
    if let Some(trouble) = trouble(&context.paths, project) {
        let message = format!(
            "the last edit of the stack file was not applied ({}):",
            trouble.at.strftime("%H:%M:%S UTC")
        );
        warn(&message, context.terminal.stderr);
        for line in trouble.message.lines() {
            note(line);
        }
    }
}

/// Applies an edit of the files that a project's supervisor follows: the process that it starts.
///
/// Arguments: root, run-time root, project, and the files that have changed.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let [root, run, project, changed @ ..] = arguments else {
        eprintln!("usage: stack reload ROOT RUN PROJECT [FILE…] (started by a supervisor)");
        return ExitCode::from(2);
    };
    let paths = Paths::given(root.into(), run.into());
    let project = project.to_string_lossy();
    let result = Reload::new(&paths, &project).and_then(|reload| {
        let paint = reload.context.terminal.stderr;
        reload.run(changed).map_err(|error| (error, paint))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((error, paint)) => super::report(&error, paint),
    }
}

/// An edit on its way.
struct Reload {
    context: Context,
    flags: Flags,
    project: String,
}

/// A good edit, compared with what is recorded.
struct Compared {
    desired: Desired,
    touched: Touched,
    edit: Edit,
}

impl Reload {
    /// Takes up what the `up` that is followed was called with.
    fn new(paths: &Paths, project: &str) -> Result<Self, (Error, Paint)> {
        let plain = |error: Error| (error, Paint::Off);
        let inputs = Inputs::read(paths, project)
            .map_err(|error| plain(error.into()))?
            .ok_or_else(|| plain(Error::new("nothing is followed")))?;
        let arguments = std::iter::once("stack".to_owned()).chain(inputs.args);
        let cli =
            Cli::try_parse_from(arguments).map_err(|error| plain(Error::new(error.to_string())))?;
        let args::Command::Up(up) = cli.command else {
            return Err(plain(Error::new("only `up` is followed")));
        };
        let mut global = cli.global;
        global.progress = Some(match global.progress {
            Some(ProgressMode::Quiet) => ProgressMode::Quiet,
            _ => ProgressMode::Plain,
        });
        global.ansi = Some(match inputs.colour {
            true => Ansi::Always,
            false => Ansi::Never,
        });
        let mut context = Context::new(global).map_err(plain)?;
        context.paths = paths.clone();
        Ok(Self {
            context,
            flags: up.flags(),
            project: project.to_owned(),
        })
    }

    fn run(&self, changed: &[OsString]) -> Result<()> {
        let loaded = self.context.load(Warnings::Hidden);
        let seen = self.context.source.seen();
        say_on_stdout(&Report::Read { seen });
        let loaded = loaded?;
        if loaded.stack.name.as_str() != self.project {
            let name = &loaded.stack.name;
            return Err(Error::new(format!(
                "the project is called {name} now, and {} goes on as it was",
                self.project
            ))
            .hint(format!(
                "bring {name} up by `stack up`, and {0} down by `stack -p {0} down`",
                self.project
            )));
        }
        let asked = instances::Asked {
            names: &self.flags.shared.services,
            dependencies: self.dependencies(),
            without_ports: None,
        };
        let loaded = &*instances::settle(&self.context, &loaded, &asked, false)?;
        let asked = (asked.names, asked.dependencies);
        let mut selection = select_to_make(&self.context, &loaded.stack, asked)?;
        name_built(&mut selection.stack);
        let provided = provider::take(&mut selection);
        provider::bring_up(&self.context, loaded, &provided, &mut selection.stack)?;
        let mut compared = self.compare(&selection)?;
        let mut after = compared.desired.clone();
        let now = Timestamp::now();
        compared.command().apply(&mut after, now);
        if after == compared.desired && compared.touched == Touched::default() {
            return Ok(());
        }
        self.show(changed, (loaded, &selection), (&compared, &after))?;
        self.images(loaded, &selection, &mut compared)?;
        say_on_stdout(&Report::Applying);
        let client = Client::new(&self.context.paths, &self.project);
        let mut progress = self.context.progress("reload");
        block_on(async {
            let mut events = client.command(&compared.command()).await?;
            to_done(&mut events, &mut progress, self.context.terminal.stderr).await
        })
    }

    fn dependencies(&self) -> Dependencies {
        match self.flags.traits.no_deps {
            true => Dependencies::LeftOut,
            false => Dependencies::Included,
        }
    }

    /// Compares the stack with what is recorded. Images are those that are here.
    fn compare(&self, selection: &Selection) -> Result<Compared> {
        let (shared, traits) = (&self.flags.shared, self.flags.traits);
        let recorded = self.context.desired(&self.project)?;
        let desired = recorded.unwrap_or_else(|| Desired::new(&self.project));
        let touched = Touched::find(&desired, &selection.stack, &selection.services);
        let mut image_ids = plan::known_images(&self.context, selection)?;
        let images = touched.need_images();
        // An image that was fetched anew for something else is no edit.
        for name in selection
            .services
            .iter()
            .filter(|name| !images.contains(name))
        {
            let id = desired
                .services
                .get(name)
                .and_then(|old| old.image_id.clone());
            match id {
                Some(id) => drop(image_ids.insert(name.clone(), id)),
                None => drop(image_ids.shift_remove(name)),
            }
        }
        let up = Up {
            image_ids,
            scale: scale(&shared.scale, &selection.stack)?,
            recreate: shared.recreate_for_edit(),
            no_start: traits.no_start,
            no_deps: traits.no_deps,
            all_resources: self.context.global.all_resources,
            ..Up::new(selection.stack.clone(), selection.services.clone())
        };
        let edit = Edit {
            up,
            touched: touched.all(),
        };
        Ok(Compared {
            desired,
            touched,
            edit,
        })
    }

    /// Says what has changed, what is to be known of it, and what will be done.
    fn show(
        &self,
        changed: &[OsString],
        (loaded, selection): (&Loaded, &Selection),
        (compared, after): (&Compared, &Desired),
    ) -> Result<()> {
        let context = &self.context;
        note(&headline(context, changed));
        context.warn(&loaded.warnings);
        context.review(loaded, &selection.stack, &selection.services)?;
        // Nobody is there to be asked.
        agreed(context, (&selection.stack, &selection.services), Answer::No)?;
        for name in &compared.touched.removed {
            note(&format!(
                "{name} has left the stack file: its containers are removed"
            ));
        }
        let (plan, _) = plan::of(context, after)?;
        match plan.is_empty() && compared.touched.rebuilt.is_empty() {
            true => note("nothing to do"),
            false => Terminal::say(plan.to_string().trim_end()),
        }
        plan::refuse_fatal(&plan)
    }

    /// Sees to the images of what the edit touches, and notes which they are.
    fn images(
        &self,
        loaded: &Loaded,
        selection: &Selection,
        compared: &mut Compared,
    ) -> Result<()> {
        let touched = &compared.touched;
        let services = touched.need_images();
        if services.is_empty() {
            return Ok(());
        }
        say_on_stdout(&Report::Fetching);
        let (context, shared) = (&self.context, &self.flags.shared);
        let mode = match shared.quiet_build {
            true => ProgressMode::Quiet,
            false => context.progress_mode(),
        };
        if !shared.no_build {
            let stack = &selection.stack;
            build_needed(context, (stack, &touched.rebuilt), (When::Always, mode))?;
            build_needed(context, (stack, &services), (When::Missing, mode))?;
        }
        let wanted = Selection {
            stack: selection.stack.clone(),
            services,
        };
        let with_steps = with_step_images(&wanted);
        let (stack, services) = match &with_steps {
            Some((stack, services)) => (stack, services),
            None => (&wanted.stack, &wanted.services),
        };
        let mut ids: IndexMap<ServiceName, String> = ensure(
            context,
            &Wanted {
                stack,
                services,
                positions: Some(&loaded.positions),
                pull: shared.pull,
                failures: Failures::Fatal,
                shown: Shown::unless_quiet(shared.quiet_pull),
            },
        )?;
        ids.retain(|name, _| wanted.services.contains(name));
        compared.edit.up.image_ids.extend(ids);
        Ok(())
    }
}

impl Compared {
    fn command(&self) -> Command {
        Command::Edit(Box::new(self.edit.clone()))
    }
}

/// `stack.yaml and .env have changed:`
fn headline(context: &Context, changed: &[OsString]) -> String {
    let shown = |path: &OsString| {
        let path = std::path::Path::new(path);
        let near = path.strip_prefix(context.working_dir()).unwrap_or(path);
        near.display().to_string()
    };
    let names: Vec<String> = changed.iter().map(shown).collect();
    match names.as_slice() {
        [] => "the stack file has changed:".to_owned(),
        [one] => format!("{one} has changed:"),
        [first @ .., last] => format!("{} and {last} have changed:", first.join(", ")),
    }
}

/// Says something to the supervisor.
fn say_on_stdout(report: &Report) {
    let mut out = std::io::stdout().lock();
    if let Ok(text) = serde_json::to_string(report) {
        // Who does not listen any more ends this process, too.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}
