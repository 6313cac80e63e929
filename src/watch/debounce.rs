//! When a set of changes is whole.
//!
//! One saved file is several events, a few milliseconds apart; a checked-out branch is thousands, over
//! seconds. The first is to be seen at once, the second as one set.

use std::time::{Duration, Instant};

/// A set is whole when so long nothing has happened.
const QUIET: Duration = Duration::from_millis(20);
/// Few changes wait no longer than this, counted from the first.
const SPARSE_MOST: Duration = Duration::from_millis(50);
/// So many paths are a burst: a program is at work, not a person.
const BURST: usize = 25;
/// A burst is whole when so long nothing has happened: programs pause between files.
const BURST_QUIET: Duration = Duration::from_millis(80);
/// A burst waits no longer than this, counted from its first change.
const BURST_MOST: Duration = Duration::from_secs(2);

/// Says when a set is whole. It has no clock of its own.
#[derive(Debug, Default)]
pub(super) struct Debouncer {
    open: Option<Open>,
}

/// A set that is not whole yet.
#[derive(Debug)]
struct Open {
    first: Instant,
    last: Instant,
    paths: usize,
}

impl Debouncer {
    /// Something has happened; `fresh` = to a path that is not in the set yet.
    pub(super) fn note(&mut self, now: Instant, fresh: bool) {
        let open = self.open.get_or_insert(Open {
            first: now,
            last: now,
            paths: 0,
        });
        open.last = now;
        open.paths += usize::from(fresh);
    }

    /// When the set is whole unless something happens before; `None` = there is none.
    pub(super) fn due(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        let (quiet, most) = match open.paths < BURST {
            true => (QUIET, SPARSE_MOST),
            false => (BURST_QUIET, BURST_MOST),
        };
        Some((open.last + quiet).min(open.first + most))
    }

    /// The set has been taken.
    pub(super) fn taken(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays events at these milliseconds, each of a path of its own, and gives the milliseconds at
    /// which sets were whole, with the number of their events.
    fn play(events: impl IntoIterator<Item = u64>) -> Vec<(u64, usize)> {
        let origin = Instant::now();
        let millis = |at: Instant| (at - origin).as_millis() as u64;
        let mut debouncer = Debouncer::default();
        let (mut sets, mut count) = (Vec::new(), 0);
        for at in events {
            let now = origin + Duration::from_millis(at);
            if let Some(due) = debouncer.due().filter(|due| *due <= now) {
                sets.push((millis(due), std::mem::take(&mut count)));
                debouncer.taken();
            }
            debouncer.note(now, true);
            count += 1;
        }
        sets.extend(debouncer.due().map(|due| (millis(due), count)));
        sets
    }

    #[test]
    fn a_set_is_whole_when_it_is_quiet_or_has_waited_long_enough() {
        let every = |step: usize, end: u64| (0..end).step_by(step).collect::<Vec<_>>();
        for (what, events, sets) in [
            ("nothing", vec![], vec![]),
            ("one change", vec![0], vec![(20, 1)]),
            ("a save: a few events", vec![0, 1, 3, 12], vec![(32, 4)]),
            ("two saves", vec![0, 100], vec![(20, 1), (120, 1)]),
            ("steps never quiet", vec![0, 15, 30, 45], vec![(50, 4)]),
            (
                "sparse changes do not wait for the end",
                every(15, 150),
                vec![(50, 4), (110, 4), (155, 2)],
            ),
            ("a burst is one set", every(1, 1000), vec![(1079, 1000)]),
            (
                "a burst with pauses is one set",
                [every(1, 40), vec![110, 180, 250]].concat(),
                vec![(330, 43)],
            ),
            (
                "an endless burst comes in parts",
                every(2, 3000),
                vec![(2000, 1000), (3078, 500)],
            ),
        ] {
            assert_eq!(play(events), sets, "{what}");
        }
    }

    #[test]
    fn one_path_again_and_again_is_no_burst() {
        let now = Instant::now();
        let mut debouncer = Debouncer::default();
        for at in 0..1000 {
            debouncer.note(now + Duration::from_millis(at), at == 0);
        }
        assert_eq!(debouncer.due(), Some(now + SPARSE_MOST));
        debouncer.taken();
        assert_eq!(debouncer.due(), None);
    }
}
