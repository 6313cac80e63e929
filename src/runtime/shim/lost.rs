//! Calls for a new supervisor when the old one is gone.

use std::time::{Duration, Instant};

use crate::sys;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whether somebody looks after the container, and when to call for somebody if not.
#[derive(Debug)]
pub(super) struct Lost {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LookedAfter,
    Call { next: Instant, pause: Duration },
}

impl Lost {
    pub(super) fn new() -> Self {
        Self {
            state: State::LookedAfter,
        }
    }

    /// What is known now; `true` when it is time to call. Calls come at once, then 1, 2, 4… seconds
    /// apart, at most a minute.
    pub(super) fn update(&mut self, supervisors: usize, now: Instant) -> bool {
        if supervisors > 0 {
            self.state = State::LookedAfter;
            return false;
        }
        let pause = match self.state {
            State::LookedAfter => FIRST_PAUSE,
            State::Call { next, .. } if now < next => return false,
            State::Call { pause, .. } => (pause * 2).min(LONGEST_PAUSE),
        };
        self.state = State::Call {
            next: now + pause,
            pause,
        };
        true
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::LookedAfter => None,
            State::Call { next, .. } => Some(next),
        }
    }
}

/// Starts the program that looks after containers without a supervisor. It is not waited for; when
/// it ends the event loop reaps it.
pub(super) fn call(program: &[String]) {
    if program.is_empty() {
        return;
    }
    if let Err(error) = sys::spawn::detached(program) {
        eprintln!(
            "stack shim: cannot start {} to look after the container: {error}",
            program[0]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_come_at_once_and_then_less_and_less_often() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lost = Lost::new();
        assert!(!lost.update(1, at(0)));
        assert_eq!(lost.deadline(), None);
        let calls: Vec<u64> = (0..400).filter(|s| lost.update(0, at(*s))).collect();
        assert_eq!(calls, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]);
        assert_eq!(lost.deadline(), Some(at(423)));
    }

    #[test]
    fn somebody_who_comes_ends_the_calls() {
        let start = Instant::now();
        let mut lost = Lost::new();
        assert!(lost.update(0, start));
        assert!(!lost.update(1, start));
        assert_eq!(lost.deadline(), None);
        assert!(lost.update(0, start));
    }
}
