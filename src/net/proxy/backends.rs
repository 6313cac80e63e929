//! Which container gets the next connection.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A container behind a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it is given new connections.
    pub admits: Admits,
}

/// Whether a container is given new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admits {
    /// It is.
    Now,
    /// Not yet: a connection that nobody else can take waits for it.
    Soon,
    /// Not any more, or not until it is well again; those that it has go on.
    None,
}

impl Backend {
    /// A container that is given connections.
    pub fn ready(address: SocketAddr) -> Self {
        Self {
            address,
            admits: Admits::Now,
        }
    }
}

/// The containers behind one port, with what they have to do.
#[derive(Debug, Default)]
pub(super) struct Backends {
    list: Mutex<List>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct List {
    entries: Vec<Entry>,
    /// Who begins when several have equally little to do.
    turn: usize,
}

#[derive(Debug)]
struct Entry {
    backend: Backend,
    open: Arc<AtomicUsize>,
}

/// What there is for a new connection.
#[derive(Debug)]
pub(super) enum Choice {
    /// This container, which counts it until the ticket is dropped.
    Use(Ticket),
    /// Nobody yet: look again after the next change.
    Wait,
    /// Nobody.
    Nobody,
}

/// One connection or caller of a container.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) address: SocketAddr,
    open: Arc<AtomicUsize>,
    backends: Arc<Backends>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.backends.changed.notify_waiters();
        }
    }
}

impl Backends {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the containers; those that stay keep their count.
    pub(super) fn set(&self, backends: Vec<Backend>) {
        let mut list = self.list();
        let mut before = std::mem::take(&mut list.entries);
        list.entries = backends
            .into_iter()
            .map(|backend| {
                let same = |entry: &Entry| entry.backend.address == backend.address;
                let known = before.iter().position(same).map(|at| before.remove(at));
                Entry {
                    backend,
                    open: known.map(|entry| entry.open).unwrap_or_default(),
                }
            })
            .collect();
        drop(list);
        self.changed.notify_waiters();
    }

    /// The container with the fewest connections that was not tried yet, in turn among equals.
    pub(super) fn choose(self: &Arc<Self>, tried: &BTreeSet<SocketAddr>) -> Choice {
        let mut list = self.list();
        let length = list.entries.len();
        let start = list.turn;
        list.turn = list.turn.wrapping_add(1);
        let in_turn = (0..length).map(|offset| (start.wrapping_add(offset)) % length);
        let candidates = in_turn.filter(|at| {
            let backend = &list.entries[*at].backend;
            backend.admits == Admits::Now && !tried.contains(&backend.address)
        });
        let least = candidates.min_by_key(|at| list.entries[*at].open.load(Ordering::Relaxed));
        if let Some(at) = least {
            let entry = &list.entries[at];
            entry.open.fetch_add(1, Ordering::Relaxed);
            return Choice::Use(Ticket {
                address: entry.backend.address,
                open: Arc::clone(&entry.open),
                backends: Arc::clone(self),
            });
        }
        let comes = |entry: &Entry| {
            entry.backend.admits == Admits::Soon && !tried.contains(&entry.backend.address)
        };
        if list.entries.iter().any(comes) {
            Choice::Wait
        } else {
            Choice::Nobody
        }
    }

    /// Whether a container is given what comes in now.
    pub(super) fn admits(&self, address: SocketAddr) -> bool {
        self.list()
            .entries
            .iter()
            .any(|entry| entry.backend == Backend::ready(address))
    }

    /// Connections that a container has.
    pub(super) fn open(&self, address: SocketAddr) -> usize {
        let list = self.list();
        let found = list.entries.iter().find(|e| e.backend.address == address);
        found.map_or(0, |entry| entry.open.load(Ordering::Relaxed))
    }

    /// Waits until `found` says something; it is asked now and after each change.
    pub(super) async fn until<T>(&self, mut found: impl FnMut() -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking: a change in between is not missed.
            changed.as_mut().enable();
            if let Some(value) = found() {
                return value;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    fn backends(states: &[Admits]) -> Arc<Backends> {
        let backends = Arc::new(Backends::default());
        let numbered = (1u8..).zip(states);
        let list = numbered.map(|(last, admits)| Backend {
            address: address(last),
            admits: *admits,
        });
        backends.set(list.collect());
        backends
    }

    fn chosen(choice: &Choice) -> Option<u8> {
        match choice {
            Choice::Use(Ticket {
                address: SocketAddr::V4(address),
                ..
            }) => Some(address.ip().octets()[3]),
            _ => None,
        }
    }

    #[test]
    fn equals_take_turns() {
        let backends = backends(&[Admits::Now; 3]);
        let order: Vec<_> = (0..6)
            .map(|_| chosen(&backends.choose(&BTreeSet::new())).unwrap())
            .collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn whoever_has_the_fewest_connections_gets_the_next() {
        let backends = backends(&[Admits::Now; 2]);
        let none = BTreeSet::new();
        let tickets: Vec<_> = (0..4).map(|_| backends.choose(&none)).collect();
        assert_eq!(
            (backends.open(address(1)), backends.open(address(2))),
            (2, 2)
        );
        let (ones, _twos): (Vec<_>, Vec<_>) =
            tickets.into_iter().partition(|t| chosen(t) == Some(1));
        drop(ones);
        let next: Vec<_> = (0..2).map(|_| backends.choose(&none)).collect();
        assert!(
            next.iter().all(|choice| chosen(choice) == Some(1)),
            "{next:?}"
        );
    }

    #[test]
    fn only_those_that_admit_are_chosen_and_none_twice() {
        use Admits::{None as No, Now, Soon};
        type Row<'a> = (&'a [Admits], &'a [u8], Option<u8>, bool);
        let table: &[Row<'_>] = &[
            (&[Now, Soon, No], &[], Some(1), false),
            (&[Soon, Now, No], &[], Some(2), false),
            (&[Now, Soon, No], &[1], None, true),
            (&[Now, Now, No], &[1], Some(2), false),
            (&[Soon, No], &[], None, true),
            (&[No, No], &[], None, false),
            (&[], &[], None, false),
        ];
        for (states, tried, wanted, waits) in table {
            let tried = tried.iter().map(|last| address(*last)).collect();
            let choice = backends(states).choose(&tried);
            assert_eq!(chosen(&choice), *wanted, "{states:?} {tried:?}");
            assert_eq!(
                matches!(choice, Choice::Wait),
                *waits,
                "{states:?} {tried:?}"
            );
        }
    }

    #[test]
    fn who_stays_keeps_its_count() {
        let backends = backends(&[Admits::Now; 2]);
        let ticket = backends.choose(&BTreeSet::new());
        assert_eq!(chosen(&ticket), Some(1));
        let leaving = Backend {
            address: address(1),
            admits: Admits::None,
        };
        backends.set(vec![Backend::ready(address(3)), leaving]);
        assert_eq!(backends.open(address(1)), 1);
        assert!(!backends.admits(address(1)) && backends.admits(address(3)));
        drop(ticket);
        assert_eq!(backends.open(address(1)), 0);
    }

    #[tokio::test]
    async fn the_end_of_the_last_connection_is_noticed() {
        let backends = backends(&[Admits::Now]);
        let ticket = backends.choose(&BTreeSet::new());
        let idle = backends.until(|| (backends.open(address(1)) == 0).then_some(()));
        tokio::pin!(idle);
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), &mut idle).await;
        assert!(early.is_err());
        drop(ticket);
        idle.await;
    }
}
