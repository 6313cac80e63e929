//! Names: the host name, `/etc/hosts` and `/etc/resolv.conf`.

use std::fs;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::compose::model::{Service, ServiceNetwork};
use crate::engine::EngineError;
use crate::engine::native::Native;
use crate::engine::native::config::{SharedNetwork, StartContext};
use crate::net::resolv::{DnsSettings, ResolvConf, hosts_file, resolv_conf};
use crate::state::StateError;
use crate::state::records::{ContainerRecord, ContainerStatus};

impl Native {
    /// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`: files of ours that are mounted.
    pub(super) fn write_files(
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
}

pub(super) fn hostname(record: &ContainerRecord, shared: Option<&SharedNetwork>) -> String {
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

/// What a service says about name resolution.
pub(in crate::engine::native) fn dns_settings(model: &Service) -> DnsSettings {
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
