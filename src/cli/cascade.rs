//! What the end of a container means for `up` in the foreground, and the exit code. Pure.

use crate::compose::model::ServiceName;

/// What the end of a container means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnExit {
    /// Nothing.
    GoOn,
    /// All are stopped.
    Abort,
    /// All are stopped when it failed.
    AbortOnFailure,
}

/// The ends so far.
///
/// Docker Compose's rules: the end that stops all gives its code, and so does the first end of the
/// service that was named; the later of the two counts.
#[derive(Debug)]
pub(super) struct Cascade {
    on_exit: OnExit,
    from: Option<ServiceName>,
    aborted: bool,
    heard: bool,
    code: Option<i32>,
}

impl Cascade {
    /// No end yet. `from` is the service whose exit code becomes that of `up`.
    pub(super) fn new(on_exit: OnExit, from: Option<ServiceName>) -> Self {
        Self {
            on_exit,
            from,
            aborted: false,
            heard: false,
            code: None,
        }
    }

    /// A container of a service ended; whether all others are to be stopped now.
    pub(super) fn ended(&mut self, service: &ServiceName, code: i32) -> bool {
        let stops = match self.on_exit {
            OnExit::GoOn => false,
            OnExit::Abort => true,
            OnExit::AbortOnFailure => code != 0,
        };
        let aborts = stops && !self.aborted;
        if aborts {
            self.aborted = true;
            self.code = Some(code);
        }
        if self.from.as_ref() == Some(service) && !self.heard {
            self.heard = true;
            self.code = Some(code);
        }
        aborts
    }

    /// The exit code of `up`; `None` = success.
    pub(super) fn code(&self) -> Option<i32> {
        self.code.filter(|code| *code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_end_that_stopped_all_or_of_the_service_that_was_named() {
        use OnExit::{Abort, AbortOnFailure, GoOn};
        let ends = |on_exit, from: &str, ends: &[(&str, i32)]| {
            let from = Some(from).filter(|name| !name.is_empty());
            let mut cascade = Cascade::new(on_exit, from.map(ServiceName::new));
            let aborts = ends
                .iter()
                .map(|(service, code)| cascade.ended(&ServiceName::new(*service), *code));
            let at = aborts.collect::<Vec<_>>().iter().position(|abort| *abort);
            (at, cascade.code())
        };
        let three = [("exit", 0), ("fail", 111), ("run", 143)];
        for (on_exit, from, expected) in [
            (GoOn, "", (None, None)),
            (Abort, "", (Some(0), None)),
            (Abort, "run", (Some(0), Some(143))),
            (Abort, "fail", (Some(0), Some(111))),
            (AbortOnFailure, "", (Some(1), Some(111))),
            (AbortOnFailure, "exit", (Some(1), Some(111))),
            (AbortOnFailure, "run", (Some(1), Some(143))),
        ] {
            assert_eq!(ends(on_exit, from, &three), expected, "{on_exit:?} {from}");
        }
        // Only its first end counts: what the restart policy does then is another story.
        let twice = [("run", 3), ("run", 0)];
        assert_eq!(ends(Abort, "run", &twice), (Some(0), Some(3)));
    }
}
