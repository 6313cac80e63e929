//! One blob: looked for, mounted, or sent, in one piece or in several, resumed where it broke off.
//!
//! Small blobs go in one request. Larger ones go as Docker sends them, one `PATCH` for all and a `PUT`
//! to end with; after a break the registry is asked how much it has (OCI distribution specification,
//! "Pushing a blob in chunks"). A server that takes no such long requests gets shorter ones.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hyper::header::{self, HeaderName};
use hyper::{Method, StatusCode};
use tokio::time::sleep;

use super::super::Error;
use super::super::digest::Digest;
use super::super::oci::Descriptor;
use super::super::progress::{Phase, Progress, ProgressSink};
use super::super::reference::Reference;
use super::super::registry::{Answer, Client, Failures, Payload, RegistryError, Request, query};

/// Blobs that go in a single request.
const SMALL: u64 = 1 << 20;
/// The length of pieces for a server that does not take all at once, and the shortest.
const PIECE: u64 = 32 << 20;
const PIECE_MIN: u64 = 1 << 20;

/// A blob to be sent.
pub(super) struct Upload<'a> {
    pub(super) client: &'a Client,
    pub(super) reference: &'a Reference,
    pub(super) path: PathBuf,
    pub(super) blob: &'a Descriptor,
    /// What the store has of it: the blob itself, or the plain archive in it.
    pub(super) layer: &'a Descriptor,
    /// Another repository of the registry that has it.
    pub(super) mount: Option<&'a str>,
    pub(super) progress: ProgressSink<'a>,
}

/// An upload that has been begun.
struct Session {
    location: String,
    /// Bytes that the registry has.
    done: u64,
}

/// What became of a try to begin.
enum Begun {
    Mounted,
    Session(Session),
}

/// What became of a piece.
enum Sent {
    More,
    Complete,
    /// The request was too long.
    TooLong,
}

