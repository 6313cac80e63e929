//! What a registry asks of us, and the tokens that answer it. Pure.

use serde::Deserialize;

/// Longest token that is sent on: no server reads longer headers.
const TOKEN_MAX: usize = 128 << 10;

/// How a registry wants to be asked (RFC 9110, WWW-Authenticate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Challenge {
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        for (key, value) in parameters(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer {
            realm: realm?,
            service,
        })
    }
}

/// `key="value",key=value`; a comma within quotes separates nothing.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        found.push((key.trim().to_owned(), value.trim().to_owned()));
        rest = next.trim_start_matches([',', ' ']);
    }
    found
}

/// The answer of a token server; some call it one way, some the other.
#[derive(Deserialize)]
pub(super) struct Token {
    token: Option<String>,
    access_token: Option<String>,
    /// To get tokens with, instead of the password.
    refresh_token: Option<String>,
}

impl Token {
    /// The header that carries it; `None` = there is none, or none that can be sent.
    pub(super) fn header(&self) -> Option<String> {
        let found = [&self.token, &self.access_token];
        let token = found
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty())?;
        let sendable =
            token.len() <= TOKEN_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
        sendable.then(|| format!("Bearer {token}"))
    }

    /// The identity token that came with it.
    pub(super) fn identity(self) -> Option<String> {
        self.refresh_token.filter(|token| !token.is_empty())
    }
}

/// Text as part of a URL's query or a form.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_in_every_spelling() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        for (header, challenge) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/token\",service=\"reg, x\",scope=\"a:b:pull\"",
                bearer("https://a/token", Some("reg, x")),
            ),
            (
                "bearer service=x, Realm=\"https://a\"",
                bearer("https://a", Some("x")),
            ),
            ("Bearer service=\"x\"", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(header), challenge, "{header}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_none() {
        let header = |text: &str| {
            let token = |token: &str| Token {
                token: Some(String::new()),
                access_token: Some(token.to_owned()),
                refresh_token: None,
            };
            token(text).header()
        };
        assert_eq!(header("abc").as_deref(), Some("Bearer abc"));
        assert_eq!(
            header(
                "a
X: y"
            ),
            None
        );
        assert_eq!(header(&"a".repeat(TOKEN_MAX + 1)), None);
        assert_eq!(escape("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }
}
