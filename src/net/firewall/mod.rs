//! The kernel's packet filter: one nftables table, changed element by element.
//!
//! Owns the table `inet stack` and two rules in the chains of iptables. Never touches anything of
//! another program, and never another state directory's elements.
//!
//! The table's rules are the same for every host; what differs is the content of its sets:
//!
//! | set | holds | for |
//! | --- | --- | --- |
//! | `bridges` | bridge | masquerading, isolation |
//! | `internal` | bridge | networks that never reach the outside |
//! | `intra` | bridge . bridge | traffic that stays in one network |
//! | `any4`, `any6` | protocol . port → container . port | ports published on all addresses |
//! | `at4`, `at6` | address . protocol . port → container . port | ports published on one |
//! | `own4`, `own6` | container . protocol . port | a container that calls its own published port |
//!
//! Invariant: an update is one transaction that the kernel refuses when anybody changed the rule
//! set since it was read, so that many processes can update at the same time, and the last network
//! that goes takes the table along without a race.

mod flows;
mod foreign;
mod model;
mod parked;
mod skeleton;

use std::fmt;
use std::net::IpAddr;

use super::netlink::{Connection, find, u32_be};
use super::nft::{HEADER, MSG_GETGEN, Transaction, question};
use super::{Error, Hint, Protocol};
use model::{Model, Sets};

/// How often an update is tried when others change the rule set at the same time.
const ATTEMPTS: u32 = 64;

/// A published port: where packets come in and where they go.
///
/// Rules whose `host_ip` is a loopback address, or of another family than the container's, have no
/// part in the firewall: the port's holder ([`super::proxy`]) serves those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRule {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Address of the host, `None` for all.
    pub host_ip: Option<IpAddr>,
    /// Port on the host.
    pub host_port: u16,
    /// Address of the container.
    pub container_ip: IpAddr,
    /// Port in the container.
    pub container_port: u16,
}

/// One step of a firewall update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Lets a network's traffic pass as it should.
    AddNetwork {
        /// Its bridge.
        bridge: String,
        /// Whether it may talk to the outside.
        reach: Reach,
    },
    /// Forgets a network; no error when it is unknown.
    RemoveNetwork {
        /// Its bridge.
        bridge: String,
    },
    /// Publishes a port; the same port published elsewhere before is replaced.
    Publish(PortRule),
    /// Takes a published port back; nothing happens when it is unknown or leads elsewhere by now.
    Unpublish(PortRule),
}

/// Whether a network talks to the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Masqueraded to the outside.
    Outside,
    /// Only among its own members (`internal: true`).
    Internal,
}

/// Something outside our table that can stand in the way of traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Rules of iptables-legacy exist, which cannot be seen through nftables.
    LegacyIptables,
    /// Somebody's own chain drops forwarded packets by default.
    DroppingChain {
        /// Address family of its table (`inet`, `ip`, `ip6`).
        family: &'static str,
        /// Table.
        table: String,
        /// Chain.
        chain: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::LegacyIptables => f.write_str(
                "this host has rules of iptables-legacy; if they drop forwarded packets, containers \
                 reach nothing: allow them with `iptables-legacy -I FORWARD -i stk-+ -j ACCEPT` and \
                 `iptables-legacy -I FORWARD -o stk-+ -j ACCEPT`",
            ),
            Warning::DroppingChain { family, table, chain } => write!(
                f,
                "nftables chain `{family} {table} {chain}` drops forwarded packets by default; \
                 containers reach the outside only if it lets them: \
                 `nft insert rule {family} {table} {chain} iifname \"stk-*\" accept` and \
                 `nft insert rule {family} {table} {chain} oifname \"stk-*\" accept`"
            ),
        }
    }
}

/// What our table holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Bridges of all networks, of every state directory.
    pub networks: Vec<(String, Reach)>,
    /// All published ports.
    pub ports: Vec<PortRule>,
}

/// Makes all changes in one atomic batch; makes the table first when it is not there, and removes
/// it with the last network. Says what else on the host may stand in the way.
pub fn apply(changes: &[Change]) -> Result<Vec<Warning>, Error> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    parked::with_connection(|connection| {
        let warnings = update(connection, changes)?;
        flows::forget(connection, &flows::ports(changes))?;
        Ok(warnings)
    })
}

