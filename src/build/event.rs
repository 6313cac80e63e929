//! What a build tells about itself while it works.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A step, numbered in the order in which steps began.
pub type StepNumber = usize;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step begins.
    Began {
        /// Its number.
        step: StepNumber,
        /// `[build 2/4] RUN make`.
        name: String,
    },
    /// Output of a step, in the pieces in which it came.
    Output {
        /// Which step.
        step: StepNumber,
        /// Where it was written to.
        stream: Stream,
        /// Whatever it wrote: not always text.
        bytes: Vec<u8>,
    },
    /// A step has a word to say about how far it is.
    Status {
        /// Which step.
        step: StepNumber,
        /// `12.3MB / 40MB`.
        text: String,
    },
    /// A step ended.
    Ended {
        /// Which step.
        step: StepNumber,
        /// How.
        end: End,
        /// After how long.
        took: Duration,
    },
    /// Something to be said that is no step's.
    Warning {
        /// For people.
        text: String,
    },
}

/// Where output was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was done.
    Done,
    /// It was done by an earlier build.
    Cached,
    /// It failed.
    Failed(String),
    /// Another one failed, or a person interrupted.
    Canceled,
}

/// Where events go.
pub type Sink<'a> = &'a (dyn Fn(Event) + Sync);

/// Numbers steps and passes their events on.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    sink: Sink<'a>,
    last: &'a AtomicUsize,
}

impl<'a> Teller<'a> {
    pub(super) fn new(sink: Sink<'a>, last: &'a AtomicUsize) -> Self {
        Self { sink, last }
    }

    pub(super) fn begin(&self, name: impl Into<String>) -> Told<'a> {
        let step = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        (self.sink)(Event::Began {
            step,
            name: name.into(),
        });
        Told {
            sink: self.sink,
            step,
            began: Instant::now(),
            ended: false,
        }
    }

    pub(super) fn warn(&self, text: impl Into<String>) {
        (self.sink)(Event::Warning { text: text.into() });
    }
}

impl std::fmt::Debug for Teller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Teller")
    }
}

/// A step that has begun. Dropped without an end, it was canceled.
pub(super) struct Told<'a> {
    sink: Sink<'a>,
    step: StepNumber,
    began: Instant,
    ended: bool,
}

impl Told<'_> {
    pub(super) fn output(&self, stream: Stream, bytes: Vec<u8>) {
        (self.sink)(Event::Output {
            step: self.step,
            stream,
            bytes,
        });
    }

    pub(super) fn status(&self, text: impl Into<String>) {
        (self.sink)(Event::Status {
            step: self.step,
            text: text.into(),
        });
    }

    pub(super) fn end(mut self, end: End) {
        self.say(end);
    }

    /// The same for a result: what failed is said in one line.
    pub(super) fn result<T, E: std::fmt::Display>(self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.end(End::Done),
            Err(error) => self.end(End::Failed(error.to_string())),
        }
    }

    fn say(&mut self, end: End) {
        self.ended = true;
        (self.sink)(Event::Ended {
            step: self.step,
            end,
            took: self.began.elapsed(),
        });
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.say(End::Canceled);
        }
    }
}
