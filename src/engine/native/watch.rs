//! Being in charge of running containers: their shims' connections, ports and name servers.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::pidfd::PidFd;
use super::ports::has_connections;
use super::start::{Launched, dns_settings, has_way_out, published_addresses, rules_of};
use super::{FOREIGN_NAMES, Live, Native, leases};
use crate::compose::model::Service;
use crate::engine::{EngineError, Note};
use crate::net::dns::{self, Client, Forward, Member, View};
use crate::net::resolv::{ResolvConf, upstreams};
use crate::plan::{ObservedContainer, Phase};
use crate::runtime::client::{
    Adopted, Connection, DnsSockets, Received, ShimProcess, adopt, take_held,
};
use crate::runtime::protocol::Reply;
use crate::sys::async_fd::readable;

/// A client that asked for a one-off container has this long to attach to it.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the connections of a container that is to go are looked at.
const CONNECTIONS: Duration = Duration::from_millis(20);

/// The connection to a shim.
#[derive(Debug)]
pub(super) struct Link {
    shim: Shim,
    /// Turns true when everything behind the container's end is done.
    done: watch::Sender<bool>,
    /// The program waits for a client to attach.
    waits: bool,
}

#[derive(Debug)]
enum Shim {
    Child(ShimProcess),
    Adopted(Connection),
}

impl Link {
    fn new(shim: Shim, waits: bool) -> Arc<Self> {
        Arc::new(Self {
            shim,
            done: watch::Sender::new(false),
            waits,
        })
    }

    /// Ends a shim whose program was never started; it cleans up.
    fn end_shim(&self) {
        if let Shim::Child(shim) = &self.shim {
            let _ = PidFd::open(shim.pid).and_then(|shim| shim.send_signal(nix::libc::SIGTERM));
        }
    }

    fn connection(&self) -> &Connection {
        match &self.shim {
            Shim::Child(shim) => &shim.connection,
            Shim::Adopted(connection) => connection,
        }
    }
}

impl Native {
    /// Takes charge of a container that was started a moment ago.
    pub(super) fn take_charge(&self, launched: Launched) -> Result<ObservedContainer, EngineError> {
        let container = launched.container;
        let waits = launched.started.is_none();
        let sockets = launched.started.and_then(|started| started.dns);
        if let Err(error) = self.ports.running(&container.record.id, container.health()) {
            tracing::warn!(container = container.record.name, %error, "cannot publish its ports");
        }
        if let Some(sockets) = sockets {
            self.serve_names(&container, sockets);
        }
        let live = Live {
            link: Link::new(Shim::Child(launched.shim), waits),
            leaving: false,
            container: container.clone(),
        };
        self.live().insert(container.record.id.clone(), live);
        self.refresh_names();
        Ok(container)
    }

    /// Takes charge of a container that was running before this process.
    pub(super) fn adopt(&self, container: ObservedContainer) -> Result<(), EngineError> {
        let Adopted {
            dns,
            connection,
            state,
        } = adopt(&self.paths.shim_socket(&container.record.id))?;
        self.adopt_ports(&container);
        if let Some(sockets) = dns {
            self.serve_names(&container, sockets);
        }
        let live = Live {
            link: Link::new(Shim::Adopted(connection), state.is_none()),
            leaving: false,
            container: container.clone(),
        };
        self.live().insert(container.record.id.clone(), live);
        Ok(())
    }

    /// Ports that a container has published: taken from its shim, which has kept them, or again, as
    /// far as nobody else has them by now.
    fn adopt_ports(&self, container: &ObservedContainer) {
        let (record, status) = (&container.record, &container.status);
        let addresses = published_addresses(status);
        let (Some(address), false) = (addresses.first(), status.ports.is_empty()) else {
            return;
        };
        let mut held = take_held(&self.paths.shim_socket(&record.id)).unwrap_or_default();
        for port in &status.ports {
            let target = SocketAddr::new(*address, port.target);
            let traits = (container.health(), rules_of(port, &addresses));
            let taken = self.ports.adopt(record, (port, target), traits, &mut held);
            if let Err(error) = taken {
                tracing::warn!(container = record.name, %error, "a published port is lost");
            }
        }
    }

