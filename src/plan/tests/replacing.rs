//! What is replaced, added and taken away when the model has changed.

use super::*;

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
