//! Which port of the host a published port gets when there are other copies of the project. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::compose::model::{Protocol, Published, Service, ServiceName, Stack};

/// A port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// `None` = all addresses.
    pub host_ip: Option<IpAddr>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

impl Address {
    /// Whether both cannot be had at once.
    pub fn clashes(&self, other: &Self) -> bool {
        let any = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
        self.protocol == other.protocol
            && self.port == other.port
            && (any(self.host_ip) || any(other.host_ip) || self.host_ip == other.host_ip)
    }
}

/// A published port as the stack file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The service that publishes it.
    pub service: ServiceName,
    /// Port inside the container.
    pub target: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Host address; `None` = all.
    pub host_ip: Option<IpAddr>,
    /// The host's port in the file.
    pub port: u16,
}

impl Wanted {
    fn at(&self, port: u16) -> Address {
        Address {
            host_ip: self.host_ip,
            protocol: self.protocol,
            port,
        }
    }
}

/// A published port and the host's port that it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// As the file has it.
    pub wanted: Wanted,
    /// The host's port that it has in this instance.
    pub port: u16,
}

impl Given {
    /// It is another one than the file says.
    pub fn is_moved(&self) -> bool {
        self.port != self.wanted.port
    }
}

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Another project of this program.
    Project(String),
    /// Another program.
    Program {
        /// Its name.
        program: String,
        /// Its process id.
        pid: i32,
    },
    /// Somebody who cannot be seen.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(name) => write!(f, "{name} (stack)"),
            Self::Program { program, pid } => write!(f, "{program} (pid {pid})"),
            Self::Unknown => f.write_str("another program"),
        }
    }
}

/// The port that was chosen for a published port, and why it is not that of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The port.
    pub given: Given,
    /// Who has the one that was to be used; `None` = nothing stood in the way now.
    pub held_by: Option<(u16, Holder)>,
}

impl fmt::Display for Choice {
    /// `web: 8080 is held by shop (stack), using 8081`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Given { wanted, port } = &self.given;
        match &self.held_by {
            Some((held, holder)) => write!(
                f,
                "{}: {held} is held by {holder}, using {port}",
                wanted.service
            ),
            None => write!(
                f,
                "{}: {} of the stack file is {port} here",
                wanted.service, wanted.port
            ),
        }
    }
}

/// No port is left for a published port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{service}: {wanted} is held by {holder}, and no port above it is free")]
pub struct NoPort {
    /// The service.
    pub service: ServiceName,
    /// The port in the file.
    pub wanted: u16,
    /// Who has that.
    pub holder: Holder,
}

/// The ports that these services of a stack publish at a certain port of the host.
pub fn wanted(stack: &Stack, services: &[ServiceName]) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for name in services {
        let ports = stack.services.get(name).map(|service| &service.ports);
        for port in ports.into_iter().flatten() {
            if let Published::Port(number) = port.published {
                wanted.push(Wanted {
                    service: name.clone(),
                    target: port.target,
                    protocol: port.protocol,
                    host_ip: port.host_ip,
                    port: number,
                });
            }
        }
    }
    wanted
}

/// Chooses a port of the host for each published port. `taken` says who, apart from this instance
/// itself, has a port.
///
/// In this order: the port that it was given before; the one of the file; the next higher one that
/// nobody has and that no other service of the file wants.
pub fn choose(
    wanted: &[Wanted],
    before: &[Given],
    taken: &dyn Fn(Address) -> Option<Holder>,
) -> Result<Vec<Choice>, NoPort> {
    let mut choices: Vec<Choice> = Vec::with_capacity(wanted.len());
    for one in wanted {
        let earlier = before.iter().find(|given| given.wanted == *one);
        let first = earlier.map_or(one.port, |given| given.port);
        let choice = match holder(one, first, &choices, taken) {
            None => Choice {
                given: given(one, first),
                held_by: None,
            },
            Some(holder) => {
                let port = next(one, wanted, &choices, taken).ok_or_else(|| NoPort {
                    service: one.service.clone(),
                    wanted: one.port,
                    holder: holder.clone(),
                })?;
                Choice {
                    given: given(one, port),
                    held_by: Some((first, holder)),
                }
            }
        };
        choices.push(choice);
    }
    Ok(choices)
}

