//! What is happening to networks, volumes, images and containers, as it happens.
//!
//! Shows each subject once, in the order in which something first happened to it: as a tree that is drawn
//! over, as lines, or as JSON. Never on standard output, which is for data, unless the user asks for that.

mod plain;
mod tree;

use std::time::{Duration, Instant};

use crate::control;

use super::terminal::{Out, Paint, Terminal, size};
use tree::Tree;

/// Time between two drawings of the tree.
const FRAME: Duration = Duration::from_millis(80);

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum ProgressMode {
    /// A live tree on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// A live tree.
    Tty,
    /// A line for each change.
    Plain,
    /// A JSON object for each change.
    Json,
    /// Nothing.
    #[value(alias = "none")]
    Quiet,
}

/// Bytes that have come of those that are to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Transfer {
    /// Bytes so far.
    pub(crate) done: u64,
    /// Bytes in all; 0 = not known yet.
    pub(crate) total: u64,
}

/// Shows progress, on standard error unless `COMPOSE_STATUS_STDOUT` says otherwise.
#[derive(Debug)]
pub(crate) enum Progress {
    /// A tree that is drawn over.
    Live(Live),
    /// Lines.
    Plain(Out),
    /// JSON lines.
    Json(Out),
    /// Nothing.
    Quiet,
}

/// A tree on the terminal.
#[derive(Debug)]
pub(crate) struct Live {
    tree: Tree,
    paint: Paint,
    out: Out,
    began: Instant,
    drawn: Option<Instant>,
    /// Lines on the screen that belong to the tree.
    lines: usize,
    dirty: bool,
}

impl Progress {
    /// Progress under this title (`up`).
    pub(crate) fn new(mode: ProgressMode, terminal: Terminal, title: &str) -> Self {
        match mode {
            ProgressMode::Quiet => Self::Quiet,
            ProgressMode::Json => Self::Json(terminal.status),
            ProgressMode::Plain => Self::Plain(terminal.status),
            ProgressMode::Auto if !terminal.live => Self::Plain(terminal.status),
            ProgressMode::Auto | ProgressMode::Tty => Self::Live(Live {
                tree: Tree::new(title),
                paint: terminal.stderr,
                out: terminal.status,
                began: Instant::now(),
                drawn: None,
                lines: 0,
                dirty: false,
            }),
        }
    }

    /// Something changed.
    pub(crate) fn update(&mut self, change: &control::Progress) {
        match self {
            Self::Live(live) => {
                live.tree.update(change, live.began.elapsed());
                live.dirty = true;
                live.draw_if_due();
            }
            Self::Plain(out) => out.say(&plain::line(change)),
            Self::Json(out) => out.say(&plain::json(change, false)),
            Self::Quiet => {}
        }
    }

    /// Something would change.
    pub(crate) fn rehearse(&mut self, change: &control::Progress) {
        match self {
            Self::Live(Live { out, .. }) => out.say(&plain::rehearsed(change)),
            Self::Plain(out) => out.say(&plain::line(change)),
            Self::Json(out) => out.say(&plain::json(change, true)),
            Self::Quiet => {}
        }
    }

    /// Bytes of an image have come.
    pub(crate) fn transfer(&mut self, image: &str, transfer: Transfer) {
        if let Self::Live(live) = self {
            live.tree.transfer(image, transfer);
            live.dirty = true;
            live.draw_if_due();
        }
    }

    /// When to call [`Progress::tick`] next; `None` = never.
    pub(crate) fn frame(&self) -> Option<Duration> {
        matches!(self, Self::Live(live) if live.tree.is_busy()).then_some(FRAME)
    }

    /// Draws what moves by itself.
    pub(crate) fn tick(&mut self) {
        if let Self::Live(live) = self {
            live.dirty = true;
            live.draw_if_due();
        }
    }

    /// Writes something else to the terminal, above the tree.
    pub(crate) fn above<T>(&mut self, write: impl FnOnce() -> T) -> T {
        if let Self::Live(live) = self {
            live.erase();
        }
        let result = write();
        if let Self::Live(live) = self {
            live.draw_if_due();
        }
        result
    }

    /// Says something that happened to no object of the tree.
    pub(crate) fn note(&mut self, text: &str) {
        let out = match self {
            Self::Live(Live { out, .. }) | Self::Plain(out) | Self::Json(out) => *out,
            Self::Quiet => return,
        };
        self.above(|| out.say(text));
    }

    /// Says that all is being stopped, and why.
    pub(crate) fn stopping(&mut self, why: &str) {
        match self {
            Self::Live(_) => self.note(why),
            Self::Plain(out) => out.say(&plain::stopping(why)),
            Self::Json(out) => out.say(&plain::json_stopping(why)),
            Self::Quiet => {}
        }
    }

    /// What follows goes under another title.
    pub(crate) fn begin(&mut self, title: &str) {
        if let Self::Live(live) = self {
            live.finish();
            live.tree.rename(title);
        }
    }

    /// Draws the last state. More may follow: it is then drawn anew below.
    pub(crate) fn finish(&mut self) {
        if let Self::Live(live) = self {
            live.finish();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Live {
    fn draw_if_due(&mut self) {
        // The first frame waits too: what is done within it is drawn once, at the end.
        let last = self.drawn.unwrap_or(self.began);
        if self.dirty && last.elapsed() >= FRAME {
            self.draw(true);
        }
    }

    /// One write for the whole frame, so that no terminal shows half of it.
    fn draw(&mut self, bounded: bool) {
        let (columns, rows) = size();
        let rows = if bounded {
            rows.saturating_sub(1)
        } else {
            usize::MAX
        };
        let lines = self
            .tree
            .lines(self.began.elapsed(), (columns, rows), self.paint);
        let mut frame = String::new();
        if self.lines > 0 {
            frame.push_str(&format!("\x1b[{}A\r", self.lines));
        }
        for line in &lines {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
        }
        if lines.len() < self.lines {
            frame.push_str("\x1b[J");
        }
        self.out.write(&frame);
        self.lines = lines.len();
        self.drawn = Some(Instant::now());
        self.dirty = false;
    }

    fn erase(&mut self) {
        if self.lines > 0 {
            self.out.write(&format!("\x1b[{}A\r\x1b[J", self.lines));
            self.lines = 0;
            self.dirty = true;
        }
    }

    fn finish(&mut self) {
        let is_drawn = !self.dirty && self.lines == self.tree.len() + 1;
        if self.tree.len() > 0 && !is_drawn {
            // From here on nothing is drawn over, so all of it may scroll.
            self.erase();
            self.draw(false);
        }
        self.lines = 0;
        self.dirty = false;
        self.tree.clear();
    }
}
