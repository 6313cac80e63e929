//! Starting a container that has been made: addresses, ports, files, then the shim.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::config::{SharedNetwork, StartContext};
use super::leases::{self, Lease};
use super::{Native, network, observe};
use crate::compose::model::{
    PortMapping, Protocol, Published as WantedPort, Service, ServiceNetwork,
};
use crate::engine::EngineError;
use crate::image::Image;
use crate::net::firewall::{self, Change, PortRule};
use crate::net::resolv::{DnsSettings, ResolvConf, hosts_file, resolv_conf};
use crate::net::{Endpoint, names};
use crate::plan::{Exit, ObservedContainer, Phase};
use crate::runtime::bundle::{Bundle, ExitRecord};
use crate::runtime::client::{ClientError, ShimProcess, Spawn, Started, spawn};
use crate::runtime::protocol::Failure;
use crate::state::records::{
    ContainerRecord, ContainerStatus, EndpointRecord, NetworkRecord, PortRecord,
};
use crate::state::{StateError, read_json, remove_file, write_json};

/// A container may wait on a slow disk, but not for ever.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A shim that has said its last word has only directories to remove.
pub(super) const SHIM_CLEANUP: Duration = Duration::from_secs(5);

/// A container whose program runs, and what it holds.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) container: ObservedContainer,
    pub(super) shim: ShimProcess,
    /// `None` while the program waits for a client to attach.
    pub(super) started: Option<Started>,
}

/// Whether the program waits for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    AtOnce,
    WhenAttached,
}

impl Native {
    /// Starts the container. When that fails everything taken is given back, and the failure is
    /// written down as the container's end.
    pub(super) fn start(
        &self,
        container: &ObservedContainer,
        begin: Begin,
    ) -> Result<Launched, EngineError> {
        let record = &container.record;
        let mut status = ContainerStatus {
            endpoints: Vec::new(),
            ports: Vec::new(),
            health: None,
            ready_since: None,
            interrupted: false,
            ..container.status.clone()
        };
        let result = self.start_with(container, &mut status, begin);
        if let Err(error) = &result {
            self.give_ports_back(record);
            self.release(record, &status);
            self.record_failure(record, error)?;
        }
        result
    }

