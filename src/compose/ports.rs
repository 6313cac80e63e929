//! The short form of a published port: `[address:][host[-range]:]container[-range][/protocol]`.

use std::net::IpAddr;

use super::diagnostic::Span;
use super::tree::{self, Node, Value};

/// Why a text is not a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PortError {
    #[error("the container port is missing")]
    NoContainerPort,
    #[error("`{0}` is not a port: ports are numbers from 1 to 65535")]
    BadPort(String),
    #[error("the range `{0}` ends before it starts")]
    BackwardRange(String),
    #[error("`{host}` and `{container}` are ranges of different lengths")]
    RangeLengths { host: String, container: String },
    #[error("`{0}` is not an IP address")]
    BadAddress(String),
    #[error("`{0}` is not a protocol: use `tcp` or `udp`")]
    BadProtocol(String),
    #[error("after the address in brackets comes `:HOST:CONTAINER` or `::CONTAINER`")]
    AfterBracket,
}

/// A port of the short form; ranges are expanded, except `host-range:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShortPort {
    pub(super) address: Option<IpAddr>,
    pub(super) published: Option<String>,
    pub(super) target: u16,
    pub(super) protocol: String,
}

/// Reads the short form.
pub(super) fn parse(text: &str) -> Result<Vec<ShortPort>, PortError> {
    let (ports, protocol) = match text.rsplit_once('/') {
        Some((ports, protocol)) => (ports, protocol.to_ascii_lowercase()),
        None => (text, "tcp".to_owned()),
    };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(PortError::BadProtocol(protocol));
    }
    let (address, host, container) = split(ports)?;
    if container.is_empty() {
        return Err(PortError::NoContainerPort);
    }
    let address = match address {
        "" => None,
        text => Some(
            text.parse::<IpAddr>()
                .map_err(|_| PortError::BadAddress(text.to_owned()))?,
        ),
    };
    let targets = range(container)?;
    if targets.0 == 0 {
        return Err(PortError::BadPort(container.to_owned()));
    }
    let port = |target, published| ShortPort {
        address,
        published,
        target,
        protocol: protocol.clone(),
    };
    if host.is_empty() {
        return Ok((targets.0..=targets.1).map(|to| port(to, None)).collect());
    }
    let hosts = range(host)?;
    let single_target = targets.0 == targets.1;
    if single_target && hosts.0 != hosts.1 {
        return Ok(vec![port(targets.0, Some(host.to_owned()))]);
    }
    if hosts.1 - hosts.0 != targets.1 - targets.0 {
        return Err(PortError::RangeLengths {
            host: host.to_owned(),
            container: container.to_owned(),
        });
    }
    Ok((targets.0..=targets.1)
        .zip(hosts.0..=hosts.1)
        .map(|(to, from)| port(to, Some(from.to_string())))
        .collect())
}

/// Address, host part and container part.
fn split(ports: &str) -> Result<(&str, &str, &str), PortError> {
    if let Some(rest) = ports.strip_prefix('[') {
        let (address, rest) = rest
            .split_once(']')
            .ok_or_else(|| PortError::BadAddress(ports.to_owned()))?;
        let (host, container) = rest
            .strip_prefix(':')
            .and_then(|rest| rest.split_once(':'))
            .ok_or(PortError::AfterBracket)?;
        return Ok((address, host, container));
    }
    let Some((rest, container)) = ports.rsplit_once(':') else {
        return Ok(("", "", ports));
    };
    // An IPv6 address may stand without brackets: host and container port are the last two parts.
    Ok(match rest.rsplit_once(':') {
        Some((address, host)) => (address, host, container),
        None => ("", rest, container),
    })
}

/// A port or an inclusive range of ports.
pub(super) fn range(text: &str) -> Result<(u16, u16), PortError> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| part.parse::<u16>().ok())
            .flatten()
            .ok_or_else(|| PortError::BadPort(part.to_owned()))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if last < first {
        return Err(PortError::BackwardRange(text.to_owned()));
    }
    Ok((first, last))
}

/// The long form of a port.
pub(super) fn long_form(port: &ShortPort, span: Span) -> Node {
    let mut node = Node::new(Value::Map(tree::map_for(5)), span);
    node.set("mode", Node::text("ingress", span));
    if let Some(address) = port.address {
        node.set("host_ip", Node::text(address.to_string(), span));
    }
    node.set(
        "target",
        Node::new(Value::Int(i128::from(port.target)), span),
    );
    if let Some(published) = &port.published {
        node.set("published", Node::text(published, span));
    }
    node.set("protocol", Node::text(port.protocol.as_str(), span));
    node
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(text: &str) -> String {
        match parse(text) {
            Ok(ports) => {
                let shown: Vec<String> = ports
                    .iter()
                    .map(|port| {
                        format!(
                            "{}|{}|{}/{}",
                            port.address.map(|a| a.to_string()).unwrap_or_default(),
                            port.published.as_deref().unwrap_or("-"),
                            port.target,
                            port.protocol
                        )
                    })
                    .collect();
                shown.join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn short_forms_are_read_as_compose_does() {
        let table = [
            ("80", "|-|80/tcp"),
            ("8080:80", "|8080|80/tcp"),
            (":80", "|-|80/tcp"),
            ("0:80", "|0|80/tcp"),
            ("53:53/UDP", "|53|53/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1|8080|80/tcp"),
            ("127.0.0.1::80", "127.0.0.1|-|80/tcp"),
            ("[::1]:81:80", "::1|81|80/tcp"),
            ("::1:81:80", "::1|81|80/tcp"),
            ("80-81", "|-|80/tcp |-|81/tcp"),
            ("9000-9001:80-81", "|9000|80/tcp |9001|81/tcp"),
            ("8000-8010:80", "|8000-8010|80/tcp"),
            ("80-80:90-90", "|80|90/tcp"),
            ("65535:65535", "|65535|65535/tcp"),
        ];
        for (text, expected) in table {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            ("", "the container port is missing"),
            ("80:", "the container port is missing"),
            (
                "80:0",
                "`0` is not a port: ports are numbers from 1 to 65535",
            ),
            (
                "99999:80",
                "`99999` is not a port: ports are numbers from 1 to 65535",
            ),
            (
                "+1:80",
                "`+1` is not a port: ports are numbers from 1 to 65535",
            ),
            ("81-80", "the range `81-80` ends before it starts"),
            (
                "80-81:80-82",
                "`80-81` and `80-82` are ranges of different lengths",
            ),
            ("localhost:80:80", "`localhost` is not an IP address"),
            ("80:80:80:80", "`80:80` is not an IP address"),
            ("80/foo", "`foo` is not a protocol: use `tcp` or `udp`"),
            (
                "[::1]:80",
                "after the address in brackets comes `:HOST:CONTAINER` or `::CONTAINER`",
            ),
            ("[::1", "`[::1` is not an IP address"),
        ];
        for (text, expected) in table {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_badly(text in "[0-9:./\\[\\]-]{0,20}|.{0,20}") {
            let _ = parse(&text);
        }
    }
}
