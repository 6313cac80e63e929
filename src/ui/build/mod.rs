//! How a build goes on: lines as BuildKit prints them, or a live tree.
//!
//! Turns the build's [`Event`]s into text for standard error, and never asks the build anything: whoever
//! shows nothing loses nothing.

mod plain;
mod tree;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::build::{End, Event};

use super::progress::ProgressMode;
use super::terminal::{Paint, Terminal, size};
use super::text::{output_line, width};
use plain::Plain;
use tree::Tree;

/// Time between two drawings of the tree.
const FRAME: Duration = Duration::from_millis(80);

/// Shows a build on standard error.
#[derive(Debug)]
pub(crate) enum BuildView {
    /// A tree that is drawn over.
    Live(Box<Live>),
    /// Lines.
    Plain(Plain),
    /// Nothing.
    Quiet,
}

/// A build as lines, for whoever shows them himself.
#[derive(Debug, Default)]
pub(crate) struct BuildLines(Plain);

impl BuildLines {
    /// The lines that an event becomes.
    pub(crate) fn take(&mut self, event: &Event) -> Vec<String> {
        let mut out = String::new();
        self.0.take(event, &mut out);
        out.lines().map(str::to_owned).collect()
    }
}

/// A tree on the terminal.
#[derive(Debug)]
pub(crate) struct Live {
    tree: Tree,
    paint: Paint,
    began: Instant,
    drawn: Option<Instant>,
    /// Columns of each line on the screen that belongs to the tree.
    lines: Vec<usize>,
}

impl BuildView {
    pub(crate) fn new(mode: ProgressMode, terminal: Terminal) -> Self {
        let live = match mode {
            ProgressMode::Quiet => return Self::Quiet,
            ProgressMode::Tty => true,
            ProgressMode::Auto => terminal.live,
            ProgressMode::Plain | ProgressMode::Json => false,
        };
        if !live {
            return Self::Plain(Plain::default());
        }
        Self::Live(Box::new(Live {
            tree: Tree::default(),
            paint: terminal.stderr,
            began: Instant::now(),
            drawn: None,
            lines: Vec::new(),
        }))
    }

    /// Something happened.
    pub(crate) fn take(&mut self, event: &Event) {
        match self {
            Self::Live(live) => live.take(event),
            Self::Plain(plain) => {
                let mut out = String::new();
                plain.take(event, &mut out);
                write_all(&out);
            }
            Self::Quiet => {}
        }
    }

    /// Draws what moves by itself; call it every [`BuildView::frame`].
    pub(crate) fn tick(&mut self) {
        if let Self::Live(live) = self {
            live.draw(Bound::Screen);
        }
    }

    /// When to call [`BuildView::tick`]; `None` = never.
    pub(crate) fn frame(&self) -> Option<Duration> {
        matches!(self, Self::Live(_)).then_some(FRAME)
    }

    /// Draws the last state.
    pub(crate) fn finish(&mut self) {
        if let Self::Live(live) = self {
            live.tree.settle();
            live.draw(Bound::None);
            live.lines.clear();
        }
    }
}

/// How many lines a drawing may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Screen,
    None,
}

impl Live {
    fn take(&mut self, event: &Event) {
        if let Event::Warning { text } = event {
            self.erase();
            Terminal::say(&format!(
                "{} {text}",
                self.paint.paint(super::Style::CARE_BOLD, "warning:")
            ));
        }
        self.tree.take(event, self.began.elapsed());
        let failed = matches!(
            event,
            Event::Ended {
                end: End::Failed(_),
                ..
            }
        );
        let due = self.drawn.unwrap_or(self.began).elapsed() >= FRAME;
        if due || failed {
            self.draw(Bound::Screen);
        }
    }

    /// One write for the whole frame, so that no terminal shows half of it.
    fn draw(&mut self, bound: Bound) {
        let (columns, rows) = size();
        let rows = match bound {
            Bound::Screen => rows.saturating_sub(1).max(3),
            Bound::None => usize::MAX,
        };
        let lines = self
            .tree
            .lines(self.began.elapsed(), (columns, rows), self.paint);
        let above = rows_taken(&self.lines, columns);
        let mut frame = String::new();
        if above > 0 {
            frame.push_str(&format!("\x1b[{above}A\r"));
        }
        for line in &lines {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
        }
        if lines.len() < above {
            frame.push_str("\x1b[J");
        }
        write_all(&frame);
        self.lines = lines.iter().map(|line| width(&output_line(line))).collect();
        self.drawn = Some(Instant::now());
    }

    fn erase(&mut self) {
        let above = rows_taken(&self.lines, size().0);
        if above > 0 {
            write_all(&format!("\x1b[{above}A\r\x1b[J"));
            self.lines.clear();
        }
    }
}

/// Rows that lines of these widths take on a terminal of so many columns. One that became narrower since
/// they were drawn has wrapped them.
fn rows_taken(widths: &[usize], columns: usize) -> usize {
    let rows = |width: &usize| width.div_ceil(columns.max(1)).max(1);
    widths.iter().map(rows).sum()
}

fn write_all(text: &str) {
    // Progress that cannot be shown is no reason to fail.
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

#[cfg(test)]
mod tests {
    use super::rows_taken;

    #[test]
    fn lines_that_a_narrower_terminal_has_wrapped_are_drawn_over_whole() {
        for (widths, columns, rows) in [
            (&[80, 80, 20][..], 80, 3),
            (&[80, 80, 20], 40, 5),
            (&[80, 41, 0], 40, 5),
            (&[80], 120, 1),
            (&[], 80, 0),
            (&[7], 0, 7),
        ] {
            assert_eq!(rows_taken(widths, columns), rows, "{widths:?} {columns}");
        }
    }
}
