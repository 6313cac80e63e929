//! Requests to one registry: scheme, authentication, redirects.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Response, StatusCode, Uri};
use jiff::Timestamp;
use tokio::time::timeout;

use super::super::oci::{DOCKER_LIST, DOCKER_MANIFEST, INDEX, MANIFEST};
use super::super::reference::Reference;
use super::auth::{Challenge, Token, escape};
use super::body::Payload;
use super::connect::{Connection, Connections, Endpoint, Scheme, Trust};
use super::error::RegistryError;
use super::login::{Credentials, Login};
use super::retry::retry_after;
use super::settings::{Mirror, Registries};

const REDIRECTS_MAX: usize = 5;
/// Longest answer of a token server, and longest message of an error.
const ANSWER_MAX: usize = 1 << 20;
/// How often the bytes that were sent are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A registry may have to move a large blob before it answers: so many times its usual patience.
const DIGESTION: u32 = 10;

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

    /// TLS first; without it only where that is allowed, and only when TLS cannot be had.
    async fn try_schemes(
        &self,
        path: &str,
        request: &Request<'_>,
    ) -> Result<Answer, RegistryError> {
        let known = self.known();
        let fixed = known.scheme.or(self.scheme);
        let scheme = fixed.unwrap_or(Scheme::Https);
        let answer = self.ask_by(scheme, path, (&known, request)).await;
        let tried = match &answer {
            Err(RegistryError::Tls { .. } | RegistryError::Unreachable { .. })
                if self.insecure && fixed.is_none() =>
            {
                let plain = self.ask_by(Scheme::Http, path, (&known, request)).await;
                plain.map(|answer| (Scheme::Http, answer))
            }
            _ => answer.map(|answer| (scheme, answer)),
        };
        let (scheme, answer) = tried?;
        self.learn(|known| known.scheme = Some(scheme));
        Ok(answer)
    }

    async fn ask_by(
        &self,
        scheme: Scheme,
        path: &str,
        (known, request): (&Known, &Request<'_>),
    ) -> Result<Answer, RegistryError> {
        let url = self.url(&format!("{}://{}{path}", scheme.name(), self.host))?;
        let mut request = request.clone();
        self.authorize(&mut request, known);
        self.follow(url, request, Trust::Named).await
    }

    fn url(&self, text: &str) -> Result<Uri, RegistryError> {
        text.parse()
            .map_err(|_| self.protocol("it gives an address that is none"))
    }

    pub(in crate::image) fn protocol(&self, what: &'static str) -> RegistryError {
        RegistryError::Protocol {
            registry: self.registry().to_owned(),
            what,
        }
    }

    /// Where an address leads that came in an answer from `from`.
    fn next(&self, from: &Endpoint, location: &str) -> Result<(Uri, Endpoint), RegistryError> {
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

    /// Follows redirects. Nobody but the host that was meant learns who we are.
    async fn follow(
        &self,
        mut url: Uri,
        mut request: Request<'_>,
        mut trust: Trust,
    ) -> Result<Answer, RegistryError> {
        for _ in 0..=REDIRECTS_MAX {
            let endpoint =
                Endpoint::of(&url).ok_or_else(|| self.protocol("its address has no host"))?;
            let answer = self.send(&endpoint, (&url, &request), trust).await?;
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            let location = answer.header(header::LOCATION);
            let location = location.ok_or_else(|| self.protocol("it redirects to nowhere"))?;
            let (next, target) = self.next(&endpoint, location)?;
            if target != endpoint {
                // A body may hold a token or an image that is not for everybody.
                if !request.is_safe() {
                    return Err(self.protocol("it wants what we send to go to another host"));
                }
                request
                    .headers
                    .retain(|(name, _)| *name != header::AUTHORIZATION);
                trust = Trust::Redirected;
            }
            self.end(answer).await;
            url = next;
        }
        Err(self.protocol("it redirects in circles"))
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        (url, request): (&Uri, &Request<'_>),
        trust: Trust,
    ) -> Result<Answer, RegistryError> {
        let connection = self.connections.get(endpoint, trust).await?;
        let used = connection.used;
        let tried = self.send_over(connection, endpoint, (url, request)).await;
        match tried {
            // The other side closes idle connections when it likes.
            Err(RegistryError::Unreachable { .. }) if used && request.payload.is_short() => {
                let fresh = self.connections.connect(endpoint, trust).await?;
                self.send_over(fresh, endpoint, (url, request)).await
            }
            other => other,
        }
    }

    async fn send_over(
        &self,
        mut connection: Connection,
        endpoint: &Endpoint,
        (url, request): (&Uri, &Request<'_>),
    ) -> Result<Answer, RegistryError> {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let authority = url.authority().map_or("", |authority| authority.as_str());
        // Nobody's name and password belong into an address.
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let target = match connection.proxy {
            Some(_) => format!("{}://{host}{path}", endpoint.scheme.name()),
            None => path.to_owned(),
        };
        let mut head = hyper::Request::builder()
            .method(request.method.clone())
            .uri(target)
            .header(header::HOST, host)
            .header(
                header::USER_AGENT,
                concat!("stack/", env!("CARGO_PKG_VERSION")),
            );
        let proxy = connection
            .proxy
            .as_ref()
            .and_then(|proxy| proxy.authorization.as_ref());
        if let Some(value) = proxy {
            head = head.header(header::PROXY_AUTHORIZATION, value);
        }
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        let message = head
            .body(request.payload.open())
            .map_err(|_| self.protocol("it gives an address or a token that cannot be sent"))?;
        let answer = self.watch(connection.sender.send_request(message), request);
        let unreachable = |source| RegistryError::broken(endpoint.name(), source);
        let (head, body) = answer
            .await
            .map_err(unreachable)
            .map(Response::into_parts)?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
            endpoint: endpoint.clone(),
            connection,
        })
    }

    /// Waits for the head of an answer as long as something moves.
    async fn watch(
        &self,
        answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
        request: &Request<'_>,
    ) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        let mut answer = std::pin::pin!(answer);
        let (taken, total) = request.payload.taken();
        let (mut seen, mut silence) = (0, Duration::ZERO);
        loop {
            match timeout(LOOK, &mut answer).await {
                Ok(answer) => return Ok(answer?),
                Err(_) => silence += LOOK,
            }
            let now = taken.map_or(0, |taken| taken.load(Ordering::Relaxed));
            if now != seen {
                (seen, silence) = (now, Duration::ZERO);
                if let Some(watch) = request.watch {
                    watch(now);
                }
            }
            let digesting = taken.is_some() && now >= total;
            let patience = self.patience * if digesting { DIGESTION } else { 1 };
            if silence >= patience {
                return Err("it does not answer".into());
            }
        }
    }

    /// Reads an answer to its end, `most` bytes of it.
    pub(in crate::image) async fn read(
        &self,
        mut answer: Answer,
        most: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let unreachable = |source| RegistryError::Unreachable {
            registry: answer.endpoint.name(),
            source,
        };
        let mut bytes = Vec::new();
        loop {
            let late = |_| unreachable("its answer breaks off".into());
            let Some(frame) = timeout(self.patience, answer.body.frame())
                .await
                .map_err(late)?
            else {
                break;
            };
            let frame = frame.map_err(|error| unreachable(error.into()))?;
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > most {
                    return Err(self.protocol("its answer is longer than any such document"));
                }
                bytes.extend_from_slice(&data);
            }
        }
        self.connections.keep(&answer.endpoint, answer.connection);
        Ok(bytes)
    }

    /// Reads what is left of a short answer, so that its connection can be used again.
    pub(in crate::image) async fn end(&self, answer: Answer) -> HeaderMap {
        let headers = answer.headers.clone();
        // A body that is too long or breaks off costs the connection, and nothing else.
        let _ = self.read(answer, ANSWER_MAX).await;
        headers
    }

    /// Keeps the connection of a blob that was read to its end.
    pub(in crate::image) fn done(&self, answer: Answer) {
        self.connections.keep(&answer.endpoint, answer.connection);
    }

    /// Why an answer is not the one that was wanted.
    pub(in crate::image) async fn refused(&self, answer: Answer, path: &str) -> RegistryError {
        let registry = self.registry().to_owned();
        let after = retry_after(&answer.headers, Timestamp::now());
        match answer.status {
            StatusCode::NOT_FOUND if self.access == Access::Pull => RegistryError::NotFound {
                reference: Box::new(self.reference.clone()),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.unauthorised(),
            StatusCode::TOO_MANY_REQUESTS => RegistryError::TooMany { registry, after },
            status => {
                let body = self.read(answer, ANSWER_MAX).await.unwrap_or_default();
                RegistryError::Answer {
                    registry,
                    status,
                    path: path.to_owned(),
                    message: message(&body),
                    after,
                }
            }
        }
    }

    fn unauthorised(&self) -> RegistryError {
        RegistryError::Unauthorised {
            reference: Box::new(self.reference.clone()),
            user: self.login.user(),
        }
    }

    /// Answers a challenge: from now on requests carry what it asked for.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<(), RegistryError> {
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

fn absolute(from: &Endpoint, location: &str) -> String {
    match location {
        _ if location.starts_with("//") => format!("{}:{location}", from.scheme.name()),
        _ if location.starts_with('/') => {
            format!("{}://{}{location}", from.scheme.name(), from.name())
        }
        _ => location.to_owned(),
    }
}

/// What a registry says about an error, without anything that could steer a terminal.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<Message>,
    }
    #[derive(serde::Deserialize)]
    struct Message {
        #[serde(default)]
        message: String,
    }
    let Ok(found) = serde_json::from_slice::<Errors>(body) else {
        return String::new();
    };
    let text = found
        .errors
        .into_iter()
        .map(|error| error.message)
        .collect::<Vec<_>>()
        .join("; ");
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_a_registry_says_is_shown_without_control_characters() {
        let body = br#"{"errors":[{"code":"X","message":"no\u001b[2J way"},{"code":"Y"}]}"#;
        assert_eq!(message(body), "no[2J way; ");
        assert_eq!(message(b"<html>"), "");
    }
}