    fn serve_names(&self, container: &ObservedContainer, sockets: DnsSockets) {
        let record = &container.record;
        let forward = if has_way_out(record, &container.status) {
            let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            let servers = upstreams(&ResolvConf::parse(&host), &dns_settings(&record.template));
            Forward::To(
                servers
                    .into_iter()
                    .map(|server| SocketAddr::new(server, 53))
                    .collect(),
            )
        } else {
            Forward::Nowhere
        };
        let added = self.dns.add_client(Client {
            key: record.id.clone(),
            sockets: dns::DnsSockets {
                udp: sockets.udp,
                tcp: sockets.tcp,
            },
            networks: record
                .networks
                .iter()
                .map(|request| request.network.clone())
                .collect(),
            links: links_of(&record.template),
            forward,
        });
        if let Err(error) = added {
            tracing::warn!(container = record.name, %error, "it has no name server");
        }
    }

    /// Tells the name server who is where: our own containers from memory, those of other projects
    /// on networks that we share from the leases.
    pub(super) fn refresh_names(&self) {
        let mut members = Vec::new();
        let mut foreign = std::collections::BTreeSet::new();
        let live = self.live();
        for other in live.values().filter(|other| !other.leaving) {
            for endpoint in &other.container.status.endpoints {
                members.push(Member {
                    network: endpoint.network.clone(),
                    names: endpoint.names.clone(),
                    addresses: endpoint.addresses.iter().map(IpNetwork::ip).collect(),
                });
                foreign.insert(endpoint.network.clone());
            }
        }
        for network in foreign {
            for leased in leases::list(&self.paths, &network).unwrap_or_default() {
                if !live.contains_key(&leased.lease.container) {
                    members.push(Member {
                        network: network.clone(),
                        names: leased.lease.names,
                        addresses: vec![leased.address],
                    });
                }
            }
        }
        drop(live);
        self.dns.set_view(View::new(&members));
        self.members_changed.notify_one();
    }

    /// Keeps the names of other projects' containers on shared networks up to date: their
    /// supervisors change the leases and nobody tells us.
    pub async fn follow_foreign_names(self: Arc<Self>) {
        let mut seen = Vec::new();
        loop {
            let now = self.foreign_leases();
            let alone = now.is_empty();
            if now != seen {
                seen = now;
                self.refresh_names();
            }
            match alone {
                // A project that shares no network is not woken for nothing.
                true => self.members_changed.notified().await,
                false => tokio::time::sleep(FOREIGN_NAMES).await,
            }
        }
    }

