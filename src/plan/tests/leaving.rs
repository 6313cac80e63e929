//! What stops and goes.

use super::*;

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
