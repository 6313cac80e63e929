//! Restart policies: whether a program that ended is started again, and when.
//!
//! | written | starts again | at the most |
//! | --- | --- | --- |
//! | `restart: no`, `condition: none` | never | |
//! | `restart: always`, `unless-stopped` | however it ended | no limit |
//! | `restart: on-failure[:n]` | when its exit code is not 0 | `n` restarts |
//! | `condition: on-failure` | when its exit code is not 0 | `max_attempts` failed attempts |
//! | `condition: any` | however it ended | `max_attempts` failed attempts |
//!
//! A restart is an attempt. It has failed when the program ends again sooner than `window` after it
//! was started; without a `window`, whenever it ends. What a command stops, or a person's signal ends, is
//! not started again by a policy. The wait before an attempt is `delay`; without one 100 ms, doubled with each program in
//! a row that lived less than 10 s, a minute at the most: Docker's values.

use std::time::Duration;

use crate::compose::model::RestartPolicy;
use crate::state::records::ContainerStatus;

use super::Exit;

/// Whether a restart policy starts a program again that ended by itself.
pub fn policy_restarts(policy: &RestartPolicy, exit: &Exit, status: &ContainerStatus) -> bool {
    if exit.error.is_some() || was_killed(exit, status) {
        return false;
    }
    let within = |most: Option<u32>, window: Option<Duration>| {
        most.is_none_or(|most| failed_attempts(exit, status, window) < most)
    };
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::Any {
            max_attempts,
            window,
            ..
        } => within(*max_attempts, *window),
        RestartPolicy::OnFailure {
            max_attempts,
            window,
            ..
        } => exit.code != 0 && within(*max_attempts, *window),
    }
}

/// A program ends within this time of a signal for it, unless that says otherwise.
const REACTION: Duration = Duration::from_secs(1);

/// Whether a program ended for a signal that a person sent it (`kill`): it stays so then, as in Docker,
/// until it is started. One that acts on a signal otherwise (SIGHUP) and ends later has ended by itself.
pub fn was_killed(exit: &Exit, status: &ContainerStatus) -> bool {
    let Some(sent) = &status.signalled else {
        return false;
    };
    let for_it = exit.signal == Some(sent.signal)
        || exit.code == 128 + sent.signal
        || exit.finished_at < sent.at + REACTION;
    let ran = exit.started_at.is_some_and(|started| started < sent.at);
    ran && (sent.ends || for_it)
}

/// Restarts that have failed, the run that ended with `exit` among them when it was one.
pub fn failed_attempts(exit: &Exit, status: &ContainerStatus, window: Option<Duration>) -> u32 {
    let was_attempt = status.restart_count > 0;
    let failed = was_attempt && window.is_none_or(|window| lived(exit) < window);
    status.failed_attempts.saturating_add(u32::from(failed))
}

/// How long the program lived.
fn lived(exit: &Exit) -> Duration {
    exit.started_at
        .and_then(|started| exit.finished_at.duration_since(started).try_into().ok())
        .unwrap_or_default()
}

/// The `window` of a policy.
pub fn window(policy: &RestartPolicy) -> Option<Duration> {
    match policy {
        RestartPolicy::Any { window, .. } | RestartPolicy::OnFailure { window, .. } => *window,
        _ => None,
    }
}

/// Time before a restart: `streak` is the number of programs in a row that ended soon.
pub(super) fn restart_delay(policy: &RestartPolicy, streak: u32) -> Duration {
    if let RestartPolicy::OnFailure {
        delay: Some(delay), ..
    }
    | RestartPolicy::Any {
        delay: Some(delay), ..
    } = policy
    {
        return *delay;
    }
    let doubled = 100_u64.saturating_mul(1_u64 << streak.min(20));
    Duration::from_millis(doubled.min(60_000))
}

