//! The arguments of the program: flags that come before the sub-command, and the sub-commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use indexmap::IndexMap;

use super::context::Context;
use super::drive::note;
use super::error::{Error, Result};
use super::{
    attach_to, build, builder, commit, completions, config, container, cp, create, df, down, env,
    events, exec, export, image, images, inspect, kill, login, logout, logs, ls, network, pause,
    plan, port, prune, ps, pull, push, restart, rm, run, scale, schema, start, stats, stop, top,
    up, version, volume, volumes, wait, watch, why,
};
use crate::compose::{LoadOptions, Skip};
use crate::ui::{Ansi, ProgressMode};

/// Compose files on a daemonless container runtime of their own.
#[derive(Debug, Parser)]
#[command(
    name = "stack",
    version,
    disable_version_flag = true,
    args_override_self = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print the version.
    #[arg(short = 'v', long = "version", action = clap::ArgAction::Version)]
    version: Option<bool>,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// Stack file; can be given several times, later files are merged onto earlier ones; `-` is
    /// standard input.
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Name of the project.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) project_name: Option<String>,
    /// One of several copies of the project, with names, addresses, volumes and ports of its own;
    /// `auto` = named after the git work tree or the directory.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Profile to switch on; can be given several times.
    #[arg(long = "profile", value_name = "PROFILE")]
    pub(crate) profiles: Vec<String>,
    /// File with variables for the stack file, instead of `.env`.
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<PathBuf>,
    /// Directory that relative paths start from; that of the first stack file unless given.
    #[arg(long, value_name = "DIR")]
    pub(crate) project_directory: Option<PathBuf>,
    /// How progress is shown.
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) progress: Option<ProgressMode>,
    /// When to write colours and control sequences.
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) ansi: Option<Ansi>,
    /// Most images to fetch at once; -1 = no limit.
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1,
        allow_negative_numbers = true,
        hide_default_value = true
    )]
    pub(crate) parallel: i32,
    /// Show what would be done and why, and do nothing.
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// Include networks and volumes that no service uses.
    #[arg(long)]
    pub(crate) all_resources: bool,
    /// Show what the program does, on standard error.
    #[arg(long, hide = true)]
    pub(crate) verbose: bool,
    /// `--ansi never`, as it was called.
    #[arg(long, hide = true)]
    pub(crate) no_ansi: bool,
    /// `--project-directory`, as it was called.
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,
    /// Name containers and built images with `_`, as version 1 of Docker Compose did (`shop_web_1`);
    /// COMPOSE_COMPATIBILITY asks for it, too.
    #[arg(long)]
    pub(crate) compatibility: bool,
}

impl Global {
    /// Takes flags that have other names today for what they are called now, in Docker Compose's words.
    pub(crate) fn rename_old(&mut self) -> Result<()> {
        let both = |old: &str, new: &str, end: &str| {
            Error::new(format!(
                "cannot specify DEPRECATED \"{old}\" and \"{new}\". Please use only \"{new}\"{end}"
            ))
        };
        if self.no_ansi {
            if self.ansi.replace(Ansi::Never).is_some() {
                return Err(both("--no-ansi", "--ansi", ""));
            }
            note("option '--no-ansi' is DEPRECATED ! Please use '--ansi' instead.");
        }
        if let Some(dir) = self.workdir.take() {
            if self.project_directory.replace(dir).is_some() {
                return Err(both("--workdir", "--project-directory", " instead"));
            }
            note(
                "option '--workdir' is DEPRECATED at root level! Please use '--project-directory' instead.",
            );
        }
        Ok(())
    }

