//! `EXPOSE` and `STOPSIGNAL`: ports and signals as Docker reads them.

/// What one word of `EXPOSE` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exposed {
    /// `80/tcp`, one for each port of a range.
    pub(super) ports: Vec<String>,
    /// An address or a port of the host was given; it means nothing here.
    pub(super) has_host: bool,
    /// The protocol has capital letters.
    pub(super) odd_case: bool,
}

/// Reads `[[address:]host:]port[-port][/protocol]`; an error says what is wrong.
pub(super) fn read(text: &str) -> Result<Exposed, &'static str> {
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let lower = protocol.to_ascii_lowercase();
    if !matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
        return Err("a protocol is tcp, udp or sctp");
    }
    let (host, ports) = match rest.rsplit_once(':') {
        Some((host, ports)) => (Some(host), ports),
        None => (None, rest),
    };
    let port = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| "a port is a number up to 65535")
    };
    let (first, last) = match ports.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(ports)?, port(ports)?),
    };
    if last < first {
        return Err("the range runs backwards");
    }
    Ok(Exposed {
        ports: (first..=last)
            .map(|port| format!("{port}/{lower}"))
            .collect(),
        has_host: host.is_some(),
        odd_case: lower != protocol,
    })
}

/// Whether a text names a signal: a number, or a name with or without `SIG`.
pub(super) fn is_signal(text: &str) -> bool {
    const NAMES: [&str; 33] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN",
        "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |prefix: &str, sign: &str| {
        let rest = name.strip_prefix(prefix)?;
        if rest.is_empty() {
            return Some(0);
        }
        rest.strip_prefix(sign)?.parse::<u8>().ok()
    };
    NAMES.contains(&name)
        || name == "POLL"
        || offset("RTMIN", "+").is_some_and(|n| n <= 15)
        || offset("RTMAX", "-").is_some_and(|n| n <= 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges_are_exposed_one_by_one() {
        let ports = |text| read(text).map(|exposed| exposed.ports);
        assert_eq!(ports("80"), Ok(vec!["80/tcp".to_owned()]));
        assert_eq!(ports("53/UDP"), Ok(vec!["53/udp".to_owned()]));
        assert_eq!(
            ports("80-81/udp"),
            Ok(vec!["80/udp".to_owned(), "81/udp".to_owned()])
        );
        assert_eq!(ports("127.0.0.1:8080:80"), Ok(vec!["80/tcp".to_owned()]));
        assert!(read("8080:80").unwrap().has_host);
        assert!(read("53/UDP").unwrap().odd_case);
        for wrong in ["", "x", "70000", "80/icmp", "81-80", "80-", "/tcp"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for right in ["SIGTERM", "term", "9", "SIGRTMIN+3", "RTMAX-14", "RTMIN"] {
            assert!(is_signal(right), "{right}");
        }
        for wrong in ["", "0", "65", "SIGNAL", "RTMIN+16", "SIG"] {
            assert!(!is_signal(wrong), "{wrong}");
        }
    }
}
