//! Edges between services: what waits for what, and what is told when waiting is in vain.

use super::*;

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
