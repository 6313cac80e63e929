//! The ports of a container, as listings show them.

use super::Listed;

/// Ports as Docker's listings have them, those that are only announced first:
/// `9000-9001/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`.
pub(crate) fn ports_text(listed: &Listed) -> String {
    ports_line(&publishers(listed))
}

/// Neighbours that lead to the same number, or nowhere, are put together (Docker's rule), in the order
/// of their numbers and then of their addresses.
fn ports_line(publishers: &[Publisher]) -> String {
    let mut publishers: Vec<&Publisher> = publishers.iter().collect();
    publishers.sort_by_key(|port| (port.target, &port.url, port.published, &port.protocol));
    let mut parts: Vec<String> = Vec::new();
    let mut mapped: Vec<String> = Vec::new();
    // The runs that may still grow, in the order in which they began.
    let mut runs: Vec<(&str, &str, u16, u16)> = Vec::new();
    for publisher in publishers {
        let (target, protocol) = (publisher.target, publisher.protocol.as_str());
        if publisher.published != 0 && publisher.published != target {
            mapped.push(format!("{}->{target}/{protocol}", publisher.host_port()));
            continue;
        }
        let url = publisher.url.as_str();
        match runs
            .iter_mut()
            .find(|run| (run.0, run.1) == (url, protocol))
        {
            None => runs.push((url, protocol, target, target)),
            Some(run) if target == run.3 => {}
            Some(run) if Some(target) == run.3.checked_add(1) => run.3 = target,
            Some(run) => {
                parts.push(run_text(*run));
                (run.2, run.3) = (target, target);
            }
        }
    }
    parts.extend(runs.into_iter().map(run_text));
    parts.extend(mapped);
    parts.join(", ")
}

fn run_text((url, protocol, first, last): (&str, &str, u16, u16)) -> String {
    let ports = match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    match url {
        "" => format!("{ports}/{protocol}"),
        url => format!("{}:{ports}->{ports}/{protocol}", bracketed(url)),
    }
}

/// An address as it stands before a port.
fn bracketed(url: &str) -> String {
    match url.contains(':') {
        true => format!("[{url}]"),
        false => url.to_owned(),
    }
}

/// One address that a port is published on; `published` is 0 for a port that is only announced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Publisher {
    /// Port in the container.
    pub(crate) target: u16,
    /// `tcp` or `udp`.
    pub(crate) protocol: String,
    /// Address on the host; empty when not published.
    pub(crate) url: String,
    /// Port on the host.
    pub(crate) published: u16,
}

impl Publisher {
    /// `0.0.0.0:8080`, `[::]:8080`; `:0` for a port that is only announced.
    pub(crate) fn host_port(&self) -> String {
        format!("{}:{}", bracketed(&self.url), self.published)
    }
}

/// The ports of a container, one entry for each address; announced ones too.
pub(crate) fn publishers(listed: &Listed) -> Vec<Publisher> {
    let mut publishers = Vec::new();
    for port in listed.ports() {
        let urls = match port.host_ip {
            Some(ip) => vec![ip.to_string()],
            None => vec!["0.0.0.0".to_owned(), "::".to_owned()],
        };
        publishers.extend(urls.into_iter().map(|url| Publisher {
            target: port.target,
            protocol: port.protocol.to_string(),
            url,
            published: port.host_port,
        }));
    }
    if listed.container.is_up() {
        let record = listed.record();
        for expose in record.template.expose.iter().chain(&record.exposed) {
            let (range, protocol) = expose.split_once('/').unwrap_or((expose, "tcp"));
            for target in port_range(range) {
                let known = publishers.iter().any(|publisher: &Publisher| {
                    publisher.target == target && publisher.protocol == protocol
                });
                if !known {
                    publishers.push(Publisher {
                        target,
                        protocol: protocol.to_owned(),
                        url: String::new(),
                        published: 0,
                    });
                }
            }
        }
    }
    publishers.sort();
    publishers
}

/// The ports of `8080` or `7000-7010`.
fn port_range(text: &str) -> impl Iterator<Item = u16> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
    range.into_iter().flat_map(|(first, last)| first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::State;
    use crate::cli::containers::tests::{container, exited, one, running};

    #[test]
    fn ports_are_listed_for_each_address_while_the_container_runs() {
        let listed = one(container("web", 1, running()), State::Running);
        assert_eq!(
            ports_text(&listed),
            "9000/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
        let listed = one(container("web", 1, exited(0)), State::Exited);
        assert_eq!(ports_text(&listed), "");
    }

    #[test]
    fn neighbouring_ports_are_put_together() {
        let publisher = |(target, url, published): (u16, &str, u16)| Publisher {
            target,
            protocol: "tcp".to_owned(),
            url: url.to_owned(),
            published,
        };
        for (ports, line) in [
            (&[][..], ""),
            (
                &[(80, "", 0), (443, "", 0), (8080, "", 0)],
                "80/tcp, 443/tcp, 8080/tcp",
            ),
            (&[(80, "", 0), (81, "", 0), (82, "", 0)], "80-82/tcp"),
            (
                &[
                    (80, "0.0.0.0", 80),
                    (80, "::", 80),
                    (81, "0.0.0.0", 81),
                    (81, "::", 81),
                ],
                "0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp",
            ),
            (
                &[(80, "0.0.0.0", 8080), (81, "0.0.0.0", 8081)],
                "0.0.0.0:8080->80/tcp, 0.0.0.0:8081->81/tcp",
            ),
            (
                &[(80, "::1", 8080), (443, "", 0)],
                "443/tcp, [::1]:8080->80/tcp",
            ),
        ] {
            let publishers: Vec<Publisher> = ports.iter().copied().map(publisher).collect();
            assert_eq!(ports_line(&publishers), line);
        }
    }

    #[test]
    fn a_bad_port_range_is_no_port() {
        assert_eq!(port_range("80").count(), 1);
        assert_eq!(port_range("7000-7010").count(), 11);
        assert_eq!(port_range("x").count(), 0);
        assert_eq!(port_range("9-1").count(), 0);
    }
}
