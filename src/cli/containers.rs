//! Containers as people and other programs see them: names, states, ports.

mod ports;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::context::Context;
use super::error::Result;
use crate::compose::model::ServiceName;
use crate::engine::native::{observe, observe_services};
use crate::plan::{Cause, Desired, Exit, Observed, ObservedContainer, Op, Phase, plan};
use crate::runtime::bundle::{Bundle, ShimConfig};
use crate::runtime::cgroup::{Cgroup, CgroupError};
use crate::state::read_json;
use crate::state::records::{ContainerRecord, HealthStatus, PortRecord};
use crate::ui::words;

pub(crate) use ports::{Publisher, ports_text, publishers};

/// A container's state in Docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Made, never started.
    Created,
    /// It runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It ended and is about to be started again.
    Restarting,
    /// It ended.
    Exited,
    /// It could not be started.
    Dead,
}

impl State {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Created,
        Self::Running,
        Self::Paused,
        Self::Restarting,
        Self::Exited,
        Self::Dead,
    ];

    /// Docker's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether Docker Compose lists it without `--all`.
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// A container with its state.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// The container.
    pub(crate) container: ObservedContainer,
    /// Its state.
    pub(crate) state: State,
}

/// The containers of some services of a project (none = all) with their states, by name.
pub(crate) fn list(
    context: &Context,
    project: &str,
    services: &[ServiceName],
) -> Result<Vec<Listed>> {
    let some = observe_services(&context.paths, project, services)?;
    let desired = match some.containers.values().any(has_ended) {
        true => context.desired(project)?,
        false => None,
    };
    if desired.is_none() {
        return Ok(listed(&some, None));
    }
    // Whether one is about to be started again depends on what else there is.
    let observed = observe(&context.paths, Some(project))?;
    let mut list = listed(&observed, desired.as_ref());
    list.retain(|listed| services.is_empty() || services.contains(&listed.record().service));
    Ok(list)
}

fn has_ended(container: &ObservedContainer) -> bool {
    matches!(container.phase, Phase::Exited(_))
}

/// The same, of what has been observed.
pub(crate) fn listed(observed: &Observed, desired: Option<&Desired>) -> Vec<Listed> {
    let restarting = restarting(observed, desired);
    let mut list: Vec<Listed> = observed
        .containers
        .values()
        .map(|container| Listed {
            state: state(container, restarting.contains(&container.record.id)),
            container: container.clone(),
        })
        .collect();
    list.sort_by(|a, b| natural(&a.container.record.name).cmp(&natural(&b.container.record.name)));
    list
}

/// A name with its number apart, so that `web-10` comes after `web-9`.
fn natural(name: &str) -> (&str, u64, &str) {
    let stem = name.trim_end_matches(|char: char| char.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0), name)
}

/// Ids of containers that ended and that the plan is going to start again by their policy.
fn restarting(observed: &Observed, desired: Option<&Desired>) -> Vec<String> {
    let Some(desired) = desired.filter(|_| observed.containers.values().any(has_ended)) else {
        return Vec::new();
    };
    let plan = plan(desired, observed, Timestamp::now());
    plan.steps
        .into_iter()
        .filter_map(|step| match (step.op, step.cause) {
            (Op::StartContainer { id: Some(id), .. }, Cause::Restart { .. }) => Some(id),
            _ => None,
        })
        .collect()
}

/// Whether the plan is going to start an ended container again by its policy.
pub(crate) fn restarts(context: &Context, project: &str, container: &ObservedContainer) -> bool {
    let Ok(desired) = context.desired(project) else {
        return false;
    };
    let mut observed = Observed::default();
    let id = container.record.id.clone();
    observed.containers.insert(id.clone(), container.clone());
    restarting(&observed, desired.as_ref()).contains(&id)
}

fn state(container: &ObservedContainer, restarting: bool) -> State {
    match &container.phase {
        Phase::Created => State::Created,
        Phase::Running { .. } => State::Running,
        Phase::Paused { .. } => State::Paused,
        Phase::Exited(_) if restarting => State::Restarting,
        Phase::Exited(_) => State::Exited,
    }
}