    /// What to load for a caller in this directory; standard input is not read yet.
    pub(crate) fn load_options(&self, working_dir: PathBuf) -> LoadOptions {
        LoadOptions {
            files: self.files.clone(),
            project_name: self.project_name.clone(),
            instance: self.instance.clone(),
            variables: IndexMap::new(),
            project_directory: self.project_directory.clone(),
            profiles: self.profiles.clone(),
            env_files: self.env_files.clone(),
            working_dir,
            stdin: None,
            skip: Skip::default(),
            trace: false,
        }
    }
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make containers and start them.
    Up(up::Up),
    /// Stop and remove containers and networks.
    Down(down::Down),
    /// List containers.
    Ps(ps::Ps),
    /// Show the output of containers.
    Logs(logs::Logs),
    /// Show what happens to containers, as it happens.
    Events(events::Events),
    /// Show where a port of a container is published.
    Port(port::Port),
    /// Show the processes of containers.
    Top(top::Top),
    /// Show what containers use of the machine.
    Stats(stats::Stats),
    /// Run a program in a container that runs.
    Exec(exec::Exec),
    /// Run a program in a new container of a service.
    Run(run::Run),
    /// Start services.
    Start(start::Start),
    /// Stop services.
    Stop(stop::Stop),
    /// Stop services and start them again.
    Restart(restart::Restart),
    /// Send a signal to the containers of services.
    Kill(kill::Kill),
    /// Remove containers that do not run.
    Rm(rm::Rm),
    /// Set the number of containers of services.
    Scale(scale::Scale),
    /// Wait until the containers of services have ended.
    Wait(wait::Wait),
    /// Join the terminal of a container that runs.
    Attach(attach_to::Attach),
    /// Copy files into containers, or out of one.
    Cp(cp::Cp),
    /// Write the files of a container into an archive.
    Export(export::Export),
    /// Make an image of a container.
    Commit(commit::Commit),
    /// Freeze the processes of services.
    Pause(pause::Pause),
    /// Let the processes of services go on.
    Unpause(pause::Unpause),
    /// Watch files and bring what changes into containers.
    Watch(watch::Watch),
    /// Make containers without starting them.
    Create(create::Create),
    /// Build the images of services.
    Build(build::Build),
    /// Fetch the images of services.
    Pull(pull::Pull),
    /// Send the images of services to their registries.
    Push(push::Push),
    /// Log in to a registry.
    Login(login::Login),
    /// Log out of a registry.
    Logout(logout::Logout),
    /// Show what `up` would do, and why.
    Plan(plan::Plan),
    /// Show why a service is as it is: what it waits for, how it ended, what was done last.
    Why(why::Why),
    /// Check the stack file and print it in its full form.
    #[command(visible_alias = "convert")]
    Config(config::Config),
    /// Show where the variables of a service come from.
    Env(env::Env),
    /// List the images that containers are made of.
    Images(images::Images),
    /// Work with images.
    #[command(subcommand)]
    Image(image::Image),
    /// Look after what builds leave for later ones.
    #[command(subcommand, visible_alias = "buildx")]
    Builder(builder::Builder),
    /// Show what everything takes of the disk.
    Df(df::Df),
    /// Remove everything that nobody needs: containers that have ended, networks, images without a name,
    /// and what builds have left.
    Prune(prune::Prune),
    /// The same two, as Docker calls them.
    #[command(subcommand, hide = true)]
    System(System),
    /// Give an image one more name, as Docker calls it.
    #[command(hide = true)]
    Tag(image::Tag),
    /// Remove images, as Docker calls it.
    #[command(hide = true)]
    Rmi(image::Remove),
    /// List the volumes of a project.
    Volumes(volumes::Volumes),
    /// Work with volumes.
    #[command(subcommand)]
    Volume(volume::Volume),
    /// Work with networks.
    #[command(subcommand)]
    Network(network::Network),
    /// Work with single containers of any project.
    #[command(subcommand)]
    Container(container::Container),
    /// Show all that is known of containers, images, networks and volumes, as JSON.
    Inspect(inspect::Inspect),
    /// List projects.
    Ls(ls::Ls),
    /// Print the JSON Schema of the stack file, for editors.
    Schema,
    /// Print the version.
    Version(version::Version),
    /// Print the completion script of a shell.
    Completions(completions::Completions),
}

/// The sub-commands of `system`, which scripts for Docker use.
#[derive(Debug, Subcommand)]
pub(crate) enum System {
    /// Show what everything takes of the disk.
    Df(df::Df),
    /// Remove everything that nobody needs.
    Prune(prune::Prune),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Up(up) => up.run(context),
            Self::Down(down) => down.run(context),
            Self::Ps(ps) => ps.run(context),
            Self::Logs(logs) => logs.run(context),
            Self::Events(events) => events.run(context),
            Self::Port(port) => port.run(context),
            Self::Top(top) => top.run(context),
            Self::Stats(stats) => stats.run(context),
            Self::Exec(exec) => exec.run(context),
            Self::Run(run) => run.run(context),
            Self::Start(start) => start.run(context),
            Self::Stop(stop) => stop.run(context),
            Self::Restart(restart) => restart.run(context),
            Self::Kill(kill) => kill.run(context),
            Self::Rm(rm) => rm.run(context),
            Self::Scale(scale) => scale.run(context),
            Self::Wait(wait) => wait.run(context),
            Self::Attach(attach) => attach.run(context),
            Self::Cp(cp) => cp.run(context),
            Self::Export(export) => export.run(context),
            Self::Commit(commit) => commit.run(context),
            Self::Pause(pause) => pause.run(context),
            Self::Unpause(unpause) => unpause.run(context),
            Self::Watch(watch) => watch.run(context),
            Self::Create(create) => create.run(context),
            Self::Build(build) => build.run(context),
            Self::Pull(pull) => pull.run(context),
            Self::Push(push) => push.run(context),
            Self::Login(login) => login.run(context),
            Self::Logout(logout) => logout.run(context),
            Self::Plan(plan) => plan.run(context),
            Self::Why(why) => why.run(context),
            Self::Config(config) => config.run(context),
            Self::Env(env) => env.run(context),
            Self::Images(images) => images.run(context),
            Self::Image(image) => image.run(context),
            Self::Builder(builder) => builder.run(context),
            Self::Df(df) | Self::System(System::Df(df)) => df.run(context),
            Self::Prune(prune) | Self::System(System::Prune(prune)) => prune.run(context),
            Self::Tag(tag) => tag.run(context),
            Self::Rmi(remove) => remove.run(context),
            Self::Volumes(volumes) => volumes.run(context),
            Self::Volume(volume) => volume.run(context),
            Self::Network(network) => network.run(context),
            Self::Container(container) => container.run(context),
            Self::Inspect(inspect) => inspect.run(context),
            Self::Ls(ls) => ls.run(context),
            Self::Schema => schema::run(),
            Self::Version(version) => version.run(),
            Self::Completions(completions) => completions.run(),
        }
    }
}
