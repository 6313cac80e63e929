//! What restarts a service that runs and is up to date, as a table.

use super::*;
use crate::compose::model::{Follow, OnUnhealthy};

fn web_follows(restart: bool, events: &'static [Follow]) -> impl FnOnce(&mut DesiredService) {
    move |service| {
        depends_on("db", Condition::ServiceHealthy)(service);
        service.service.depends_on[0].restart = restart;
        let follow = &mut service.service.x_stack.follow;
        follow.insert(name("db"), events.iter().copied().collect());
    }
}

fn started(second: i64) -> impl FnOnce(&mut ObservedContainer) {
    move |container| {
        container.phase = Phase::Running {
            pid: 2,
            started_at: at(second),
        };
    }
}

fn replaced(second: i64) -> impl FnOnce(&mut ObservedContainer) {
    move |container| {
        change_record(container, |record| {
            record.created = at(second);
            let label = "com.docker.compose.replace".to_owned();
            record.labels.insert(label, "old".to_owned());
        });
        started(second)(container);
    }
}

#[test]
fn a_service_moves_with_what_it_follows_and_with_nothing_else() {
    use Follow::{Replaced, Restarted, Unhealthy};
    let scaled: fn(&mut ObservedContainer) = |container| {
        change_record(container, |record| record.created = at(60));
        started(60)(container);
    };
    let ill: fn(&mut ObservedContainer) = |container| {
        healthy(HealthStatus::Healthy)(container);
        container.status.unhealthy_at = Some(at(60));
    };
    let was_ill: fn(&mut ObservedContainer) = |container| {
        healthy(HealthStatus::Healthy)(container);
        container.status.unhealthy_at = Some(at(15));
    };
    let alone: fn(&mut ObservedContainer) = |container| {
        replaced(60)(container);
        change_record(container, |record| record.made_alone = true);
    };
    type Change = fn(&mut ObservedContainer);
    // `restart: true`, events followed, what happened to db, whether web is restarted.
    let table: [(bool, &'static [Follow], Change, &str); 14] = [
        (true, &[], |c| replaced(60)(c), "restarted"),
        (false, &[Replaced], |c| replaced(60)(c), "restarted"),
        (false, &[], |c| replaced(60)(c), ""),
        // Before web was started: it has been answered.
        (true, &[], |c| replaced(15)(c), ""),
        // By a command that was about db alone.
        (true, &[Replaced, Restarted], alone, ""),
        // More replicas, and starts that are no operation.
        (true, &[], scaled, ""),
        (false, &[Restarted], scaled, ""),
        (true, &[], |c| started(60)(c), ""),
        (false, &[Restarted], |c| started(60)(c), "started again"),
        (false, &[Restarted], |c| started(15)(c), ""),
        (false, &[Unhealthy], ill, "turned unhealthy"),
        (false, &[Unhealthy], was_ill, ""),
        (true, &[Replaced, Restarted], ill, ""),
        (false, &[Unhealthy], |c| started(60)(c), ""),
    ];
    for (index, (restart, events, change, expected)) in table.into_iter().enumerate() {
        let plan = World::new()
            .service("db", unchanged)
            .service("web", web_follows(restart, events))
            .container("db", 1, |container| {
                healthy(HealthStatus::Healthy)(container);
                change(container);
            })
            .container("web", 1, unchanged)
            .plan();
        assert_eq!(plan.is_empty(), expected.is_empty(), "{index}: {plan}");
        assert!(plan.contains(expected), "{index}: {plan}");
    }
}

#[test]
fn what_follows_a_service_is_down_before_its_container_is_replaced() {
    let world = World::new()
        .service("web", web_follows(true, &[]))
        .service("db", |service| service.hash = "h2".to_owned())
        .container("db", 1, healthy(HealthStatus::Healthy))
        .container("web", 1, unchanged);
    assert_snapshot!(world.plan(), @"
      1. create container shop-db-1: it takes the place of the old one: its configuration changed
      2. stop container shop-web-1 to start it again: db, which it follows, is replaced [after 1]
      3. stop container shop-db-1: a new one takes its place: its configuration changed [after 1, 2]
      4. remove container shop-db-1: a new one takes its place: its configuration changed [after 3]
      5. start container shop-db-1: it takes the place of the old one: its configuration changed [after 1, 4]
      6. start container shop-web-1: db, which it follows, is replaced [after 2, db healthy]
    ");
}

#[test]
fn what_follows_a_service_goes_on_when_a_command_is_about_that_one_alone() {
    let world = World::new()
        .service("web", web_follows(true, &[]))
        .service("db", |service| {
            service.hash = "h2".to_owned();
            service.no_deps = true;
        })
        .container("db", 1, healthy(HealthStatus::Healthy))
        .container("web", 1, unchanged);
    let plan = world.plan();
    assert!(plan.contains("create container shop-db-1"), "{plan}");
    assert!(!plan.contains("web"), "{plan}");
}

#[test]
fn an_unhealthy_container_is_restarted_where_that_is_asked_for_and_not_too_often() {
    let world = |asked, streak| {
        World::new()
            .service("web", |service| {
                service.service.x_stack.on_unhealthy = asked
            })
            .container("web", 1, |container| {
                healthy(HealthStatus::Unhealthy)(container);
                container.status.unhealthy_at = Some(at(99));
                container.status.streak = streak;
            })
    };
    assert_snapshot!(world(OnUnhealthy::None, 0).plan(), @"");
    assert_snapshot!(world(OnUnhealthy::Exec(vec!["x".to_owned()]), 0).plan(), @"");
    assert_snapshot!(world(OnUnhealthy::Restart, 0).plan(), @"
      1. stop container shop-web-1 to start it again: it is unhealthy and has `on_unhealthy: restart`
      2. start container shop-web-1: it is unhealthy and has `on_unhealthy: restart` [after 1]
    ");
    let often = world(OnUnhealthy::Restart, 5);
    let step = &plan(&often.desired, &often.observed, at(100)).steps[0];
    assert_eq!(step.not_before, Some(at(99) + Duration::from_millis(3200)));
}

#[test]
fn what_shares_a_namespace_waits_for_its_owner_even_when_its_policy_starts_it_again() {
    let world = |app: fn(&mut ObservedContainer), vpn: fn(&mut ObservedContainer)| {
        World::new()
            .service("vpn", |service| {
                service.service.restart = RestartPolicy::Always
            })
            .service("app", |service| {
                depends_on("vpn", Condition::ServiceStarted)(service);
                service.service.network = ServiceNetwork::Service(name("vpn"));
                service.service.restart = RestartPolicy::Always;
            })
            .container("vpn", 1, vpn)
            .container("app", 1, app)
            .plan()
    };
    let crashed: fn(&mut ObservedContainer) = |container| exited(1, 90)(container);
    // Both ended at the same moment.
    assert_snapshot!(world(crashed, crashed), @"
      1. start container shop-vpn-1: it exited (1) and has `restart: always` (attempt 1, after 100 ms)
      2. start container shop-app-1: it exited (1) and has `restart: always` (attempt 1, after 100 ms) [after vpn started]
    ");
    // It was tried a moment too soon.
    let too_soon: fn(&mut ObservedContainer) = |container| {
        exited(128, 91)(container);
        if let Phase::Exited(exit) = &mut container.phase {
            exit.error = Some("nobody to share with".to_owned());
        }
    };
    assert_snapshot!(world(too_soon, crashed), @"
      1. start container shop-vpn-1: it exited (1) and has `restart: always` (attempt 1, after 100 ms)
      2. start container shop-app-1: vpn, whose namespaces it shares, was started again [after vpn started]
    ");
    assert_snapshot!(world(too_soon, |container| started(92)(container)), @"  1. start container shop-app-1: vpn, whose namespaces it shares, was started again");
    // The owner has run all the time: trying again would fail again.
    assert_snapshot!(world(too_soon, |container| started(20)(container)), @"  ! app: container shop-app-1 could not be started: nobody to share with");
}

#[test]
fn what_shares_something_of_a_container_is_replaced_with_it() {
    let app = |change: fn(&mut DesiredService)| {
        move |service: &mut DesiredService| {
            depends_on("vpn", Condition::ServiceStarted)(service);
            change(service);
        }
    };
    let network: fn(&mut DesiredService) = |service| {
        service.service.depends_on[0].restart = true;
        service.service.network = ServiceNetwork::Service(name("vpn"));
    };
    let hosts: fn(&mut DesiredService) = |service| {
        service.service.uts = Some("service:vpn".to_owned());
    };
    let volumes: fn(&mut DesiredService) = |service| {
        service.service.volumes_from.push(VolumesFrom {
            source: VolumesSource::Service(name("vpn")),
            read_only: false,
        });
    };
    let world = |change, hash: &'static str| {
        World::new()
            .service("vpn", move |service| service.hash = hash.to_owned())
            .service("app", app(change))
            .container("app", 1, unchanged)
    };
    let replaced = |change| world(change, "h2").container("vpn", 1, unchanged).plan();
    assert_snapshot!(replaced(network), @r"
      1. create container shop-vpn-1: it takes the place of the old one: its configuration changed
      2. stop container shop-app-1 to start it again: vpn, which it follows, is replaced [after 1]
      3. stop container shop-vpn-1: a new one takes its place: its configuration changed [after 1, 2]
      4. remove container shop-vpn-1: a new one takes its place: its configuration changed [after 3]
      5. start container shop-vpn-1: it takes the place of the old one: its configuration changed [after 1, 4]
      6. create container shop-app-1: it takes the place of the old one: vpn, whose namespaces or volumes it shares, is replaced [after 1]
      7. remove container shop-app-1: a new one takes its place: vpn, whose namespaces or volumes it shares, is replaced [after 6, 2]
      8. start container shop-app-1: it takes the place of the old one: vpn, whose namespaces or volumes it shares, is replaced [after 6, 7, vpn started]
    ");
    assert_snapshot!(replaced(volumes), @r"
      1. create container shop-vpn-1: it takes the place of the old one: its configuration changed
      2. stop container shop-vpn-1: a new one takes its place: its configuration changed [after 1]
      3. remove container shop-vpn-1: a new one takes its place: its configuration changed [after 2]
      4. start container shop-vpn-1: it takes the place of the old one: its configuration changed [after 1, 3]
      5. create container shop-app-1: it takes the place of the old one: vpn, whose namespaces or volumes it shares, is replaced [after 1]
      6. stop container shop-app-1: a new one takes its place: vpn, whose namespaces or volumes it shares, is replaced [after 5]
      7. remove container shop-app-1: a new one takes its place: vpn, whose namespaces or volumes it shares, is replaced [after 6]
      8. start container shop-app-1: it takes the place of the old one: vpn, whose namespaces or volumes it shares, is replaced [after 5, 7, vpn started]
    ");
    assert!(!replaced(hosts).contains("shop-app-1"));
    // It was made anew while nobody looked.
    let younger = |container: &mut ObservedContainer| {
        change_record(container, |record| record.created = at(60));
        started(60)(container);
    };
    let before = |change| world(change, "h1").container("vpn", 1, younger).plan();
    assert!(before(network).contains("create container shop-app-1"));
    assert!(before(volumes).contains("create container shop-app-1"));
    // One more of it is no reason, nor is its restart.
    let more = world(volumes, "h1").container("vpn", 1, unchanged);
    assert_eq!(
        more.container("vpn", 2, younger)
            .plan()
            .matches("app")
            .count(),
        0
    );
    let kept = world(
        |service| {
            service.service.network = ServiceNetwork::Service(name("vpn"));
            service.no_recreate = true;
        },
        "h1",
    );
    let kept = kept.container("vpn", 1, younger).plan();
    assert!(!kept.contains("create"), "{kept}");
}
