//! What a person asks of a project, and what that makes of the desired state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Edit;
use crate::compose::model::{Hook, Service, ServiceName, Stack, VolumeKey};
use crate::plan::{Desired, DesiredService, Down, Run, Sweep, Update, service_hash};

/// What a person asks of a project.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Make the machine match a stack.
    Up(Box<Up>),
    /// Apply an edit of the stack file that is followed.
    Edit(Box<Edit>),
    /// Start what exists.
    Start {
        /// Which; empty = all.
        services: Vec<ServiceName>,
        /// Report only when everything is healthy too.
        wait: bool,
    },
    /// Stop what runs.
    Stop {
        /// Which; empty = all.
        services: Vec<ServiceName>,
        /// Time to stop in; `None` = each container's own.
        timeout: Option<Duration>,
    },
    /// Stop and start.
    Restart {
        /// Which; empty = all.
        services: Vec<ServiceName>,
        /// Time to stop in; `None` = each container's own.
        timeout: Option<Duration>,
        /// Leave dependents with `restart: true` alone.
        no_deps: bool,
    },
    /// Send a signal.
    Kill {
        /// Which; empty = all.
        services: Vec<ServiceName>,
        /// The signal's number.
        signal: i32,
        /// Containers of services that the stack file has no more, too.
        remove_orphans: bool,
    },
    /// Remove containers that do not run.
    Remove(Removal),
    /// Remove everything that was made for the project.
    Down {
        /// Volumes too.
        volumes: bool,
        /// Time to stop in; `None` = each container's own.
        timeout: Option<Duration>,
        /// Only these services' containers, and what nobody uses then; empty = the whole project.
        services: Vec<ServiceName>,
    },
    /// Note what runs in containers before they are stopped, for the next command that stops some.
    Note {
        /// `pre_stop` of the services of today's stack file.
        pre_stop: BTreeMap<ServiceName, Vec<Hook>>,
    },
    /// Make a one-off container of a service and start it.
    Run(Box<OneOff>),
    /// Remove a container that was made by `Run`, stopping it first.
    RemoveOneOff {
        /// Its id.
        id: String,
    },
}

/// `rm`: containers that have ended, or were never started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Their ids.
    pub containers: Vec<String>,
    /// How many containers their services have left. What is gone is not made again: a service
    /// without any is forgotten.
    pub left: IndexMap<ServiceName, u32>,
    /// Services of the containers.
    pub services: Vec<ServiceName>,
    /// Their volumes without a name go too.
    pub volumes: bool,
}

/// `up`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Up {
    /// The whole model.
    pub stack: Stack,
    /// The services to bring up: selected ones and, unless told otherwise, their dependencies.
    pub services: Vec<ServiceName>,
    /// Ids of the images that the services' references mean now.
    pub image_ids: IndexMap<ServiceName, String>,
    /// Replicas that the command line asked for.
    pub scale: IndexMap<ServiceName, u32>,
    /// Which existing containers are replaced, of services that are not only dependencies.
    pub recreate: Recreate,
    /// Services that are brought up only because others need them.
    #[serde(default)]
    pub dependencies: Vec<ServiceName>,
    /// Containers of those are replaced even if they are up to date.
    #[serde(default)]
    pub recreate_dependencies: bool,
    /// Volumes that may be made anew, though what is in them is lost, with the hash of the
    /// configuration that they get.
    #[serde(default)]
    pub agreed: BTreeMap<VolumeKey, String>,
    /// New containers do not take over volumes without a name.
    #[serde(default)]
    pub renew_volumes: bool,
    /// Make containers, but do not start them.
    pub no_start: bool,
    /// Do not wait for dependencies.
    pub no_deps: bool,
    /// Make networks and volumes that no service uses, too.
    #[serde(default)]
    pub all_resources: bool,
    /// Remove containers of services that the stack file has no more.
    pub remove_orphans: bool,
    /// Time to stop in; `None` = each container's own.
    pub timeout: Option<Duration>,
    /// Report only when everything is healthy too.
    pub wait: bool,
}

/// Which existing containers `up` replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recreate {
    /// Those that are out of date.
    OutOfDate,
    /// All (`--force-recreate`).
    All,
    /// None (`--no-recreate`).
    None,
}