/// The policy as a stack file has it.
pub fn policy_text(policy: &RestartPolicy) -> String {
    let limited = |word: &str, most: &Option<u32>| match most {
        None => word.to_owned(),
        Some(most) => format!("{word}:{most}"),
    };
    match policy {
        RestartPolicy::No => "no".to_owned(),
        RestartPolicy::Always => "always".to_owned(),
        RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
        RestartPolicy::Any { max_attempts, .. } => limited("any", max_attempts),
        RestartPolicy::OnFailure { max_attempts, .. } => limited("on-failure", max_attempts),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn exit(code: i32, lived: u64) -> Exit {
        let started = Timestamp::from_second(1000).unwrap();
        Exit {
            code,
            signal: None,
            oom_killed: false,
            error: None,
            started_at: Some(started),
            finished_at: started + Duration::from_secs(lived),
        }
    }

    fn status(restart_count: u32, failed_attempts: u32) -> ContainerStatus {
        ContainerStatus {
            restart_count,
            failed_attempts,
            ..ContainerStatus::default()
        }
    }

    fn limited(any: bool, max_attempts: Option<u32>, window: Option<u64>) -> RestartPolicy {
        let (delay, window) = (None, window.map(Duration::from_secs));
        match any {
            true => RestartPolicy::Any {
                max_attempts,
                delay,
                window,
            },
            false => RestartPolicy::OnFailure {
                max_attempts,
                delay,
                window,
            },
        }
    }

    #[test]
    fn a_policy_decides_by_exit_code_attempts_and_window() {
        // Policy, exit code, seconds lived, restarts before, failed ones before the last.
        let (any, on_failure) = (true, false);
        let table = [
            (RestartPolicy::No, 1, 1, 0, 0, false),
            (RestartPolicy::Always, 0, 1, 50, 49, true),
            (RestartPolicy::UnlessStopped, 0, 1, 50, 49, true),
            (limited(any, None, None), 0, 1, 9, 8, true),
            (limited(any, Some(2), None), 0, 1, 1, 0, true),
            (limited(any, Some(2), None), 0, 1, 2, 1, false),
            (limited(on_failure, None, None), 0, 1, 0, 0, false),
            (limited(on_failure, Some(1), None), 7, 1, 0, 0, true),
            (limited(on_failure, Some(1), None), 7, 1, 1, 0, false),
            // It lived longer than the window: that restart was a success.
            (limited(on_failure, Some(1), Some(5)), 7, 6, 1, 0, true),
            (limited(on_failure, Some(1), Some(5)), 7, 4, 1, 0, false),
            (limited(on_failure, Some(1), Some(5)), 7, 6, 8, 1, false),
            // The first run is no attempt, however short.
            (limited(any, Some(1), Some(5)), 0, 1, 0, 0, true),
        ];
        for (policy, code, lived, restarts, failed, expected) in table {
            let found = policy_restarts(&policy, &exit(code, lived), &status(restarts, failed));
            assert_eq!(
                found, expected,
                "{policy:?} {code} {lived} {restarts} {failed}"
            );
        }
    }

    #[test]
    fn what_could_not_be_started_is_not_tried_again() {
        let mut failed = exit(127, 0);
        failed.error = Some("no such program".to_owned());
        let always = RestartPolicy::Always;
        assert!(!policy_restarts(&always, &failed, &status(0, 0)));
    }

    #[test]
    fn the_wait_doubles_up_to_a_minute_unless_a_delay_is_given() {
        let millis = |streak| restart_delay(&RestartPolicy::Always, streak).as_millis();
        let waits: Vec<u128> = (0..4).map(millis).collect();
        assert_eq!(waits, [100, 200, 400, 800]);
        assert_eq!(
            (millis(9), millis(10), millis(u32::MAX)),
            (51_200, 60_000, 60_000)
        );
        let fixed = RestartPolicy::Any {
            max_attempts: None,
            delay: Some(Duration::from_secs(5)),
            window: None,
        };
        assert_eq!(restart_delay(&fixed, 7), Duration::from_secs(5));
    }

    #[test]
    fn what_a_person_s_signal_ended_is_not_started_again() {
        let sent = |signal, second: i64, ends| ContainerStatus {
            signalled: Some(crate::state::records::Signalled {
                signal,
                at: Timestamp::from_second(1000 + second).unwrap(),
                ends,
            }),
            ..ContainerStatus::default()
        };
        let by_signal = |signal| Exit {
            signal: Some(signal),
            ..exit(128 + signal, 20)
        };
        // It ran from second 0 to second 20.
        let table = [
            (sent(9, 19, true), by_signal(9), false),
            // It took its time, or does something else first.
            (sent(15, 3, true), exit(0, 20), false),
            // It was for the run before.
            (sent(9, -1, true), by_signal(9), true),
            // Handled, and not the reason for its end.
            (sent(1, 3, false), exit(1, 20), true),
            (sent(1, 3, false), by_signal(1), false),
            (sent(10, 20, false), exit(9, 20), false),
        ];
        for (status, exit, expected) in table {
            let found = policy_restarts(&RestartPolicy::Always, &exit, &status);
            assert_eq!(found, expected, "{:?} {exit}", status.signalled);
        }
    }
}
