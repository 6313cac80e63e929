//! Which connections go through a proxy (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`). Pure.
//!
//! The rules are those of Go's `net/http`, which Docker follows: the scheme of the target chooses the
//! variable, and nothing on this machine ever goes through a proxy.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use ipnetwork::IpNetwork;

use super::connect::{Endpoint, Scheme};

/// What the environment says about proxies.
#[derive(Clone, Default)]
pub(super) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    no: String,
}

/// A proxy's address may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("no", &self.no)
            .finish()
    }
}

/// A proxy to go through.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) endpoint: Endpoint,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<String>,
}

impl Proxies {
    /// Reads the variables, capital letters first.
    pub(super) fn from_environment(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| {
            let found = [name.to_owned(), name.to_lowercase()]
                .into_iter()
                .find_map(|name| env(&name));
            found.filter(|value| !value.is_empty())
        };
        Self {
            http: get("HTTP_PROXY"),
            https: get("HTTPS_PROXY"),
            no: get("NO_PROXY").unwrap_or_default(),
        }
    }

    /// The proxy for a target; `None` = straight there.
    ///
    /// # Errors
    /// The name of the variable when what it holds is no address of a proxy.
    pub(super) fn of(&self, target: &Endpoint) -> Result<Option<Proxy>, &'static str> {
        let (variable, address) = match target.scheme {
            Scheme::Https => ("HTTPS_PROXY", &self.https),
            Scheme::Http => ("HTTP_PROXY", &self.http),
        };
        let Some(address) = address.as_deref().filter(|_| !self.is_excepted(target)) else {
            return Ok(None);
        };
        parse(address).map(Some).ok_or(variable)
    }

    fn is_excepted(&self, target: &Endpoint) -> bool {
        let host = target.host.trim_matches(['[', ']']).to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        let mut rules = self
            .no
            .split(',')
            .map(str::trim)
            .filter(|rule| !rule.is_empty());
        rules.any(|rule| matches(&rule.to_ascii_lowercase(), (&host, address), target.port))
    }
}

/// One part of `NO_PROXY`: `*`, an address, a network, `host`, `.domain`, each maybe with a port.
fn matches(rule: &str, (host, address): (&str, Option<IpAddr>), port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    if let (Ok(network), Some(address)) = (rule.parse::<IpNetwork>(), address) {
        return network.contains(address);
    }
    let (rule, wanted) = match rule.rsplit_once(':') {
        Some((name, number)) if !name.contains(':') || name.ends_with(']') => {
            (name, number.parse::<u16>().ok())
        }
        _ => (rule, None),
    };
    if wanted.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let rule = rule.trim_matches(['[', ']']);
    let rule = rule
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(rule);
    match rule.strip_prefix('.') {
        Some(domain) => host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.')),
        None => {
            host == rule
                || host
                    .strip_suffix(rule)
                    .is_some_and(|rest| !rule.is_empty() && rest.ends_with('.'))
        }
    }
}

fn parse(address: &str) -> Option<Proxy> {
    let with_scheme = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let url: Uri = with_scheme.parse().ok()?;
    let user = url
        .authority()?
        .as_str()
        .rsplit_once('@')
        .map(|(user, _)| user);
    Some(Proxy {
        endpoint: Endpoint::of(&url)?,
        authorization: user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let both = [&unescape(name)[..], b":", &unescape(password)].concat();
            format!("Basic {}", STANDARD.encode(both))
        }),
    })
}

fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no: &str) -> Proxies {
        let env = |name: &str| match name {
            "https_proxy" => Some("http://me:p%40ss@proxy.lan:3128".to_owned()),
            "HTTP_PROXY" => Some("plain.lan:8080".to_owned()),
            "no_proxy" => Some(no.to_owned()),
            _ => None,
        };
        Proxies::from_environment(&env)
    }

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::of(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_scheme_of_the_target_chooses_the_proxy() {
        let https = proxies("")
            .of(&endpoint("https://reg.example"))
            .unwrap()
            .unwrap();
        assert_eq!(https.endpoint.name(), "proxy.lan:3128");
        // me:p@ss
        assert_eq!(https.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
        let http = proxies("")
            .of(&endpoint("http://reg.example"))
            .unwrap()
            .unwrap();
        assert_eq!(
            (http.endpoint.name().as_str(), http.authorization),
            ("plain.lan:8080", None)
        );
        let socks = Proxies {
            http: Some("socks5://x:1".to_owned()),
            ..Proxies::default()
        };
        assert_eq!(
            socks.of(&endpoint("http://reg.example")).err(),
            Some("HTTP_PROXY")
        );
    }

    #[test]
    fn what_no_proxy_names_is_reached_straight() {
        for (no, host, direct) in [
            ("", "reg.example", false),
            ("", "localhost", true),
            ("", "127.3.0.1", true),
            ("*", "reg.example", true),
            ("example", "reg.example", true),
            (".example", "reg.example", true),
            ("*.example", "reg.example", true),
            (".reg.example", "reg.example", false),
            ("ample", "reg.example", false),
            ("other, REG.example", "reg.example", true),
            ("reg.example:443", "reg.example", true),
            ("reg.example:5000", "reg.example", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("fd00::/8", "[fd00::1]", true),
        ] {
            let found = proxies(no)
                .of(&endpoint(&format!("https://{host}")))
                .unwrap();
            assert_eq!(found.is_none(), direct, "{host} with NO_PROXY={no}");
        }
    }

    #[test]
    fn the_password_of_a_proxy_is_not_shown() {
        assert!(!format!("{:?}", proxies("")).contains("p%40ss"));
    }
}
