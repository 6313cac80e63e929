//! What a person does to single containers, as a table.

use super::*;

/// Three replicas of a service that is always started again.
fn web(change: impl FnOnce(&mut DesiredService)) -> World {
    World::new()
        .service("web", |service| {
            service.replicas = 3;
            service.service.restart = RestartPolicy::Always;
            change(service);
        })
        .container("web", 1, unchanged)
        .container("web", 3, unchanged)
}

fn ask(mut world: World, run: Run, restart_before: Option<Timestamp>) -> World {
    let id = id_of(&world, 2);
    let by_hand = ByHand {
        service: name("web"),
        run,
        since: at(95),
        restart_before,
        timeout: Some(Duration::from_secs(3)),
    };
    world.desired.by_hand.insert(id, by_hand);
    world
}

fn id_of(world: &World, number: u32) -> String {
    let mut containers = world.observed.containers.values();
    let found = containers.find(|container| container.record.number == number);
    found.unwrap().record.id.clone()
}

#[test]
fn one_that_is_stopped_alone_stays_so_whatever_its_policy_says() {
    let runs = ask(
        web(unchanged).container("web", 2, unchanged),
        Run::Stopped,
        None,
    );
    assert_snapshot!(runs.plan(), @"  1. stop container shop-web-2: it was asked to stop");
    let world = |change: fn(&mut DesiredService)| {
        ask(
            web(change).container("web", 2, exited(143, 96)),
            Run::Stopped,
            None,
        )
        .plan()
    };
    assert_eq!(world(|_| {}), "");
    // Nor is it replaced by an edit of the file; the others are.
    let edited = world(|service| service.hash = "h2".to_owned());
    assert!(edited.contains("shop-web-1") && edited.contains("shop-web-3"));
    assert!(!edited.contains("shop-web-2"), "{edited}");
}

#[test]
fn one_that_is_started_alone_runs_in_a_service_that_is_stopped() {
    let stopped = |service: &mut DesiredService| service.run = Run::Stopped;
    let made = |phase: fn(&mut ObservedContainer)| {
        let mut world = web(stopped).container("web", 2, phase);
        for number in [1, 3] {
            let id = id_of(&world, number);
            let container = world.observed.containers.get_mut(&id).unwrap();
            exited(0, 60)(container);
        }
        ask(world, Run::Running, None).plan()
    };
    assert_snapshot!(made(|c| exited(0, 60)(c)), @"  1. start container shop-web-2: it exited (0)");
    assert_eq!(made(unchanged), "");
    // From then on its policy holds.
    assert_snapshot!(made(|c| exited(1, 97)(c)), @"  1. start container shop-web-2: it exited (1) and has `restart: always` (attempt 1, after 100 ms)");
}

#[test]
fn one_is_restarted_alone() {
    let world = ask(
        web(unchanged).container("web", 2, unchanged),
        Run::Running,
        Some(at(95)),
    );
    assert_snapshot!(world.plan(), @r"
      1. stop container shop-web-2 to start it again: a restart was asked for
      2. start container shop-web-2: a restart was asked for [after 1]
    ");
}

#[test]
fn one_that_run_made_is_started_and_restarted_as_it_is() {
    let once = |phase: fn(&mut ObservedContainer), restart_before| {
        let world = World::new()
            .service("web", |service| service.run = Run::Stopped)
            .container("web", 2, |container| {
                change_record(container, |record| record.one_off = true);
                phase(container);
            });
        ask(world, Run::Running, restart_before).plan()
    };
    assert_snapshot!(once(|c| exited(0, 60)(c), None), @"  1. start container shop-web-2: it exited (0)");
    // It runs, or has ended since.
    assert_eq!(once(unchanged, None), "");
    assert_eq!(once(|c| exited(1, 97)(c), None), "");
    assert_snapshot!(once(unchanged, Some(at(95))), @r"
      1. stop container shop-web-2 to start it again: a restart was asked for
      2. start container shop-web-2: a restart was asked for [after 1]
    ");
}

#[test]
fn one_that_is_removed_alone_makes_no_other_go() {
    let mut world = web(|service| service.replicas = 2).container("web", 2, unchanged);
    let id = id_of(&world, 2);
    world.desired.removals.insert(id, false);
    let forced = ask(world, Run::Stopped, None);
    assert_snapshot!(forced.plan(), @r"
      1. stop container shop-web-2: it was asked to go
      2. remove container shop-web-2: it was asked to go [after 1]
    ");
}

#[test]
fn what_depends_on_a_service_goes_by_the_containers_that_are_not_stopped_alone() {
    let app = |world: World, change: fn(&mut DesiredService)| {
        let world = world.service("app", |service| {
            depends_on("web", Condition::ServiceStarted)(service);
            change(service);
        });
        let app = world.container("app", 1, exited(0, 40));
        ask(app, Run::Stopped, None).plan()
    };
    let others = web(unchanged).container("web", 2, exited(0, 96));
    assert_snapshot!(app(others, |_| {}), @"  1. start container shop-app-1: it exited (0)");
    let one = |number| {
        World::new()
            .service("web", unchanged)
            .container("web", number, exited(0, 96))
    };
    assert_snapshot!(app(one(2), |_| {}), @"  ! app: dependency failed to start: container shop-web-2 is stopped");
    let shares: fn(&mut DesiredService) = |service| {
        service.service.network = ServiceNetwork::Service(name("web"));
        service.no_deps = true;
    };
    assert_snapshot!(app(one(2), shares), @"  ! app: app shares namespaces of web: service web does not run");
}
