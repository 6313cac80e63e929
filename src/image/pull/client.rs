//! Requests to one registry: scheme, authentication, redirects.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::time::timeout;

use super::super::oci::{DOCKER_LIST, DOCKER_MANIFEST, INDEX, MANIFEST};
use super::super::reference::Reference;
use super::PullOptions;
use super::auth::{Challenge, Login, Token, escape};
use super::connect::{Connections, Endpoint, Scheme, Sender};
use super::error::RegistryError;

const REDIRECTS_MAX: usize = 5;
/// Time until the head of an answer, and between two pieces of its body.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer of a token server, and longest message of an error.
const ANSWER_MAX: usize = 1 << 20;

/// One registry, for one repository.
pub(super) struct Client<'a> {
    reference: &'a Reference,
    /// Without TLS, if TLS cannot be had.
    insecure: bool,
    login: Login,
    connections: Connections,
    /// What is known of the registry by now.
    known: Mutex<Known>,
}

#[derive(Default, Clone)]
struct Known {
    scheme: Option<Scheme>,
    authorization: Option<String>,
}

/// An answer whose body is still to come.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
    endpoint: Endpoint,
    sender: Sender,
}

/// What is asked for.
#[derive(Clone)]
struct Question {
    method: Method,
    url: Uri,
    headers: Vec<(header::HeaderName, String)>,
    body: String,
}

impl<'a> Client<'a> {
    pub(super) async fn new(
        reference: &'a Reference,
        options: &PullOptions,
    ) -> Result<Self, RegistryError> {
        let registry = reference.registry();
        Ok(Self {
            reference,
            insecure: is_loopback(registry)
                || options.plain_http.iter().any(|plain| plain == registry),
            login: Login::find(&options.credentials, registry).await?,
            connections: Connections::default(),
            known: Mutex::default(),
        })
    }

    pub(super) fn registry(&self) -> &str {
        match self.reference.registry() {
            // The name that images are called by is not the host that serves them.
            "docker.io" => "registry-1.docker.io",
            other => other,
        }
    }