/// `run`: one container of a service beside its replicas. `stack` and `service` have the command
/// line's changes in them already.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OneOff {
    /// The whole model, for networks and volumes.
    pub stack: Stack,
    /// The service.
    pub service: ServiceName,
    /// Id of its image.
    pub image_id: String,
    /// Name of the container; `None` = `<project>-<service>-run-<random>`.
    pub name: Option<String>,
    /// Remove the container when it ends.
    pub auto_remove: bool,
    /// Start the program only when a client has attached.
    pub wait_attach: bool,
    /// It answers to the service's name and aliases on its networks.
    pub use_aliases: bool,
    /// Do not wait for dependencies.
    pub no_deps: bool,
}

impl Command {
    /// What the command makes of the desired state.
    ///
    /// `now` becomes the time before which ends are started again and failures forgotten. Services
    /// that the command does not name stay as they are.
    pub fn apply(&self, desired: &mut Desired, now: Timestamp) {
        if !matches!(self, Self::Note { .. }) {
            desired.sweep = None;
        }
        match self {
            Self::Up(up) => up.apply(desired, now),
            Self::Edit(edit) => edit.apply(desired, now),
            Self::Start { services, .. } => {
                let services = with_dependencies(desired, services);
                each(desired, &services, |service| {
                    service.run = Run::Running;
                    service.since = now;
                });
            }
            Self::Stop { services, timeout } => each(desired, services, |service| {
                service.run = Run::Stopped;
                service.since = now;
                service.timeout = *timeout;
            }),
            Self::Restart {
                services,
                timeout,
                no_deps,
            } => restart(desired, services, (*timeout, *no_deps), now),
            Self::Kill {
                services,
                signal,
                remove_orphans,
            } => {
                if *signal == KILL {
                    each(desired, services, |service| {
                        if *remove_orphans || !service.orphan || !services.is_empty() {
                            service.run = Run::Stopped;
                            service.since = now;
                        }
                    });
                }
            }
            Self::Remove(removal) => removal.apply(desired),
            Self::Down {
                volumes,
                timeout,
                services,
            } => down(desired, services, (*volumes, *timeout)),
            Self::Run(one_off) => desired.adopt(&one_off.stack),
            Self::Note { pre_stop } => desired.pre_stop.clone_from(pre_stop),
            Self::RemoveOneOff { .. } => {}
        }
    }

    /// What a person types for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up(up) if up.no_start => "create",
            Self::Up(_) | Self::Edit(_) => "up",
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Kill { .. } => "kill",
            Self::Down { .. } => "down",
            Self::Run(_) => "run",
            Self::Remove(_) | Self::RemoveOneOff { .. } => "rm",
            Self::Note { .. } => "note",
        }
    }

    /// The services that the command is about; empty = all of the project.
    pub fn services(&self) -> &[ServiceName] {
        match self {
            Self::Up(up) => &up.services,
            Self::Edit(edit) => &edit.touched,
            Self::Start { services, .. }
            | Self::Stop { services, .. }
            | Self::Restart { services, .. }
            | Self::Kill { services, .. }
            | Self::Down { services, .. } => services,
            Self::Remove(removal) => &removal.services,
            Self::Note { .. } | Self::Run(_) | Self::RemoveOneOff { .. } => &[],
        }
    }
}

/// Services with all that they depend on, as far as it was brought up (Docker Compose starts that,
/// too); empty = all stays empty.
pub(super) fn with_dependencies(desired: &Desired, services: &[ServiceName]) -> Vec<ServiceName> {
    let mut all = services.to_vec();
    let mut next = 0;
    while let Some(name) = all.get(next) {
        let found = desired.services.get(name);
        let needed: Vec<ServiceName> = found
            .into_iter()
            .flat_map(|found| found.service.depends_on.keys())
            .filter(|needed| desired.services.contains_key(*needed) && !all.contains(needed))
            .cloned()
            .collect();
        all.extend(needed);
        next += 1;
    }
    all
}

impl OneOff {
    /// The model of its container.
    pub fn model(&self) -> Option<&Service> {
        self.stack.services.get(&self.service)
    }
}

const KILL: i32 = 9;

impl Removal {
    fn apply(&self, desired: &mut Desired) {
        for id in &self.containers {
            desired.removals.insert(id.clone(), self.volumes);
        }
        for (name, left) in &self.left {
            if *left == 0 {
                desired.services.shift_remove(name);
            } else if let Some(service) = desired.services.get_mut(name) {
                service.replicas = *left;
            }
        }
    }
}

