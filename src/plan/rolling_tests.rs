//! Replicas in, decisions out.
//!
//! A replica is one word: `old`, `down` (old, does not run), `move`, `ok@S` (ready since second S),
//! `set` (settled), `bad`. The answer: which numbers may be worked on, when to look again, and what
//! is to be written down.

use super::*;
use crate::plan::sample;
use crate::state::records::Signalled;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn config(change: impl FnOnce(&mut UpdateConfig)) -> UpdateConfig {
    let mut config = default_rollback();
    change(&mut config);
    config
}

fn revision(hash: &str) -> Revision {
    Revision {
        service: Service::default(),
        hash: hash.to_owned(),
        image_id: None,
    }
}

fn update(state: UpdateState) -> Update {
    Update {
        began: at(0),
        previous: Some(Box::new(revision("v1"))),
        state,
        failed_before: None,
    }
}

fn parse(word: &str) -> Progress {
    match word.split_once('@') {
        Some((_, second)) => Progress::Ready {
            since: at(second.parse().unwrap()),
        },
        None if word == "old" => Progress::Old { up: true },
        None if word == "down" => Progress::Old { up: false },
        None if word == "move" => Progress::Moving { ready_at: None },
        None if word == "set" => Progress::Settled,
        None => Progress::Failed {
            why: format!("{word} exited with 1"),
        },
    }
}

fn decide_in(state: UpdateState, config: &UpdateConfig, replicas: &str, now: i64) -> String {
    let update = update(state);
    let rolling = Rolling {
        config,
        update: Some(&update),
        began: at(0),
    };
    let replicas: Vec<_> = (1..).zip(replicas.split(' ').map(parse)).collect();
    let decision = rolling.decide(&replicas, at(now));
    let numbers: Vec<String> = decision.go.iter().map(u32::to_string).collect();
    let mut text = numbers.join(" ");
    if let Some(again) = decision.look_again {
        text.push_str(&format!(" @{}", again.as_second() - 1_000_000));
    }
    let busy = replicas
        .iter()
        .any(|(_, p)| matches!(p, Progress::Old { .. } | Progress::Moving { .. }));
    match (decision.watched, busy) {
        (true, false) => text.push_str(" watched"),
        (false, true) => text.push_str(" halted"),
        _ => {}
    }
    match decision.outcome {
        None => {}
        Some(Outcome::Complete) => text.push_str(" complete"),
        Some(Outcome::Pause(reason)) => text.push_str(&format!(" pause: {reason}")),
        Some(Outcome::RollBack(reason)) => text.push_str(&format!(" roll back: {reason}")),
    }
    text.trim().to_owned()
}

fn decide(config: &UpdateConfig, replicas: &str, now: i64) -> String {
    decide_in(UpdateState::Underway, config, replicas, now)
}

#[test]
fn one_group_follows_the_other() {
    let one = config(|_| {});
    let two = config(|config| config.parallelism = Some(2));
    let all = config(|config| config.parallelism = None);
    let table = [
        (&one, "old old old", "1"),
        (&one, "move old old", "1"),
        (&one, "ok@9 old old", "1 2"),
        (&one, "ok@9 ok@9 move", "1 2 3"),
        (&one, "ok@9 ok@9 ok@9", "1 2 3 complete"),
        // Nobody misses one that does not run.
        (&one, "old old down", "3"),
        // What was up to date already counts for nothing.
        (&one, "set old old", "1 2"),
        (&two, "old old old", "1 2"),
        (&two, "move old old", "1 2"),
        (&two, "move move old", "1 2"),
        (&two, "ok@9 move old", "1 2 3"),
        (&all, "old old old", "1 2 3"),
    ];
    for (config, replicas, wanted) in table {
        assert_eq!(decide(config, replicas, 10), wanted, "{replicas}");
    }
}

#[test]
fn the_delay_counts_from_when_a_replica_is_ready() {
    let config = config(|config| config.delay = Duration::from_secs(5));
    let table = [
        ("ok@10 old", 12, "1 @15"),
        ("ok@10 old", 15, "1 2"),
        ("ok@10 move", 12, "1 2 @15"),
        // There is nothing left to be delayed.
        ("ok@10 ok@11", 12, "1 2 @15 complete"),
    ];
    for (replicas, now, wanted) in table {
        assert_eq!(decide(&config, replicas, now), wanted, "{replicas} {now}");
    }
}

#[test]
fn a_failure_has_the_consequence_that_the_file_names() {
    let with = |action| config(|config| config.failure_action = action);
    let pause = with(FailureAction::Pause);
    let on = with(FailureAction::Continue);
    let back = with(FailureAction::Rollback);
    let table = [
        (
            &pause,
            "bad old old",
            "halted pause: bad exited with 1 (1 of 3 replicas failed)",
        ),
        (&pause, "bad", "pause: bad exited with 1"),
        (
            &back,
            "ok@1 bad old",
            "halted roll back: bad exited with 1 (1 of 3 replicas failed)",
        ),
        (&on, "bad old old", "1 2"),
        (&on, "bad ok@1 bad", "1 2 3 complete"),
    ];
    for (config, replicas, wanted) in table {
        assert_eq!(decide(config, replicas, 10), wanted, "{replicas}");
    }
    let tolerant = config(|config| {
        config.failure_action = FailureAction::Rollback;
        config.max_failure_ratio = 0.34;
    });
    assert_eq!(decide(&tolerant, "bad old old", 10), "1 2");
    let two = decide(&tolerant, "bad bad old", 10);
    assert!(
        two.starts_with("halted roll back: bad exited with 1, bad"),
        "{two}"
    );
}

