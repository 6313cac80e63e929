//! The socket to nftables, kept open between updates.
//!
//! When such a socket is closed, the kernel first frees what earlier transactions removed, and waits
//! a grace period of several milliseconds for that (`nft_rcv_nl_event` in nf_tables_api.c). An update
//! that removes something would pay for it each time.

use std::os::linux::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use crate::net::Error;
use crate::net::netlink::{Connection, Family};

/// Device and inode of a network namespace.
type Namespace = (u64, u64);

static PARKED: Mutex<Option<(Namespace, Connection)>> = Mutex::new(None);

/// Does `work` with a connection in the calling thread's network namespace.
pub(super) fn with_connection<T>(
    work: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let here = namespace();
    let connection = match here.and_then(take) {
        Some(connection) => connection,
        None => Connection::open(Family::Netfilter)?,
    };
    let outcome = work(&connection);
    // After an error there may be an answer left in it that nobody waits for.
    if let (Ok(_), Some(here)) = (&outcome, here) {
        park(here, connection);
    }
    outcome
}

/// Without `/proc` nothing is kept.
fn namespace() -> Option<Namespace> {
    let metadata = std::fs::metadata("/proc/thread-self/ns/net").ok()?;
    Some((metadata.st_dev(), metadata.st_ino()))
}

fn take(here: Namespace) -> Option<Connection> {
    let mut parked = PARKED.lock().unwrap_or_else(PoisonError::into_inner);
    parked
        .take_if(|(namespace, _)| *namespace == here)
        .map(|(_, connection)| connection)
}

fn park(here: Namespace, connection: Connection) {
    let earlier = {
        let mut parked = PARKED.lock().unwrap_or_else(PoisonError::into_inner);
        parked.replace((here, connection))
    };
    // Closed when nobody waits for the lock.
    drop(earlier);
}