    fn start_with(
        &self,
        container: &ObservedContainer,
        status: &mut ContainerStatus,
        begin: Begin,
    ) -> Result<Launched, EngineError> {
        let record = &container.record;
        let image = self.image_by_id(&record.image_id, &record.image)?;
        let shared_network = self.shared_network(&record.template)?;
        let previous = previous_addresses(&container.status);
        let networks = self.networks_of(record)?;
        let endpoints = self.take_addresses(record, (&networks, &previous), status)?;
        self.take_ports(record, &networks, status)?;
        let hostname = hostname(record, shared_network.as_ref());
        let context = StartContext {
            record,
            image: &image,
            endpoints,
            hostname,
            shared_network,
            wait_attach: begin == Begin::WhenAttached,
        };
        self.write_files(&context, status)?;
        self.write_configuration(&context)?;
        let dir = self.paths.container(&record.id);
        let bundle = Bundle::new(&dir);
        write_json(&dir.join("status.json"), status)?;
        self.ports.refresh(&record.id)?;
        remove_file(&bundle.exit())?;
        remove_file(&bundle.state())?;
        let shim = spawn(Spawn {
            exe: &self.shim_exe.path,
            bundle: &bundle,
            complaints: None,
        })?;
        let kept = |sockets: &[BorrowedFd<'_>]| shim.hold(sockets);
        if let Err(error) = self.ports.with_copies(&record.id, kept) {
            tracing::warn!(container = record.name, %error, "its ports are lost with this process");
        }
        let started = match begin {
            Begin::AtOnce => shim.wait_started(Some(START_TIMEOUT)).map(Some),
            Begin::WhenAttached => shim.wait_created(Some(START_TIMEOUT)).map(|()| None),
        };
        let started = started.map_err(|error| {
            // Wait for the shim to clean up, so that nothing of it is in the way of the next start.
            let _ = shim.wait_ended(SHIM_CLEANUP);
            start_error(error)
        })?;
        let phase = started
            .as_ref()
            .map_or(Phase::Created, |started| Phase::Running {
                pid: started.state.pid,
                started_at: started.state.started_at,
            });
        Ok(Launched {
            container: ObservedContainer {
                record: record.clone(),
                status: status.clone(),
                phase,
            },
            shim,
            started,
        })
    }

    /// Writes down that the program could not be started, if the shim has not done so better.
    fn record_failure(
        &self,
        record: &ContainerRecord,
        error: &EngineError,
    ) -> Result<(), EngineError> {
        let bundle = Bundle::new(self.paths.container(&record.id));
        let written = observe::read_if_whole::<ExitRecord>(&bundle.exit())?;
        if written.is_none_or(|exit| exit.error.is_none()) {
            let exit = ExitRecord {
                version: 1,
                exit_code: exit_code(error),
                signal: None,
                oom_killed: false,
                error: Some(error.story()),
                started_at: None,
                finished_at: Timestamp::now(),
            };
            write_json(&bundle.exit(), &exit)?;
        }
        Ok(())
    }

    fn networks_of(&self, record: &ContainerRecord) -> Result<Vec<NetworkRecord>, EngineError> {
        let mut networks = Vec::with_capacity(record.networks.len());
        for request in &record.networks {
            let path = self.paths.network(&request.network).join("network.json");
            let network: NetworkRecord =
                read_json(&path)?.ok_or_else(|| EngineError::NoNetwork(request.network.clone()))?;
            // After a reboot the record is all that is left of a network.
            if !Path::new("/sys/class/net").join(&network.bridge).exists() {
                network::ensure(&network)?;
            }
            networks.push(network);
        }
        Ok(networks)
    }

    fn take_addresses(
        &self,
        record: &ContainerRecord,
        (networks, previous): (&[NetworkRecord], &[IpAddr]),
        status: &mut ContainerStatus,
    ) -> Result<Vec<Endpoint>, EngineError> {
        let mut endpoints = Vec::with_capacity(networks.len());
        for (index, (request, network)) in record.networks.iter().zip(networks).enumerate() {
            let lease = Lease {
                container: record.id.clone(),
                name: record.name.clone(),
                names: request.aliases.clone(),
            };
            let mut addresses: Vec<IpNetwork> = Vec::new();
            for subnet in &network.subnets {
                let fits = |address: &&IpAddr| address.is_ipv4() == subnet.subnet.is_ipv4();
                let fixed = request.addresses.iter().find(fits).copied();
                let before = previous
                    .iter()
                    .find(|address| subnet.subnet.contains(**address))
                    .copied();
                let address = leases::take(&self.paths, network, subnet, (fixed, before), &lease)?;
                addresses.extend(IpNetwork::new(address, subnet.subnet.prefix()));
                // Written at once: what follows may fail, and then this is what is given back.
                match status.endpoints.get_mut(index) {
                    Some(endpoint) => endpoint.addresses.clone_from(&addresses),
                    None => status.endpoints.push(EndpointRecord {
                        network: network.name.clone(),
                        addresses: addresses.clone(),
                        gateway: (!network.internal).then(|| network.subnets[0].gateway),
                        mac: String::new(),
                        names: request.aliases.clone(),
                    }),
                }
            }
            let mac = hardware_address(request.mac.as_deref(), &addresses, &record.name)?;
            if let Some(endpoint) = status.endpoints.get_mut(index) {
                endpoint.mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            }
            endpoints.push(Endpoint {
                bridge: network.bridge.clone(),
                host_if: names::host_if_name(&record.id, index),
                name: request
                    .interface
                    .clone()
                    .unwrap_or_else(|| format!("eth{index}")),
                mac,
                addresses,
                gateways: if request.default_route {
                    network
                        .subnets
                        .iter()
                        .map(|subnet| subnet.gateway)
                        .collect()
                } else {
                    Vec::new()
                },
                mtu: network.mtu,
            });
        }
        Ok(endpoints)
    }

    fn take_ports(
        &self,
        record: &ContainerRecord,
        networks: &[NetworkRecord],
        status: &mut ContainerStatus,
    ) -> Result<(), EngineError> {
        // Docker publishes through the network that gives the default route, else the first.
        let default = record
            .networks
            .iter()
            .position(|request| request.default_route)
            .unwrap_or(0);
        let endpoint = status.endpoints.get(default);
        let address = endpoint.and_then(|endpoint| endpoint.addresses.first());
        let Some(address) = address.map(IpNetwork::ip).filter(|_| !networks.is_empty()) else {
            return Ok(());
        };
        for wanted in &record.template.ports {
            let target = SocketAddr::new(address, wanted.target);
            let rules = |port: &PortRecord| rules_of(port, &published_addresses(status));
            let taken = self
                .ports
                .take(record, (wanted, target), rules)
                .map_err(|source| EngineError::Port {
                    published: port_text(wanted),
                    container: record.name.clone(),
                    source,
                })?;
            status.ports.push(taken);
        }
        Ok(())
    }

    /// Ports without anybody behind them are free again, others go on without this container.
    pub(super) fn give_ports_back(&self, record: &ContainerRecord) {
        if let Err(error) = self.ports.remove(&record.id) {
            tracing::warn!(container = record.name, %error, "cannot lead its ports elsewhere");
        }
    }

    /// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`: files of ours that are mounted.
    fn write_files(
        &self,
        context: &StartContext<'_>,
        status: &ContainerStatus,
    ) -> Result<(), EngineError> {
        if context.shared_network.is_some() {
            return Ok(());
        }
        let model = &context.record.template;
        let dir = self.paths.container(&context.record.id);
        let write = |file: &str, text: String| {
            let path = dir.join(file);
            fs::write(&path, text).map_err(|error| StateError::io("write", &path, error))
        };
        let settings = dns_settings(model);
        let host_file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        if model.network == ServiceNetwork::Host {
            write("resolv.conf", host_file("/etc/resolv.conf"))?;
            write("hosts", host_file("/etc/hosts") + &extra_host_lines(model))?;
        } else {
            let host = ResolvConf::parse(&host_file("/etc/resolv.conf"));
            write("resolv.conf", resolv_conf(&host, &settings))?;
            let own: Vec<IpAddr> = status
                .endpoints
                .iter()
                .flat_map(|endpoint| endpoint.addresses.iter().map(IpNetwork::ip))
                .collect();
            let gateway = status
                .endpoints
                .iter()
                .find_map(|endpoint| endpoint.gateway);
            let extra = extra_hosts(model, gateway)?;
            let full = match &model.domainname {
                Some(domain) if !domain.is_empty() => format!("{}.{domain}", context.hostname),
                _ => context.hostname.clone(),
            };
            write("hosts", hosts_file(&full, &own, &extra))?;
        }
        write("hostname", format!("{}\n", context.hostname))?;
        Ok(())
    }

    /// The container whose network namespace a service shares.
    fn shared_network(&self, model: &Service) -> Result<Option<SharedNetwork>, EngineError> {
        let owner = match &model.network {
            ServiceNetwork::Service(name) => format!("service:{name}"),
            ServiceNetwork::Container(name) => format!("container:{name}"),
            ServiceNetwork::Networks(_) | ServiceNetwork::None | ServiceNetwork::Host => {
                return Ok(None);
            }
        };
        self.running_owner(&owner)
            .map(Some)
            .ok_or(EngineError::NoOwner {
                what: "network",
                owner,
            })
    }

    /// The running container that `service:x` or `container:x` means.
    pub(super) fn running_owner(&self, text: &str) -> Option<SharedNetwork> {
        let (kind, name) = text.split_once(':')?;
        let ids = observe::objects(&self.paths.containers()).ok()?;
        ids.iter().find_map(|id| {
            let record = observe::container_record(&self.paths, id).ok()??;
            let matches = match kind {
                "service" => {
                    record.project == self.project
                        && record.service.as_str() == name
                        && !record.one_off
                }
                _ => record.name == name || (name.len() >= 12 && record.id.starts_with(name)),
            };
            if !matches {
                return None;
            }
            match observe::phase(&self.paths, &record).ok()? {
                Phase::Running { pid, .. } | Phase::Paused { pid, .. } => Some(SharedNetwork {
                    pid,
                    dir: self.paths.container(id),
                }),
                Phase::Created | Phase::Exited(Exit { .. }) => None,
            }
        })
    }

    /// Gives back what a container has taken: firewall elements and addresses. Goes on after an
    /// error; what is left is swept at the next start of a supervisor.
    pub(super) fn release(&self, record: &ContainerRecord, status: &ContainerStatus) {
        let changes: Vec<Change> = port_rules(status)
            .into_iter()
            .map(Change::Unpublish)
            .collect();
        if !changes.is_empty()
            && let Err(error) = firewall::apply(&changes)
        {
            tracing::warn!(container = record.name, %error, "cannot take published ports back");
        }
        for endpoint in &status.endpoints {
            for address in &endpoint.addresses {
                if let Err(error) = leases::release(&self.paths, &endpoint.network, address.ip()) {
                    tracing::warn!(container = record.name, %error, "cannot give an address back");
                }
            }
        }
    }
}

fn start_error(error: ClientError) -> EngineError {
    match error {
        ClientError::Refused(failure) => EngineError::Start(failure),
        other => EngineError::Shim(other),
    }
}

fn exit_code(error: &EngineError) -> i32 {
    match error {
        EngineError::Start(Failure { exit_code, .. }) => *exit_code,
        _ => 128,
    }
}

fn previous_addresses(status: &ContainerStatus) -> Vec<IpAddr> {
    status
        .endpoints
        .iter()
        .flat_map(|endpoint| endpoint.addresses.iter().map(IpNetwork::ip))
        .chain(status.last_addresses.iter().copied())
        .collect()
}

fn hostname(record: &ContainerRecord, shared: Option<&SharedNetwork>) -> String {
    let of_host =
        || fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    match (&record.template.hostname, &record.template.network, shared) {
        (Some(name), _, _) => name.clone(),
        (None, ServiceNetwork::Host, _) => of_host().unwrap_or_else(|_| record.id[..12].to_owned()),
        (None, _, Some(shared)) => fs::read_to_string(shared.dir.join("hostname")).map_or_else(
            |_| record.id[..12].to_owned(),
            |name| name.trim().to_owned(),
        ),
        _ => record.id[..12].to_owned(),
    }
}

fn hardware_address(
    fixed: Option<&str>,
    addresses: &[IpNetwork],
    name: &str,
) -> Result<[u8; 6], EngineError> {
    if let Some(text) = fixed {
        let bytes: Vec<u8> = text
            .split([':', '-'])
            .filter_map(|part| u8::from_str_radix(part, 16).ok())
            .collect();
        return bytes.try_into().map_err(|_| {
            EngineError::Value(format!(
                "`{text}` is not a hardware address like 02:42:ac:11:00:02"
            ))
        });
    }
    let v4 = addresses.iter().find_map(|address| match address.ip() {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    });
    Ok(v4.map_or_else(|| names::mac_from_name(name), names::mac_from_ipv4))
}

pub(super) fn protocol(protocol: Protocol) -> crate::net::Protocol {
    match protocol {
        Protocol::Tcp => crate::net::Protocol::Tcp,
        Protocol::Udp => crate::net::Protocol::Udp,
    }
}

fn port_text(wanted: &PortMapping) -> String {
    let host = match wanted.published {
        WantedPort::Any => "any".to_owned(),
        WantedPort::Port(port) => port.to_string(),
        WantedPort::Range(first, last) => format!("{first}-{last}"),
    };
    format!("{host}:{}/{}", wanted.target, wanted.protocol)
}

/// The firewall elements of a container's published ports: those that the kernel can send on.
pub(super) fn port_rules(status: &ContainerStatus) -> Vec<PortRule> {
    let addresses = published_addresses(status);
    let rules = |port| rules_of(port, &addresses);
    status.ports.iter().flat_map(rules).collect()
}

/// The addresses at which a container is published.
pub(super) fn published_addresses(status: &ContainerStatus) -> Vec<IpAddr> {
    status
        .endpoints
        .iter()
        .max_by_key(|endpoint| endpoint.gateway.is_some())
        .map(|endpoint| endpoint.addresses.iter().map(IpNetwork::ip).collect())
        .unwrap_or_default()
}

/// The firewall elements of one port. Ports on a loopback address, and IPv6 ones of a container
/// without IPv6, are the proxy's alone.
pub(super) fn rules_of(port: &PortRecord, addresses: &[IpAddr]) -> Vec<PortRule> {
    let mut rules = Vec::new();
    for address in addresses {
        let family_fits = port
            .host_ip
            .is_none_or(|host| host.is_ipv4() == address.is_ipv4());
        if family_fits && !port.host_ip.is_some_and(|host| host.is_loopback()) {
            rules.push(PortRule {
                protocol: protocol(port.protocol),
                host_ip: port.host_ip.filter(|host| !host.is_unspecified()),
                host_port: port.host_port,
                container_ip: *address,
                container_port: port.target,
            });
        }
    }
    rules
}

/// What a service says about name resolution.
pub(super) fn dns_settings(model: &Service) -> DnsSettings {
    DnsSettings {
        servers: model.dns.clone(),
        search: model.dns_search.clone(),
        options: model.dns_opt.clone(),
    }
}

fn extra_hosts(
    model: &Service,
    gateway: Option<IpAddr>,
) -> Result<Vec<(String, IpAddr)>, EngineError> {
    model
        .extra_hosts
        .iter()
        .map(|(name, address)| match (address.as_str(), gateway) {
            ("host-gateway", Some(gateway)) => Ok((name.clone(), gateway)),
            ("host-gateway", None) => Err(EngineError::Value(format!(
                "extra_hosts: {name} is to be the host, but the service is on no network that reaches it"
            ))),
            (text, _) => text
                .trim_matches(['[', ']'])
                .parse()
                .map(|address| (name.clone(), address))
                .map_err(|_| EngineError::Value(format!("extra_hosts: `{text}` of {name} is not an address"))),
        })
        .collect()
}

fn extra_host_lines(model: &Service) -> String {
    let lines = model.extra_hosts.iter().map(|(name, address)| {
        let address = if address == "host-gateway" {
            "127.0.0.1"
        } else {
            address
        };
        format!("{address}\t{name}\n")
    });
    lines.collect()
}

/// Image of a container as its record names it.
impl Native {
    pub(super) fn image_by_id(
        &self,
        id: &str,
        reference: &str,
    ) -> Result<std::sync::Arc<Image>, EngineError> {
        if let Some(image) = self.cached_image(id) {
            return Ok(image);
        }
        let digest = id
            .parse()
            .map_err(|_| EngineError::NoImage(reference.to_owned()))?;
        let found = self
            .store
            .get_by_id(&digest)
            .map_err(|error| EngineError::Images(error.into()))?;
        let image =
            std::sync::Arc::new(found.ok_or_else(|| EngineError::NoImage(reference.to_owned()))?);
        self.cache_image(id, &image);
        Ok(image)
    }
}

/// Whether a container is on a network that reaches the outside.
pub(super) fn has_way_out(record: &ContainerRecord, status: &ContainerStatus) -> bool {
    record.networks.iter().any(|request| request.default_route)
        && status
            .endpoints
            .iter()
            .any(|endpoint| endpoint.gateway.is_some())
}