impl Up {
    /// Whether containers of a service are replaced even if they are up to date.
    fn recreates(&self, name: &ServiceName) -> bool {
        match self.dependencies.contains(name) {
            true => self.recreate_dependencies,
            false => self.recreate == Recreate::All,
        }
    }

    pub(super) fn apply(&self, desired: &mut Desired, now: Timestamp) {
        desired.adopt(&self.stack);
        match self.all_resources {
            true => desired.keep_unused(&self.stack),
            false => desired.forget_unused(),
        }
        desired.agreed.clone_from(&self.agreed);
        let named: BTreeSet<&ServiceName> = self.services.iter().collect();
        let known = |name: &ServiceName| {
            self.stack.services.contains_key(name)
                || self.stack.disabled_services.contains_key(name)
        };
        if self.remove_orphans {
            desired.services.retain(|name, _| known(name));
            desired.clear_one_offs_before = Some(now);
        }
        for (name, service) in &mut desired.services {
            service.orphan = !known(name);
        }
        desired.pre_stop = pre_stop(&self.stack);
        let mut services = IndexMap::with_capacity(self.stack.services.len());
        for (name, model) in self
            .stack
            .services
            .iter()
            .chain(&self.stack.disabled_services)
        {
            let old = desired.services.shift_remove(name);
            if named.contains(name) {
                let known = desired.updates.shift_remove(name);
                let (run, timeout) = (
                    if self.no_start {
                        Run::Created
                    } else {
                        Run::Running
                    },
                    self.timeout,
                );
                let service = DesiredService {
                    image_id: self.image_ids.get(name).cloned(),
                    hash: service_hash(&self.stack, model),
                    replicas: self.scale.get(name).copied().unwrap_or(model.replicas),
                    run,
                    since: now,
                    restart_before: old.as_ref().and_then(|old| old.restart_before),
                    recreate_before: match self.recreates(name) {
                        true => Some(now),
                        false => old.as_ref().and_then(|old| old.recreate_before),
                    },
                    renew_before: match self.renew_volumes {
                        true => Some(now),
                        false => old.as_ref().and_then(|old| old.renew_before),
                    },
                    no_recreate: self.recreate == Recreate::None,
                    timeout,
                    orphan: false,
                    no_deps: self.no_deps,
                    service: model.clone(),
                };
                if let Some(update) = Update::begin(&service, old.as_ref(), known) {
                    desired.updates.insert(name.clone(), update);
                }
                services.insert(name.clone(), service);
            } else if let Some(old) = old {
                services.insert(name.clone(), old);
            }
        }
        services.extend(std::mem::take(&mut desired.services));
        desired.services = services;
    }
}

/// What runs in the containers of a stack's services before they are stopped.
pub fn pre_stop(stack: &Stack) -> BTreeMap<ServiceName, Vec<Hook>> {
    let services = stack.services.iter().chain(&stack.disabled_services);
    services
        .map(|(name, service)| (name.clone(), service.pre_stop.clone()))
        .collect()
}

fn each(
    desired: &mut Desired,
    services: &[ServiceName],
    mut change: impl FnMut(&mut DesiredService),
) {
    for (name, service) in &mut desired.services {
        if services.is_empty() || services.contains(name) {
            change(service);
        }
    }
}

fn restart(
    desired: &mut Desired,
    services: &[ServiceName],
    (timeout, no_deps): (Option<Duration>, bool),
    now: Timestamp,
) {
    let mut named: BTreeSet<ServiceName> = desired
        .services
        .keys()
        .filter(|name| services.is_empty() || services.contains(name))
        .cloned()
        .collect();
    // What depends on those that depend on them, too, as with Docker Compose.
    let mut more = !no_deps;
    while more {
        let is_new = |name: &ServiceName, service: &DesiredService| {
            let mut edges = service.service.depends_on.iter();
            let follows = edges.any(|(name, edge)| edge.restart && named.contains(name));
            service.run == Run::Running && follows && !named.contains(name)
        };
        let found = desired
            .services
            .iter()
            .find(|(name, service)| is_new(name, service));
        match found {
            Some((name, _)) => drop(named.insert(name.clone())),
            None => more = false,
        }
    }
    for name in named {
        if let Some(service) = desired.services.get_mut(&name) {
            service.run = Run::Running;
            service.since = now;
            service.restart_before = Some(now);
            service.timeout = timeout;
        }
    }
}

