//! The text of a container's `/etc/resolv.conf` and `/etc/hosts`. Pure.

use std::net::IpAddr;

/// What a resolv.conf says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// `nameserver` lines.
    pub nameservers: Vec<IpAddr>,
    /// The `search` (or `domain`) list.
    pub search: Vec<String>,
    /// `options`.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads the host's file; lines that it does not know are passed over, as resolvers do.
    pub fn parse(text: &str) -> ResolvConf {
        let _ = text;
        todo!()
    }
}

/// What a service says about name resolution (`dns`, `dns_search`, `dns_opt`); empty means the
/// host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsSettings {
    /// `dns`: where the embedded server forwards to.
    pub servers: Vec<IpAddr>,
    /// `dns_search`; `.` alone means none.
    pub search: Vec<String>,
    /// `dns_opt`.
    pub options: Vec<String>,
}

/// Text of a container's resolv.conf: the embedded server, and the rest from service or host.
pub fn resolv_conf(host: &ResolvConf, service: &DnsSettings) -> String {
    let _ = (host, service);
    todo!()
}

/// Where the embedded server forwards a container's queries: the service's servers or the host's.
pub fn upstreams(host: &ResolvConf, service: &DnsSettings) -> Vec<IpAddr> {
    let _ = (host, service);
    todo!()
}

/// Text of a container's hosts file: loopback, `extra_hosts` (name and address), and its own
/// addresses under its host name.
pub fn hosts_file(hostname: &str, own: &[IpAddr], extra: &[(String, IpAddr)]) -> String {
    let _ = (hostname, own, extra);
    todo!()
}
