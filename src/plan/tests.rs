//! The plan as a table: states in, steps and causes out.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use insta::assert_snapshot;
use jiff::Timestamp;

use super::*;
use crate::compose::model::{
    Attachment, Dependency, Mount, MountSource, Network, RestartPolicy, Service, ServiceNetwork,
    Volume, VolumesFrom, VolumesSource,
};
use crate::state::records::{ContainerRecord, HealthState, HealthStatus, NetworkRequest};

mod by_hand;
mod contents;
mod moves;
mod objects;

/// A moment of the test's time line, in seconds.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn name(text: &str) -> ServiceName {
    ServiceName::new(text)
}

/// A project and its machine, grown by the tests.
struct World {
    desired: Desired,
    observed: Observed,
    now: i64,
}

impl World {
    fn new() -> Self {
        Self {
            desired: Desired::new("shop"),
            observed: Observed::default(),
            now: 100,
        }
    }

    /// A service of the model, brought up at second 50.
    fn service(mut self, text: &str, change: impl FnOnce(&mut DesiredService)) -> Self {
        let model = Service {
            image: Some("busybox".to_owned()),
            ..Service::default()
        };
        let mut service = DesiredService {
            image_id: Some("sha256:1".to_owned()),
            hash: "h1".to_owned(),
            ..DesiredService::new(model, at(50))
        };
        change(&mut service);
        self.observed
            .images
            .insert("busybox".to_owned(), "sha256:1".to_owned());
        self.desired.services.insert(name(text), service);
        self
    }

    /// A container made at second 10 and started at second 20, unless changed.
    fn container(
        mut self,
        service: &str,
        number: u32,
        change: impl FnOnce(&mut ObservedContainer),
    ) -> Self {
        let id = format!("{service}{number}{}", self.observed.containers.len());
        let template = self
            .desired
            .services
            .get(service)
            .map(|desired| desired.service.clone());
        let record = ContainerRecord {
            id,
            created: at(10),
            config_hash: "h1".to_owned(),
            image: "busybox".to_owned(),
            image_id: "sha256:1".to_owned(),
            template: template.unwrap_or_default(),
            ..sample::record("shop", service, number)
        };
        let phase = Phase::Running {
            pid: 1,
            started_at: at(20),
        };
        let mut container = sample::container(record, phase);
        change(&mut container);
        self.observed
            .containers
            .insert(container.record.id.clone(), container);
        self
    }

    fn plan(&self) -> String {
        let plan = plan(&self.desired, &self.observed, at(self.now));
        for (index, step) in plan.steps.iter().enumerate() {
            for after in &step.after {
                if let After::Step(before) = after {
                    assert!(*before < index, "a step waits only for earlier ones");
                }
            }
        }
        plan.to_string()
    }
}

fn depends_on(target: &str, condition: Condition) -> impl FnOnce(&mut DesiredService) {
    let target = name(target);
    move |service| {
        let edge = Dependency {
            condition,
            restart: false,
            required: true,
        };
        service.service.depends_on.insert(target, edge);
    }
}

fn exited(code: i32, finished: i64) -> impl FnOnce(&mut ObservedContainer) {
    move |container| {
        container.phase = Phase::Exited(sample::exit(code, (at(20), at(finished))));
    }
}

fn healthy(status: HealthStatus) -> impl FnOnce(&mut ObservedContainer) {
    move |container| {
        change_record(container, |record| {
            record.health = Some(sample::check(30, 3));
        });
        container.status.health = Some(HealthState {
            status,
            failing_streak: 0,
            log: Vec::new(),
        });
    }
}

fn change_record(container: &mut ObservedContainer, change: impl FnOnce(&mut ContainerRecord)) {
    let mut record = (*container.record).clone();
    change(&mut record);
    container.record = Arc::new(record);
}

fn unchanged<T>(_: &mut T) {}

fn volume_of(project: &str) -> ObservedVolume {
    ObservedVolume {
        config_hash: String::new(),
        project: project.to_owned(),
    }
}

