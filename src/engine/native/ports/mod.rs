//! The ports of the host that a project publishes, and the containers behind them.
//!
//! A port is held once, by whichever replica of a service comes first, and joined by the others.
//! Invariant: a port is held exactly as long as a container is behind it; the firewall sends it to
//! at most one of them, and then to the one that [`route()`] says.

mod outside;
mod route;

pub(super) use outside::has_connections;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::compose::model::{PortMapping, Published as WantedPort, ServiceName};
use crate::net::firewall::{self, Change, PortRule};
use crate::net::proxy::{Backend, HostPort, PortError, ProxyThread, Published, local_address};
use crate::net::{self, Protocol};
use crate::plan::Desired;
use crate::state::records::{ContainerRecord, HealthStatus, PortRecord};

use route::{Candidate, Stage, route};

/// All ports that this project publishes.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Entry>,
    /// Containers that each service is to have.
    replicas: BTreeMap<ServiceName, u32>,
    /// What carries connections, as soon as there is a port.
    thread: Option<ProxyThread>,
}

/// One port of the host.
#[derive(Debug)]
struct Entry {
    service: ServiceName,
    host_ip: Option<IpAddr>,
    published: Published,
    members: Vec<Member>,
    /// What the firewall has, or may have, of it.
    forwarded: BTreeSet<PortRule>,
    /// The firewall may have lost it too.
    unsure: bool,
    /// Connections are answered: before the first container runs, they wait.
    served: bool,
}

/// A container behind a port.
#[derive(Debug)]
struct Member {
    id: String,
    number: u32,
    one_off: bool,
    requested: WantedPort,
    target: SocketAddr,
    candidate: Candidate,
    rules: Vec<PortRule>,
    /// Connections to it have come without the proxy.
    was_direct: bool,
}

/// What a container still has to do before it can go without a loss.
pub(super) struct Leave {
    /// Ends when the proxy carries no connection to it any more.
    pub(super) idle: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Ports of the container that connections have come to without the proxy.
    pub(super) direct: Vec<u16>,
}

impl Ports {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all ports: what holds them ends.
    pub(super) fn clear(&self) {
        self.table().entries.clear();
    }

    /// Takes in how many containers each service is to have.
    pub(super) fn heed(&self, desired: &Desired) -> Result<(), net::Error> {
        let wanted: BTreeMap<_, _> = desired
            .services
            .iter()
            .map(|(name, service)| (name.clone(), service.replicas))
            .collect();
        let mut table = self.table();
        if table.replicas == wanted {
            return Ok(());
        }
        table.replicas = wanted;
        table.update(|_| true)
    }

    /// Takes a port for a container that is being started, or joins it to the one that its service
    /// has. `rules` makes the firewall's part from the port that it became.
    pub(super) fn take(
        &self,
        record: &ContainerRecord,
        (wanted, target): (&PortMapping, SocketAddr),
        rules: impl FnOnce(&PortRecord) -> Vec<PortRule>,
    ) -> Result<PortRecord, PortError> {
        let mut table = self.table();
        let protocol = super::start::protocol(wanted.protocol);
        let at = match table.to_join(record, wanted, protocol)? {
            Some(at) => at,
            None => {
                let port = match wanted.published {
                    WantedPort::Any => HostPort::Any,
                    WantedPort::Port(port) => HostPort::Fixed(port),
                    WantedPort::Range(first, last) => HostPort::Range(first..=last),
                };
                let published = Published::bind(protocol, wanted.host_ip, port)?;
                table.add(record, wanted.host_ip, published)
            }
        };
        let entry = &mut table.entries[at];
        let taken = PortRecord {
            protocol: wanted.protocol,
            host_ip: wanted.host_ip,
            host_port: entry.published.port(),
            target: wanted.target,
            requested: wanted.published,
        };
        entry.members.push(Member {
            id: record.id.clone(),
            number: record.number,
            one_off: record.one_off,
            requested: wanted.published,
            target,
            candidate: Candidate {
                stage: Stage::Starting,
                health: None,
            },
            rules: rules(&taken),
            was_direct: false,
        });
        Ok(taken)
    }

    /// Takes the port of a container that runs already: joins it, goes on with the sockets that its
    /// shim has kept, or binds it again.
    pub(super) fn adopt(
        &self,
        record: &ContainerRecord,
        (port, target): (&PortRecord, SocketAddr),
        (health, rules): (Option<HealthStatus>, Vec<PortRule>),
        held: &mut Vec<OwnedFd>,
    ) -> Result<(), PortError> {
        let mut table = self.table();
        let protocol = super::start::protocol(port.protocol);
        let is_it = |entry: &Entry| {
            entry.is_shared_by(record)
                && entry.is(protocol, port.host_ip)
                && entry.published.port() == port.host_port
        };
        let at = match table.entries.iter().position(is_it) {
            Some(at) => at,
            None => {
                let kept = take_kept(held, protocol, port);
                let published = match kept.is_empty() {
                    false => Published::take_over(protocol, port.host_port, kept).ok(),
                    true => None,
                };
                let published = match published {
                    Some(published) => published,
                    None => {
                        let fixed = HostPort::Fixed(port.host_port);
                        Published::bind(protocol, port.host_ip, fixed)?
                    }
                };
                table.add(record, port.host_ip, published)
            }
        };
        let entry = &mut table.entries[at];
        entry.forwarded.extend(rules.iter().copied());
        entry.unsure = true;
        entry.members.push(Member {
            id: record.id.clone(),
            number: record.number,
            one_off: record.one_off,
            requested: port.requested,
            target,
            candidate: Candidate {
                stage: Stage::Running,
                health,
            },
            rules,
            was_direct: true,
        });
        Ok(())
    }

