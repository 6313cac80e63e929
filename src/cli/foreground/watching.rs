//! Watching files while the output of containers is shown (`up --watch`, the key `w`).

use std::io::Write as _;

use super::{Session, Stage};
use crate::cli::drive::{show, warn};
use crate::cli::error::Result;
use crate::cli::watch::{Following, Said, Setup, fill};
use crate::control::{Command, Events, Recreate, Up};
use crate::ui::Terminal;

/// What is watched during a session, and whether it is.
pub(super) struct Watching<'a> {
    /// `None`: no service of the stack file is configured for it.
    setup: Option<Setup>,
    following: Option<Following<'a>>,
    /// Containers are being restarted or replaced: their ends mean nothing.
    pub(super) replaces: bool,
}

impl<'a> Watching<'a> {
    pub(super) fn new(setup: Option<Setup>) -> Self {
        Self {
            setup,
            following: None,
            replaces: false,
        }
    }

    /// Whether files are watched now.
    pub(super) fn is_on(&self) -> bool {
        self.following.is_some()
    }

    /// The next that it has to tell; waits for ever while files are not watched.
    pub(super) async fn next(&mut self) -> Result<Said> {
        match &mut self.following {
            Some(following) => following.next().await,
            None => std::future::pending().await,
        }
    }

    /// Ends it. A build that goes on is given up.
    pub(super) fn stop(&mut self) {
        self.following = None;
        self.replaces = false;
    }
}

impl Session<'_> {
    /// What is asked for first: containers are only made where files are to be in them before their
    /// programs start.
    pub(super) fn first_command(&mut self) -> Command {
        let setup = self.watching.setup.as_ref();
        let fills = self.what.watch_at_once && setup.is_some_and(Setup::has_initial);
        match &self.what.command {
            Command::Up(up) if fills => {
                self.stage = Stage::Creating;
                let up = Up {
                    no_start: true,
                    wait: false,
                    ..(**up).clone()
                };
                Command::Up(Box::new(up))
            }
            command => command.clone(),
        }
    }

    /// The containers are made: what is copied when watching begins goes into them, and they are started.
    pub(super) async fn created(&mut self, done: Result<()>) -> Result<Events> {
        done?;
        if let Some(setup) = &self.watching.setup {
            for said in fill(self.context, setup).await? {
                self.watch_said(Ok(said))?;
            }
        }
        if let Command::Up(up) = &mut self.what.command {
            // They are new ones by now.
            up.recreate_dependencies = false;
            if up.recreate == Recreate::All {
                up.recreate = Recreate::OutOfDate;
            }
        }
        self.stage = Stage::Starting;
        Ok(self.client.command(&self.what.command).await?)
    }

    /// Begins to watch files, or ends it; whether it could. Without a service that is configured for
    /// it nothing happens.
    pub(super) fn switch_watch(&mut self) -> Result<bool> {
        if self.watching.is_on() {
            self.watching.stop();
            self.above(|logs| logs.watch("Watch disabled"))?;
            return Ok(true);
        }
        let Some(setup) = self.watching.setup.clone() else {
            return Ok(false);
        };
        self.watching.following = Some(Following::start(self.context, setup));
        Ok(true)
    }

    /// Shows what the watch has to tell.
    pub(super) fn watch_said(&mut self, said: Result<Said>) -> Result<()> {
        let paint = self.context.terminal.stderr;
        match said {
            Ok(Said::Line(line)) => self.above(|logs| logs.watch(&line)),
            Ok(Said::Output(line)) => Ok(self.above(|_| std::io::stdout().write_all(&line))?),
            Ok(Said::Complaint(line)) => {
                // When nobody reads it there is nobody to tell.
                let _ = self.above(|_| std::io::stderr().write_all(&line));
                Ok(())
            }
            Ok(Said::Warning(text)) => {
                self.above(|_| warn(&text, paint));
                Ok(())
            }
            Ok(Said::Problem(error)) => {
                let text = error.render(paint, crate::ui::terminal::width_for_problems());
                self.above(|_| Terminal::say(&text));
                Ok(())
            }
            Ok(Said::Begins) => {
                self.watching.replaces = true;
                self.progress.begin("watch");
                Ok(())
            }
            Ok(Said::Event(event)) => {
                // How it ended is told by the watch itself.
                let _ = show(&event, &mut self.progress, paint);
                Ok(())
            }
            Ok(Said::Ends) => {
                self.watching.replaces = false;
                self.progress.finish();
                self.look(super::Report::Ends)
            }
            Err(error) => {
                self.watching.stop();
                Err(error)
            }
        }
    }
}
