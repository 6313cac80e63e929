//! What every command has at hand: flags, environment, paths, the terminal.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use clap::ValueEnum;
use nix::unistd::geteuid;

use super::args::Global;
use super::error::{Error, Result};
use super::settings;
use super::source::DiskSource;
use crate::compose::concerns::Part;
use crate::compose::diagnostic::Color;
use crate::compose::model::{FileSource, Separator, ServiceName, Stack};
use crate::compose::source::Source;
use crate::compose::{Diagnostics, LoadOptions, Loaded, load};
use crate::engine::native::{capabilities, projects};
use crate::image::{Digest, Hold, ImageStore, Registries};
use crate::instance::ports::Given;
use crate::instance::{Record, ports, subnets};
use crate::plan::Desired;
use crate::state::{Paths, read_json};
pub(crate) use crate::ui::terminal::says_yes;
use crate::ui::{Ansi, Progress, ProgressMode, Terminal};

/// What every command has at hand. Environment and working directory are read here, once.
#[derive(Debug)]
pub(crate) struct Context {
    /// Flags before the sub-command.
    pub(crate) global: Global,
    /// Files and environment.
    pub(crate) source: DiskSource,
    /// Where everything lies.
    pub(crate) paths: Paths,
    /// What the output can show.
    pub(crate) terminal: Terminal,
    progress: ProgressMode,
    settings: HashMap<String, String>,
    working_dir: PathBuf,
    /// Nothing of the image store is deleted meanwhile, see [`Context::hold_images`].
    held: Mutex<Option<Hold>>,
    stdin: OnceLock<Vec<u8>>,
}

/// Whether warnings of the stack file are shown: by commands that act on what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warnings {
    /// They are.
    Shown,
    /// The command only needs names.
    Hidden,
}

/// How much of the stack file a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Everything.
    Model,
    /// The project's name, and those of its services. The file is checked all the same.
    Names,
}

impl Context {
    /// Captures the environment.
    pub(crate) fn new(mut global: Global) -> Result<Self> {
        global.rename_old()?;
        let source = DiskSource::capture();
        let working_dir = std::env::current_dir()
            .map_err(|error| Error::new("cannot find the current directory").because(error))?;
        let env = |name: &str| source.env(name).filter(|value| !value.is_empty());
        let settings = settings::read(&global, &working_dir, &env);
        let setting = |name: &str| env(name).or_else(|| settings.get(name).cloned());
        let ansi = match choice(global.ansi, "COMPOSE_ANSI", setting)? {
            // Of two settings the one for all programs counts; a flag is about this very command.
            Ansi::Always if global.ansi.is_none() && env("NO_COLOR").is_some() => Ansi::Auto,
            ansi => ansi,
        };
        // This one, and what `Terminal::detect` asks for, are the environment's alone (Docker Compose).
        let progress = choice(global.progress, "COMPOSE_PROGRESS", env)?;
        if let Some(limit) = setting("COMPOSE_PARALLEL_LIMIT").filter(|_| global.parallel == -1) {
            global.parallel = limit.trim().parse().map_err(|_| {
                Error::new(format!(
                    "COMPOSE_PARALLEL_LIMIT must be an integer (found: \"{limit}\")"
                ))
            })?;
        }
        Ok(Self {
            paths: Paths::resolve(env, geteuid().is_root()),
            terminal: Terminal::detect(ansi, env),
            progress,
            settings,
            working_dir,
            held: Mutex::new(None),
            stdin: OnceLock::new(),
            global,
            source,
        })
    }

    /// A variable of the environment.
    pub(crate) fn env(&self, name: &str) -> Option<String> {
        self.source.env(name)
    }