impl Listed {
    /// Docker's status: `Up 5 seconds (healthy)`, `Exited (0) 3 minutes ago`.
    pub(crate) fn status(&self, now: Timestamp) -> String {
        let up = |since: &Timestamp| words::duration(words::between(*since, now));
        match (&self.container.phase, self.state) {
            (Phase::Created, _) => "Created".to_owned(),
            (Phase::Paused { started_at, .. }, _) => format!("Up {} (Paused)", up(started_at)),
            (Phase::Running { started_at, .. }, _) => {
                let health = match self.container.health() {
                    None => "",
                    Some(HealthStatus::Starting) => " (health: starting)",
                    Some(HealthStatus::Healthy) => " (healthy)",
                    Some(HealthStatus::Unhealthy) => " (unhealthy)",
                };
                format!("Up {}{health}", up(started_at))
            }
            (
                Phase::Exited(Exit {
                    code, finished_at, ..
                }),
                state,
            ) => {
                let word = match state {
                    State::Restarting => "Restarting",
                    _ => "Exited",
                };
                format!("{word} ({code}) {}", words::ago(*finished_at, now))
            }
        }
    }

    /// Docker Compose's word for its health; empty without a check.
    pub(crate) fn health(&self) -> &'static str {
        match self.container.health() {
            Some(_) if !self.container.is_up() => "",
            None => "",
            Some(HealthStatus::Starting) => "starting",
            Some(HealthStatus::Healthy) => "healthy",
            Some(HealthStatus::Unhealthy) => "unhealthy",
        }
    }

    /// The code it ended with; 0 while it runs.
    pub(crate) fn exit_code(&self) -> i32 {
        match &self.container.phase {
            Phase::Exited(exit) => exit.code,
            _ => 0,
        }
    }

    /// What it was made from.
    pub(crate) fn record(&self) -> &ContainerRecord {
        &self.container.record
    }

    /// Its ports while it runs.
    pub(crate) fn ports(&self) -> &[PortRecord] {
        match self.container.is_up() {
            true => &self.container.status.ports,
            false => &[],
        }
    }
}

/// The containers of services, one-offs left out; no service = all.
pub(crate) fn of_services(
    context: &Context,
    project: &str,
    services: &[ServiceName],
) -> Result<Vec<ObservedContainer>> {
    let observed = observe_services(&context.paths, project, services)?;
    let mut containers: Vec<ObservedContainer> = observed
        .containers
        .into_values()
        .filter(|container| !container.record.one_off)
        .collect();
    containers.sort_by(|a, b| {
        let key = |container: &ObservedContainer| {
            (container.record.service.clone(), container.record.number)
        };
        key(a).cmp(&key(b))
    });
    Ok(containers)
}

/// The name without the project in front: what prefixes of output show. A name that the stack file
/// gives (`container_name`) is shown as it is, whatever it begins with.
pub(crate) fn strip_project<'a>(name: &'a str, project: &str) -> &'a str {
    // A name with `_` is of `--compatibility`.
    let is_numbered = |rest: &&str| {
        let number = rest.rsplit_once(['-', '_']).map(|(_, number)| number);
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    name.strip_prefix(project)
        .and_then(|rest| rest.strip_prefix(['-', '_']))
        .filter(is_numbered)
        .unwrap_or(name)
}

/// Where the output of a container is written; `None` when it is not.
pub(crate) fn log_dir(context: &Context, record: &ContainerRecord) -> Option<PathBuf> {
    let bundle = Bundle::new(context.paths.container(&record.id));
    match read_json::<ShimConfig>(&bundle.shim_config()) {
        Ok(Some(config)) => config.log.map(|log| log.dir),
        _ => Some(
            context
                .paths
                .logs(&record.project, record.service.as_str(), record.number),
        ),
    }
}

/// The cgroup of a container.
pub(crate) fn cgroup(record: &ContainerRecord) -> Result<Cgroup, CgroupError> {
    Cgroup::open(&Path::new("/stack").join(&record.project).join(&record.id))
}

