//! Containers that have ended and that nobody is going to start again.

use super::{Cleaned, Only};
use crate::cli::containers::{Listed, State, listed};
use crate::cli::context::Context;
use crate::cli::drive::{block_on, to_done};
use crate::cli::error::Result;
use crate::cli::inspect::size_of;
use crate::cli::rm::removal;
use crate::control::{Client, Command, Removal};
use crate::engine::native::observe;
use crate::plan::{Desired, Phase, Run, was_killed};
use crate::ui::Progress;

/// Such containers of one project.
#[derive(Debug)]
pub(in crate::cli) struct Ended {
    /// The project.
    pub(in crate::cli) project: String,
    /// What takes them away.
    pub(in crate::cli) removal: Removal,
    /// Their names.
    pub(in crate::cli) names: Vec<String>,
}

/// Those of all projects.
pub(in crate::cli) fn ended(context: &Context, only: &Only) -> Result<Vec<Ended>> {
    let observed = observe(&context.paths, None)?;
    let desired = context.all_desired()?;
    let mut found = Vec::new();
    for project in projects(&observed) {
        let mut own = observed.clone();
        own.containers
            .retain(|_, container| container.record.project == project);
        let desired = desired.get(&project);
        let containers = listed(&own, desired);
        let goes = |listed: &Listed| {
            let record = listed.record();
            is_over(listed, &containers, desired) && only.means(record.created, &record.labels)
        };
        let (removal, names) = removal(&containers, goes, false);
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        if !names.is_empty() {
            found.push(Ended {
                project,
                removal,
                names,
            });
        }
    }
    Ok(found)
}

fn projects(observed: &crate::plan::Observed) -> std::collections::BTreeSet<String> {
    let containers = observed.containers.values();
    containers
        .map(|container| container.record.project.clone())
        .collect()
}

/// Whether a container has ended for good: one of `run`, of a service that is stopped or that its project
/// does not have any more, or of a project that nobody knows and that nothing of runs.
fn is_over(listed: &Listed, all: &[Listed], desired: Option<&Desired>) -> bool {
    let record = listed.record();
    if !matches!(listed.state, State::Created | State::Exited | State::Dead) {
        return false;
    }
    let Some(desired) = desired else {
        return !all.iter().any(|other| other.state.is_active());
    };
    match desired.services.get(&record.service) {
        // It may be about to start.
        _ if record.one_off => listed.state != State::Created,
        Some(service) => service.run == Run::Stopped || is_ended_by_hand(listed, desired),
        None => true,
    }
}

/// Whether a person has stopped or killed this container alone.
fn is_ended_by_hand(listed: &Listed, desired: &Desired) -> bool {
    let container = &listed.container;
    let killed = match &container.phase {
        Phase::Exited(exit) => was_killed(exit, &container.status),
        _ => false,
    };
    killed || desired.is_held(&container.record)
}

/// Removes them, each by its project's supervisor, which would start some of them again otherwise.
pub(in crate::cli) fn remove_ended(
    context: &Context,
    ended: Vec<Ended>,
    cleaned: &mut Cleaned,
) -> Result<()> {
    for project in ended {
        let ids = project.removal.containers.clone();
        let size = |id: &String| size_of(&context.paths.container(id).join("upper"));
        let bytes: u64 = ids.iter().map(size).sum();
        let client = Client::new(&context.paths, &project.project);
        let command = Command::Remove(project.removal);
        block_on(async {
            let mut events = client.command(&command).await?;
            to_done(&mut events, &mut Progress::Quiet, context.terminal.stderr).await
        })?;
        cleaned.space_reclaimed += bytes;
        cleaned.containers_deleted.extend(ids);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cli::containers::tests::{container, exited, running};
    use crate::compose::model::ServiceName;
    use crate::plan::{ByHand, DesiredService};

    fn listed(phase: Phase, state: State, one_off: bool) -> Listed {
        let mut container = container("web", 1, phase);
        Arc::make_mut(&mut container.record).one_off = one_off;
        Listed { container, state }
    }

    fn desired(run: Run) -> Desired {
        let mut desired = Desired::new("shop");
        let service = DesiredService {
            run,
            ..DesiredService::new(Default::default(), jiff::Timestamp::UNIX_EPOCH)
        };
        desired.services.insert(ServiceName::new("web"), service);
        desired
    }

    #[test]
    fn a_container_is_over_when_nobody_is_going_to_start_it() {
        let (stopped, wanted) = (desired(Run::Stopped), desired(Run::Running));
        let created = desired(Run::Created);
        let unknown = Desired::new("shop");
        let mut held = desired(Run::Running);
        let by_hand = ByHand {
            service: ServiceName::new("web"),
            run: Run::Stopped,
            since: jiff::Timestamp::UNIX_EPOCH,
            restart_before: None,
            timeout: None,
        };
        let id = listed(exited(0), State::Exited, false).record().id.clone();
        held.by_hand.insert(id, by_hand);
        let ended = || listed(exited(0), State::Exited, false);
        for (what, container, desired, over) in [
            ("stopped", ended(), Some(&stopped), true),
            ("stopped by hand", ended(), Some(&held), true),
            ("a job that is done", ended(), Some(&wanted), false),
            ("to exist", ended(), Some(&created), false),
            ("a service that is gone", ended(), Some(&unknown), true),
            ("a project that is gone", ended(), None, true),
            (
                "about to be restarted",
                listed(exited(1), State::Restarting, false),
                Some(&stopped),
                false,
            ),
            (
                "one that runs",
                listed(running(), State::Running, false),
                Some(&stopped),
                false,
            ),
            (
                "a run that is over",
                listed(exited(0), State::Exited, true),
                Some(&wanted),
                true,
            ),
            (
                "a run that begins",
                listed(Phase::Created, State::Created, true),
                Some(&wanted),
                false,
            ),
        ] {
            assert_eq!(is_over(&container, &[], desired), over, "{what}");
        }
        let neighbour = [listed(running(), State::Running, false)];
        assert!(!is_over(&ended(), &neighbour, None), "somebody is at work");
    }
}