fn update(connection: &Connection, changes: &[Change]) -> Result<Vec<Warning>, Error> {
    if publish_blindly(connection, changes)? {
        return Ok(Vec::new());
    }
    let adds_network = changes
        .iter()
        .any(|change| matches!(change, Change::AddNetwork { .. }));
    for _ in 0..ATTEMPTS {
        let mut transaction = Transaction::since(generation(connection)?);
        let (present, table) = skeleton::read(connection)?;
        let mut model = Model::decode(&present);
        model.edit(changes);
        rewrite(&mut transaction, &model, (&present, table));
        let mut warnings = Vec::new();
        // Only the first and the last network, and an explicit new one, concern other tables.
        if adds_network || model.is_empty() {
            let chains = foreign::chains(connection)?;
            foreign::adapt(connection, &mut transaction, (&chains, !model.is_empty()))?;
            warnings = foreign::warnings(&chains);
        }
        match transaction.commit(connection)? {
            Ok(()) => return Ok(warnings),
            Err((refusal, _)) if refusal.errno == libc::ERESTART => {}
            // A chain type or an expression that the kernel does not have is `not found`.
            Err((refusal, batch)) if refusal.errno == libc::ENOENT => {
                return Err(refusal.into_error_with(&batch, Hint::Nftables));
            }
            Err((refusal, batch)) => return Err(refusal.into_error(&batch, "nf_tables")),
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

/// Brings the table from what it is to what `model` says.
fn rewrite(
    transaction: &mut Transaction,
    model: &Model,
    (present, table): (&Sets, skeleton::State),
) {
    let nothing = Sets::default();
    let before = match table {
        skeleton::State::Current => present,
        skeleton::State::Missing | skeleton::State::Outdated => &nothing,
    };
    if table == skeleton::State::Outdated || (model.is_empty() && table != skeleton::State::Missing)
    {
        transaction.delete_table(skeleton::TABLE);
    }
    if model.is_empty() {
        return;
    }
    if table != skeleton::State::Current {
        skeleton::build(transaction);
    }
    let after = model.encode();
    let (added, removed) = after.difference(before);
    for (set, elements) in &removed {
        transaction.delete_elements(skeleton::TABLE, set, elements);
    }
    for (set, elements) in &added {
        transaction.add_elements(skeleton::TABLE, set, elements);
    }
}

/// Publishes ports without reading first, which is enough when the table is there and no port leads
/// elsewhere; otherwise the kernel refuses it as a whole.
fn publish_blindly(connection: &Connection, changes: &[Change]) -> Result<bool, Error> {
    if !changes
        .iter()
        .all(|change| matches!(change, Change::Publish(_)))
    {
        return Ok(false);
    }
    let mut model = Model::default();
    model.edit(changes);
    let mut transaction = Transaction::new();
    for (set, elements) in model.encode().all() {
        transaction.add_elements(skeleton::TABLE, set, &elements);
    }
    match transaction.commit(connection)? {
        Ok(()) => Ok(true),
        Err((refusal, _)) if matches!(refusal.errno, libc::ENOENT | libc::EBUSY | libc::EEXIST) => {
            Ok(false)
        }
        Err((refusal, batch)) => Err(refusal.into_error(&batch, "nf_tables")),
    }
}

/// Reads back what the table holds; empty when there is no table.
pub fn snapshot() -> Result<Snapshot, Error> {
    parked::with_connection(|connection| {
        let (present, _) = skeleton::read(connection)?;
        Ok(Model::decode(&present).into_snapshot())
    })
}

/// Number of the rule set's last change.
fn generation(connection: &Connection) -> Result<u32, Error> {
    const NFTA_GEN_ID: u16 = 1;
    let ask = || question((MSG_GETGEN, 0), 0, "read the firewall's generation", |_| ());
    let replies = connection
        .ask(ask)?
        .map_err(|refusal| refusal.into_error(&ask(), "nf_tables"))?;
    replies
        .first()
        .and_then(|reply| u32_be(find(reply.payload.get(HEADER..)?, NFTA_GEN_ID)?))
        .ok_or(Error::Malformed {
            family: "netfilter",
            reason: "it has no generation number",
        })
}

#[cfg(test)]
mod tests;
