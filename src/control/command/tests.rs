use indexmap::IndexMap;

use super::*;
use crate::compose::model::{Condition, Dependency, Stack};
use crate::control::sample::{self, summary};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn name(text: &str) -> ServiceName {
    ServiceName::new(text)
}

/// Services that have nothing but an image.
fn stack(services: &[&str]) -> Stack {
    let service = |name: &&str| format!("{name}: {{image: {name}}}");
    let services: Vec<String> = services.iter().map(service).collect();
    sample::stack(&format!("services: {{{}}}", services.join(", ")))
}

fn up(stack: Stack, services: &[&str]) -> Up {
    Up::new(stack, services.iter().map(|text| name(text)).collect())
}

fn after(commands: &[(i64, Command)]) -> Desired {
    let mut desired = Desired::new("p");
    for (second, command) in commands {
        command.apply(&mut desired, at(*second));
    }
    desired
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
fn stop_and_start_say_what_is_to_be_and_kill_does_not() {
    let first = up(stack(&["a", "b"]), &["a", "b"]);
    let stop = Command::Stop {
        services: vec![name("a")],
        timeout: Some(Duration::from_secs(3)),
    };
    let start = Command::Start {
        services: Vec::new(),
        wait: false,
    };
    let kill = Command::Kill {
        services: Vec::new(),
        signal: 9,
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
    // A signal is sent; what comes of it is nothing that is wanted.
    commands.push((4, kill));
    assert_eq!(
        summary(&after(&commands)),
        "a Running x1 since 3; b Running x1 since 3"
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
    let mut model = stack(&["db", "web", "other", "follows"]);
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
    let follows = &mut model.services["follows"];
    follows.depends_on.insert(name("db"), edge(false));
    let events = [Follow::Replaced].into();
    follows.x_stack.follow.insert(name("db"), events);
    let restarted = |no_deps| {
        let restart = Command::Restart {
            services: vec![name("db")],
            timeout: None,
            no_deps,
        };
        let first = up(model.clone(), &["db", "web", "other", "follows"]);
        let desired = after(&[(1, Command::Up(Box::new(first))), (2, restart)]);
        let named = desired
            .services
            .iter()
            .filter(|(_, service)| service.restart_before == Some(at(2)));
        named.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(restarted(false), ["db", "web", "follows"]);
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

fn single(id: &str, service: &str, act: Act) -> Command {
    Command::Single(Single {
        id: id.to_owned(),
        name: id.to_owned(),
        service: name(service),
        act,
    })
}

#[test]
fn what_is_asked_of_one_container_holds_until_its_service_is_asked_for() {
    let first = || Command::Up(Box::new(up(stack(&["a", "b"]), &["a", "b"])));
    let stop = || single("a1", "a", Act::Stop { timeout: None });
    let of = |services: &[&str]| services.iter().map(|text| name(text)).collect::<Vec<_>>();
    let start = |services| Command::Start {
        services,
        wait: false,
    };
    let restart = Command::Restart {
        services: of(&["a"]),
        timeout: None,
        no_deps: false,
    };
    let kill = Command::Kill {
        services: Vec::new(),
        signal: 1,
        remove_orphans: false,
    };
    let only_b = Command::Up(Box::new(up(stack(&["a", "b"]), &["b"])));
    let edit = crate::control::Edit {
        up: up(stack(&["a", "b"]), &["a", "b"]),
        touched: Vec::new(),
    };
    for (command, holds) in [
        (first(), false),
        (only_b, true),
        (start(of(&["b"])), true),
        (start(Vec::new()), false),
        (restart, false),
        (kill, true),
        (Command::Edit(Box::new(edit)), true),
        (single("a2", "a", Act::Start), true),
    ] {
        let desired = after(&[(1, first()), (2, stop()), (3, command.clone())]);
        let held = desired.by_hand.get("a1").map(|own| own.run);
        assert_eq!(held, holds.then_some(Run::Stopped), "{command:?}");
        assert_eq!(desired.services["a"].run, Run::Running);
    }
}

#[test]
fn one_container_that_is_removed_leaves_its_service_with_the_others() {
    let remove = |left, force| {
        let act = Act::Remove {
            left: Some(left),
            force,
            volumes: true,
        };
        let mut first = up(stack(&["a"]), &["a"]);
        first.scale.insert(name("a"), 3);
        let first = Command::Up(Box::new(first));
        after(&[(1, first), (2, single("a2", "a", act))])
    };
    let forced = remove(2, true);
    assert_eq!(summary(&forced), "a Running x2 since 1");
    assert_eq!(forced.removals.get("a2"), Some(&true));
    assert_eq!(forced.by_hand["a2"].timeout, Some(Duration::ZERO));
    assert!(remove(2, false).by_hand.is_empty());
    assert_eq!(summary(&remove(0, true)), "");
}
