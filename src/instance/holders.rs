//! Who has the ports of the host: other projects, by what is written of them, and other programs, by
//! an attempt to have the port.

use super::ports::{Address, Holder};
use super::record::Record;
use crate::compose::model::{Protocol, Published as Wanted};
use crate::engine::EngineError;
use crate::engine::native::{observe, projects};
use crate::net::proxy::{HostPort, PortError, Published};
use crate::plan::Desired;
use crate::state::{Paths, StateError, read_json};

/// The ports of all projects.
#[derive(Debug, Default)]
pub struct Holders {
    own: Vec<Address>,
    others: Vec<(Address, String)>,
}

impl Holders {
    /// Looks at what all projects have, were given, or ask for when they are started again; `own` is
    /// the project that asks.
    pub fn find(paths: &Paths, own: &str) -> Result<Self, EngineError> {
        let mut found = Self::default();
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
