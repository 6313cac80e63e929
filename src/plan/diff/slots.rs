//! The containers of a service: started, kept running, started again.

use std::collections::BTreeSet;

use super::Planner;
use super::moves::{Move, follows, namespace_owners};
use crate::compose::model::{Condition, Follow, MountSource, Reload, ServiceName, ServiceNetwork};
use crate::plan::backoff::{policy_restarts, policy_text, restart_delay};
use crate::plan::dependency::{dependency_state, optional, owner_state};
use crate::plan::replicas::replicas;
use crate::plan::{
    After, Cause, DependencyState, DesiredService, Exit, ObservedContainer, Op, Phase, Problem,
    Run, Step, Then,
};

impl<'a> Planner<'a> {
    /// Stops of all that is restarted when a container of this service is replaced: what depends on
    /// it is down before it goes, as with Docker Compose.
    pub(in crate::plan) fn stop_followers(
        &mut self,
        name: &ServiceName,
        after: &[After],
    ) -> Vec<After> {
        let (all, observed) = (self.desired, self.observed);
        let mut stops = Vec::new();
        if all
            .services
            .get(name)
            .is_some_and(|service| service.no_deps)
        {
            return stops;
        }
        for (follower, desired) in &all.services {
            let waits = desired.service.depends_on.contains_key(name) && !desired.no_deps;
            let follows = follows(&desired.service, name, Follow::Replaced);
            if desired.run != Run::Running || !waits || !follows {
                continue;
            }
            for slot in replicas((follower, desired), all, observed).slots {
                let outdated = slot.outdated.into_iter().map(|(old, _)| old);
                for container in slot.current.into_iter().chain(outdated) {
                    if container.is_up() {
                        let then = (Then::StartAgain, Cause::DependencyReplaced(name.clone()));
                        let stop = self.stop_once(container, desired.timeout, then, after.to_vec());
                        stops.push(After::Step(stop));
                    }
                }
            }
        }
        stops
    }

    /// A container that is up to date and up: restart it if something says so.
    pub(in crate::plan) fn keep_running(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        current: &'a ObservedContainer,
    ) {
        let subject = Subject::of(current);
        if let Some(stopped) = self.stopped.get(current.record.id.as_str()) {
            let cause = self.plan.steps[*stopped].cause.clone();
            let after = vec![After::Step(*stopped)];
            return self.start(name, desired, subject, (cause, after));
        }
        let Some(Move { cause, not_before }) = self.move_of(desired, current) else {
            return self.renew_files(desired, current);
        };
        let then = (Then::StartAgain, cause.clone());
        let stopped = self.stop_once(current, desired.timeout, then, Vec::new());
        self.plan.steps[stopped].not_before = not_before;
        self.start(name, desired, subject, (cause, vec![After::Step(stopped)]));
    }

    /// Puts contents in place that are other ones now. What does not run gets them when it is started,
    /// and what is paused when it goes on.
    fn renew_files(&mut self, desired: &DesiredService, current: &ObservedContainer) {
        let renewed = desired.renewed(current);
        if renewed.is_empty() || !matches!(current.phase, Phase::Running { .. }) {
            return;
        }
        let files: Vec<String> = renewed.iter().map(|(name, _)| (*name).clone()).collect();
        let then: BTreeSet<&Reload> = renewed.iter().map(|(_, reload)| *reload).collect();
        let op = Op::RenewFiles {
            id: current.record.id.clone(),
            name: current.record.name.clone(),
            files: files.clone(),
            then: then.into_iter().cloned().collect(),
        };
        self.plan.push(op, Cause::ContentChanged(files), Vec::new());
    }

    /// A container that is up to date and not up.
    pub(in crate::plan) fn start_again(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        current: &ObservedContainer,
        after: Vec<After>,
    ) {
        let subject = Subject::of(current);
        let Phase::Exited(exit) = &current.phase else {
            return self.start(name, desired, subject, (Cause::NotStarted, after));
        };
        let asked = desired
            .restart_before
            .is_some_and(|before| exit.started_at.is_none_or(|started| started < before));
        let cause = if asked {
            Cause::RestartRequested
        } else if current.status.interrupted {
            Cause::Resumed
        } else if exit.finished_at < desired.since {
            Cause::NotRunning(exit.clone())
        } else if exit.error.is_some() {
            return self.after_failed_start(name, desired, (subject, exit), after);
        } else {
            if policy_restarts(&desired.service.restart, exit, &current.status) {
                self.restart_by_policy(name, desired, current, (exit, after));
            }
            return;
        };
        self.start(name, desired, subject, (cause, after));
    }

