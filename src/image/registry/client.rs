//! Requests to one registry: scheme, authentication, redirects.

mod addresses;
mod exchange;
mod refusal;
mod token;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, StatusCode};

use super::super::oci::{DOCKER_LIST, DOCKER_MANIFEST, INDEX, MANIFEST};
use super::super::reference::Reference;
use super::auth::escape;
use super::body::Payload;
use super::connect::{Connection, Connections, Endpoint, Scheme, Trust};
use super::error::RegistryError;
use super::login::{Credentials, Login};
use super::settings::{Mirror, Registries};

/// Longest answer of a token server, and longest message of an error.
const ANSWER_MAX: usize = 1 << 20;

/// What is wanted from a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::image) enum Access {
    Pull,
    /// Write to it, and read blobs of these other repositories of the registry.
    Push {
        mounts: Vec<String>,
    },
    /// Nothing but an answer.
    LogIn,
}

/// One registry, for one repository.
pub(in crate::image) struct Client {
    reference: Reference,
    /// Who is asked: the registry, or a mirror of it.
    host: String,
    /// Set for mirrors whose address says so.
    scheme: Option<Scheme>,
    /// Without TLS, if TLS cannot be had.
    insecure: bool,
    login: Login,
    access: Access,
    connections: Connections,
    pub(in crate::image) patience: Duration,
    /// What is known of the registry by now.
    known: Mutex<Known>,
}

#[derive(Default, Clone)]
struct Known {
    scheme: Option<Scheme>,
    authorization: Option<String>,
    /// That came with the last token.
    identity: Option<String>,
}

/// An answer whose body is still to come.
pub(in crate::image) struct Answer {
    pub(in crate::image) status: StatusCode,
    pub(in crate::image) headers: HeaderMap,
    pub(in crate::image) body: Incoming,
    endpoint: Endpoint,
    connection: Connection,
}

impl Answer {
    /// A header as text.
    pub(in crate::image) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What is asked for.
#[derive(Clone)]
pub(in crate::image) struct Request<'a> {
    pub(in crate::image) method: Method,
    pub(in crate::image) headers: Vec<(HeaderName, String)>,
    pub(in crate::image) payload: Payload,
    /// Is told how many bytes of the payload have left.
    pub(in crate::image) watch: Option<&'a (dyn Fn(u64) + Send + Sync)>,
}

impl Request<'_> {
    /// A request without anything in it.
    pub(in crate::image) fn new(method: Method) -> Self {
        Self {
            method,
            headers: Vec::new(),
            payload: Payload::Whole(Bytes::new()),
            watch: None,
        }
    }

    fn is_safe(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }
}

impl Client {
    pub(in crate::image) async fn new(
        reference: &Reference,
        access: Access,
        (registries, credentials): (&Registries, &Credentials),
    ) -> Result<Self, RegistryError> {
        let host = match reference.registry() {
            // The name that images are called by is not the host that serves them.
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let names = (reference.registry(), reference.repository());
        Ok(Self {
            reference: reference.clone(),
            host: host.to_owned(),
            scheme: None,
            insecure: registries.0.host(reference.registry())?.insecure,
            login: Login::find(credentials, &registries.0.logins, names).await?,
            access,
            connections: Connections::new(registries),
            patience: registries.0.patience,
            known: Mutex::default(),
        })
    }

    /// Another host that has the registry's images. Our login there is the one for that host.
    pub(super) async fn mirror(
        reference: &Reference,
        mirror: &Mirror,
        registries: &Registries,
    ) -> Result<Self, RegistryError> {
        let names = (mirror.host.as_str(), reference.repository());
        Ok(Self {
            reference: reference.clone(),
            host: mirror.host.clone(),
            scheme: mirror.scheme,
            insecure: registries.0.host(&mirror.host)?.insecure,
            login: Login::find(&Credentials::Docker, &registries.0.logins, names).await?,
            access: Access::Pull,
            connections: Connections::new(registries),
            patience: registries.0.patience,
            known: Mutex::default(),
        })
    }

    /// The mirrors of the image's registry, in their order, and the registry itself at the end.
    pub(in crate::image) async fn sources(
        reference: &Reference,
        (registries, credentials): (&Registries, &Credentials),
    ) -> Result<Vec<Self>, RegistryError> {
        let mut sources = Vec::new();
        for mirror in &registries.0.host(reference.registry())?.mirrors {
            sources.push(Self::mirror(reference, mirror, registries).await?);
        }
        sources.push(Self::new(reference, Access::Pull, (registries, credentials)).await?);
        Ok(sources)
    }

    pub(in crate::image) fn registry(&self) -> &str {
        &self.host
    }

    /// The identity token that came with the last token.
    pub(super) fn identity(&self) -> Option<String> {
        self.known().identity
    }

    /// Asks for something of the repository; the answer is 200, or 206 for a range.
    pub(in crate::image) async fn get(
        &self,
        path: &str,
        headers: &[(HeaderName, String)],
    ) -> Result<Answer, RegistryError> {
        let request = Request {
            headers: headers.to_vec(),
            ..Request::new(Method::GET)
        };
        let answer = self.ask(path, &request).await?;
        match answer.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            _ => Err(self.refused(answer, path).await),
        }
    }

