//! The body of a request: a few bytes, or a file that is read while it is sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::sync::mpsc;

/// Bytes that are read at once, and pieces on their way from the disk to the network.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

/// What is sent with a request.
pub(in crate::image) enum Body {
    /// All of it at once.
    Whole(Option<Bytes>),
    /// Pieces as they come, `left` bytes of them.
    Pieces {
        /// Where they come from; it is closed at the end.
        receiver: mpsc::Receiver<io::Result<Bytes>>,
        /// Bytes that are still to come.
        left: u64,
        /// Bytes that the network has taken, for whoever watches.
        taken: Arc<AtomicU64>,
    },
}

impl Body {
    /// A body of these bytes, which may be none.
    pub(super) fn of(bytes: &Bytes) -> Self {
        Self::Whole(Some(bytes.clone()).filter(|bytes| !bytes.is_empty()))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces { left: 0, .. } => Poll::Ready(None),
            Self::Pieces {
                receiver,
                left,
                taken,
            } => receiver.poll_recv(context).map(|piece| {
                // Fewer bytes than promised would leave the server waiting: break off instead.
                let piece = piece.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
                Some(piece.and_then(|piece| {
                    let length = piece.len() as u64;
                    *left = left.checked_sub(length).ok_or(io::ErrorKind::InvalidData)?;
                    taken.fetch_add(length, Ordering::Relaxed);
                    Ok(Frame::data(piece))
                }))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Pieces { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Pieces { left, .. } => *left,
        })
    }
}

/// What a request carries; it can be sent more than once.
#[derive(Clone)]
pub(in crate::image) enum Payload {
    /// A few bytes.
    Whole(Bytes),
    /// A part of a file.
    File {
        file: Arc<File>,
        offset: u64,
        length: u64,
        /// Bytes that the network has taken.
        taken: Arc<AtomicU64>,
    },
}

impl Payload {
    /// Whether sending it once more costs nothing.
    pub(super) fn is_short(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Bytes that the network has taken, and how many there are.
    pub(super) fn taken(&self) -> (Option<&AtomicU64>, u64) {
        match self {
            Self::Whole(_) => (None, 0),
            Self::File { taken, length, .. } => (Some(taken), *length),
        }
    }

    /// The body of one request. A file is read by a thread of its own, piece by piece.
    pub(super) fn open(&self) -> Body {
        match self {
            Self::Whole(bytes) => Body::of(bytes),
            Self::File {
                file,
                offset,
                length,
                taken,
            } => {
                taken.store(0, Ordering::Relaxed);
                let (sender, receiver) = mpsc::channel(PIECES);
                let (file, start, end) = (Arc::clone(file), *offset, offset + length);
                tokio::task::spawn_blocking(move || read_pieces(&file, (start, end), &sender));
                Body::Pieces {
                    receiver,
                    left: *length,
                    taken: Arc::clone(taken),
                }
            }
        }
    }
}

fn read_pieces(file: &File, (start, end): (u64, u64), sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut at = start;
    while at < end {
        let mut piece = vec![0; PIECE.min(usize::try_from(end - at).unwrap_or(PIECE))];
        let read = match file.read_at(&mut piece, at) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                piece.truncate(count);
                at += count as u64;
                Ok(piece.into())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = read.is_err();
        // When the request has ended, nobody wants the rest.
        if sender.blocking_send(read).is_err() || failed {
            return;
        }
    }
}