fn given(wanted: &Wanted, port: u16) -> Given {
    Given {
        wanted: wanted.clone(),
        port,
    }
}

/// Who stands in the way of a port: somebody else, or this instance's own choice for another service
/// that had to move. Two services that want the same port are left to those who check the file.
fn holder(
    wanted: &Wanted,
    port: u16,
    choices: &[Choice],
    taken: &dyn Fn(Address) -> Option<Holder>,
) -> Option<Holder> {
    let address = wanted.at(port);
    let own = choices.iter().any(|choice| {
        choice.given.is_moved() && choice.given.wanted.at(choice.given.port).clashes(&address)
    });
    match own {
        true => Some(Holder::Unknown),
        false => taken(address),
    }
}

fn next(
    one: &Wanted,
    all: &[Wanted],
    choices: &[Choice],
    taken: &dyn Fn(Address) -> Option<Holder>,
) -> Option<u16> {
    let in_file: BTreeSet<(Protocol, u16)> = all
        .iter()
        .map(|other| (other.protocol, other.port))
        .collect();
    (one.port.checked_add(1)?..=u16::MAX).find(|port| {
        let address = one.at(*port);
        !in_file.contains(&(one.protocol, *port))
            && !choices
                .iter()
                .any(|choice| choice.given.wanted.at(choice.given.port).clashes(&address))
            && taken(address).is_none()
    })
}

/// What is kept: the new choices, and what was given to services that were not asked for this time
/// and that the stack still has.
pub fn merged(stack: &Stack, before: Vec<Given>, choices: &[Choice]) -> Vec<Given> {
    let chosen: BTreeSet<&ServiceName> = choices
        .iter()
        .map(|choice| &choice.given.wanted.service)
        .collect();
    let known = |name: &ServiceName| {
        stack.services.contains_key(name) || stack.disabled_services.contains_key(name)
    };
    let mut kept: Vec<Given> = before
        .into_iter()
        .filter(|given| known(&given.wanted.service) && !chosen.contains(&given.wanted.service))
        .collect();
    kept.extend(choices.iter().map(|choice| choice.given.clone()));
    kept
}

/// Puts the given ports in the place of those of the file.
pub fn apply(stack: &mut Stack, ports: &[Given]) {
    for given in ports.iter().filter(|given| given.is_moved()) {
        let name = &given.wanted.service;
        for list in [&mut stack.services, &mut stack.disabled_services] {
            if let Some(service) = list.get_mut(name) {
                apply_to(service, given);
            }
        }
    }
}

fn apply_to(service: &mut Service, given: &Given) {
    let wanted = &given.wanted;
    for port in &mut service.ports {
        let same = port.target == wanted.target
            && port.protocol == wanted.protocol
            && port.host_ip == wanted.host_ip
            && port.published == Published::Port(wanted.port);
        if same {
            port.published = Published::Port(given.port);
            // A container that has another port is out of date.
            let moved = format!(
                "\nport {} at {}/{}",
                wanted.port, given.port, wanted.protocol
            );
            service.hash_input.push_str(&moved);
        }
    }
}

