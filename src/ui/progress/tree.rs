//! Progress as a picture: pure, so that a test can look at any moment of it.

use std::time::Duration;

use indexmap::IndexMap;

use crate::control::{Kind, Progress, ProgressState};
use crate::ui::terminal::{Paint, Style};
use crate::ui::text::{fit, one_line, width};
use crate::ui::words::{short_seconds, size};

use super::Transfer;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPIN: Duration = Duration::from_millis(80);
const BAR: u64 = 20;

/// Everything that has been said so far, in the order in which it was first heard of.
#[derive(Debug)]
pub(super) struct Tree {
    title: String,
    rows: IndexMap<(Kind, String), Row>,
}

#[derive(Debug)]
struct Row {
    state: ProgressState,
    detail: Option<String>,
    transfer: Option<Transfer>,
    began: Duration,
    ended: Option<Duration>,
}

impl Tree {
    pub(super) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            rows: IndexMap::new(),
        }
    }

    /// Number of objects that something has been said about.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Changes the title.
    pub(super) fn rename(&mut self, title: &str) {
        title.clone_into(&mut self.title);
    }

    /// Something is on its way.
    pub(super) fn is_busy(&self) -> bool {
        self.rows.values().any(|row| row.ended.is_none())
    }

    /// Forgets what has been said.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Takes in a change that happened at this time.
    pub(super) fn update(&mut self, change: &Progress, at: Duration) {
        let key = (change.kind, one_line(&change.name).into_owned());
        let row = self.rows.entry(key).or_insert_with(|| Row {
            state: change.state,
            detail: None,
            transfer: None,
            began: at,
            ended: None,
        });
        row.state = change.state;
        row.detail = change
            .detail
            .as_deref()
            .map(|detail| one_line(detail).into_owned());
        row.ended = change.state.is_final().then_some(at);
    }

    /// Takes in how much of an image has come.
    pub(super) fn transfer(&mut self, image: &str, transfer: Transfer) {
        if let Some(row) = self.rows.get_mut(&(Kind::Image, image.to_owned())) {
            row.transfer = Some(transfer);
        }
    }

    /// The picture at this time, for a terminal of so many columns and lines. No line is wider.
    pub(super) fn lines(
        &self,
        now: Duration,
        (columns, height): (usize, usize),
        paint: Paint,
    ) -> Vec<String> {
        let finished = self.rows.values().filter(|row| row.ended.is_some()).count();
        let head = format!("[+] {} {finished}/{}", self.title, self.rows.len());
        let mut lines = vec![fit(&head, columns).into_owned()];
        let shown = self.shown(height.saturating_sub(1));
        let names = shown
            .iter()
            .map(|(kind, name, _)| width(&label(*kind, name)));
        let name_width = names.max().unwrap_or(0);
        let states = shown.iter().map(|(.., row)| width(&row.state.to_string()));
        let state_width = states.max().unwrap_or(0);
        for (kind, name, row) in &shown {
            let parts = Parts {
                label: label(*kind, name),
                widths: (name_width, state_width),
                now,
            };
            lines.push(row.line(&parts, columns, paint));
        }
        let left_out = self.rows.len() - shown.len();
        if left_out > 0 && lines.len() > 1 {
            let more = format!(" … and {} more", left_out + 1);
            lines.pop();
            lines.push(fit(&more, columns).into_owned());
        }
        lines
    }

    /// The rows that fit: when not all do, those that are on their way or failed come first.
    fn shown(&self, height: usize) -> Vec<(Kind, &str, &Row)> {
        let all = self
            .rows
            .iter()
            .map(|((kind, name), row)| (*kind, name.as_str(), row));
        if self.rows.len() <= height {
            return all.collect();
        }
        let mut rows: Vec<_> = all.collect();
        rows.sort_by_key(|(.., row)| row.ended.is_some() && row.state != ProgressState::Error);
        rows.truncate(height);
        rows
    }
}

/// Columns of a row beside the name and the state: the mark, what is between them, and the time.
const BESIDE: usize = 3 + 2 + 2 + "10.0s".len();
/// Columns of a name that are worth being seen.
const NAME_LEAST: usize = "Container x…".len();

struct Parts {
    label: String,
    widths: (usize, usize),
    now: Duration,
}

fn label(kind: Kind, name: &str) -> String {
    format!("{kind} {name}")
}

impl Row {
    fn line(&self, parts: &Parts, columns: usize, paint: Paint) -> String {
        let (mark, style) = self.mark(parts.now);
        let state = self.state.to_string();
        let time = short_seconds(self.ended.unwrap_or(parts.now).saturating_sub(self.began));
        let (name_width, state_width) = parts.widths;
        // A name gives way to what becomes of it, as long as something of it is left.
        let room = columns.saturating_sub(BESIDE + state_width);
        let name_width = match room >= NAME_LEAST {
            true => name_width.min(room),
            false => name_width,
        };
        let label = fit(&parts.label, name_width);
        let blank = |text: &str, to: usize| " ".repeat(to.saturating_sub(width(text)));
        let name_blank = blank(&label, name_width);
        let state_blank = blank(&state, state_width);
        let mut line = Line::new(columns);
        line.push(" ", None);
        line.push(mark, Some((paint, style)));
        line.push(&format!(" {label}{name_blank}  "), None);
        line.push(&state, Some((paint, style)));
        line.push(&format!("{state_blank}  "), None);
        line.push(&time, Some((paint, Style::FAINT)));
        if let Some(transfer) = self.transfer.filter(|_| self.ended.is_none()) {
            line.push(&format!("  {}", transfer.text()), None);
        }
        let is_news = self.ended.is_none() || self.state == ProgressState::Error;
        if let Some(detail) = self.detail.as_ref().filter(|_| is_news) {
            line.push(&format!("  {detail}"), None);
        }
        line.text
    }

