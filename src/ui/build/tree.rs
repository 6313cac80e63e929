//! A build as a picture: pure, so that a test can look at any moment of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::build::{End, Event, StepNumber};
use crate::ui::terminal::{Paint, Style};
use crate::ui::text::{fit, one_line, output_line, width};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPIN: Duration = Duration::from_millis(80);
/// Lines of output that are shown below a step that works.
const OUTPUT_LINES: usize = 6;

/// All steps that have begun.
#[derive(Debug, Default)]
pub(super) struct Tree {
    steps: BTreeMap<StepNumber, Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    began: Duration,
    end: Option<(End, Duration)>,
    status: Option<String>,
    output: VecDeque<String>,
    partial: String,
}

impl Tree {
    /// Takes in an event of this time.
    pub(super) fn take(&mut self, event: &Event, at: Duration) {
        match event {
            Event::Began { step, name } => {
                let fresh = Step {
                    name: one_line(name).into_owned(),
                    began: at,
                    end: None,
                    status: None,
                    output: VecDeque::new(),
                    partial: String::new(),
                };
                self.steps.insert(*step, fresh);
            }
            Event::Output { step, bytes, .. } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.output(&String::from_utf8_lossy(bytes));
                }
            }
            Event::Status { step, text } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.status = Some(one_line(text).into_owned());
                }
            }
            Event::Ended { step, end, took } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.end = Some((end.clone(), *took));
                }
            }
            Event::Warning { .. } => {}
        }
    }

    /// Nothing more comes.
    pub(super) fn settle(&mut self) {
        for step in self.steps.values_mut() {
            step.end.get_or_insert((End::Canceled, Duration::ZERO));
        }
    }

    /// The picture at this time, for a terminal of so many columns and lines. No line is wider.
    pub(super) fn lines(
        &self,
        now: Duration,
        (columns, height): (usize, usize),
        paint: Paint,
    ) -> Vec<String> {
        let finished = self
            .steps
            .values()
            .filter(|step| step.end.is_some())
            .count();
        let head = format!(
            "[+] Building {:.1}s ({finished}/{})",
            now.as_secs_f64(),
            self.steps.len()
        );
        let mut room = height.saturating_sub(1);
        // Each step that works is shown before any says more than its share of the room.
        let busy = self.steps.values().filter(|step| step.is_busy()).count();
        let share = (room / busy.max(1)).saturating_sub(1).min(OUTPUT_LINES);
        let mut rows: Vec<(bool, Vec<String>)> = Vec::new();
        for step in self.steps.values() {
            rows.push((step.is_busy(), step.lines(now, (columns, share), paint)));
        }
        let total: usize = rows.iter().map(|(_, lines)| lines.len()).sum();
        let mut lines = vec![fit(&head, columns).into_owned()];
        if total > room {
            // The oldest of those that are done give way.
            let mut excess = total - room;
            rows.retain(|(busy, lines)| {
                let goes = excess > 0 && !busy;
                if goes {
                    excess = excess.saturating_sub(lines.len());
                }
                !goes
            });
        }
        for line in rows.into_iter().flat_map(|(_, lines)| lines) {
            if room == 0 {
                break;
            }
            room -= 1;
            lines.push(line);
        }
        lines
    }
}

impl Step {
    /// Whether it is one to look at: it works, or it is why nothing does.
    fn is_busy(&self) -> bool {
        matches!(self.end, None | Some((End::Failed(_), _)))
    }