    /// Gives copies of the sockets of a container's ports to somebody.
    pub(super) fn with_copies<T>(&self, id: &str, give: impl FnOnce(&[BorrowedFd<'_>]) -> T) -> T {
        let table = self.table();
        let copies: Vec<BorrowedFd<'_>> = table
            .entries
            .iter()
            .filter(|entry| entry.has(id))
            .flat_map(|entry| entry.published.copies().iter().map(AsFd::as_fd))
            .collect();
        give(&copies)
    }

    /// Brings firewall and proxies of all ports up to date.
    pub(super) fn refresh_all(&self) -> Result<(), net::Error> {
        self.table().update(|_| true)
    }

    /// Brings firewall and proxies of a container's ports up to date.
    pub(super) fn refresh(&self, id: &str) -> Result<(), net::Error> {
        self.table().update(|entry| entry.has(id))
    }

    /// The container's program runs.
    pub(super) fn running(&self, id: &str, health: Option<HealthStatus>) -> Result<(), net::Error> {
        self.change(id, |candidate| {
            candidate.stage = Stage::Running;
            candidate.health = health;
        })
    }

    /// A container's health is this now.
    pub(super) fn health(&self, id: &str, health: Option<HealthStatus>) -> Result<(), net::Error> {
        self.change(id, |candidate| candidate.health = health)
    }

    fn change(&self, id: &str, change: impl Fn(&mut Candidate)) -> Result<(), net::Error> {
        let mut table = self.table();
        let mut changed = false;
        for member in table.members(id) {
            let before = member.candidate;
            change(&mut member.candidate);
            changed |= member.candidate != before;
        }
        if changed {
            table.update(|entry| entry.has(id))
        } else {
            Ok(())
        }
    }

    /// A container is to stop: where others are behind a port, it gets no new connections of it.
    pub(super) fn leave(&self, id: &str) -> Result<Leave, net::Error> {
        let mut table = self.table();
        let mut direct = Vec::new();
        let mut busy = Vec::new();
        for entry in table.entries.iter_mut().filter(|entry| entry.has(id)) {
            let others =
                |member: &Member| member.id != id && member.candidate.stage != Stage::Leaving;
            if !entry.members.iter().any(others) {
                continue;
            }
            for member in entry.members.iter_mut().filter(|member| member.id == id) {
                member.candidate.stage = Stage::Leaving;
                if entry.published.protocol() == Protocol::Tcp {
                    busy.push(entry.published.idle(member.target));
                    direct.extend(member.was_direct.then_some(member.target.port()));
                }
            }
        }
        table.update(|entry| entry.has(id))?;
        let idle = async move {
            for connections in busy {
                connections.await;
            }
        };
        Ok(Leave {
            idle: Box::pin(idle),
            direct,
        })
    }

    /// Gives the ports of a container back; those that nobody else is behind are free again.
    pub(super) fn remove(&self, id: &str) -> Result<(), net::Error> {
        let mut table = self.table();
        let mut gone = Vec::new();
        let mut shared = false;
        table.entries = std::mem::take(&mut table.entries)
            .into_iter()
            .filter_map(|mut entry| {
                let before = entry.members.len();
                entry.members.retain(|member| member.id != id);
                if entry.members.is_empty() {
                    gone.push(entry);
                    return None;
                }
                shared |= entry.members.len() != before;
                Some(entry)
            })
            .collect();
        // The firewall's part of what goes is given back with the rest of the container.
        for entry in gone {
            entry.published.close();
        }
        if shared {
            table.update(|_| true)
        } else {
            Ok(())
        }
    }
}

impl Table {
    fn members(&mut self, id: &str) -> impl Iterator<Item = &mut Member> {
        self.entries
            .iter_mut()
            .flat_map(|entry| entry.members.iter_mut())
            .filter(move |member| member.id == id)
    }

    fn add(
        &mut self,
        record: &ContainerRecord,
        host_ip: Option<IpAddr>,
        published: Published,
    ) -> usize {
        self.entries.push(Entry {
            service: record.service.clone(),
            host_ip,
            published,
            members: Vec::new(),
            forwarded: BTreeSet::new(),
            unsure: false,
            served: false,
        });
        self.entries.len() - 1
    }

    /// The port of this service that a container joins: the one that it names, or, where any of
    /// several would do, the one that the container has whose place it takes.
    fn to_join(
        &self,
        record: &ContainerRecord,
        wanted: &PortMapping,
        protocol: Protocol,
    ) -> Result<Option<usize>, PortError> {
        let ours = |entry: &Entry| entry.is_shared_by(record) && entry.is(protocol, wanted.host_ip);
        let WantedPort::Port(port) = wanted.published else {
            let predecessor = |member: &Member| {
                member.number == record.number
                    && member.id != record.id
                    && member.requested == wanted.published
            };
            let found = |entry: &Entry| ours(entry) && entry.members.iter().any(predecessor);
            return Ok(self.entries.iter().position(found));
        };
        if let Some(at) = self
            .entries
            .iter()
            .position(|entry| ours(entry) && entry.published.port() == port)
        {
            return Ok(Some(at));
        }
        let clashes = |entry: &&Entry| {
            let overlap = match (entry.host_ip, wanted.host_ip) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            };
            overlap && entry.published.port() == port && entry.published.protocol() == protocol
        };
        match self.entries.iter().find(clashes) {
            Some(entry) => Err(PortError::Ours {
                port,
                service: entry.service.to_string(),
            }),
            None => Ok(None),
        }
    }

    /// Brings firewall and proxies to what [`route()`] says.
    fn update(&mut self, concerns: impl Fn(&Entry) -> bool) -> Result<(), net::Error> {
        if self.thread.is_none() && !self.entries.is_empty() {
            match ProxyThread::start() {
                Ok(thread) => self.thread = Some(thread),
                // Then it is done where everything else is done.
                Err(error) => tracing::warn!(%error, "no thread for published ports"),
            }
        }
        let _there = self.thread.as_ref().map(ProxyThread::enter);
        let replicas = &self.replicas;
        let mut changes = Vec::new();
        let entries: Vec<&mut Entry> = self
            .entries
            .iter_mut()
            .filter(|entry| concerns(entry))
            .collect();
        for entry in entries {
            let wanted = replicas.get(&entry.service).copied().unwrap_or(1);
            changes.extend(entry.update(wanted));
        }
        if !changes.is_empty() {
            firewall::apply(&changes)?;
        }
        Ok(())
    }
}

impl Entry {
    fn has(&self, id: &str) -> bool {
        self.members.iter().any(|member| member.id == id)
    }

