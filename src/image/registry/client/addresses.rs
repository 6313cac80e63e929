//! Where an address leads that came in an answer, and where none may.

use hyper::Uri;

use super::Client;
use crate::image::registry::connect::{Endpoint, Scheme};
use crate::image::registry::error::RegistryError;

impl Client {
    pub(super) fn url(&self, text: &str) -> Result<Uri, RegistryError> {
        text.parse()
            .map_err(|_| self.protocol("it gives an address that is none"))
    }

    /// Where an address leads that came in an answer from `from`.
    pub(super) fn next(
        &self,
        from: &Endpoint,
        location: &str,
    ) -> Result<(Uri, Endpoint), RegistryError> {
        let url = self.url(&absolute(from, location))?;
        let other = || self.protocol("it redirects to an address that is neither http nor https");
        let target = Endpoint::of(&url).ok_or_else(other)?;
        if from.scheme == Scheme::Https && target.scheme == Scheme::Http {
            // Registries behind a proxy often forget that they are spoken to with TLS.
            if target.host == from.host && [80, from.port].contains(&target.port) {
                let rest = url.path_and_query().map_or("/", |path| path.as_str());
                let same = format!("https://{}:{}{rest}", from.host, from.port);
                return Ok((self.url(&same)?, from.clone()));
            }
            return Err(self.protocol("it redirects from a secure address to one that is not"));
        }
        if target != *from && target.is_link_local() {
            return Err(self.protocol("it redirects to an address of this very link"));
        }
        Ok((url, target))
    }
}

fn absolute(from: &Endpoint, location: &str) -> String {
    match location {
        _ if location.starts_with("//") => format!("{}:{location}", from.scheme.name()),
        _ if location.starts_with('/') => {
            format!("{}://{}{location}", from.scheme.name(), from.name())
        }
        _ => location.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Access;
    use super::*;
    use crate::image::registry::login::Credentials;
    use crate::image::registry::settings::Registries;

    #[test]
    fn redirects_may_be_relative_to_the_host() {
        let from = Endpoint {
            scheme: Scheme::Https,
            host: "a".into(),
            port: 5000,
        };
        for (location, url) in [
            ("/x?y", "https://a:5000/x?y"),
            ("//b/x", "https://b/x"),
            ("https://c/x", "https://c/x"),
        ] {
            assert_eq!(absolute(&from, location), url);
        }
    }

    #[tokio::test]
    async fn an_address_in_an_answer_leads_where_it_may() {
        let env = |_: &str| None;
        let registries = Registries::from_environment(&env);
        let reference = "reg.lan:5000/a".parse().unwrap();
        let known = (&registries, &Credentials::Anonymous);
        let client = Client::new(&reference, Access::Pull, known).await.unwrap();
        let from = Endpoint {
            scheme: Scheme::Https,
            host: "reg.lan".into(),
            port: 5000,
        };
        for (location, leads) in [
            ("https://other.lan/x", Some("https://other.lan/x")),
            ("http://reg.lan/x?y", Some("https://reg.lan:5000/x?y")),
            ("http://reg.lan:5000/x", Some("https://reg.lan:5000/x")),
            ("http://other.lan/x", None),
            ("file:///etc/passwd", None),
            ("ftp://reg.lan/x", None),
            ("https://169.254.169.254/latest/meta-data", None),
            ("x y", None),
        ] {
            let found = client
                .next(&from, location)
                .ok()
                .map(|(url, _)| url.to_string());
            assert_eq!(found.as_deref(), leads, "{location}");
        }
    }
}