#[test]
fn an_update_that_can_be_taken_back_is_watched_to_the_end() {
    let config = config(|config| {
        config.failure_action = FailureAction::Rollback;
        config.monitor = Some(Duration::from_secs(8));
    });
    assert_eq!(decide(&config, "ok@5 ok@7", 10), "1 2 @15 watched");
    assert_eq!(decide(&config, "ok@5 ok@7", 15), "1 2 complete");
}

#[test]
fn a_paused_update_touches_nothing_more() {
    let config = config(|_| {});
    let paused = || UpdateState::Paused {
        reason: "x".to_owned(),
    };
    assert_eq!(decide_in(paused(), &config, "bad old move", 10), "3 halted");
    // Not even when what failed has come round.
    assert_eq!(decide_in(paused(), &config, "ok@1 old old", 10), "1 halted");
}

#[test]
fn the_way_back_fails_once_and_then_waits_for_a_person() {
    let config = config(|_| {});
    let back = || UpdateState::RolledBack {
        reason: "x".to_owned(),
        config: default_rollback(),
        failed: Box::new(revision("v2")),
    };
    assert_eq!(decide_in(back(), &config, "old old", 10), "1");
    // What it says stays until the next command.
    assert_eq!(decide_in(back(), &config, "ok@1 ok@1", 10), "1 2");
    assert_eq!(
        decide_in(back(), &config, "bad old", 10),
        "halted pause: bad exited with 1 (1 of 2 replicas failed)"
    );
}

/// A service of two replicas, as it is to be since a second.
pub(super) fn desired(hash: &str, since: i64) -> DesiredService {
    let mut service = Service::default();
    service.deploy.update = Some(default_rollback());
    DesiredService {
        hash: hash.to_owned(),
        replicas: 2,
        ..DesiredService::new(service, at(since))
    }
}

fn previous(update: Option<&Update>) -> Option<&str> {
    update?.previous.as_ref().map(|p| p.hash.as_str())
}

#[test]
fn an_update_goes_back_to_what_was_complete_whatever_was_tried_since() {
    let (v1, v2, v3) = (desired("v1", 1), desired("v2", 2), desired("v3", 3));
    assert_eq!(Update::begin(&v1, None, None), None);
    assert_eq!(Update::begin(&v1, Some(&v1), None), None);
    let second = Update::begin(&v2, Some(&v1), None);
    assert_eq!(previous(second.as_ref()), Some("v1"));
    let third = Update::begin(&v3, Some(&v2), second.clone());
    assert_eq!(previous(third.as_ref()), Some("v1"));
    // Asked for again: from now on it is watched anew.
    let again = Update::begin(&desired("v2", 5), Some(&v2), second.clone()).unwrap();
    assert_eq!((again.began, previous(Some(&again))), (at(5), Some("v1")));
    // The way back by hand.
    let by_hand = Update::begin(&desired("v1", 6), Some(&v2), second);
    assert_eq!(previous(by_hand.as_ref()), None);
    let mut plain = v3;
    plain.service.deploy.update = None;
    assert_eq!(Update::begin(&plain, Some(&v1), None), None);
}

#[test]
fn what_was_rolled_back_is_remembered_for_the_next_attempt() {
    let mut project = Desired::new("p");
    let web = ServiceName::new("web");
    let (v1, v2) = (desired("v1", 1), desired("v2", 2));
    project.services.insert(web.clone(), v2.clone());
    let update = Update::begin(&v2, Some(&v1), None).unwrap();
    project.updates.insert(web.clone(), update);
    let turn = Turn {
        service: web.clone(),
        outcome: Outcome::RollBack("it broke".to_owned()),
    };
    project.turn(&turn, at(9));
    let service = &project.services[&web];
    assert_eq!((service.hash.as_str(), service.since), ("v1", at(9)));
    let known = project.updates.get(&web).cloned();
    let retried = Update::begin(&desired("v2", 20), Some(service), known.clone()).unwrap();
    assert_eq!(retried.failed_before.as_deref(), Some("it broke"));
    assert_eq!(previous(Some(&retried)), Some("v1"));
    let other = Update::begin(&desired("v3", 20), Some(service), known).unwrap();
    assert_eq!(other.failed_before, None);
}

#[test]
fn a_replica_that_a_person_has_killed_did_not_fail() {
    let (config, update) = (config(|_| {}), update(UpdateState::Underway));
    let rolling = Rolling {
        config: &config,
        update: Some(&update),
        began: at(0),
    };
    let desired = DesiredService::new(Service::default(), at(0));
    let ended = |signalled| {
        let exit = sample::exit(137, (at(1), at(2)));
        let record = sample::record("shop", "web", 1);
        let mut container = sample::container(record, Phase::Exited(exit));
        container.status.signalled = signalled;
        let slot = Slot {
            number: 1,
            current: Some(&container),
            outdated: Vec::new(),
        };
        rolling.progress(&slot, (&desired, None), at(3))
    };
    assert!(matches!(ended(None), Progress::Failed { .. }));
    let killed = Signalled {
        signal: 9,
        at: at(2),
        ends: true,
    };
    assert_eq!(ended(Some(killed)), Progress::Settled);
}