    /// A `COMPOSE_` variable of the environment, or of the project's `.env`.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        self.env(name).or_else(|| self.settings.get(name).cloned())
    }

    /// How progress is to be shown.
    pub(crate) fn progress_mode(&self) -> ProgressMode {
        self.progress
    }

    /// Whether keys can be read and something be drawn for them.
    pub(crate) fn can_have_menu(&self) -> bool {
        let is_plain = matches!(
            self.progress,
            ProgressMode::Plain | ProgressMode::Json | ProgressMode::Quiet
        );
        self.terminal.interactive && self.terminal.live && !is_plain
    }

    /// The name of the project that was given, by flag or environment.
    pub(crate) fn given_name(&self) -> Option<String> {
        let given = self.global.project_name.clone();
        given
            .or_else(|| self.source.env("COMPOSE_PROJECT_NAME"))
            .filter(|name| !name.is_empty())
    }

    /// What to load, by the flags of every command.
    pub(crate) fn load_options(&self) -> Result<LoadOptions> {
        let global = &self.global;
        let stdin = match global.files.iter().any(|file| file.as_os_str() == "-") {
            true => Some(self.stdin()?),
            false => None,
        };
        Ok(LoadOptions {
            stdin,
            ..global.load_options(self.working_dir.clone())
        })
    }

    /// Loads the stack file. An instance has the ports that it was given when it was brought up.
    pub(crate) fn load(&self, warnings: Warnings) -> Result<Loaded> {
        self.load_for(Reading::Model, warnings)
    }

    /// The same, as much of it as is needed.
    pub(super) fn load_for(&self, reading: Reading, warnings: Warnings) -> Result<Loaded> {
        let mut loaded = match reading {
            Reading::Model => self.load_with_ports(&[])?,
            Reading::Names => self.load_names()?,
        };
        if loaded.instance.is_some()
            && reading == Reading::Model
            && let Some(record) = Record::read(&self.paths, loaded.stack.name.as_str())?
        {
            if !record.ports.is_empty() {
                loaded = self.load_with_ports(&record.ports)?;
            }
            ports::apply(&mut loaded.stack, &record.ports);
            subnets::apply(&mut loaded.stack, &record.subnets);
        }
        if warnings == Warnings::Shown {
            self.warn(&loaded.warnings);
        }
        Ok(loaded)
    }

    /// The same for a command about what is there: files with variables that are gone keep nobody from
    /// stopping what was started with them.
    pub(super) fn load_to_find(&self, reading: Reading) -> Result<Loaded> {
        self.load_for(reading, Warnings::Hidden).or_else(|error| {
            let mut options = self.load_options()?;
            options.skip.shared_names = true;
            options.skip.environment = true;
            let mut loaded = load(&self.source, &options).map_err(|_| error)?;
            loaded.stack.separator = self.separator(&loaded);
            Ok(loaded)
        })
    }

    fn load_names(&self) -> Result<Loaded> {
        let mut options = self.load_options()?;
        options.skip.shared_names = true;
        options.skip.hashes = true;
        options.skip.model = true;
        Ok(load(&self.source, &options)?)
    }

    /// Loads the stack file as it is written, with variables for the ports that an instance was given.
    pub(crate) fn load_with_ports(&self, given: &[Given]) -> Result<Loaded> {
        let mut options = self.load_options()?;
        options.skip.shared_names = true;
        options.variables = ports::variables(given);
        let mut loaded = load(&self.source, &options)?;
        loaded.stack.separator = self.separator(&loaded);
        measure_files(&mut loaded.stack, &self.source);
        Ok(loaded)
    }

    /// A variable that says yes, of the environment or of the project's `.env`.
    pub(crate) fn says(&self, loaded: &Loaded, name: &str) -> bool {
        let value = self.env(name);
        let value = value.or_else(|| loaded.variables.get(name).cloned());
        value.is_some_and(|value| says_yes(&value))
    }

    /// How the project's containers and images are named.
    fn separator(&self, loaded: &Loaded) -> Separator {
        match self.global.compatibility || self.says(loaded, "COMPOSE_COMPATIBILITY") {
            true => Separator::Underscore,
            false => Separator::Dash,
        }
    }

    /// Standard input, read once.
    fn stdin(&self) -> Result<Vec<u8>> {
        if let Some(bytes) = self.stdin.get() {
            return Ok(bytes.clone());
        }
        let bytes = read_stdin()?;
        Ok(self.stdin.get_or_init(|| bytes).clone())
    }

    /// What standard input had, when a stack file was there.
    pub(crate) fn read_stdin(&self) -> Option<&[u8]> {
        self.stdin.get().map(Vec::as_slice)
    }

    /// Where we were called.
    pub(crate) fn working_dir(&self) -> &Path {
        &self.working_dir
    }

    /// Tells what is to be known before these services of a stack are run; fails when one cannot be.
    pub(crate) fn review(
        &self,
        loaded: &Loaded,
        stack: &Stack,
        services: &[ServiceName],
    ) -> Result<()> {
        let asked = |part: &Part| match part {
            Part::Service(name) => services.contains(name),
            Part::Network(key) => stack.networks.contains_key(key),
            Part::Volume(key) => stack.volumes.contains_key(key),
            Part::Other(..) => true,
        };
        let found = loaded.review(capabilities::concerns(loaded), &asked);
        if found.has_errors() {
            return Err(found.into());
        }
        self.warn(&found);
        Ok(())
    }

    /// Shows problems that do not stop anything.
    pub(crate) fn warn(&self, diagnostics: &Diagnostics) {
        if diagnostics.is_empty() {
            return;
        }
        let color = match self.terminal.stderr {
            crate::ui::Paint::On => Color::Always,
            crate::ui::Paint::Off => Color::Never,
        };
        let width = crate::ui::terminal::width_for_problems();
        Terminal::say(diagnostics.render(color, width).trim_end());
    }

    /// What a project is to look like, as recorded; `None` when nothing was brought up.
    pub(crate) fn desired(&self, project: &str) -> Result<Option<Desired>> {
        Ok(read_json(
            &self.paths.project(project).join("desired.json"),
        )?)
    }

    /// What all projects are to be like that were brought up, by name.
    pub(crate) fn all_desired(&self) -> Result<BTreeMap<String, Desired>> {
        let mut all = BTreeMap::new();
        for project in projects(&self.paths)? {
            if let Some(desired) = self.desired(&project)? {
                all.insert(project, desired);
            }
        }
        Ok(all)
    }

    /// The image store.
    pub(crate) fn images(&self) -> Result<ImageStore> {
        Ok(ImageStore::open(self.paths.root())?)
    }

    /// Keeps images from being deleted between the look at them and the creation of the containers.
    pub(crate) fn hold_images(&self) -> Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = Some(self.images()?.hold_only()?);
        }
        Ok(())
    }

    /// The containers are there: what they need is known by them.
    pub(crate) fn release_images(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How registries are spoken to.
    pub(crate) fn registries(&self) -> Registries {
        Registries::from_environment(&|name| self.source.env(name))
    }

    /// Progress under this title.
    pub(crate) fn progress(&self, title: &str) -> Progress {
        Progress::new(self.progress, self.terminal, title)
    }

    /// Refuses to go on without the rights that containers need.
    pub(crate) fn require_root(&self) -> Result<()> {
        if geteuid().is_root() {
            return Ok(());
        }
        Err(Error::new(
            "containers can only be run by root: namespaces, mounts and networks need it",
        )
        .hint("run it with `sudo`; running without root is not supported yet"))
    }

    /// Refuses `--dry-run` where nothing can be shown.
    pub(crate) fn refuse_dry_run(&self, command: &str) -> Result<()> {
        match self.global.dry_run {
            true => Err(Error::new(format!(
                "{command} is not supported in dry-run mode"
            ))),
            false => Ok(()),
        }
    }
}