    /// A container that could not be started. It is not tried again, unless it shares namespaces of a
    /// service that ended at the same moment: then it is, once that one runs again.
    fn after_failed_start(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        (subject, exit): (Subject, &Exit),
        after: Vec<After>,
    ) {
        let owners = namespace_owners(&desired.service);
        for owner in owners {
            let started = self.started_after(owner, exit.finished_at);
            let state = owner_state(owner, self.desired, self.observed);
            if started || state == DependencyState::Pending {
                let cause = Cause::NamespaceOwnerRestarted(owner.clone());
                return self.start(name, desired, subject, (cause, after));
            }
        }
        let error = exit.error.as_deref().unwrap_or_default();
        let container = &subject.name;
        self.problem(
            name,
            format!("container {container} could not be started: {error}"),
        );
    }

    fn restart_by_policy(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        current: &ObservedContainer,
        (exit, mut after): (&Exit, Vec<After>),
    ) {
        let policy = &desired.service.restart;
        let delay = restart_delay(policy, current.status.streak);
        let due = exit.finished_at + delay;
        match self.owner_gates(name, desired) {
            Some(gates) => after.extend(gates),
            None => return,
        }
        self.plan.steps.push(Step {
            op: Subject::of(current).start(name),
            cause: Cause::Restart {
                policy: policy_text(policy),
                exit: exit.clone(),
                attempt: current.status.restart_count + 1,
                delay,
            },
            after,
            not_before: (due > self.now).then_some(due),
        });
    }

    /// Services whose namespaces are to be shared and that do not run yet; `None` when one will not.
    fn owner_gates(&mut self, name: &ServiceName, desired: &DesiredService) -> Option<Vec<After>> {
        let mut gates = Vec::new();
        for owner in namespace_owners(&desired.service) {
            match owner_state(owner, self.desired, self.observed) {
                DependencyState::Met => {}
                DependencyState::Pending => gates.push(After::Condition {
                    service: owner.clone(),
                    condition: Condition::ServiceStarted,
                }),
                DependencyState::Failed(reason) => {
                    let message = format!("{name} shares namespaces of {owner}: {reason}");
                    self.problem(name, message);
                    return None;
                }
            }
        }
        Some(gates)
    }

    /// A start, once the resources and dependencies are there.
    pub(in crate::plan) fn start(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        subject: Subject,
        (cause, mut after): (Cause, Vec<After>),
    ) {
        if let ServiceNetwork::Networks(networks) = &desired.service.network {
            let made = networks
                .keys()
                .filter_map(|key| self.desired.networks.get(key))
                .filter_map(|network| self.networks.get(&network.name));
            after.extend(made.map(|step| After::Step(*step)));
        }
        for mount in &desired.service.volumes {
            if let MountSource::Volume { volume, .. } = &mount.source {
                let made = self
                    .desired
                    .volumes
                    .get(volume)
                    .and_then(|volume| self.volumes.get(&volume.name));
                after.extend(made.map(|step| After::Step(*step)));
            }
        }
        if !desired.no_deps {
            match self.gates(name, desired) {
                Some(gates) => after.extend(gates),
                None => return,
            }
        }
        let Some(gates) = self.owner_gates(name, desired) else {
            return;
        };
        for gate in gates {
            if !after.contains(&gate) {
                after.push(gate);
            }
        }
        let op = subject.start(name);
        self.plan.push(op, cause, after);
    }

    /// The conditions that are not met yet; `None` when one cannot be met.
    fn gates(&mut self, name: &ServiceName, desired: &DesiredService) -> Option<Vec<After>> {
        let mut gates = Vec::new();
        for (dependency, edge) in &desired.service.depends_on {
            let absent = !self.desired.services.contains_key(dependency);
            if absent && !edge.required {
                continue;
            }
            let mut state =
                dependency_state(dependency, edge.condition, self.desired, self.observed);
            if let (DependencyState::Pending, Some(problem)) = (&state, self.problem_of(dependency))
            {
                state = DependencyState::Failed(problem.message.clone());
            }
            // What is there goes with what it shares: the one that comes is waited for.
            if state == DependencyState::Met && self.is_replaced_with_owner(dependency) {
                state = DependencyState::Pending;
            }
            match state {
                DependencyState::Met => {}
                DependencyState::Pending => gates.push(After::Condition {
                    service: dependency.clone(),
                    condition: edge.condition,
                }),
                DependencyState::Failed(reason) => {
                    let message = match edge.required {
                        true => reason,
                        false => optional(dependency, &reason),
                    };
                    self.plan.problems.push(Problem {
                        service: name.clone(),
                        message,
                        fatal: edge.required,
                    });
                    if edge.required {
                        return None;
                    }
                }
            }
        }
        Some(gates)
    }
}

/// A container that is to be started, whether or not it exists yet.
pub(in crate::plan) struct Subject {
    pub(in crate::plan) id: Option<String>,
    pub(in crate::plan) name: String,
}

impl Subject {
    fn of(container: &ObservedContainer) -> Self {
        Self {
            id: Some(container.record.id.clone()),
            name: container.record.name.clone(),
        }
    }

    fn start(self, service: &ServiceName) -> Op {
        Op::StartContainer {
            id: self.id,
            name: self.name,
            service: service.clone(),
        }
    }
}