    fn is(&self, protocol: Protocol, host_ip: Option<IpAddr>) -> bool {
        self.published.protocol() == protocol && self.host_ip == host_ip
    }

    /// Replicas of one service share a port, a one-off container shares none.
    fn is_shared_by(&self, record: &ContainerRecord) -> bool {
        !record.one_off
            && self.service == record.service
            && self.members.iter().all(|member| !member.one_off)
    }

    /// Tells the proxy its containers; what the firewall has to change.
    fn update(&mut self, replicas: u32) -> Vec<Change> {
        let one_off = self.members.iter().any(|member| member.one_off);
        let replicas = if one_off { 1 } else { replicas };
        let candidates: Vec<Candidate> = self.members.iter().map(|m| m.candidate).collect();
        let route = route(replicas, &candidates);
        let backends = self.members.iter().zip(&route.admits);
        let backends = backends.map(|(member, admits)| Backend {
            address: member.target,
            admits: *admits,
        });
        let runs = |candidate: &Candidate| candidate.stage != Stage::Starting;
        self.served |= candidates.iter().any(runs);
        if self.served
            && let Err(error) = self.published.set_backends(backends.collect())
        {
            let port = self.published.port();
            tracing::warn!(port, %error, "cannot serve a published port");
        }
        let mut wanted = BTreeSet::new();
        if let Some(direct) = route.direct {
            self.members[direct].was_direct = true;
            wanted.extend(self.members[direct].rules.iter().copied());
        }
        let before = std::mem::replace(&mut self.forwarded, wanted.clone());
        let unsure = std::mem::take(&mut self.unsure);
        let is_new = |rule: &&PortRule| unsure || !before.contains(rule);
        let away = before.difference(&wanted).copied().map(Change::Unpublish);
        let here = wanted.iter().filter(is_new).copied().map(Change::Publish);
        away.chain(here).collect()
    }
}

/// The kept sockets that hold a port.
fn take_kept(held: &mut Vec<OwnedFd>, protocol: Protocol, port: &PortRecord) -> Vec<OwnedFd> {
    let holds = |socket: &mut OwnedFd| {
        local_address(socket).is_some_and(|(found, address)| {
            let address_fits = match port.host_ip {
                Some(host_ip) => address.ip() == host_ip,
                None => address.ip().is_unspecified(),
            };
            found == protocol && address.port() == port.host_port && address_fits
        })
    };
    held.extract_if(.., holds).collect()
}