    fn output(&mut self, text: &str) {
        self.partial.push_str(text);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.output.push_back(overwritten(&line));
            if self.output.len() > OUTPUT_LINES {
                self.output.pop_front();
            }
        }
        // A line that never ends must not fill the memory.
        if self.partial.len() > 64 << 10 {
            self.partial.clear();
        }
    }

    /// The step and so many of the last lines of its output.
    fn lines(
        &self,
        now: Duration,
        (columns, output_lines): (usize, usize),
        paint: Paint,
    ) -> Vec<String> {
        let (mark, style) = self.mark(now);
        let time = match &self.end {
            Some((End::Cached, _)) => String::new(),
            Some((_, took)) => format!("{:.1}s", took.as_secs_f64()),
            None => format!("{:.1}s", now.saturating_sub(self.began).as_secs_f64()),
        };
        let cached = match self.end {
            Some((End::Cached, _)) => "CACHED ",
            Some((End::Canceled, _)) => "CANCELED ",
            _ => "",
        };
        let status = match (&self.status, &self.end) {
            (Some(status), None) => format!("  {status}"),
            _ => String::new(),
        };
        let room = columns.saturating_sub(width(&time) + 5);
        let text = format!("{cached}{}{status}", self.name);
        let text = fit(&text, room);
        let blank = " ".repeat(room.saturating_sub(width(&text)));
        let mut lines = vec![format!(
            " {} {text}{blank} {}",
            paint.paint(style, mark),
            paint.paint(Style::FAINT, &time)
        )];
        if self.is_busy() {
            let partial = overwritten(&self.partial);
            let whole = self.output.iter().map(String::as_str);
            let output: Vec<&str> = whole
                .chain((!partial.is_empty()).then_some(&*partial))
                .collect();
            for line in &output[output.len().saturating_sub(output_lines)..] {
                let line = format!("   │ {line}");
                lines.push(paint.paint(Style::FAINT, &fit(&line, columns)).to_string());
            }
        }
        lines
    }

    fn mark(&self, now: Duration) -> (&'static str, Style) {
        match &self.end {
            Some((End::Failed(_), _)) => ("✘", Style::BAD),
            Some((End::Canceled, _)) => ("-", Style::FAINT),
            Some(_) => ("✔", Style::GOOD),
            None => {
                let frame = now.as_millis() / SPIN.as_millis();
                let index = usize::try_from(frame).unwrap_or(0) % SPINNER.len();
                (SPINNER[index], Style::BOLD)
            }
        }
    }
}

/// A line as it looks when it is written: what follows a carriage return overwrites what stands before it.
fn overwritten(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    output_line(line.rsplit('\r').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Stream;

    #[test]
    fn the_picture_shows_what_works_and_fits_the_screen() {
        let mut tree = Tree::default();
        let at = Duration::from_secs;
        for step in 1..=20 {
            let name = format!("[{step}/20] RUN step");
            tree.take(&Event::Began { step, name }, at(0));
            let end = if step == 3 { End::Done } else { End::Cached };
            let took = at(2);
            if step < 20 {
                tree.take(&Event::Ended { step, end, took }, at(2));
            }
        }
        let bytes = b"one\ntwo\nthree".to_vec();
        let stream = Stream::Stdout;
        tree.take(
            &Event::Output {
                step: 20,
                stream,
                bytes,
            },
            at(2),
        );
        let lines = tree.lines(at(4), (40, 6), Paint::Off);
        assert_eq!(lines.len(), 6);
        let shown: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        [+] Building 4.0s (19/20)
         ✔ CACHED [19/20] RUN step
         ⠋ [20/20] RUN step                4.0s
           │ one
           │ two
           │ three
        ");
        assert!(lines.iter().all(|line| width(line) <= 40));
        tree.settle();
        assert!(tree.lines(at(4), (40, usize::MAX), Paint::Off).len() == 21);
    }

    #[test]
    fn every_step_that_works_is_on_the_screen_however_much_they_say() {
        let mut tree = Tree::default();
        for step in 1..=4 {
            let name = format!("RUN {step}");
            tree.take(&Event::Began { step, name }, Duration::ZERO);
            let stream = Stream::Stdout;
            let bytes = b"a\nb\nc\nd\n\x1b[32m10%\r20%".to_vec();
            tree.take(
                &Event::Output {
                    step,
                    stream,
                    bytes,
                },
                Duration::ZERO,
            );
        }
        let lines = tree.lines(Duration::ZERO, (20, 9), Paint::Off);
        insta::assert_snapshot!(lines.join("\n"), @r"
        [+] Building 0.0s (…
         ⠋ RUN 1       0.0s
           │ 20%
         ⠋ RUN 2       0.0s
           │ 20%
         ⠋ RUN 3       0.0s
           │ 20%
         ⠋ RUN 4       0.0s
           │ 20%
        ");
    }
}
