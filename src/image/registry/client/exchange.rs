//! One request and its answer: scheme, redirects, connections, patience.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::{Response, StatusCode, Uri};
use tokio::time::timeout;

use super::{ANSWER_MAX, Answer, Client, Known, Request};
use crate::image::registry::connect::{Connection, Endpoint, Scheme, Trust};
use crate::image::registry::error::RegistryError;

const REDIRECTS_MAX: usize = 5;

/// How often the bytes that were sent are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A registry may have to move a large blob before it answers: so many times its usual patience.
const DIGESTION: u32 = 10;

impl Client {
    /// TLS first; without it only where that is allowed, and only when TLS cannot be had.
    pub(super) async fn try_schemes(
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

    /// Follows redirects. Nobody but the host that was meant learns who we are.
    pub(super) async fn follow(
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
        let mut head = connection.request(request.method.clone(), endpoint, url);
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
}
