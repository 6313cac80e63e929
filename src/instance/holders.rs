//! Who has the ports of the host: other projects, by what is written of them, and other programs, by
//! an attempt to have the port. And who has which range of addresses.

use ipnetwork::IpNetwork;

use super::ports::{Address, Holder};
use super::record::Record;
use super::subnets::Taken;
use crate::compose::model::{Protocol, Published as Wanted};
use crate::engine::EngineError;
use crate::engine::native::{networks, observe, projects};
use crate::net::proxy::{HostPort, PortError, Published};
use crate::plan::Desired;
use crate::state::{Paths, StateError, read_json};

/// The ports of all projects.
#[derive(Debug, Default)]
pub struct Holders {
    project: String,
    own: Vec<Address>,
    others: Vec<(Address, String)>,
}

impl Holders {
    /// Looks at what all projects have, were given, or ask for when they are started again; `own` is
    /// the project that asks.
    pub fn find(paths: &Paths, own: &str) -> Result<Self, EngineError> {
        let mut found = Self {
            project: own.to_owned(),
            ..Self::default()
        };
        for container in observe(paths, None)?.containers.values() {
            let project = &container.record.project;
            for port in &container.status.ports {
                let address = Address {
                    host_ip: port.host_ip,
                    protocol: port.protocol,
                    port: port.host_port,
                };
                match project == own {
                    true => found.own.push(address),
                    false => found.others.push((address, project.clone())),
                }
            }
        }
        for project in projects(paths)?.into_iter().filter(|name| name != own) {
            for address in asked_for(paths, &project)? {
                found.others.push((address, project.clone()));
            }
        }
        Ok(found)
    }

    /// Who has a port that one more container of the project is to have: the others of it are in the
    /// way, too.
    pub fn beside(&self, address: Address) -> Option<Holder> {
        match self.own.iter().any(|held| held.clashes(&address)) {
            true => Some(Holder::Project(self.project.clone())),
            false => self.of(address),
        }
    }

    /// Who has a port, apart from the project that asks.
    pub fn of(&self, address: Address) -> Option<Holder> {
        let other = self.others.iter().find(|(held, _)| held.clashes(&address));
        if let Some((_, project)) = other {
            return Some(Holder::Project(project.clone()));
        }
        if self.own.iter().any(|held| held.clashes(&address)) {
            return None;
        }
        let protocol = match address.protocol {
            Protocol::Tcp => crate::net::Protocol::Tcp,
            Protocol::Udp => crate::net::Protocol::Udp,
        };
        // What else can be wrong with the port is told by who starts the container.
        match Published::bind(protocol, address.host_ip, HostPort::Fixed(address.port)) {
            Err(PortError::Taken { holder, .. }) => Some(match holder {
                Some(holder) => Holder::Program {
                    program: holder.program,
                    pid: holder.pid,
                },
                None => Holder::Unknown,
            }),
            _ => None,
        }
    }
}

/// The address ranges that others have: networks of other projects, those that other instances were
/// given, and routes of the host that lead to none of our networks.
pub fn ranges(paths: &Paths, own: &str) -> Result<Vec<Taken>, EngineError> {
    let records = networks(paths)?;
    let ours: Vec<IpNetwork> = records
        .iter()
        .flat_map(|record| record.subnets.iter().map(|subnet| subnet.subnet))
        .collect();
    let mut taken = Vec::new();
    for record in records.iter().filter(|record| record.project != own) {
        taken.extend(record.subnets.iter().map(|subnet| Taken {
            range: subnet.subnet,
            network: Some(record.name.clone()),
        }));
    }
    for project in projects(paths)?.into_iter().filter(|name| name != own) {
        let record = Record::read(paths, &project)?;
        let given = record.into_iter().flat_map(|record| record.subnets);
        taken.extend(given.map(|given| Taken {
            range: given.used,
            network: Some(format!("{project}_{}", given.network)),
        }));
    }
    let routes = crate::net::routes::host_networks()?;
    let foreign = routes.into_iter().filter(|route| !ours.contains(route));
    taken.extend(foreign.map(|range| Taken {
        range,
        network: None,
    }));
    Ok(taken)
}

/// The ports that a project's services have when they are started, and that it was given.
fn asked_for(paths: &Paths, project: &str) -> Result<Vec<Address>, StateError> {
    let mut addresses = Vec::new();
    let desired: Option<Desired> = read_json(&paths.project(project).join("desired.json"))?;
    for service in desired.iter().flat_map(|desired| desired.services.values()) {
        for port in &service.service.ports {
            if let Wanted::Port(number) = port.published {
                addresses.push(Address {
                    host_ip: port.host_ip,
                    protocol: port.protocol,
                    port: number,
                });
            }
        }
    }
    for given in Record::read(paths, project)?
        .into_iter()
        .flat_map(|record| record.ports)
    {
        addresses.push(Address {
            host_ip: given.wanted.host_ip,
            protocol: given.wanted.protocol,
            port: given.port,
        });
    }
    Ok(addresses)
}
