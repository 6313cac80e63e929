//! Health: when to probe, and what a probe means. Pure.
//!
//! Readiness is found at once, not at the next tick of an interval: probes start with the program,
//! 20 ms apart, and thin out until the first success. Those extra early failures do not count: a
//! failure counts only where a prober that keeps to the interval would have probed too, so that
//! nothing turns unhealthy sooner than elsewhere.

use std::time::Duration;

use crate::state::records::{HealthRecord, HealthState, HealthStatus, ProbeRecord};

/// The shortest time between two probes.
const SHORTEST: Duration = Duration::from_millis(20);
/// Until the first success the gap is this fraction of the time since the start: readiness is seen
/// at most that much late, for a bounded share of a core.
const EARLY_FRACTION: u32 = 25;
/// Probes kept for `inspect`.
const LOG_LENGTH: usize = 5;
/// What a probe exits with when all is well.
const HEALTHY: i32 = 0;

/// What a prober remembers of one run of a program.
#[derive(Debug, Clone, Default)]
pub(super) struct Prober {
    /// There was a success, or the verdict `unhealthy`: probes keep to the interval from here on.
    settled: bool,
    /// When the last failure was counted, since the start.
    last_counted: Duration,
}

impl Prober {
    /// Time from the end of one probe to the next, `elapsed` after the start.
    pub(super) fn delay(&self, check: &HealthRecord, elapsed: Duration) -> Duration {
        let regular = regular_interval(check, elapsed);
        if self.settled {
            return regular;
        }
        (elapsed / EARLY_FRACTION).max(SHORTEST).min(regular)
    }

    /// Whether probes keep to the interval.
    pub(super) fn is_regular(&self) -> bool {
        self.settled
    }

    /// What a probe that ended `elapsed` after the start makes of the state.
    pub(super) fn judge(
        &mut self,
        check: &HealthRecord,
        (state, probe): (&HealthState, ProbeRecord),
        elapsed: Duration,
    ) -> HealthState {
        let mut next = state.clone();
        let healthy = probe.exit_code == HEALTHY;
        let counts = elapsed >= self.last_counted + check.interval;
        if healthy {
            self.settled = true;
            next.status = HealthStatus::Healthy;
            next.failing_streak = 0;
            self.last_counted = elapsed;
        } else if elapsed >= check.start_period && (self.settled || counts) {
            self.last_counted = elapsed;
            next.failing_streak += 1;
            if next.failing_streak >= check.retries {
                self.settled = true;
                next.status = HealthStatus::Unhealthy;
            }
        }
        next.log.push(probe);
        let surplus = next.log.len().saturating_sub(LOG_LENGTH);
        next.log.drain(..surplus);
        next
    }
}

/// What a container with a check is before its first probe.
pub(super) fn initial() -> HealthState {
    HealthState {
        status: HealthStatus::Starting,
        failing_streak: 0,
        log: Vec::new(),
    }
}

/// What the journal calls a change to this.
pub(super) fn action(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Starting => "health_status: starting",
        HealthStatus::Healthy => "health_status: healthy",
        HealthStatus::Unhealthy => "health_status: unhealthy",
    }
}

/// Time between probes once they are regular.
fn regular_interval(check: &HealthRecord, elapsed: Duration) -> Duration {
    if elapsed < check.start_period {
        check.start_interval
    } else {
        check.interval
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn check(interval: u64, retries: u32, start_period: u64) -> HealthRecord {
        HealthRecord {
            command: vec!["true".to_owned()],
            interval: Duration::from_secs(interval),
            timeout: Duration::from_secs(1),
            retries,
            start_period: Duration::from_secs(start_period),
            start_interval: Duration::from_secs(5),
        }
    }

    fn probe(exit_code: i32) -> ProbeRecord {
        ProbeRecord {
            start: Timestamp::UNIX_EPOCH,
            end: Timestamp::UNIX_EPOCH,
            exit_code,
            output: String::new(),
        }
    }

    /// Runs a prober against a program that is ready from `ready` to `broken`; gives the times at
    /// which the verdict changed.
    fn run(check: &HealthRecord, ready: Duration, broken: Duration) -> Vec<(u128, HealthStatus)> {
        let (mut prober, mut state, mut now) = (Prober::default(), initial(), Duration::ZERO);
        let mut changes = Vec::new();
        while now < Duration::from_secs(200) {
            let code = i32::from(now < ready || now >= broken);
            let next = prober.judge(check, (&state, probe(code)), now);
            if next.status != state.status {
                changes.push((now.as_millis(), next.status));
            }
            state = next;
            now += prober.delay(check, now);
        }
        assert!(state.log.len() <= LOG_LENGTH);
        changes
    }

    #[test]
    fn readiness_is_seen_at_once() {
        let forever = Duration::from_secs(1000);
        for ready in [0, 1, 300, 1_000, 7_000] {
            let changes = run(&check(30, 3, 0), Duration::from_millis(ready), forever);
            let (seen, status) = changes[0];
            assert_eq!(status, HealthStatus::Healthy);
            let late = seen - u128::from(ready);
            assert!(
                late <= 20 + u128::from(ready) / 20,
                "ready at {ready}, seen {late} ms later"
            );
        }
    }

    #[test]
    fn nothing_turns_unhealthy_sooner_than_with_regular_probes() {
        let never = Duration::from_secs(1000);
        let changes = run(&check(10, 3, 0), never, never);
        // Regular probes would fail at 10, 20 and 30 s.
        assert_eq!(changes.len(), 1);
        let (at, status) = changes[0];
        assert_eq!(status, HealthStatus::Unhealthy);
        assert!((30_000..=33_000).contains(&at), "{at}");
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        let never = Duration::from_secs(1000);
        let (at, status) = run(&check(10, 2, 60), never, never)[0];
        assert_eq!(status, HealthStatus::Unhealthy);
        assert!(at >= 60_000, "{at}");
    }

    #[test]
    fn a_healthy_program_that_breaks_is_given_its_retries() {
        let changes = run(&check(10, 3, 0), Duration::ZERO, Duration::from_secs(35));
        assert_eq!(changes[0], (0, HealthStatus::Healthy));
        assert_eq!(changes[1], (60_000, HealthStatus::Unhealthy));
    }
}