/// Variables that tell a stack file the ports of its instance: `STACK_PORT_<SERVICE>_<TARGET>`, with
/// `_UDP` behind it for UDP. All in capitals, `_` for what cannot stand in a variable's name.
pub fn variables(ports: &[Given]) -> IndexMap<String, String> {
    let variable = |given: &Given| {
        let Wanted {
            service,
            target,
            protocol,
            ..
        } = &given.wanted;
        let protocol = match protocol {
            Protocol::Tcp => "",
            Protocol::Udp => "_UDP",
        };
        let name = format!("STACK_PORT_{service}_{target}{protocol}").to_ascii_uppercase();
        let name = name.replace(|char: char| !char.is_ascii_alphanumeric(), "_");
        (name, given.port.to_string())
    };
    ports.iter().map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(service: &str, port: u16) -> Wanted {
        Wanted {
            service: ServiceName::new(service),
            target: 80,
            protocol: Protocol::Tcp,
            host_ip: None,
            port,
        }
    }

    /// The choices as text, when `shop` has these ports.
    fn chosen(wanted: &[(&str, u16)], before: &[(&str, u16, u16)], shop: &[u16]) -> String {
        let wanted: Vec<Wanted> = wanted
            .iter()
            .map(|(name, port)| want(name, *port))
            .collect();
        let before: Vec<Given> = before
            .iter()
            .map(|(name, port, got)| given(&want(name, *port), *got))
            .collect();
        let taken = |address: Address| {
            let found = shop.contains(&address.port);
            found.then(|| Holder::Project("shop".to_owned()))
        };
        match choose(&wanted, &before, &taken) {
            Ok(choices) => choices
                .iter()
                .map(|choice| match choice.held_by {
                    Some((held, _)) => format!("{}!{held}", choice.given.port),
                    None => choice.given.port.to_string(),
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_port_is_the_one_from_before_else_that_of_the_file_else_the_next_free_one() {
        let web = [("web", 8080)];
        let two = [("web", 8080), ("api", 8081)];
        for (wanted, before, shop, expected) in [
            (&web[..], &[][..], &[][..], "8080"),
            (&web, &[], &[8080], "8081!8080"),
            (&web, &[], &[8080, 8081, 8083], "8082!8080"),
            (&web, &[("web", 8080, 8085)], &[8080], "8085"),
            (&web, &[("web", 8080, 8085)], &[], "8085"),
            (&web, &[("web", 8080, 8085)], &[8080, 8085], "8081!8085"),
            (&web, &[("web", 9000, 9001)], &[], "8080"),
            (&two, &[], &[8080], "8082!8080 8081"),
            (&two, &[], &[8080, 8081], "8082!8080 8083!8081"),
            (&two, &[("web", 8080, 8081)], &[8080], "8081 8082!8081"),
            (
                &[("web", 65535)],
                &[],
                &[65535],
                "web: 65535 is held by shop (stack), and no port above it is free",
            ),
        ] {
            assert_eq!(
                chosen(wanted, before, shop),
                expected,
                "{wanted:?} {before:?}"
            );
        }
    }

    #[test]
    fn a_choice_is_told_in_a_sentence() {
        let tell = |held_by| {
            let given = given(&want("web", 8080), 8081);
            Choice { given, held_by }.to_string()
        };
        let shop = Holder::Project("shop".to_owned());
        let nginx = Holder::Program {
            program: "nginx".to_owned(),
            pid: 812,
        };
        assert_eq!(
            tell(Some((8080, shop))),
            "web: 8080 is held by shop (stack), using 8081"
        );
        assert_eq!(
            tell(Some((8080, nginx))),
            "web: 8080 is held by nginx (pid 812), using 8081"
        );
        assert_eq!(tell(None), "web: 8080 of the stack file is 8081 here");
    }

    #[test]
    fn addresses_clash_when_both_cannot_be_had() {
        let at = |ip: Option<&str>, port| Address {
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            protocol: Protocol::Tcp,
            port,
        };
        let local = Some("127.0.0.1");
        for (one, other, expected) in [
            (at(None, 80), at(local, 80), true),
            (at(Some("0.0.0.0"), 80), at(local, 80), true),
            (at(Some("127.0.0.2"), 80), at(local, 80), false),
            (at(local, 80), at(local, 80), true),
            (at(None, 80), at(None, 81), false),
        ] {
            assert_eq!(one.clashes(&other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn variables_are_made_of_service_and_container_port() {
        let mut dns = want("my-dns.v2", 53);
        (dns.target, dns.protocol) = (53, Protocol::Udp);
        let ports = [given(&want("web", 8080), 8081), given(&dns, 5353)];
        let text: Vec<String> = variables(&ports)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            text,
            ["STACK_PORT_WEB_80=8081", "STACK_PORT_MY_DNS_V2_53_UDP=5353"]
        );
    }
}
