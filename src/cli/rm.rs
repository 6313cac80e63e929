//! `stack rm`: containers that have ended go.

use std::io::Write as _;

use clap::Args;
use indexmap::IndexMap;

use super::containers::{Listed, State, list};
use super::context::Context;
use super::drive::drive;
use super::error::Result;
use super::project::Project;
use super::prompt::confirm;
use super::rehearsal;
use crate::compose::model::ServiceName;
use crate::control::{Command, Kind, ProgressState, Removal};
use crate::ui::Terminal;

/// Flags of `rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Services whose containers are removed; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Do not ask.
    #[arg(short, long)]
    force: bool,
    /// Stop them first.
    #[arg(short, long)]
    stop: bool,
    /// Remove their volumes without a name, too.
    #[arg(short, long)]
    volumes: bool,
    /// One-off containers, too; they always are.
    #[arg(short, long, hide = true)]
    all: bool,
}

impl Rm {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let Some(services) = project.concerned(&self.services)? else {
            Terminal::say("No stopped containers");
            return Ok(());
        };
        if self.stop && project.was_up() {
            let command = Command::Stop {
                services: services.clone(),
                timeout: None,
            };
            drive(context, &project.name, &command, "stop")?;
        }
        let mut containers = list(context, &project.name, &[])?;
        let dry_run = context.global.dry_run;
        if dry_run && self.stop {
            let stopped = containers.iter_mut();
            for listed in stopped.filter(|listed| !listed.record().one_off) {
                listed.state = State::Exited;
            }
        }
        let goes = |listed: &Listed| {
            let concerned = services.is_empty() || services.contains(&listed.record().service);
            concerned && matches!(listed.state, State::Created | State::Exited | State::Dead)
        };
        let (removal, names) = removal(&containers, goes, self.volumes);
        if names.is_empty() {
            Terminal::say("No stopped containers");
            return Ok(());
        }
        let question = format!("Going to remove {}", names.join(", "));
        if self.force {
            writeln!(std::io::stdout(), "{question}")?;
        } else if !dry_run && !confirm(context, &question)? {
            return Ok(());
        }
        if dry_run {
            let states = [ProgressState::Removing, ProgressState::Removed];
            rehearsal::show_all(context, (Kind::Container, names), states);
            return Ok(());
        }
        drive(context, &project.name, &Command::Remove(removal), "rm")
    }
}

/// The removal of those containers of a project of which `goes` is true, and their names.
pub(super) fn removal(
    containers: &[Listed],
    goes: impl Fn(&Listed) -> bool,
    volumes: bool,
) -> (Removal, Vec<&str>) {
    let mut removal = Removal {
        volumes,
        ..Removal::default()
    };
    let mut names = Vec::new();
    let mut left: IndexMap<ServiceName, u32> = IndexMap::new();
    for listed in containers {
        let record = listed.record();
        let goes = goes(listed);
        if !record.one_off {
            *left.entry(record.service.clone()).or_default() += u32::from(!goes);
        }
        if !goes {
            continue;
        }
        names.push(record.name.as_str());
        removal.containers.push(record.id.clone());
        if !removal.services.contains(&record.service) {
            removal.services.push(record.service.clone());
        }
    }
    // A service that loses none keeps the number that it is to have.
    let loses = |listed: &Listed| {
        let record = listed.record();
        (!record.one_off && removal.containers.contains(&record.id)).then(|| record.service.clone())
    };
    let losers: Vec<ServiceName> = containers.iter().filter_map(loses).collect();
    left.retain(|service, _| losers.contains(service));
    removal.left = left;
    (removal, names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::tests::{container, exited, running};
    use crate::plan::Phase;
    use std::sync::Arc;

    fn listed(service: &str, number: u32, phase: Phase, state: State) -> Listed {
        let mut container = container(service, number, phase);
        Arc::make_mut(&mut container.record).id = format!("{service}{number}");
        Listed { container, state }
    }

    #[test]
    fn what_does_not_run_goes_and_the_rest_is_counted() {
        let mut once = listed("web", 9, exited(0), State::Exited);
        Arc::make_mut(&mut once.container.record).one_off = true;
        let containers = [
            listed("job", 1, exited(3), State::Exited),
            listed("web", 1, running(), State::Running),
            listed("web", 2, exited(1), State::Exited),
            listed("again", 1, exited(1), State::Restarting),
            listed("new", 1, Phase::Created, State::Created),
            once,
        ];
        let of = |services: &[&str]| {
            let goes = |listed: &Listed| {
                let service = listed.record().service.as_str();
                let concerned = services.is_empty() || services.contains(&service);
                concerned && !matches!(listed.state, State::Running | State::Restarting)
            };
            let (removal, names) = removal(&containers, goes, false);
            let left = removal.left.iter();
            let left: Vec<String> = left.map(|(name, left)| format!("{name}={left}")).collect();
            (removal.containers.join(" "), left.join(" "), names.len())
        };
        let all = (
            "job1 web2 new1 web9".to_owned(),
            "job=0 web=1 new=0".to_owned(),
            4,
        );
        assert_eq!(of(&[]), all);
        assert_eq!(of(&["job"]), ("job1".to_owned(), "job=0".to_owned(), 1));
        assert_eq!(of(&["again"]), (String::new(), String::new(), 0));
    }
}