    /// When the leases of networks that are not ours alone were last changed.
    fn foreign_leases(&self) -> Vec<(String, Option<std::time::SystemTime>)> {
        let mut networks: Vec<String> = self
            .live()
            .values()
            .flat_map(|live| {
                live.container
                    .status
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.network.clone())
            })
            .filter(|network| !network.starts_with(&format!("{}_", self.project)))
            .collect();
        networks.sort();
        networks.dedup();
        let changed = |network: &String| {
            let dir = self.paths.network(network).join("leases");
            std::fs::metadata(dir)
                .and_then(|metadata| metadata.modified())
                .ok()
        };
        networks
            .into_iter()
            .map(|network| (network.clone(), changed(&network)))
            .collect()
    }

    /// Waits until the shim of a container is gone, with everything that it cleans up.
    pub(super) async fn watch(&self, container: &ObservedContainer) {
        let Some(link) = self
            .live()
            .get(&container.record.id)
            .map(|live| Arc::clone(&live.link))
        else {
            return;
        };
        let Ok(fd) = link.connection().as_fd().try_clone_to_owned() else {
            return;
        };
        let Ok(socket) = readable(fd) else {
            return;
        };
        let mut waits = link.waits;
        loop {
            let next = self.next_report(&socket, &link);
            let report = if waits {
                match tokio::time::timeout(ATTACH_TIMEOUT, next).await {
                    Ok(report) => report,
                    Err(_) => {
                        tracing::warn!(
                            container = container.record.name,
                            "nobody attached to it: it is ended"
                        );
                        link.end_shim();
                        waits = false;
                        continue;
                    }
                }
            } else {
                next.await
            };
            match report {
                None => break,
                Some((Reply::Started(state), mut fds)) => {
                    waits = false;
                    let (pid, started_at) = (state.pid, state.started_at);
                    self.note(Note::Container(ObservedContainer {
                        phase: Phase::Running { pid, started_at },
                        ..container.clone()
                    }));
                    if let (Some(tcp), Some(udp)) = (fds.pop(), fds.pop()) {
                        self.serve_names(container, DnsSockets { udp, tcp });
                    }
                }
                Some(_) => {}
            }
        }
        if let Shim::Child(shim) = &link.shim {
            while !shim.reap().unwrap_or(true) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// The shim's next report; `None` when it has closed the connection: it is gone.
    async fn next_report(
        &self,
        readable: &AsyncFd<OwnedFd>,
        link: &Link,
    ) -> Option<(Reply, Vec<OwnedFd>)> {
        loop {
            let mut guard = readable.readable().await.ok()?;
            match link.connection().try_receive() {
                Ok(Received::Message(message)) => return Some((message.reply, message.fds)),
                Ok(Received::Nothing) => guard.clear_ready(),
                Ok(Received::Closed) | Err(_) => return None,
            }
        }
    }

    /// Ends a container whose program waits for a client that will not come.
    pub(super) fn end_waiting(&self, id: &str) {
        if let Some(live) = self.live().get(id)
            && live.link.waits
        {
            live.link.end_shim();
        }
    }

    /// Lets go of a container that has ended.
    pub(super) fn forget(&self, id: &str) {
        self.dns.remove_client(id);
        self.readers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .forget(id);
        let gone = self.live().remove(id);
        if let Some(live) = gone {
            self.give_ports_back(&live.container.record);
            live.link.done.send_replace(true);
        }
        self.refresh_names();
    }

    /// Leads what is new around a container that gives way to others, and waits until it has nothing
    /// open any more, at most for `patience`.
    pub(super) async fn drain(&self, container: &ObservedContainer, patience: Duration) {
        let record = &container.record;
        if let Some(live) = self.live().get_mut(&record.id) {
            live.leaving = true;
        }
        self.refresh_names();
        let leave = match self.ports.leave(&record.id) {
            Ok(leave) => leave,
            Err(error) => {
                tracing::warn!(container = record.name, %error, "cannot lead its ports elsewhere");
                return;
            }
        };
        let networks: Vec<IpNetwork> = container
            .status
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.addresses.iter().copied())
            .collect();
        let done = async {
            leave.idle.await;
            while let Some(pid) = container.pid()
                && !leave.direct.is_empty()
                && has_connections(pid, &leave.direct, &networks)
            {
                // The kernel tells nobody when somebody else's connection ends.
                tokio::time::sleep(CONNECTIONS).await;
            }
        };
        if tokio::time::timeout(patience, done).await.is_err() {
            tracing::info!(
                container = record.name,
                "connections are still open: they end with it"
            );
        }
    }

    /// Waits until a container has ended and everything behind its end is done.
    pub(super) fn wait_ended(&self, id: &str) -> impl Future<Output = ()> + Send + use<> {
        let done = self.live().get(id).map(|live| live.link.done.subscribe());
        async move {
            if let Some(mut done) = done {
                let _ = done.wait_for(|done| *done).await;
            }
        }
    }
}
/// What a service alone calls others: `links` and `external_links`.
fn links_of(model: &Service) -> Vec<(String, String)> {
    let own = model.links.iter().filter_map(|link| {
        let alias = link.alias.clone()?;
        Some((alias, link.service.to_string()))
    });
    let others = model.external_links.iter().filter_map(|link| {
        let alias = link.alias.clone()?;
        Some((alias, link.container.clone()))
    });
    own.chain(others).collect()
}