/// The first twelve digits of an id.
pub(crate) fn short_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::compose::model::{Protocol, Published, Service};
    use crate::plan::sample;
    use crate::state::records::{ContainerStatus, HealthState};

    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    pub(crate) fn container(service: &str, number: u32, phase: Phase) -> ObservedContainer {
        let words = ["nginx", "-g", "daemon off;"];
        let record = ContainerRecord {
            id: format!("{number:0>64}"),
            created: at(0),
            image: "nginx:1".to_owned(),
            image_id: format!("sha256:{}", "a".repeat(64)),
            template: Service {
                expose: vec!["9000".to_owned(), "80/tcp".to_owned()],
                ..Service::default()
            },
            command: words.map(str::to_owned).into(),
            ..sample::record("shop", service, number)
        };
        ObservedContainer {
            record: Arc::new(record),
            status: ContainerStatus {
                ports: vec![PortRecord {
                    protocol: Protocol::Tcp,
                    host_ip: None,
                    host_port: 8080,
                    target: 80,
                    requested: Published::Port(8080),
                }],
                ..ContainerStatus::default()
            },
            phase,
        }
    }

    pub(crate) fn running() -> Phase {
        Phase::Running {
            pid: 7,
            started_at: at(0),
        }
    }

    pub(crate) fn exited(code: i32) -> Phase {
        Phase::Exited(sample::exit(code, (at(0), at(10))))
    }

    #[test]
    fn records_begin_with_what_they_are_told_from_others_by() {
        let record = container("web", 1, Phase::Created).record;
        let text = serde_json::to_vec(&*record).unwrap();
        let is_of_others = |project, services: &[ServiceName]| {
            crate::engine::native::is_of_others(&text[..512], project, services)
        };
        assert!(is_of_others("other", &[]));
        assert!(is_of_others("shop", &[ServiceName::new("db")]));
        assert!(!is_of_others("shop", &[]));
    }

    pub(crate) fn one(container: ObservedContainer, state: State) -> Listed {
        Listed { container, state }
    }

    #[test]
    fn the_status_is_docker_s() {
        let with_health = |status| {
            let mut container = container("web", 1, running());
            let record = Arc::make_mut(&mut container.record);
            record.health = Some(sample::check(30, 3));
            container.status.health = Some(HealthState {
                status,
                failing_streak: 0,
                log: Vec::new(),
            });
            one(container, State::Running)
        };
        let plain = |phase, state| one(container("web", 1, phase), state);
        let paused = Phase::Paused {
            pid: 7,
            started_at: at(0),
        };
        for (listed, status) in [
            (plain(Phase::Created, State::Created), "Created"),
            (plain(running(), State::Running), "Up 5 minutes"),
            (
                with_health(HealthStatus::Starting),
                "Up 5 minutes (health: starting)",
            ),
            (with_health(HealthStatus::Healthy), "Up 5 minutes (healthy)"),
            (
                with_health(HealthStatus::Unhealthy),
                "Up 5 minutes (unhealthy)",
            ),
            (plain(paused, State::Paused), "Up 5 minutes (Paused)"),
            (plain(exited(3), State::Exited), "Exited (3) 4 minutes ago"),
            (
                plain(exited(1), State::Restarting),
                "Restarting (1) 4 minutes ago",
            ),
        ] {
            assert_eq!(listed.status(at(300)), status);
        }
    }

    #[test]
    fn containers_are_listed_by_name_and_number() {
        let mut observed = Observed::default();
        for number in [10, 9, 2] {
            let container = container("web", number, running());
            observed
                .containers
                .insert(container.record.id.clone(), container);
        }
        let names: Vec<String> = listed(&observed, None)
            .iter()
            .map(|listed| listed.record().name.clone())
            .collect();
        assert_eq!(names, ["shop-web-2", "shop-web-9", "shop-web-10"]);
    }

    #[test]
    fn a_prefix_is_the_name_without_the_project() {
        assert_eq!(strip_project("shop-web-1", "shop"), "web-1");
        assert_eq!(strip_project("shop_web_1", "shop"), "web_1");
        assert_eq!(strip_project("shop_db", "shop"), "shop_db");
        assert_eq!(strip_project("database", "shop"), "database");
        assert_eq!(strip_project("shopping-1", "shop"), "shopping-1");
        assert_eq!(strip_project("shop-database", "shop"), "shop-database");
        assert_eq!(strip_project("shop-", "shop"), "shop-");
    }
}
