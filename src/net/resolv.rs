//! The text of a container's `/etc/resolv.conf` and `/etc/hosts`. Pure.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use super::dns;

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
    /// Reads the host's file by resolv.conf(5): of several `search` and `domain` lines the last one
    /// counts; lines that are not known are passed over, as resolvers do.
    pub fn parse(text: &str) -> ResolvConf {
        let mut found = ResolvConf::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let keyword = words.next().unwrap_or_default();
            let rest = words.map(str::to_owned);
            match keyword {
                "nameserver" => found
                    .nameservers
                    .extend(rest.take(1).filter_map(|word| word.parse::<IpAddr>().ok())),
                "search" => found.search = rest.collect(),
                "domain" => found.search = rest.take(1).collect(),
                "options" => found.options.extend(rest),
                _ => {}
            }
        }
        found
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
///
/// `ndots:0` is Docker's: names of services have no dots and are asked for as they are first. What a
/// user says about `ndots` stays.
pub fn resolv_conf(host: &ResolvConf, service: &DnsSettings) -> String {
    let mut text = format!("nameserver {}\n", dns::ADDRESS);
    let search = if service.search.is_empty() {
        &host.search
    } else {
        &service.search
    };
    let search: Vec<&str> = search
        .iter()
        .map(String::as_str)
        .filter(|&domain| domain != "." && is_word(domain))
        .collect();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    let given = if service.options.is_empty() {
        &host.options
    } else {
        &service.options
    };
    let mut options: Vec<&str> = given
        .iter()
        .map(String::as_str)
        .filter(|option| is_word(option))
        .collect();
    if !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0");
    }
    let _ = writeln!(text, "options {}", options.join(" "));
    text
}

/// Whether something can stand in a line without starting another.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Where the embedded server forwards a container's queries: the service's servers or the host's.
///
/// Addresses of the host's own loopback (systemd-resolved's 127.0.0.53) are fine: the server asks
/// from the host. A host without any asks itself, as resolv.conf(5) says.
pub fn upstreams(host: &ResolvConf, service: &DnsSettings) -> Vec<IpAddr> {
    let servers = if service.servers.is_empty() {
        &host.nameservers
    } else {
        &service.servers
    };
    if servers.is_empty() {
        return vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    }
    servers.clone()
}

/// Text of a container's hosts file: loopback, `extra_hosts` (name and address), and its own
/// addresses under its host name.
pub fn hosts_file(hostname: &str, own: &[IpAddr], extra: &[(String, IpAddr)]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for (name, address) in extra.iter().filter(|(name, _)| is_word(name)) {
        let _ = writeln!(text, "{address}\t{name}");
    }
    if is_word(hostname) {
        // A host name with dots is also known by its first part.
        let short = hostname
            .split('.')
            .next()
            .filter(|short| *short != hostname && is_word(short));
        for address in own {
            let _ = write!(text, "{address}\t{hostname}");
            if let Some(short) = short {
                let _ = write!(text, " {short}");
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn the_hosts_resolv_conf_is_read_as_resolvers_read_it() {
        let text = "# made by hand\nnameserver 127.0.0.53\nnameserver  2001:db8::1 # second\n\
                    nameserver nonsense\nnameserver\ndomain old.example\nsearch a.example b.example\n\
                    options edns0 trust-ad\noptions timeout:1\nsortlist 1.2.3.4\n; nameserver 9.9.9.9";
        let expected = ResolvConf {
            nameservers: vec![
                "127.0.0.53".parse().unwrap(),
                "2001:db8::1".parse().unwrap(),
            ],
            search: words(&["a.example", "b.example"]),
            options: words(&["edns0", "trust-ad", "timeout:1"]),
        };
        assert_eq!(ResolvConf::parse(text), expected);
        assert_eq!(ResolvConf::parse(""), ResolvConf::default());
    }

    #[test]
    fn a_containers_resolv_conf_names_the_embedded_server_only() {
        let host = ResolvConf {
            nameservers: vec!["192.0.2.1".parse().unwrap()],
            search: words(&["corp.example"]),
            options: words(&["edns0"]),
        };
        let table = [
            (
                DnsSettings::default(),
                "nameserver 127.0.0.11\nsearch corp.example\noptions edns0 ndots:0\n",
            ),
            (
                DnsSettings {
                    search: words(&["x.example"]),
                    options: words(&["ndots:2"]),
                    ..DnsSettings::default()
                },
                "nameserver 127.0.0.11\nsearch x.example\noptions ndots:2\n",
            ),
            (
                DnsSettings {
                    search: words(&["."]),
                    ..DnsSettings::default()
                },
                "nameserver 127.0.0.11\noptions edns0 ndots:0\n",
            ),
            (
                DnsSettings {
                    search: words(&["evil\nnameserver 6.6.6.6"]),
                    ..DnsSettings::default()
                },
                "nameserver 127.0.0.11\noptions edns0 ndots:0\n",
            ),
        ];
        for (service, expected) in table {
            assert_eq!(resolv_conf(&host, &service), expected);
        }
    }

    #[test]
    fn queries_are_forwarded_to_the_services_servers_before_the_hosts() {
        let host = ResolvConf::parse("nameserver 192.0.2.1");
        let own = DnsSettings {
            servers: vec!["9.9.9.9".parse().unwrap()],
            ..Default::default()
        };
        let texts = |list: Vec<IpAddr>| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(upstreams(&host, &own)), ["9.9.9.9"]);
        assert_eq!(
            texts(upstreams(&host, &DnsSettings::default())),
            ["192.0.2.1"]
        );
        let none = upstreams(&ResolvConf::default(), &DnsSettings::default());
        assert_eq!(texts(none), ["127.0.0.1"]);
    }

    #[test]
    fn a_hosts_file_has_loopback_extra_hosts_and_the_container_itself() {
        let extra = [
            ("db".to_owned(), "192.0.2.7".parse().unwrap()),
            ("x\n6.6.6.6 evil".to_owned(), "192.0.2.8".parse().unwrap()),
        ];
        let own = ["10.9.0.2".parse().unwrap(), "fd09::2".parse().unwrap()];
        let text = hosts_file("web.example", &own, &extra);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost"));
        assert!(
            text.ends_with("192.0.2.7\tdb\n10.9.0.2\tweb.example web\nfd09::2\tweb.example web\n"),
            "{text}"
        );
        assert!(!text.contains("evil"));
    }
}
