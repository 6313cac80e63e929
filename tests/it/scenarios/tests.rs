//! Plays and records.

use std::fs;
use std::sync::Mutex;

use super::side::Stage;
use super::transcript::{self, Answer};
use super::verdict::{Expected, Verdict, judge};
use super::{Scenario, directory, forget, not_yet, play, scenarios, script};

/// How many scenarios of a family are played at once: most of their time is waiting.
const AT_ONCE: usize = 3;

/// Does something with every scenario of a list, some at once; what went wrong.
fn for_each(
    list: Vec<Scenario>,
    at_once: usize,
    act: impl Fn(&Scenario) -> Vec<String> + Sync,
) -> Vec<String> {
    let left = Mutex::new(list.into_iter());
    let problems = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some(scenario) = left.lock().expect("no panic").next() else {
                        return;
                    };
                    // A thread has one network: each scenario gets a thread.
                    let found = std::thread::scope(|scope| scope.spawn(|| act(&scenario)).join());
                    let found = found.unwrap_or_else(|cause| {
                        vec![format!("{}: {}", scenario.name, words(&cause))]
                    });
                    problems.lock().expect("no panic").extend(found);
                }
            });
        }
    });
    problems.into_inner().expect("no panic")
}

fn words(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or(cause.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked")
        .to_owned()
}

fn steps(scenario: &Scenario) -> Vec<script::Step> {
    let text = scenario
        .read("scenario")
        .unwrap_or_else(|| panic!("{}: no file `scenario`", scenario.name));
    script::parse(&text).unwrap_or_else(|line| panic!("{}: not understood: {line}", scenario.name))
}

fn answers(scenario: &Scenario, file: &str) -> Vec<Answer> {
    let text = scenario.read(file).unwrap_or_default();
    transcript::parse(&text)
        .unwrap_or_else(|line| panic!("{}: {file}: not understood: {line}", scenario.name))
}

/// Plays one scenario with `stack`.
fn replay(scenario: &Scenario) -> Vec<String> {
    let steps = steps(scenario);
    let Some(stage) = Stage::ours(scenario) else {
        return Vec::new();
    };
    let given = play::play(&stage, &steps);
    drop(stage);
    let verdict = judged(scenario, &steps, &given);
    if std::env::var_os("STACK_UPDATE_SCENARIOS").is_none() {
        return verdict.problems;
    }
    let steps = update(scenario, steps, &verdict);
    update_ours(scenario, &steps, &given);
    judged(scenario, &steps, &given).problems
}

fn judged(scenario: &Scenario, steps: &[script::Step], given: &[Answer]) -> Verdict {
    let (docker, ours, not_yet) = (
        answers(scenario, "expected"),
        answers(scenario, "ours"),
        not_yet(),
    );
    let expected = Expected {
        docker: &docker,
        ours: &ours,
        not_yet: &not_yet,
    };
    judge(&scenario.name, steps, given, &expected)
}

/// Forgets what is no longer different: in `NOT_YET` and, as marks, in the scenario.
fn update(
    scenario: &Scenario,
    mut steps: Vec<script::Step>,
    verdict: &Verdict,
) -> Vec<script::Step> {
    if !verdict.stale.is_empty() {
        forget(&verdict.stale);
    }
    if !verdict.unmarked.is_empty() {
        for index in &verdict.unmarked {
            steps[*index].differs = None;
        }
        let text = scenario.read("scenario").unwrap_or_default();
        fs::write(
            scenario.dir.join("scenario"),
            script::unmark(&text, &verdict.unmarked),
        )
        .expect("a file");
    }
    steps
}

fn update_ours(scenario: &Scenario, steps: &[script::Step], given: &[Answer]) {
    let marked = steps
        .iter()
        .zip(given)
        .filter(|(step, _)| step.differs.is_some());
    let text = transcript::print(marked.map(|(_, answer)| answer));
    let path = scenario.dir.join("ours");
    let _ = match text.is_empty() {
        true => fs::remove_file(path),
        false => fs::write(path, text),
    };
}

fn play_family(family: &str) {
    let mut list = scenarios();
    list.retain(|scenario| scenario.family() == family);
    let problems = for_each(list, AT_ONCE, replay);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

macro_rules! families {
    ($($family:ident),* $(,)?) => {
        const FAMILIES: &[&str] = &[$(stringify!($family)),*];
        $(
            #[test]
            fn $family() {
                play_family(stringify!($family));
            }
        )*
    };
}

families! {
    build, commands, config, container, depends, down, env, events, exec, files, health, hooks, images, lifecycle, logs, mistakes,
    networks, orphans, ports, profiles, provider, ps, registry, run, scale, settings, up, volumes, watch,
}

#[test]
fn every_scenario_is_of_a_family_and_was_recorded() {
    for scenario in scenarios() {
        assert!(
            FAMILIES.contains(&scenario.family()),
            "{} is played by no test",
            scenario.name
        );
        assert!(
            scenario.dir.join("expected").exists(),
            "{} was not recorded: generate.sh {0}",
            scenario.name
        );
        let _ = (
            steps(&scenario),
            answers(&scenario, "expected"),
            answers(&scenario, "ours"),
        );
    }
}

#[test]
fn the_list_of_what_does_not_match_is_about_steps_that_exist() {
    for place in not_yet().keys() {
        let mut parts = place.split(':');
        let (name, step, part) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let dir = directory().join(name);
        let steps = steps(&Scenario {
            name: name.to_owned(),
            dir,
        });
        let number = step.and_then(|step| step.parse::<usize>().ok());
        assert!(
            number.is_some_and(|number| (1..=steps.len()).contains(&number)),
            "NOT_YET: {place}: no such step"
        );
        assert!(
            matches!(part, Some("exit" | "out" | "err")),
            "NOT_YET: {place}: no such part"
        );
    }
}

/// Asks Docker Compose; started by `tests/scenarios/generate.sh`.
#[test]
#[ignore = "needs Docker Compose and its engine"]
fn record() {
    let missing_only =
        std::env::var_os("SCENARIO").is_none() && std::env::var_os("RECORD_ALL").is_none();
    let mut list = scenarios();
    list.retain(|scenario| !missing_only || !scenario.dir.join("expected").exists());
    let jobs = std::env::var("JOBS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2);
    let problems = for_each(list, jobs, |scenario| {
        // A scenario may have removed some.
        crate::harness::load_into_docker();
        let stage = Stage::docker(scenario);
        let given = play::play(&stage, &steps(scenario));
        drop(stage);
        let target =
            std::env::var_os("GOLDENS").map(|dir| std::path::Path::new(&dir).join(&scenario.name));
        let target = target.unwrap_or_else(|| scenario.dir.clone());
        let _ = fs::create_dir_all(&target);
        fs::write(target.join("expected"), transcript::print(&given)).expect("a file");
        eprintln!("recorded {}", scenario.name);
        Vec::new()
    });
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