impl Upload<'_> {
    fn tell(&self, phase: Phase) {
        (self.progress)(Progress {
            layer: Some(self.layer.digest),
            phase,
        });
    }

    pub(super) async fn run(self) -> Result<(), Error> {
        let missing = || Error::BlobMissing {
            image: Box::new(self.reference.clone()),
            digest: self.blob.digest,
        };
        let file = File::open(&self.path).map_err(|_| missing())?;
        let length = file.metadata().map_err(|_| missing())?.len();
        if length != self.blob.size {
            return Err(missing());
        }
        let phase = self.send(Arc::new(file)).await?;
        self.tell(phase);
        Ok(())
    }

    /// Whatever it takes; each failure costs a pause, and progress forgives the ones before.
    async fn send(&self, file: Arc<File>) -> Result<Phase, RegistryError> {
        let mut failures = Failures::default();
        let mut session = None;
        let mut piece = u64::MAX;
        let mut looked = false;
        loop {
            let before = session.as_ref().map_or(0, |session: &Session| session.done);
            let error = match self
                .step((&mut session, &mut looked), &file, &mut piece)
                .await
            {
                Ok(Some(phase)) => return Ok(phase),
                Ok(None) => continue,
                Err(error) => error,
            };
            self.rest(&mut failures, error).await?;
            if let Some(known) = session.take() {
                session = self.ask_again(known).await;
                if session
                    .as_ref()
                    .is_some_and(|session| session.done > before)
                {
                    failures.forget();
                }
            }
        }
    }

    /// Waits before the next try, if there is to be one.
    async fn rest(
        &self,
        failures: &mut Failures,
        error: RegistryError,
    ) -> Result<(), RegistryError> {
        tracing::debug!(blob = %self.blob.digest, %error, "an upload broke off");
        let pause = failures.pause(error)?;
        self.tell(Phase::Retrying {
            attempt: failures.attempt(),
        });
        sleep(pause).await;
        Ok(())
    }

    /// Gets the blob to the registry without sending it, if it has it.
    pub(super) async fn find(&self) -> Result<Option<Phase>, RegistryError> {
        let mut failures = Failures::default();
        loop {
            match self.look().await {
                Ok(found) => return Ok(found),
                Err(error) => self.rest(&mut failures, error).await?,
            }
        }
    }

    async fn look(&self) -> Result<Option<Phase>, RegistryError> {
        if self.is_there().await? {
            return Ok(Some(Phase::Present));
        }
        if self.mount.is_none() {
            return Ok(None);
        }
        match self.begin().await? {
            Begun::Mounted => Ok(Some(Phase::Mounted)),
            Begun::Session(session) => {
                self.give_up(&session).await;
                Ok(None)
            }
        }
    }

    /// An upload that is not wanted goes by itself some day; this is only kinder.
    async fn give_up(&self, session: &Session) {
        let request = Request::new(Method::DELETE);
        if let Ok(answer) = self.client.ask_at(&session.location, &request).await {
            self.client.end(answer).await;
        }
    }

    /// One request on the way; the phase that it ends in, when it is the last.
    async fn step(
        &self,
        (session, looked): (&mut Option<Session>, &mut bool),
        file: &Arc<File>,
        piece: &mut u64,
    ) -> Result<Option<Phase>, RegistryError> {
        if !*looked {
            if self.is_there().await? {
                return Ok(Some(Phase::Present));
            }
            *looked = true;
        }
        let Some(known) = session else {
            match self.begin().await? {
                Begun::Mounted => return Ok(Some(Phase::Mounted)),
                Begun::Session(begun) => *session = Some(begun),
            }
            return Ok(None);
        };
        let whole = known.done == 0 && self.blob.size <= SMALL;
        let sent = match whole || known.done >= self.blob.size {
            true => self.finish(known, file).await?,
            false => self.send_piece(known, file, *piece).await?,
        };
        match sent {
            Sent::Complete => Ok(Some(Phase::Sent)),
            Sent::More => Ok(None),
            Sent::TooLong => {
                *piece = match *piece {
                    u64::MAX => PIECE,
                    known => (known / 4).max(PIECE_MIN),
                };
                // Some count a refused request as a part of the upload: begin anew.
                *session = None;
                Ok(None)
            }
        }
    }

    async fn is_there(&self) -> Result<bool, RegistryError> {
        let path = format!("blobs/{}", self.blob.digest);
        let answer = self.client.ask(&path, &Request::new(Method::HEAD)).await?;
        let status = answer.status;
        if status == StatusCode::UNAUTHORIZED
            || status == StatusCode::TOO_MANY_REQUESTS
            || status.is_server_error()
        {
            return Err(self.client.refused(answer, &path).await);
        }
        self.client.end(answer).await;
        Ok(status == StatusCode::OK)
    }

    async fn begin(&self) -> Result<Begun, RegistryError> {
        let path = match self.mount {
            None => "blobs/uploads/".to_owned(),
            Some(from) => {
                let digest = self.blob.digest.to_string();
                let parts = [("mount", digest), ("from", from.to_owned())];
                format!("blobs/uploads/?{}", query(&parts))
            }
        };
        let answer = self.client.ask(&path, &Request::new(Method::POST)).await?;
        match answer.status {
            StatusCode::CREATED if self.mount.is_some() => {
                self.client.end(answer).await;
                Ok(Begun::Mounted)
            }
            StatusCode::ACCEPTED => {
                let location = self.location(&answer)?;
                self.client.end(answer).await;
                Ok(Begun::Session(Session { location, done: 0 }))
            }
            _ => Err(self.client.refused(answer, &path).await),
        }
    }

    fn location(&self, answer: &Answer) -> Result<String, RegistryError> {
        let location = answer.header(header::LOCATION).map(str::to_owned);
        location.ok_or_else(|| self.client.protocol("it does not say where an upload goes"))
    }

    async fn send_piece(
        &self,
        session: &mut Session,
        file: &Arc<File>,
        most: u64,
    ) -> Result<Sent, RegistryError> {
        let start = session.done;
        let length = (self.blob.size - start).min(most);
        let mut headers = octets();
        if start > 0 || length < self.blob.size {
            let range = format!("{start}-{}", start + length - 1);
            headers.push((header::CONTENT_RANGE, range));
        }
        let watch = |sent: u64| self.tell_sent(start + sent);
        let request = Request {
            method: Method::PATCH,
            headers,
            payload: self.payload(file, (start, length)),
            watch: Some(&watch),
        };
        let answer = self.client.ask_at(&session.location, &request).await?;
        match answer.status {
            StatusCode::ACCEPTED | StatusCode::CREATED | StatusCode::NO_CONTENT => {}
            StatusCode::PAYLOAD_TOO_LARGE if length > PIECE_MIN => {
                self.client.end(answer).await;
                return Ok(Sent::TooLong);
            }
            _ => return Err(self.client.refused(answer, "blobs/uploads/").await),
        }
        session.location = self.location(&answer)?;
        let done = received(&answer).unwrap_or(start + length);
        self.client.end(answer).await;
        if done <= start || done > self.blob.size {
            return Err(self.client.protocol("it has not got what was sent to it"));
        }
        session.done = done;
        self.tell_sent(done);
        Ok(Sent::More)
    }

    /// Ends an upload; of a small blob, with all of it.
    async fn finish(&self, session: &mut Session, file: &Arc<File>) -> Result<Sent, RegistryError> {
        let separator = if session.location.contains('?') {
            '&'
        } else {
            '?'
        };
        let digest = query(&[("digest", self.blob.digest.to_string())]);
        let location = format!("{}{separator}{digest}", session.location);
        let rest = (session.done, self.blob.size - session.done);
        let request = Request {
            method: Method::PUT,
            headers: octets(),
            payload: self.payload(file, rest),
            watch: None,
        };
        let answer = self.client.ask_at(&location, &request).await?;
        match answer.status {
            StatusCode::CREATED | StatusCode::NO_CONTENT | StatusCode::OK => {}
            _ => return Err(self.client.refused(answer, "blobs/uploads/").await),
        }
        check_digest(&answer, &self.blob.digest)?;
        self.client.end(answer).await;
        self.tell_sent(self.blob.size);
        Ok(Sent::Complete)
    }

    fn tell_sent(&self, done: u64) {
        let total = self.layer.size;
        let done = match self.layer.digest == self.blob.digest {
            true => done,
            // Half of the work was to compress it.
            false => total / 2 + scaled(done, self.blob.size, total - total / 2),
        };
        self.tell(Phase::Transfer {
            done,
            total: Some(total),
        });
    }

    fn payload(&self, file: &Arc<File>, (offset, length): (u64, u64)) -> Payload {
        Payload::File {
            file: Arc::clone(file),
            offset,
            length,
            taken: Arc::new(AtomicU64::new(0)),
        }
    }

    /// How much the registry has of an upload that broke off; `None` = it has forgotten it.
    async fn ask_again(&self, session: Session) -> Option<Session> {
        let request = Request::new(Method::GET);
        let answer = self.client.ask_at(&session.location, &request).await.ok()?;
        let known =
            answer.status == StatusCode::NO_CONTENT || answer.status == StatusCode::ACCEPTED;
        let location = answer.header(header::LOCATION).map(str::to_owned);
        let done = received(&answer).unwrap_or(0);
        self.client.end(answer).await;
        (known && done <= self.blob.size).then(|| Session {
            location: location.unwrap_or(session.location),
            done,
        })
    }
}