    fn mark(&self, now: Duration) -> (&'static str, Style) {
        match self.state {
            ProgressState::Error => ("✘", Style::BAD),
            _ if self.ended.is_some() => ("✔", Style::GOOD),
            _ => {
                let frame = now.as_millis() / SPIN.as_millis();
                (SPINNER[(frame % 10) as usize], Style::BUSY)
            }
        }
    }
}

impl Transfer {
    fn text(self) -> String {
        if self.total == 0 {
            return size(self.done);
        }
        let done = self.done.min(self.total);
        let full = (u128::from(done) * u128::from(BAR) / u128::from(self.total)) as usize;
        let bar = "━".repeat(full) + &"─".repeat(BAR as usize - full);
        format!("{bar}  {} / {}", size(done), size(self.total))
    }
}

/// A line that is never wider than the terminal, whatever is pushed.
struct Line {
    text: String,
    left: usize,
}

impl Line {
    fn new(columns: usize) -> Self {
        Self {
            text: String::new(),
            left: columns,
        }
    }

    fn push(&mut self, text: &str, style: Option<(Paint, Style)>) {
        let part = fit(text, self.left);
        self.left -= width(&part);
        match style {
            Some((paint, style)) if !part.is_empty() => {
                self.text.push_str(&paint.paint(style, &part));
            }
            _ => self.text.push_str(&part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: Kind, name: &str, state: ProgressState) -> Progress {
        Progress {
            kind,
            name: name.to_owned(),
            state,
            detail: None,
        }
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn shop() -> Tree {
        let mut tree = Tree::new("up");
        let network = change(Kind::Network, "shop_default", ProgressState::Created);
        tree.update(&network, ms(5));
        let db = "shop-db-1";
        tree.update(&change(Kind::Container, db, ProgressState::Starting), ms(5));
        tree.update(
            &change(Kind::Container, db, ProgressState::Healthy),
            ms(305),
        );
        let web = change(Kind::Container, "shop-web-1", ProgressState::Waiting);
        tree.update(&web, ms(5));
        tree
    }

    #[test]
    fn finished_rows_are_ticked_and_busy_ones_turn() {
        let lines = shop().lines(ms(1005), (80, 24), Paint::Off);
        insta::assert_snapshot!(lines.join("\n"), @r"
        [+] up 2/3
         ✔ Network shop_default  Created  0.0s
         ✔ Container shop-db-1   Healthy  0.3s
         ⠹ Container shop-web-1  Waiting  1.0s
        ");
    }

    #[test]
    fn a_failure_says_why_and_a_narrow_terminal_cuts_it() {
        let mut tree = shop();
        let mut failed = change(Kind::Container, "shop-web-1", ProgressState::Error);
        failed.detail = Some("port 80 is held by nginx\x1b[2J (pid 812)".to_owned());
        tree.update(&failed, ms(2000));
        let lines = tree.lines(ms(2000), (52, 24), Paint::Off);
        insta::assert_snapshot!(lines.join("\n"), @r"
        [+] up 3/3
         ✔ Network shop_default  Created  0.0s
         ✔ Container shop-db-1   Healthy  0.3s
         ✘ Container shop-web-1  Error    2.0s  port 80 is …
        ");
        for columns in 0..80 {
            for line in tree.lines(ms(2000), (columns, 24), Paint::Off) {
                assert!(width(&line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn a_name_gives_way_to_what_becomes_of_it() {
        let lines = shop().lines(ms(1005), (36, 24), Paint::Off);
        insta::assert_snapshot!(lines.join("\n"), @r"
        [+] up 2/3
         ✔ Network shop_def…  Created  0.0s
         ✔ Container shop-d…  Healthy  0.3s
         ⠹ Container shop-w…  Waiting  1.0s
        ");
    }

    #[test]
    fn a_low_terminal_shows_what_is_on_its_way() {
        let lines = shop().lines(ms(1005), (80, 3), Paint::Off);
        insta::assert_snapshot!(lines.join("\n"), @r"
        [+] up 2/3
         ⠹ Container shop-web-1  Waiting  1.0s
         … and 2 more
        ");
    }

    #[test]
    fn an_image_on_its_way_has_a_bar() {
        let mut tree = Tree::new("pull");
        tree.update(&change(Kind::Image, "nginx", ProgressState::Pulling), ms(0));
        let transfer = Transfer {
            done: 30_000_000,
            total: 60_000_000,
        };
        tree.transfer("nginx", transfer);
        let lines = tree.lines(ms(400), (80, 24), Paint::Off);
        assert_eq!(
            lines[1],
            " ⠴ Image nginx  Pulling  0.4s  ━━━━━━━━━━──────────  30MB / 60MB"
        );
    }

    #[test]
    fn colours_add_no_width() {
        let plain = shop().lines(ms(1005), (40, 24), Paint::Off);
        let coloured = shop().lines(ms(1005), (40, 24), Paint::On);
        for (plain, coloured) in plain.iter().zip(coloured) {
            let bare = coloured.split('\x1b').enumerate().map(|(index, part)| {
                if index == 0 {
                    part
                } else {
                    part.split_once('m').map_or("", |(_, text)| text)
                }
            });
            assert_eq!(*plain, bare.collect::<String>());
        }
    }
}
