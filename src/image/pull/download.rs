//! One layer: fetched, verified and unpacked as one stream, resumed where it broke off.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
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
use super::super::layer::{Chunks, LayerError};
use super::super::oci::Descriptor;
use super::super::progress::{Phase, Progress, ProgressSink};
use super::super::registry::{Answer, Client, Failures, RegistryError};
use super::super::store::{ImageStore, Lock};

/// Pieces on their way from the network to the disk.
const PIECES: usize = 32;
/// Bytes that are read at once of what is there already.
const PIECE: usize = 256 << 10;
/// Time between two looks at a layer that another process is fetching.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// gzip makes a thousand bytes of one at most, and that of nothing but zeros.
const RATIO_MAX: u64 = 2000;
/// Layers may unpack to so much whatever their size.
const UNPACKED_MIN: u64 = 4 << 30;

/// A layer to be fetched.
pub(super) struct Download<'a> {
    pub(super) store: &'a ImageStore,
    /// Who has it; the next one is asked when one fails.
    pub(super) sources: &'a [Client],
    pub(super) layer: &'a Descriptor,
    /// Most bytes that it may unpack to; 0 = as its size lets one expect.
    pub(super) layer_max: u64,
    pub(super) diff_id: Digest,
    pub(super) progress: ProgressSink<'a>,
    /// Says that something is coming in; the thread that unpacks may outlive the future.
    pub(super) coming: Arc<Lock>,
}

/// What became of an attempt.
struct Fetched {
    result: Result<(), Error>,
    /// Bytes that were there before.
    kept: u64,
    /// It was the network's fault: what has come is good.
    by_network: bool,
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
        let mine = loop {
            if self.store.has_layer_and_blob(self.layer, &self.diff_id)? {
                self.tell(Phase::Present);
                return Ok(());
            }
            match self.store.claim_blob(&self.layer.digest)? {
                Some(lock) => break Arc::new(lock),
                None => {
                    self.tell(Phase::Elsewhere {
                        done: self.store.partial_length(&self.layer.digest),
                        total: self.layer.size,
                    });
                    sleep(LOOK_AGAIN).await;
                }
            }
        };
        // It may have been finished between the look and the lock.
        if self.store.has_layer_and_blob(self.layer, &self.diff_id)? {
            self.tell(Phase::Present);
            return Ok(());
        }
        let mut fetched = self.fetch(&mine).await?;
        // What was there may have been damaged, by a power cut for one: then it is fetched whole.
        if fetched.result.is_err() && !fetched.by_network && fetched.kept > 0 {
            tracing::debug!(layer = %self.layer.digest, "the part that was there is of no use");
            fetched = self.fetch(&mine).await?;
        }
        fetched.result?;
        self.tell(Phase::Unpacked);
        Ok(())
    }

    fn most(&self) -> u64 {
        match self.layer_max {
            0 => self.layer.size.saturating_mul(RATIO_MAX).max(UNPACKED_MIN),
            most => most,
        }
    }

    async fn fetch(&self, mine: &Arc<Lock>) -> Result<Fetched, Error> {
        let partial = self.store.partial(&self.layer.digest, self.layer.size)?;
        let kept = partial.kept;
        let (sender, receiver) = mpsc::channel(PIECES);
        let (store, layer, diff_id) = (self.store.clone(), self.layer.clone(), self.diff_id);
        let most = self.most();
        let held = (Arc::clone(&self.coming), Arc::clone(mine));
        let unpacking = tokio::task::spawn_blocking(move || {
            let _held = held;
            let pieces = Pieces {
                before: Some((partial.reader, partial.kept)),
                receiver,
                ended: false,
            };
            let sink = (partial.writer, partial.path.as_path(), partial.kept);
            let (unfinished, ingested) = store.receive_blob(pieces, sink, (&layer, most))?;
            ingested
                .verify(&layer, &diff_id)
                .map_err(Error::layer(LayerSource::Blob(layer.digest)))?;
            store.install_with(&unfinished, &partial.path, &ingested)
        });
        let fetched = self.transfer(kept, sender).await;
        let unpacked = unpacking.await.unwrap_or_else(|_| {
            let source = LayerError::Io {
                action: "unpack",
                path: self.store.layer_path(&self.diff_id),
                source: io::Error::other("the thread that unpacks has ended"),
            };
            Err(Error::layer(LayerSource::Blob(self.layer.digest))(source))
        });
        // When the network failed, the unpacking could only fail as well.
        let by_network = fetched.is_err();
        let nothing = self.store.partial_length(&self.layer.digest) == 0;
        if unpacked.is_err() && (!by_network || nothing) {
            self.store.discard_partial(&self.layer.digest);
        }
        Ok(Fetched {
            result: fetched.map_err(Error::from).and(unpacked),
            kept,
            by_network,
        })
    }

    /// Sends every byte of the blob, however many connections and sources it takes.
    async fn transfer(
        &self,
        kept: u64,
        sender: mpsc::Sender<Option<Bytes>>,
    ) -> Result<(), RegistryError> {
        let mut done = kept;
        let mut failures = Failures::default();
        let mut source = 0;
        while done < self.layer.size {
            let before = done;
            let error = match self.transfer_from(source, &mut done, &sender).await {
                Ok(Transfer::Complete) => break,
                // Its own error is the one to tell.
                Ok(Transfer::NobodyListens) => return Ok(()),
                Err(error) => error,
            };
            if done > before {
                failures.forget();
            }
            tracing::debug!(layer = %self.layer.digest, %error, done, "a transfer broke off");
            match failures.pause(error) {
                Ok(pause) => {
                    self.tell(Phase::Retrying {
                        attempt: failures.attempt(),
                    });
                    sleep(pause).await;
                }
                Err(_) if source + 1 < self.sources.len() => {
                    source += 1;
                    failures.forget();
                }
                Err(error) => return Err(error),
            }
        }
        // Only this says that there is no more: a sender that is dropped says nothing.
        let _ = sender.send(None).await;
        Ok(())
    }

    async fn transfer_from(
        &self,
        source: usize,
        done: &mut u64,
        sender: &mpsc::Sender<Option<Bytes>>,
    ) -> Result<Transfer, RegistryError> {
        let client = &self.sources[source];
        let range = (*done > 0).then(|| (header::RANGE, format!("bytes={done}-")));
        let path = format!("blobs/{}", self.layer.digest);
        let mut answer = client.get(&path, range.as_slice()).await?;
        let mut skip = skipped(&answer, *done).map_err(|what| client.protocol(what))?;
        let broken = |source| RegistryError::Unreachable {
            registry: client.registry().to_owned(),
            source,
        };
        while *done < self.layer.size {
            let late = |_| broken("the transfer stands still".into());
            let frame = timeout(client.patience, answer.body.frame())
                .await
                .map_err(late)?;
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
        finish(client, answer).await;
        Ok(Transfer::Complete)
    }
}

