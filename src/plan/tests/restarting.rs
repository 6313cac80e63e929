//! What is started again: by its policy, by a person, after a failure.

use super::*;

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