    /// Sends a request about the repository; `path` is what stands behind its name.
    pub(in crate::image) async fn ask(
        &self,
        path: &str,
        request: &Request<'_>,
    ) -> Result<Answer, RegistryError> {
        self.ask_path(
            &format!("/v2/{}/{path}", self.reference.repository()),
            request,
        )
        .await
    }

    /// Sends a request; logs in if that is asked for.
    pub(super) async fn ask_path(
        &self,
        path: &str,
        request: &Request<'_>,
    ) -> Result<Answer, RegistryError> {
        let answer = self.try_schemes(path, request).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let headers = self.end(answer).await;
        self.authenticate(&headers).await?;
        self.try_schemes(path, request).await
    }

    /// Sends a request to an address that the registry gave.
    pub(in crate::image) async fn ask_at(
        &self,
        location: &str,
        request: &Request<'_>,
    ) -> Result<Answer, RegistryError> {
        let answer = self.ask_location(location, request).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let headers = self.end(answer).await;
        self.authenticate(&headers).await?;
        self.ask_location(location, request).await
    }

    async fn ask_location(
        &self,
        location: &str,
        request: &Request<'_>,
    ) -> Result<Answer, RegistryError> {
        let known = self.known();
        let scheme = known.scheme.unwrap_or(Scheme::Https);
        let own = self.url(&format!("{}://{}/", scheme.name(), self.host))?;
        let own = Endpoint::of(&own).ok_or_else(|| self.protocol("its address has no host"))?;
        let (url, target) = self.next(&own, location)?;
        let mut request = request.clone();
        let trust = match target == own {
            true => Trust::Named,
            false => Trust::Redirected,
        };
        if trust == Trust::Named {
            self.authorize(&mut request, &known);
        }
        self.follow(url, request, trust).await
    }

    fn authorize(&self, request: &mut Request<'_>, known: &Known) {
        let value = known.authorization.clone();
        request
            .headers
            .extend(value.map(|value| (header::AUTHORIZATION, value)));
    }

    fn known(&self) -> Known {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn learn(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(in crate::image) fn protocol(&self, what: &'static str) -> RegistryError {
        RegistryError::Protocol {
            registry: self.registry().to_owned(),
            what,
        }
    }
}

/// Parameters of a URL or a form.
pub(in crate::image) fn query(parts: &[(&str, String)]) -> String {
    let parts = parts
        .iter()
        .map(|(key, value)| format!("{key}={}", escape(value)));
    parts.collect::<Vec<_>>().join("&")
}

/// The kinds of manifest that we understand.
pub(in crate::image) fn accept() -> (HeaderName, String) {
    (
        header::ACCEPT,
        [INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", "),
    )
}