/// Bytes of an answer that are there already. A server that knows no ranges sends all of it again.
fn skipped(answer: &Answer, done: u64) -> Result<u64, &'static str> {
    if answer.status != StatusCode::PARTIAL_CONTENT {
        return Ok(done);
    }
    let range = answer.header(header::CONTENT_RANGE);
    let start = range.and_then(|range| {
        let range = range.trim().strip_prefix("bytes")?.trim_start();
        range.split('-').next()?.parse::<u64>().ok()
    });
    match start {
        // Some leave the header out; the digest decides.
        None => Ok(0),
        Some(start) => done
            .checked_sub(start)
            .ok_or("it sends another part than was asked for"),
    }
}

/// The end of the body has to be seen before the connection can be used again.
async fn finish(client: &Client, mut answer: Answer) {
    if let Ok(None) = timeout(Duration::from_secs(1), answer.body.frame()).await {
        client.done(answer);
    }
}

enum Transfer {
    Complete,
    /// The thread that unpacks has ended, with an error of its own.
    NobodyListens,
}

/// What is there of a blob and then what comes from the network, for the thread that unpacks.
struct Pieces {
    /// A file, and the bytes that are left of it.
    before: Option<(File, u64)>,
    receiver: mpsc::Receiver<Option<Bytes>>,
    ended: bool,
}

impl Chunks for Pieces {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some((file, left)) = &mut self.before {
            if *left > 0 {
                let length = usize::try_from(*left).unwrap_or(PIECE).min(PIECE);
                let mut piece = vec![0; length];
                file.read_exact(&mut piece)?;
                *left -= length as u64;
                return Ok(Some(piece.into()));
            }
            self.before = None;
        }
        if self.ended {
            return Ok(None);
        }
        match self.receiver.blocking_recv() {
            Some(Some(piece)) => Ok(Some(piece)),
            Some(None) => {
                self.ended = true;
                Ok(None)
            }
            None => Err(io::Error::new(io::ErrorKind::ConnectionAborted, Aborted)),
        }
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