    /// Asks for something of the repository; the answer is 200, or 206 for a range.
    pub(super) async fn get(
        &self,
        path: &str,
        extra: &[(header::HeaderName, String)],
    ) -> Result<Answer, RegistryError> {
        let path = format!("/v2/{}/{path}", self.reference.repository());
        let mut answer = self.try_get(&path, extra).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.authenticate(&answer.headers).await?;
            answer = self.try_get(&path, extra).await?;
        }
        match answer.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            _ => Err(self.refused(answer, path).await),
        }
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
    async fn try_get(
        &self,
        path: &str,
        extra: &[(header::HeaderName, String)],
    ) -> Result<Answer, RegistryError> {
        let known = self.known();
        let scheme = known.scheme.unwrap_or(Scheme::Https);
        let answer = self.ask(scheme, path, &known, extra).await;
        let tried = match &answer {
            Err(RegistryError::Tls { .. } | RegistryError::Unreachable { .. })
                if self.insecure && known.scheme.is_none() =>
            {
                let plain = self.ask(Scheme::Http, path, &known, extra).await;
                plain.map(|answer| (Scheme::Http, answer))
            }
            _ => answer.map(|answer| (scheme, answer)),
        };
        let (scheme, answer) = tried?;
        self.learn(|known| known.scheme = Some(scheme));
        Ok(answer)
    }

    async fn ask(
        &self,
        scheme: Scheme,
        path: &str,
        known: &Known,
        extra: &[(header::HeaderName, String)],
    ) -> Result<Answer, RegistryError> {
        let url = self.url(&format!("{}://{}{path}", scheme.name(), self.registry()))?;
        let mut headers = extra.to_vec();
        headers.extend(
            known
                .authorization
                .clone()
                .map(|value| (header::AUTHORIZATION, value)),
        );
        self.follow(Question {
            method: Method::GET,
            url,
            headers,
            body: String::new(),
        })
        .await
    }

    fn url(&self, text: &str) -> Result<Uri, RegistryError> {
        text.parse()
            .map_err(|_| self.protocol("it gives an address that is none"))
    }

    fn protocol(&self, what: &'static str) -> RegistryError {
        RegistryError::Protocol {
            registry: self.registry().to_owned(),
            what,
        }
    }

    /// Follows redirects. Nobody but the host that was meant learns who we are.
    async fn follow(&self, mut question: Question) -> Result<Answer, RegistryError> {
        for _ in 0..=REDIRECTS_MAX {
            let endpoint = Endpoint::of(&question.url)
                .ok_or_else(|| self.protocol("its address has no host"))?;
            let answer = self.send(&endpoint, &question).await?;
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            let location = answer
                .headers
                .get(header::LOCATION)
                .and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| self.protocol("it redirects to nowhere"))?;
            let next = self.url(&absolute(&endpoint, location))?;
            let target =
                Endpoint::of(&next).ok_or_else(|| self.protocol("it redirects to no host"))?;
            if endpoint.scheme == Scheme::Https && target.scheme == Scheme::Http {
                return Err(self.protocol("it redirects from a secure address to one that is not"));
            }
            if target != endpoint {
                question
                    .headers
                    .retain(|(name, _)| *name != header::AUTHORIZATION);
            }
            question.url = next;
        }
        Err(self.protocol("it redirects in circles"))
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        question: &Question,
    ) -> Result<Answer, RegistryError> {
        let unreachable = |source| RegistryError::Unreachable {
            registry: endpoint.name(),
            source,
        };
        let mut sender = self.connections.get(endpoint).await?;
        let path = question
            .url
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let host = question
            .url
            .authority()
            .map_or("", |authority| authority.as_str());
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(path)
            .header(header::HOST, host)
            .header(
                header::USER_AGENT,
                concat!("stack/", env!("CARGO_PKG_VERSION")),
            );
        for (name, value) in &question.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(Bytes::from(question.body.clone())))
            .map_err(|_| self.protocol("it gives an address or a token that cannot be sent"))?;
        let late = |_| unreachable("it does not answer".into());
        let answer = timeout(PATIENCE, sender.send_request(request))
            .await
            .map_err(late)?;
        let (head, body) = answer
            .map_err(|error| unreachable(error.into()))
            .map(Response::into_parts)?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
            endpoint: endpoint.clone(),
            sender,
        })
    }

    /// Reads an answer to its end, `most` bytes of it.
    pub(super) async fn read(
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
            let Some(frame) = timeout(PATIENCE, answer.body.frame()).await.map_err(late)? else {
                break;
            };
            if let Ok(data) = frame
                .map_err(|error| unreachable(error.into()))?
                .into_data()
            {
                if bytes.len() + data.len() > most {
                    return Err(self.protocol("its answer is longer than any such document"));
                }
                bytes.extend_from_slice(&data);
            }
        }
        self.connections.keep(&answer.endpoint, answer.sender);
        Ok(bytes)
    }

    /// Keeps the connection of a blob that was read to its end.
    pub(super) fn done(&self, answer: Answer) {
        self.connections.keep(&answer.endpoint, answer.sender);
    }

    async fn refused(&self, answer: Answer, path: String) -> RegistryError {
        let registry = self.registry().to_owned();
        match answer.status {
            StatusCode::NOT_FOUND => RegistryError::NotFound {
                reference: Box::new(self.reference.clone()),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Unauthorised {
                reference: Box::new(self.reference.clone()),
                user: self.login.user(),
            },
            StatusCode::TOO_MANY_REQUESTS => RegistryError::TooMany { registry },
            status => {
                let body = self.read(answer, ANSWER_MAX).await.unwrap_or_default();
                RegistryError::Answer {
                    registry,
                    status,
                    path,
                    message: message(&body),
                }
            }
        }
    }

    /// Answers a challenge: from now on requests carry what it asked for.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<(), RegistryError> {
        let unauthorised = || RegistryError::Unauthorised {
            reference: Box::new(self.reference.clone()),
            user: self.login.user(),
        };
        let challenges = headers
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let challenge = challenges.filter_map(Challenge::parse).next();
        let authorization = match challenge
            .ok_or_else(|| self.protocol("it asks for an unknown kind of login"))?
        {
            Challenge::Basic => self.login.basic().ok_or_else(unauthorised)?,
            Challenge::Bearer { realm, service } => {
                let answer = self
                    .follow(self.token_question(&realm, service.as_deref())?)
                    .await?;
                match answer.status {
                    StatusCode::OK => {}
                    StatusCode::TOO_MANY_REQUESTS => {
                        return Err(RegistryError::TooMany {
                            registry: self.registry().to_owned(),
                        });
                    }
                    status if status.is_server_error() => {
                        return Err(self.refused(answer, realm).await);
                    }
                    _ => return Err(unauthorised()),
                }
                let body = self.read(answer, ANSWER_MAX).await?;
                let token: Token =
                    serde_json::from_slice(&body).map_err(|source| RegistryError::Document {
                        what: "a token",
                        source,
                    })?;
                token
                    .header()
                    .ok_or_else(|| self.protocol("its token server gives no token"))?
            }
        };
        self.learn(|known| known.authorization = Some(authorization));
        Ok(())
    }

    /// The request for a token (distribution project, "token" and "oauth2" specifications).
    fn token_question(
        &self,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Question, RegistryError> {
        let url = self.url(realm)?;
        // A password goes to a host without TLS only where the registry itself is spoken to like that.
        if url.scheme_str() != Some("https") && self.known().scheme != Some(Scheme::Http) {
            return Err(self.protocol("it wants the login to go to an address that is not secure"));
        }
        let mut query = format!(
            "scope={}",
            escape(&format!("repository:{}:pull", self.reference.repository()))
        );
        if let Some(service) = service {
            query.push_str(&format!("&service={}", escape(service)));
        }
        if let Login::Identity(token) = &self.login {
            let body = format!(
                "{query}&grant_type=refresh_token&client_id=stack&refresh_token={}",
                escape(token)
            );
            let form = (
                header::CONTENT_TYPE,
                "application/x-www-form-urlencoded".to_owned(),
            );
            return Ok(Question {
                method: Method::POST,
                url,
                headers: vec![form],
                body,
            });
        }
        let separator = if url.query().is_some() { '&' } else { '?' };
        let url = self.url(&format!("{realm}{separator}{query}"))?;
        let headers = self
            .login
            .basic()
            .map(|value| (header::AUTHORIZATION, value))
            .into_iter()
            .collect();
        Ok(Question {
            method: Method::GET,
            url,
            headers,
            body: String::new(),
        })
    }
}

/// The kinds of manifest that we understand.
pub(super) fn accept() -> (header::HeaderName, String) {
    (
        header::ACCEPT,
        [INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", "),
    )
}

/// Loopback registries need no TLS, as for Docker.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
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
    fn only_loopback_is_insecure_by_itself() {
        for (registry, loopback) in [
            ("localhost:5000", true),
            ("127.1.2.3", true),
            ("[::1]:5000", true),
            ("localhost.example.com", false),
            ("10.0.0.1:5000", false),
            ("127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_loopback(registry), loopback, "{registry}");
        }
    }

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

    #[test]
    fn what_a_registry_says_is_shown_without_control_characters() {
        let body = br#"{"errors":[{"code":"X","message":"no\u001b[2J way"},{"code":"Y"}]}"#;
        assert_eq!(message(body), "no[2J way; ");
        assert_eq!(message(b"<html>"), "");
    }
}