#[test]
fn a_new_project_is_made_in_the_order_of_its_edges() {
    let mut world = World::new()
        .service("web", |service| {
            depends_on("db", Condition::ServiceHealthy)(service);
            let networks = IndexMap::from([(NetworkKey::new("default"), Attachment::default())]);
            service.service.network = ServiceNetwork::Networks(networks);
        })
        .service("db", objects::mounts_data);
    let network = Network {
        name: "shop_default".to_owned(),
        ..Network::default()
    };
    let volume = Volume {
        name: "shop_data".to_owned(),
        ..Volume::default()
    };
    world
        .desired
        .networks
        .insert(NetworkKey::new("default"), network);
    world.desired.volumes.insert(VolumeKey::new("data"), volume);
    world.observed.images.clear();
    assert_snapshot!(world.plan(), @"
      1. create network shop_default: it does not exist
      2. create volume shop_data: it does not exist
      3. pull image busybox: db needs it
      4. create container shop-db-1: it does not exist [after 3]
      5. start container shop-db-1: it does not exist [after 4, 2]
      6. create container shop-web-1: it does not exist [after 3]
      7. start container shop-web-1: it does not exist [after 6, 1, db healthy]
    ");
}

#[test]
fn an_image_that_is_built_here_is_not_said_to_be_pulled() {
    let mut world = World::new().service("db", |service| service.service.has_build = true);
    world.observed.images.clear();
    let plan = world.plan();
    assert!(plan.contains("build image busybox: db needs it"), "{plan}");
    assert!(!plan.contains("pull"), "{plan}");
}

#[test]
fn an_unchanged_project_needs_nothing() {
    let world = World::new()
        .service("web", depends_on("db", Condition::ServiceStarted))
        .service("db", unchanged)
        .container("web", 1, unchanged)
        .container("db", 1, unchanged);
    assert_snapshot!(world.plan(), @"");
}

#[test]
fn only_the_changed_service_is_replaced_and_the_new_container_is_made_first() {
    let world = World::new()
        .service("web", unchanged)
        .service("db", |service| {
            service.hash = "h2".to_owned();
            service
                .service
                .environment
                .insert("A".to_owned(), Some("1".to_owned()));
        })
        .container("web", 1, unchanged)
        .container("db", 1, |container| {
            change_record(container, |record| record.template.environment.clear());
        });
    assert_snapshot!(world.plan(), @"
      1. create container shop-db-1: it takes the place of the old one: its configuration changed: environment (A)
      2. stop container shop-db-1: a new one takes its place: its configuration changed: environment (A) [after 1]
      3. remove container shop-db-1: a new one takes its place: its configuration changed: environment (A) [after 2]
      4. start container shop-db-1: it takes the place of the old one: its configuration changed: environment (A) [after 1, 3]
    ");
}

#[test]
fn a_replacement_that_was_made_is_gone_on_with() {
    let world = World::new()
        .service("db", |service| service.hash = "h2".to_owned())
        .container("db", 1, unchanged)
        .container("db", 1, |container| {
            change_record(container, |record| {
                record.config_hash = "h2".to_owned();
                record.created = at(90);
            });
            container.phase = Phase::Created;
        });
    assert_snapshot!(world.plan(), @"
      1. stop container shop-db-1: a new one takes its place: its configuration changed
      2. remove container shop-db-1: a new one takes its place: its configuration changed [after 1]
      3. start container shop-db-1: it has not been started [after 2]
    ");
}

#[test]
fn a_new_image_or_the_command_line_replaces_too() {
    let image = World::new()
        .service("db", |service| {
            service.image_id = Some("sha256:2".to_owned())
        })
        .container("db", 1, exited(0, 60));
    assert_snapshot!(image.plan(), @"
      1. create container shop-db-1: it takes the place of the old one: its image changed
      2. remove container shop-db-1: a new one takes its place: its image changed [after 1]
      3. start container shop-db-1: it takes the place of the old one: its image changed [after 1, 2]
    ");
    let forced = World::new()
        .service("db", |service| service.recreate_before = Some(at(50)))
        .container("db", 1, exited(0, 60));
    assert!(forced.plan().contains("a new one was asked for"));
    let kept = World::new()
        .service("db", |service| {
            service.hash = "h2".to_owned();
            service.no_recreate = true;
        })
        .container("db", 1, unchanged);
    assert_snapshot!(kept.plan(), @"");
}

#[test]
fn scaling_down_keeps_what_is_up_to_date_and_up_reuses_numbers() {
    let down = World::new()
        .service("web", |service| service.replicas = 1)
        .container("web", 1, |container| {
            change_record(container, |record| record.config_hash = "old".to_owned());
        })
        .container("web", 2, unchanged);
    assert_snapshot!(down.plan(), @"
      1. stop container shop-web-1: only 1 replica is asked for
      2. remove container shop-web-1: only 1 replica is asked for [after 1]
    ");
    let up = World::new()
        .service("web", |service| service.replicas = 3)
        .container("web", 2, unchanged);
    let plan = up.plan();
    assert!(
        plan.contains("create container shop-web-1")
            && plan.contains("create container shop-web-3"),
        "{plan}"
    );
    assert!(!plan.contains("shop-web-2"), "{plan}");
}

#[test]
fn a_dependent_waits_and_is_told_when_waiting_is_in_vain() {
    let states = |status| {
        World::new()
            .service("db", unchanged)
            .service("web", depends_on("db", Condition::ServiceHealthy))
            .container("db", 1, healthy(status))
            .container("web", 1, |container| container.phase = Phase::Created)
    };
    assert_snapshot!(states(HealthStatus::Starting).plan(), @"  1. start container shop-web-1: it has not been started [after db healthy]");
    assert_snapshot!(states(HealthStatus::Healthy).plan(), @"  1. start container shop-web-1: it has not been started");
    assert_snapshot!(states(HealthStatus::Unhealthy).plan(), @"  ! web: dependency failed to start: container shop-db-1 is unhealthy");
}

#[test]
fn completion_is_exit_code_zero() {
    let states = |code, finished| {
        World::new()
            .service("job", unchanged)
            .service(
                "web",
                depends_on("job", Condition::ServiceCompletedSuccessfully),
            )
            .container("job", 1, exited(code, finished))
            .container("web", 1, |container| container.phase = Phase::Created)
            .plan()
    };
    assert_snapshot!(states(0, 60), @"  1. start container shop-web-1: it has not been started");
    assert_snapshot!(states(3, 60), @r#"  ! web: service "job" didn't complete successfully: exit 3"#);
    // It ended before the last `up`: it runs again, and only then does its end count.
    assert_snapshot!(states(0, 40), @"
      1. start container shop-job-1: it exited (0)
      2. start container shop-web-1: it has not been started [after job completed]
    ");
}

#[test]
fn an_optional_dependency_may_fail() {
    let world = World::new()
        .service("job", unchanged)
        .service("web", |service| {
            depends_on("job", Condition::ServiceHealthy)(service);
            service.service.depends_on[0].required = false;
        })
        .container("job", 1, exited(3, 60))
        .container("web", 1, |container| container.phase = Phase::Created);
    assert_snapshot!(world.plan(), @r#"
      1. start container shop-web-1: it has not been started
      ! web: optional dependency "job" failed to start: container shop-job-1 exited (3)
    "#);
}

#[test]
fn a_dependency_that_ends_again_and_again_is_not_waited_for_without_end() {
    let waiting = |policy: RestartPolicy, condition, code, restarts| {
        let world = World::new()
            .service("db", |service| service.service.restart = policy)
            .service("web", depends_on("db", condition))
            .container("db", 1, |container| {
                healthy(HealthStatus::Starting)(container);
                exited(code, 60)(container);
                container.status.restart_count = restarts;
                container.status.failed_attempts = restarts.saturating_sub(1);
            })
            .container("web", 1, |container| container.phase = Phase::Created);
        let plan = plan(&world.desired, &world.observed, at(world.now));
        match (plan.problems.first(), plan.steps.last()) {
            (Some(problem), _) => problem.message.clone(),
            (None, Some(step)) if step.after.is_empty() => "starts".to_owned(),
            _ => "waits".to_owned(),
        }
    };
    let always = || RestartPolicy::Always;
    let twice = || RestartPolicy::OnFailure {
        max_attempts: Some(2),
        delay: None,
        window: None,
    };
    let unhealthy = "dependency failed to start: container shop-db-1 is unhealthy: it exited (1), and again after 2 restarts";
    let exited = "dependency failed to start: container shop-db-1 exited (1)";
    let failed = "service \"db\" didn't complete successfully: exit 1";
    use Condition::{ServiceCompletedSuccessfully, ServiceHealthy, ServiceStarted};
    for (policy, condition, code, restarts, expected) in [
        // The health check has three tries.
        (always(), ServiceHealthy, 1, 0, "waits"),
        (always(), ServiceHealthy, 1, 1, "waits"),
        (always(), ServiceHealthy, 1, 2, unhealthy),
        (
            RestartPolicy::UnlessStopped,
            ServiceHealthy,
            1,
            2,
            unhealthy,
        ),
        (twice(), ServiceHealthy, 1, 1, "waits"),
        (twice(), ServiceHealthy, 1, 2, exited),
        (RestartPolicy::No, ServiceHealthy, 1, 0, exited),
        // A job may be tried as often as its policy says; its success counts once it is there.
        (always(), ServiceCompletedSuccessfully, 1, 9, "waits"),
        (always(), ServiceCompletedSuccessfully, 0, 0, "starts"),
        (twice(), ServiceCompletedSuccessfully, 1, 2, failed),
        (always(), ServiceStarted, 1, 9, "waits"),
        (twice(), ServiceStarted, 1, 2, "starts"),
    ] {
        let text = format!("{policy:?} {condition:?} {code} {restarts}");
        assert_eq!(
            waiting(policy, condition, code, restarts),
            expected,
            "{text}"
        );
    }
}

#[test]
fn restart_policies_start_again_with_a_growing_delay() {
    let table = [
        (RestartPolicy::No, 1, 0, ""),
        (RestartPolicy::Always, 0, 0, "always"),
        (RestartPolicy::UnlessStopped, 0, 0, "unless-stopped"),
        (on_failure(None), 0, 0, ""),
        (on_failure(None), 1, 7, "on-failure"),
        (on_failure(Some(3)), 1, 2, "on-failure:3"),
        (on_failure(Some(3)), 1, 3, ""),
    ];
    for (policy, code, restarts, expected) in table {
        let world = World::new()
            .service("web", |service| service.service.restart = policy)
            .container("web", 1, |container| {
                exited(code, 99)(container);
                container.status.restart_count = restarts;
                container.status.failed_attempts = restarts.saturating_sub(1);
            });
        let plan = world.plan();
        assert_eq!(
            plan.contains(&format!("restart: {expected}`")),
            !expected.is_empty(),
            "{policy:?}: {plan}"
        );
        assert_eq!(plan.is_empty(), expected.is_empty(), "{policy:?}: {plan}");
    }
    let mut world = World::new()
        .service("web", |service| {
            service.service.restart = RestartPolicy::Always
        })
        .container("web", 1, |container| {
            exited(1, 99)(container);
            container.status.streak = 5;
        });
    world.now = 100;
    let waiting = plan(&world.desired, &world.observed, at(100));
    assert_eq!(
        waiting.steps[0].not_before,
        Some(at(99) + Duration::from_millis(3200))
    );
    assert_eq!(
        plan(&world.desired, &world.observed, at(103)).steps[0].not_before,
        None
    );
}

fn on_failure(max_attempts: Option<u32>) -> RestartPolicy {
    RestartPolicy::OnFailure {
        max_attempts,
        delay: None,
        window: None,
    }
}

#[test]
fn a_stopped_service_stays_down_and_dependents_stop_first() {
    let world = World::new()
        .service("db", |service| service.run = Run::Stopped)
        .service("web", |service| {
            depends_on("db", Condition::ServiceStarted)(service);
            service.run = Run::Stopped;
            service.service.restart = RestartPolicy::Always;
        })
        .container("db", 1, unchanged)
        .container("web", 1, unchanged);
    assert_snapshot!(world.plan(), @"
      1. stop container shop-web-1: it was asked to stop
      2. stop container shop-db-1: it was asked to stop [after 1]
    ");
}

#[test]
fn restart_stops_and_starts_and_survives_an_interruption_between() {
    let world = World::new()
        .service("web", |service| service.restart_before = Some(at(90)))
        .container("web", 1, unchanged);
    assert_snapshot!(world.plan(), @"
      1. stop container shop-web-1 to start it again: a restart was asked for
      2. start container shop-web-1: a restart was asked for [after 1]
    ");
    let between = World::new()
        .service("web", unchanged)
        .container("web", 1, |container| {
            exited(143, 95)(container);
            container.status.interrupted = true;
        });
    assert_snapshot!(between.plan(), @"  1. start container shop-web-1: it was stopped to be started again");
}

#[test]
fn what_needs_a_service_that_is_to_be_restarted_waits_for_its_new_start() {
    let world = World::new()
        .service("db", |service| service.restart_before = Some(at(90)))
        .service("web", |service| {
            depends_on("db", Condition::ServiceStarted)(service);
            service.restart_before = Some(at(90));
        })
        .container("db", 1, unchanged)
        .container("web", 1, |container| {
            exited(143, 95)(container);
            container.status.interrupted = true;
        });
    assert_snapshot!(world.plan(), @"
      1. stop container shop-db-1 to start it again: a restart was asked for
      2. start container shop-db-1: a restart was asked for [after 1]
      3. start container shop-web-1: a restart was asked for [after db started]
    ");
}

#[test]
fn a_replaced_dependency_restarts_dependents_that_ask_for_it() {
    let world = |restart| {
        World::new()
            .service("db", unchanged)
            .service("web", |service| {
                depends_on("db", Condition::ServiceStarted)(service);
                service.service.depends_on[0].restart = restart;
            })
            .container("db", 1, |container| {
                change_record(container, |record| {
                    record.created = at(60);
                    let label = "com.docker.compose.replace".to_owned();
                    record.labels.insert(label, "old".to_owned());
                });
                container.phase = Phase::Running {
                    pid: 2,
                    started_at: at(61),
                };
            })
            .container("web", 1, unchanged)
            .plan()
    };
    assert_snapshot!(world(false), @"");
    assert_snapshot!(world(true), @"
      1. stop container shop-web-1 to start it again: db, which it depends on with `restart: true`, was restarted
      2. start container shop-web-1: db, which it depends on with `restart: true`, was restarted [after 1]
    ");
}

#[test]
fn sharing_a_network_namespace_follows_its_owner() {
    let world = World::new()
        .service("vpn", unchanged)
        .service("app", |service| {
            depends_on("vpn", Condition::ServiceStarted)(service);
            service.service.network = ServiceNetwork::Service(name("vpn"));
        })
        .container("vpn", 1, |container| {
            container.phase = Phase::Running {
                pid: 2,
                started_at: at(61),
            };
        })
        .container("app", 1, unchanged);
    assert_snapshot!(world.plan(), @"
      1. stop container shop-app-1 to start it again: vpn, whose namespaces it shares, was started again
      2. start container shop-app-1: vpn, whose namespaces it shares, was started again [after 1]
    ");
}

#[test]
fn what_is_taken_over_is_made_first() {
    let world = World::new()
        .service("app", |service| {
            depends_on("data", Condition::ServiceStarted)(service);
            service.service.volumes_from = vec![VolumesFrom {
                source: VolumesSource::Service(name("data")),
                read_only: false,
            }];
        })
        .service("data", unchanged);
    assert_snapshot!(world.plan(), @"
      1. create container shop-data-1: it does not exist
      2. start container shop-data-1: it does not exist [after 1]
      3. create container shop-app-1: it does not exist [after 1]
      4. start container shop-app-1: it does not exist [after 3, data started]
    ");
}

#[test]
fn a_changed_network_is_made_anew_under_its_containers() {
    let mut world = World::new()
        .service("web", |service| {
            let networks = IndexMap::from([(NetworkKey::new("default"), Attachment::default())]);
            service.service.network = ServiceNetwork::Networks(networks);
        })
        .container("web", 1, |container| {
            change_record(container, |record| {
                record.networks.push(NetworkRequest {
                    network: "shop_default".to_owned(),
                    aliases: Vec::new(),
                    addresses: Vec::new(),
                    mac: None,
                    interface: None,
                    default_route: true,
                });
            });
        });
    let network = Network {
        name: "shop_default".to_owned(),
        internal: true,
        ..Network::default()
    };
    world
        .desired
        .networks
        .insert(NetworkKey::new("default"), network);
    let observed = ObservedNetwork {
        config_hash: "another".to_owned(),
        project: "shop".to_owned(),
    };
    world
        .observed
        .networks
        .insert("shop_default".to_owned(), observed);
    assert_snapshot!(world.plan(), @"
      1. stop container shop-web-1 to start it again: network shop_default is made anew
      2. remove network shop_default: its configuration changed [after 1]
      3. create network shop_default: its configuration changed [after 2]
      4. start container shop-web-1: network shop_default is made anew [after 1, 3]
    ");
}

#[test]
fn a_missing_external_network_fails_only_its_services() {
    let mut world = World::new()
        .service("web", unchanged)
        .service("other", |service| {
            let networks = IndexMap::from([(NetworkKey::new("shared"), Attachment::default())]);
            service.service.network = ServiceNetwork::Networks(networks);
        });
    let network = Network {
        name: "shared".to_owned(),
        external: true,
        ..Network::default()
    };
    world
        .desired
        .networks
        .insert(NetworkKey::new("shared"), network);
    assert_snapshot!(world.plan(), @"
      1. create container shop-web-1: it does not exist
      2. start container shop-web-1: it does not exist [after 1]
      ! other: network shared declared as external, but could not be found; make it with `stack network create shared`
    ");
}

#[test]
fn what_could_not_be_done_is_a_problem_until_it_is_asked_for_again() {
    let mut world = World::new()
        .service("web", unchanged)
        .container("web", 1, |container| {
            exited(127, 60)(container);
            if let Phase::Exited(exit) = &mut container.phase {
                exit.error = Some("no such program".to_owned());
            }
        });
    assert_snapshot!(world.plan(), @"  ! web: container shop-web-1 could not be started: no such program");
    world.desired.services[0].since = at(70);
    assert_snapshot!(world.plan(), @"  1. start container shop-web-1: it could not be started: no such program");
}

#[test]
fn orphans_of_the_model_go_and_one_offs_stay_until_they_end() {
    let world = World::new()
        .container("gone", 1, unchanged)
        .container("web", 1, |container| {
            change_record(container, |record| record.one_off = true)
        })
        .container("job", 1, |container| {
            exited(0, 60)(container);
            change_record(container, |record| {
                record.one_off = true;
                record.auto_remove = true;
            });
        });
    assert_snapshot!(world.plan(), @"
      1. stop container shop-gone-1: the stack file has no such service
      2. remove container shop-gone-1: the stack file has no such service [after 1]
      3. remove container shop-job-1: it ended and was to be removed then
    ");
}

#[test]
fn ended_containers_that_were_asked_to_go_go_and_are_not_made_again() {
    let mut world = World::new()
        .service("web", |service| service.replicas = 1)
        .container("web", 1, unchanged)
        .container("web", 2, exited(1, 60))
        .container("job", 1, exited(3, 60))
        .container("back", 1, unchanged)
        .service("back", unchanged);
    let ids: Vec<String> = world.observed.containers.keys().cloned().collect();
    for id in ids {
        world.desired.removals.insert(id, false);
    }
    assert_snapshot!(world.plan(), @r"
      1. remove container shop-job-1: it was asked to go
      2. remove container shop-web-2: it was asked to go
    ");
}

#[test]
fn down_takes_dependents_first_and_then_what_they_stood_on() {
    let mut world = World::new()
        .service("db", unchanged)
        .service("web", depends_on("db", Condition::ServiceStarted))
        .container("db", 1, unchanged)
        .container("web", 1, unchanged);
    world.desired.down = Some(Down {
        volumes: true,
        timeout: None,
    });
    for (network, project) in [("shop_default", "shop"), ("shared", "other"), ("hand", "")] {
        let observed = ObservedNetwork {
            config_hash: String::new(),
            project: project.to_owned(),
        };
        world.observed.networks.insert(network.to_owned(), observed);
    }
    world
        .observed
        .volumes
        .insert("shop_data".to_owned(), volume_of("shop"));
    world
        .observed
        .volumes
        .insert("foreign".to_owned(), volume_of("other"));
    assert_snapshot!(world.plan(), @"
      1. stop container shop-web-1: the project goes down
      2. remove container shop-web-1: the project goes down [after 1]
      3. stop container shop-db-1: the project goes down [after 1]
      4. remove container shop-db-1: the project goes down [after 3]
      5. remove network shop_default: the project goes down [after 2, 4]
      6. remove volume shop_data: the project goes down [after 2, 4]
    ");
}
