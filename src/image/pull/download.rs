//! One layer: fetched, verified and unpacked as one stream, resumed where it broke off.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Buf, Bytes};
use hyper::header;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::super::digest::Digest;
use super::super::error::{Error, LayerSource};
use super::super::layer::{Blob, LayerError};
use super::super::oci::Descriptor;
use super::super::progress::{Phase, Progress, ProgressSink};
use super::super::store::{ImageStore, Lock};
use super::client::{Client, PATIENCE};
use super::error::RegistryError;

/// Attempts without any progress in between.
const ATTEMPTS: u32 = 5;
/// The pause after the first failure; it doubles.
const PAUSE: Duration = Duration::from_millis(300);
/// Pieces on their way from the network to the disk.
const PIECES: usize = 32;
/// Time between two looks at a layer that another process is fetching.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A layer to be fetched.
pub(super) struct Download<'a> {
    pub(super) store: &'a ImageStore,
    pub(super) client: &'a Client<'a>,
    pub(super) layer: &'a Descriptor,
    pub(super) diff_id: Digest,
    pub(super) progress: ProgressSink<'a>,
    /// Says that something is coming in; the thread that unpacks may outlive the future.
    pub(super) coming: Arc<Lock>,
}

impl Download<'_> {
    fn tell(&self, phase: Phase) {
        (self.progress)(Progress {
            layer: Some(self.layer.digest),
            phase,
        });
    }

    /// Brings the layer into the store unless it is there, or comes there by another process.
    pub(super) async fn run(self) -> Result<(), Error> {
        let _mine = loop {
            if self.store.has_layer_and_blob(self.layer, &self.diff_id)? {
                self.tell(Phase::Present);
                return Ok(());
            }
            match self.store.claim_layer(&self.diff_id)? {
                Some(lock) => break lock,
                None => sleep(LOOK_AGAIN).await,
            }
        };
        // It may have been finished between the look and the lock.
        if self.store.has_layer_and_blob(self.layer, &self.diff_id)? {
            self.tell(Phase::Present);
            return Ok(());
        }
        self.fetch().await?;
        self.tell(Phase::Unpacked);
        Ok(())
    }

    async fn fetch(&self) -> Result<(), Error> {
        let (sender, receiver) = mpsc::channel(PIECES);
        let (store, layer, diff_id) = (self.store.clone(), self.layer.clone(), self.diff_id);
        let coming = Arc::clone(&self.coming);
        let unpacking = tokio::task::spawn_blocking(move || {
            let _coming = coming;
            let source = LayerSource::Blob(layer.digest);
            let (unfinished, ingested) =
                store.receive(Pieces::new(receiver), Blob::AsIs, &source)?;
            ingested
                .verify(&layer, &diff_id)
                .map_err(Error::layer(source))?;
            store.install(&unfinished, &ingested)
        });
        let fetched = self.transfer(sender).await;
        let unpacked = unpacking.await.unwrap_or_else(|_| {
            let source = LayerError::Io {
                action: "unpack",
                path: self.store.layer_path(&self.diff_id),
                source: io::Error::other("the thread that unpacks has ended"),
            };
            Err(Error::layer(LayerSource::Blob(self.layer.digest))(source))
        });
        // When the network failed, the unpacking could only fail as well.
        fetched?;
        unpacked
    }

    /// Sends every byte of the blob, however many connections it takes.
    async fn transfer(&self, sender: mpsc::Sender<Option<Bytes>>) -> Result<(), Error> {
        let mut done = 0;
        let mut failures = 0;
        loop {
            let before = done;
            match self.transfer_from(&mut done, &sender).await {
                Ok(Transfer::Complete) => {
                    // Only this says that there is no more: a sender that is dropped says nothing.
                    let _ = sender.send(None).await;
                    return Ok(());
                }
                // Its own error is the one to tell.
                Ok(Transfer::NobodyListens) => return Ok(()),
                Err(error) if !error.is_transient() => return Err(error.into()),
                Err(error) => {
                    failures = if done > before { 1 } else { failures + 1 };
                    if failures >= ATTEMPTS {
                        return Err(error.into());
                    }
                    tracing::debug!(layer = %self.layer.digest, %error, done, "a transfer broke off");
                    self.tell(Phase::Retrying {
                        attempt: failures + 1,
                    });
                    sleep(pause(failures)).await;
                }
            }
        }
    }

    async fn transfer_from(
        &self,
        done: &mut u64,
        sender: &mpsc::Sender<Option<Bytes>>,
    ) -> Result<Transfer, RegistryError> {
        let range = (*done > 0).then(|| (header::RANGE, format!("bytes={done}-")));
        let path = format!("blobs/{}", self.layer.digest);
        let mut answer = self.client.get(&path, range.as_slice()).await?;
        // A server that knows no ranges sends all of it again.
        let mut skip = if answer.status == StatusCode::PARTIAL_CONTENT {
            0
        } else {
            *done
        };
        let broken = |source| RegistryError::Unreachable {
            registry: self.client.registry().to_owned(),
            source,
        };
        while *done < self.layer.size {
            let late = |_| broken("the transfer stands still".into());
            let frame = timeout(PATIENCE, answer.body.frame()).await.map_err(late)?;
            let frame = frame.ok_or_else(|| broken("the transfer broke off".into()))?;
            let Ok(mut data) = frame.map_err(|error| broken(error.into()))?.into_data() else {
                continue;
            };
            let skipped = skip.min(data.len() as u64);
            data.advance(usize::try_from(skipped).unwrap_or(data.len()));
            skip -= skipped;
            // More than was promised is none of the layer's; the digest decides about the rest.
            data.truncate(usize::try_from(self.layer.size - *done).unwrap_or(usize::MAX));
            if data.is_empty() {
                continue;
            }
            *done += data.len() as u64;
            if sender.send(Some(data)).await.is_err() {
                return Ok(Transfer::NobodyListens);
            }
            self.tell(Phase::Transfer {
                done: *done,
                total: Some(self.layer.size),
            });
        }
        self.finish(answer).await;
        Ok(Transfer::Complete)
    }

    /// The end of the body has to be seen before the connection can be used again.
    async fn finish(&self, mut answer: super::client::Answer) {
        if let Ok(None) = timeout(Duration::from_secs(1), answer.body.frame()).await {
            self.client.done(answer);
        }
    }
}

enum Transfer {
    Complete,
    /// The thread that unpacks has ended, with an error of its own.
    NobodyListens,
}

/// Doubling pauses, a bit random so that many do not come back at once.
pub(super) fn pause(failures: u32) -> Duration {
    PAUSE * 2_u32.pow(failures.clamp(1, 6) - 1) + Duration::from_millis(fastrand::u64(0..100))
}

/// The pieces from the network as a reader, for the thread that unpacks.
struct Pieces {
    receiver: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    ended: bool,
}

impl Pieces {
    fn new(receiver: mpsc::Receiver<Option<Bytes>>) -> Self {
        Self {
            receiver,
            current: Bytes::new(),
            ended: false,
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Some(piece)) => self.current = piece,
                Some(None) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, Aborted)),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[derive(Debug)]
struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transfer was given up")
    }
}

impl std::error::Error for Aborted {}