/// The same part of `whole` as `done` is of `total`.
fn scaled(done: u64, total: u64, whole: u64) -> u64 {
    let part = u128::from(done) * u128::from(whole) / u128::from(total.max(1));
    u64::try_from(part).map_or(whole, |part| part.min(whole))
}

fn octets() -> Vec<(HeaderName, String)> {
    vec![(header::CONTENT_TYPE, "application/octet-stream".to_owned())]
}

/// Bytes that a registry says it has: `Range: 0-<last byte>`. Of none it says `0-0`, as of one.
fn received(answer: &Answer) -> Option<u64> {
    let range = answer.header(header::RANGE)?;
    let range = range.trim().trim_start_matches("bytes=");
    let (start, last) = range.split_once('-')?;
    let (start, last): (u64, u64) = (start.parse().ok()?, last.parse().ok()?);
    match (start, last) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

/// A registry may say what it has understood.
pub(super) fn check_digest(answer: &Answer, expected: &Digest) -> Result<(), RegistryError> {
    let said = answer.header(HeaderName::from_static("docker-content-digest"));
    match said.and_then(|said| said.parse::<Digest>().ok()) {
        Some(actual) if actual != *expected => Err(RegistryError::Mismatch {
            expected: *expected,
            actual,
        }),
        _ => Ok(()),
    }
}