/// The flag, else the variable, else the default.
fn choice<T: ValueEnum + Default>(
    flag: Option<T>,
    variable: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<T> {
    match (flag, env(variable)) {
        (Some(value), _) => Ok(value),
        (None, Some(text)) => T::from_str(&text, true).map_err(|_| {
            let flag = variable.trim_start_matches("COMPOSE_").to_lowercase();
            Error::new(format!("unsupported --{flag} value \"{text}\"")).hint(format!(
                "it is that of {variable}: unset it, or see `stack --help` for the values"
            ))
        }),
        (None, None) => Ok(T::default()),
    }
}

fn read_stdin() -> Result<Vec<u8>> {
    use std::io::Read as _;
    // No stack file is near this; an endless stream must not fill the memory.
    const LIMIT: u64 = 64 << 20;
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            Error::new("cannot read the stack file from standard input").because(error)
        })?;
    Ok(bytes)
}

/// Notes what is in the files that services are given: a change of it is a change of the service.
fn measure_files(stack: &mut Stack, source: &dyn Source) {
    for object in stack.configs.values_mut().chain(stack.secrets.values_mut()) {
        if let FileSource::File(path) = &object.source {
            let content = source.read(path).ok();
            object.content_hash = content.map(|content| Digest::of(&content).to_string());
        }
    }
}
