//! The command line: one file per sub-command. Parse flags, call, print.
//!
//! Owns flags, messages and exit codes, which are Docker Compose's. Never decides anything about
//! containers: what `up` does is decided by the plan, and a reading command shows what it finds on
//! disk and in the kernel.
//!
//! Invariant: standard output is data, standard error is talk; every way out is an exit code and,
//! unless it is 0, a reason.

mod args;
mod attach;
mod attach_to;
mod bake;
mod build;
mod build_drive;
mod build_phase;
mod builder;
mod cascade;
mod choice;
mod cleaning;
mod commit;
mod completions;
mod config;
mod container;
mod containers;
mod context;
mod cp;
mod create;
mod detach;
mod df;
mod digests;
mod docker_config;
mod down;
mod drive;
mod env;
mod error;
mod events;
mod exec;
mod export;
mod filter;
mod follow;
mod foreground;
mod foreign;
mod image;
mod image_phase;
mod images;
mod inspect;
mod instances;
mod kill;
mod login;
mod logout;
mod logs;
mod ls;
mod menu;
mod missing;
mod network;
mod objects;
mod overrides;
mod pause;
mod pick;
mod plan;
mod port;
mod project;
mod prompt;
mod provider;
mod prune;
mod ps;
mod pull;
mod push;
#[cfg(test)]
mod reference;
mod rehearsal;
pub mod reload;
mod remote;
mod restart;
mod rm;
mod run;
mod run_hooks;
mod scale;
mod schema;
mod settings;
mod source;
mod start;
mod stats;
mod stop;
mod switches;
mod time;
mod top;
mod up;
mod version;
mod volume;
mod volumes;
mod wait;
mod watch;
mod why;

use std::process::ExitCode;

pub use source::DiskSource;

use args::Cli;
use context::Context;
use error::Error;

use crate::ui::ProgressMode;

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli: Cli = match switches::parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            return match missing::of(&error) {
                Some(missing) => report(&missing, crate::ui::Paint::Off),
                None => usage(&error),
            };
        }
    };
    start_tracing(cli.global.verbose);
    let context = match Context::new(cli.global) {
        Ok(context) => context,
        Err(error) => return report(&error, crate::ui::Paint::Off),
    };
    // Where handlers cannot be set, signals do what they do by themselves.
    let _ = crate::sys::signals::exit_when_interrupted();
    match cli.command.run(&context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if context.progress_mode() == ProgressMode::Json => {
            crate::ui::Terminal::say(&error.json());
            ExitCode::from(error.exit_code())
        }
        Err(error) => report(&error, context.terminal.stderr),
    }
}

/// Prints help and versions to standard output; errors to standard error, with Docker Compose's
/// exit code for them, which is 1.
fn usage(error: &clap::Error) -> ExitCode {
    // When nobody reads it there is nobody to tell.
    let _ = error.print();
    // Help for who has typed nothing at all is no mistake.
    let is_bare = std::env::args_os().len() <= 1;
    ExitCode::from(u8::from(error.use_stderr() && !is_bare))
}

fn report(error: &Error, paint: crate::ui::Paint) -> ExitCode {
    let text = error.render(paint, crate::ui::terminal::width_for_problems());
    if !text.is_empty() {
        crate::ui::Terminal::say(&text);
    }
    ExitCode::from(error.exit_code())
}

/// `STACK_LOG=debug`, or `--verbose`, shows what the program does; setting it up costs time, so only
/// then.
fn start_tracing(verbose: bool) {
    let asked = std::env::var("STACK_LOG").ok();
    let asked = asked.filter(|value| !value.is_empty());
    let by_flag = verbose.then(|| "stack=debug".to_owned());
    if let Some(what) = asked.or(by_flag) {
        let filter = tracing_subscriber::EnvFilter::new(what);
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
}