fn down(
    desired: &mut Desired,
    services: &[ServiceName],
    (volumes, timeout): (bool, Option<Duration>),
) {
    if services.is_empty() {
        desired.down = Some(Down { volumes, timeout });
    } else {
        // Containers without a service of the model are removed: exactly what is asked for.
        desired.services.retain(|name, _| !services.contains(name));
        desired.sweep = Some(Sweep { volumes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{Condition, Dependency, ProjectName, Service};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text)
    }

    fn stack(services: &[&str]) -> Stack {
        let service = |text: &&str| {
            let service = Service {
                image: Some((*text).to_owned()),
                hash_input: (*text).to_owned(),
                ..Service::default()
            };
            (name(text), service)
        };
        Stack {
            name: ProjectName::new("p"),
            working_dir: "/p".into(),
            files: vec!["/p/stack.yaml".into()],
            services: services.iter().map(service).collect(),
            disabled_services: IndexMap::new(),
            networks: IndexMap::new(),
            volumes: IndexMap::new(),
            unused_networks: IndexMap::new(),
            unused_volumes: IndexMap::new(),
            configs: IndexMap::new(),
            secrets: IndexMap::new(),
            models: IndexMap::new(),
            separator: Default::default(),
        }
    }

    fn up(stack: Stack, services: &[&str]) -> Up {
        Up {
            stack,
            services: services.iter().map(|text| name(text)).collect(),
            image_ids: IndexMap::new(),
            scale: IndexMap::new(),
            recreate: Recreate::OutOfDate,
            dependencies: Vec::new(),
            recreate_dependencies: false,
            agreed: Default::default(),
            renew_volumes: false,
            no_start: false,
            no_deps: false,
            all_resources: false,
            remove_orphans: false,
            timeout: None,
            wait: false,
        }
    }

    fn after(commands: &[(i64, Command)]) -> Desired {
        let mut desired = Desired::new("p");
        for (second, command) in commands {
            command.apply(&mut desired, at(*second));
        }
        desired
    }

    fn summary(desired: &Desired) -> String {
        let line = |(name, service): (&ServiceName, &DesiredService)| {
            let orphan = if service.orphan { " orphan" } else { "" };
            format!(
                "{name} {:?} x{} since {}{orphan}",
                service.run,
                service.replicas,
                service.since.as_second()
            )
        };
        desired
            .services
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn up_of_some_services_leaves_the_others_as_they_were() {
        let all = up(stack(&["a", "b"]), &["a", "b"]);
        let mut one = up(stack(&["a", "b", "c"]), &["b"]);
        one.scale.insert(name("b"), 3);
        let desired = after(&[
            (1, Command::Up(Box::new(all))),
            (2, Command::Up(Box::new(one))),
        ]);
        assert_eq!(
            summary(&desired),
            "a Running x1 since 1; b Running x3 since 2"
        );
    }

    #[test]
    fn what_is_recreated_is_what_was_named_or_what_it_needs() {
        let recreated = |recreate, recreate_dependencies| {
            let mut up = up(stack(&["web", "db"]), &["web", "db"]);
            up.dependencies = vec![name("db")];
            (up.recreate, up.recreate_dependencies) = (recreate, recreate_dependencies);
            let desired = after(&[(1, Command::Up(Box::new(up)))]);
            let services = desired.services.iter();
            let fresh = services.filter(|(_, service)| service.recreate_before.is_some());
            fresh.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        assert_eq!(recreated(Recreate::OutOfDate, false), none);
        assert_eq!(recreated(Recreate::All, false), ["web"]);
        assert_eq!(recreated(Recreate::OutOfDate, true), ["db"]);
        assert_eq!(recreated(Recreate::All, true), ["web", "db"]);
    }

    #[test]
    fn services_that_left_the_file_are_orphans_until_they_are_removed() {
        let first = up(stack(&["a", "b"]), &["a", "b"]);
        let second = up(stack(&["a"]), &["a"]);
        let mut third = second.clone();
        third.remove_orphans = true;
        let mut commands = vec![
            (1, Command::Up(Box::new(first))),
            (2, Command::Up(Box::new(second))),
        ];
        assert_eq!(
            summary(&after(&commands)),
            "a Running x1 since 2; b Running x1 since 1 orphan"
        );
        commands.push((3, Command::Up(Box::new(third))));
        assert_eq!(summary(&after(&commands)), "a Running x1 since 3");
    }

    #[test]
    fn what_a_service_needs_is_started_with_it() {
        let mut stack = stack(&["a", "b", "c"]);
        let edge = Dependency {
            condition: Condition::ServiceStarted,
            restart: false,
            required: true,
        };
        stack.services["a"].depends_on = IndexMap::from([(name("b"), edge)]);
        let stop = Command::Stop {
            services: Vec::new(),
            timeout: None,
        };
        let start = Command::Start {
            services: vec![name("a")],
            wait: false,
        };
        let first = up(stack, &["a", "b", "c"]);
        let commands = [(1, Command::Up(Box::new(first))), (2, stop), (3, start)];
        assert_eq!(
            summary(&after(&commands)),
            "a Running x1 since 3; b Running x1 since 3; c Stopped x1 since 2"
        );
    }

    #[test]
    fn stop_start_and_kill_say_what_is_to_be() {
        let first = up(stack(&["a", "b"]), &["a", "b"]);
        let stop = Command::Stop {
            services: vec![name("a")],
            timeout: Some(Duration::from_secs(3)),
        };
        let start = Command::Start {
            services: Vec::new(),
            wait: false,
        };
        let kill = |signal| Command::Kill {
            services: Vec::new(),
            signal,
            remove_orphans: false,
        };
        let mut commands = vec![(1, Command::Up(Box::new(first))), (2, stop)];
        let stopped = after(&commands);
        assert_eq!(
            summary(&stopped),
            "a Stopped x1 since 2; b Running x1 since 1"
        );
        assert_eq!(stopped.services["a"].timeout, Some(Duration::from_secs(3)));
        commands.push((3, start));
        commands.push((4, kill(1)));
        assert_eq!(
            summary(&after(&commands)),
            "a Running x1 since 3; b Running x1 since 3"
        );
        commands.push((5, kill(9)));
        assert_eq!(
            summary(&after(&commands)),
            "a Stopped x1 since 5; b Stopped x1 since 5"
        );
    }

    #[test]
    fn what_was_removed_is_not_made_again() {
        let first = up(stack(&["a", "b"]), &["a", "b"]);
        let removal = Removal {
            containers: vec!["id".to_owned()],
            left: [(name("a"), 0), (name("b"), 2)].into_iter().collect(),
            services: vec![name("a"), name("b")],
            volumes: true,
        };
        let desired = after(&[
            (1, Command::Up(Box::new(first))),
            (2, Command::Remove(removal)),
        ]);
        assert_eq!(summary(&desired), "b Running x2 since 1");
        assert_eq!(desired.removals.get("id"), Some(&true));
    }

    #[test]
    fn restart_takes_dependents_along_that_ask_for_it() {
        let mut model = stack(&["db", "web", "other"]);
        let edge = |restart| Dependency {
            condition: Condition::ServiceStarted,
            restart,
            required: true,
        };
        model.services["web"]
            .depends_on
            .insert(name("db"), edge(true));
        model.services["other"]
            .depends_on
            .insert(name("db"), edge(false));
        let restarted = |no_deps| {
            let restart = Command::Restart {
                services: vec![name("db")],
                timeout: None,
                no_deps,
            };
            let first = up(model.clone(), &["db", "web", "other"]);
            let desired = after(&[(1, Command::Up(Box::new(first))), (2, restart)]);
            let named = desired
                .services
                .iter()
                .filter(|(_, service)| service.restart_before == Some(at(2)));
            named.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(restarted(false), ["db", "web"]);
        assert_eq!(restarted(true), ["db"]);
    }

    #[test]
    fn down_of_a_service_is_only_its_end_and_up_takes_down_back() {
        let first = up(stack(&["a", "b"]), &["a", "b"]);
        let down = |services| Command::Down {
            volumes: true,
            timeout: None,
            services,
        };
        let some = after(&[
            (1, Command::Up(Box::new(first.clone()))),
            (2, down(vec![name("a")])),
        ]);
        assert_eq!(summary(&some), "b Running x1 since 1");
        assert_eq!(some.down, None);
        let all = after(&[
            (1, Command::Up(Box::new(first.clone()))),
            (2, down(Vec::new())),
        ]);
        assert!(all.down.is_some());
        let again = after(&[(2, down(Vec::new())), (3, Command::Up(Box::new(first)))]);
        assert_eq!(again.down, None);
    }
}
