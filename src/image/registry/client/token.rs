//! Logging in: challenges, and the tokens that answer them.

use hyper::header::{self, HeaderMap};
use hyper::{Method, StatusCode, Uri};

use super::{ANSWER_MAX, Access, Client, Request, query};
use crate::image::registry::auth::{Challenge, Token};
use crate::image::registry::body::Payload;
use crate::image::registry::connect::{Scheme, Trust};
use crate::image::registry::error::RegistryError;
use crate::image::registry::login::Login;

impl Client {
    pub(super) fn unauthorised(&self) -> RegistryError {
        RegistryError::Unauthorised {
            reference: Box::new(self.reference.clone()),
            user: self.login.user(),
        }
    }

    /// Answers a challenge: from now on requests carry what it asked for.
    pub(super) async fn authenticate(&self, headers: &HeaderMap) -> Result<(), RegistryError> {
        let challenges = headers
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let challenge = challenges.filter_map(Challenge::parse).next();
        let authorization =
            match challenge.ok_or_else(|| self.protocol("it asks for an unknown kind of login"))? {
                Challenge::Basic => self.login.basic().ok_or_else(|| self.unauthorised())?,
                Challenge::Bearer { realm, service } => {
                    let token = self.token(&realm, service.as_deref()).await?;
                    let bad = || self.protocol("its token server gives no token that can be sent");
                    let header = token.header().ok_or_else(bad)?;
                    self.learn(|known| known.identity = token.identity());
                    header
                }
            };
        self.learn(|known| known.authorization = Some(authorization));
        Ok(())
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<Token, RegistryError> {
        let (url, request) = self.token_request(realm, service)?;
        let answer = self.follow(url, request, Trust::Named).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return Err(self.refused(answer, realm).await),
            status if status.is_server_error() => return Err(self.refused(answer, realm).await),
            _ => return Err(self.unauthorised()),
        }
        let body = self.read(answer, ANSWER_MAX).await?;
        // The message of a typed error would quote what it found.
        serde_json::from_slice(&body)
            .map_err(|_| self.protocol("its token server's answer cannot be understood"))
    }

    /// The request for a token (distribution project, "token" and "oauth2" specifications).
    fn token_request(
        &self,
        realm: &str,
        service: Option<&str>,
    ) -> Result<(Uri, Request<'static>), RegistryError> {
        let url = self.url(realm)?;
        // A password goes to a host without TLS only where the registry itself is spoken to like that.
        if url.scheme_str() != Some("https") && self.known().scheme != Some(Scheme::Http) {
            return Err(self.protocol("it wants the login to go to an address that is not secure"));
        }
        let mut parts: Vec<(&str, String)> = self.scopes().map(|scope| ("scope", scope)).collect();
        parts.extend(service.map(|service| ("service", service.to_owned())));
        if let Login::Identity(token) = &self.login {
            parts.extend([
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", "stack".to_owned()),
                ("refresh_token", token.clone()),
            ]);
            let form = "application/x-www-form-urlencoded".to_owned();
            let request = Request {
                headers: vec![(header::CONTENT_TYPE, form)],
                payload: Payload::Whole(query(&parts).into()),
                ..Request::new(Method::POST)
            };
            return Ok((url, request));
        }
        if let (Access::LogIn, Login::User { name, .. }) = (&self.access, &self.login) {
            parts.extend([
                ("account", name.clone()),
                ("client_id", "stack".to_owned()),
                ("offline_token", "true".to_owned()),
            ]);
        }
        let separator = if url.query().is_some() { '&' } else { '?' };
        let url = self.url(&format!("{realm}{separator}{}", query(&parts)))?;
        let login = self
            .login
            .basic()
            .map(|value| (header::AUTHORIZATION, value));
        let request = Request {
            headers: login.into_iter().collect(),
            ..Request::new(Method::GET)
        };
        Ok((url, request))
    }

    /// What we want to do, in the words of the token specification.
    fn scopes(&self) -> impl Iterator<Item = String> {
        let (own, mounts) = match &self.access {
            Access::Pull => (Some("pull"), &[][..]),
            Access::Push { mounts } => (Some("pull,push"), &mounts[..]),
            Access::LogIn => (None, &[][..]),
        };
        let own = own.map(|verb| format!("repository:{}:{verb}", self.reference.repository()));
        let others = mounts.iter().map(|name| format!("repository:{name}:pull"));
        own.into_iter()
            .chain(others)
            .collect::<Vec<_>>()
            .into_iter()
    }
}
