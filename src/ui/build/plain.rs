//! A build as lines, as BuildKit prints them: `#5 [2/4] RUN make`, `#5 0.123 output`, `#5 DONE 0.2s`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::build::{End, Event, StepNumber};
use crate::ui::text::{one_line, output_line};

/// Turns events into lines.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    steps: BTreeMap<StepNumber, Step>,
    /// The step whose lines were printed last: an empty line stands before another's.
    last: Option<StepNumber>,
}

#[derive(Debug)]
struct Step {
    name: String,
    began: Instant,
    /// Output without the end of its line, and when its first byte came.
    partial: Vec<u8>,
    since: Duration,
}

impl Plain {
    /// Takes an event in; lines to print go to `out`.
    pub(super) fn take(&mut self, event: &Event, out: &mut String) {
        match event {
            Event::Began { step, name } => {
                let fresh = Step {
                    name: one_line(name).into_owned(),
                    began: Instant::now(),
                    partial: Vec::new(),
                    since: Duration::ZERO,
                };
                self.steps.insert(*step, fresh);
                self.head(*step, out);
            }
            Event::Output { step, bytes, .. } => self.output(*step, bytes, out),
            Event::Status { step, text } => self.line(*step, text, out),
            Event::Ended { step, end, took } => {
                self.rest(*step, out);
                let text = match end {
                    End::Done => format!("DONE {:.1}s", took.as_secs_f64()),
                    End::Cached => "CACHED".to_owned(),
                    End::Failed(why) => format!("ERROR: {}", one_line(why)),
                    End::Canceled => "CANCELED".to_owned(),
                };
                self.line(*step, &text, out);
                self.steps.remove(step);
            }
            Event::Warning { text } => {
                let _ = writeln!(out, "{text}");
            }
        }
    }

    fn head(&mut self, step: StepNumber, out: &mut String) {
        if self.last.is_some() {
            out.push('\n');
        }
        self.last = Some(step);
        if let Some(found) = self.steps.get(&step) {
            let _ = writeln!(out, "#{step} {}", found.name);
        }
    }

    fn line(&mut self, step: StepNumber, text: &str, out: &mut String) {
        if self.last != Some(step) {
            self.head(step, out);
        }
        let _ = writeln!(out, "#{step} {text}");
    }

    fn output(&mut self, step: StepNumber, bytes: &[u8], out: &mut String) {
        let Some(found) = self.steps.get_mut(&step) else {
            return;
        };
        let now = found.began.elapsed();
        if found.partial.is_empty() {
            found.since = now;
        }
        found.partial.extend_from_slice(bytes);
        let Some(end) = found.partial.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let whole: Vec<u8> = found.partial.drain(..=end).collect();
        let since = std::mem::replace(&mut found.since, now);
        for line in whole[..end].split(|byte| *byte == b'\n') {
            self.said(step, since, line, out);
        }
    }

    fn rest(&mut self, step: StepNumber, out: &mut String) {
        let Some(found) = self.steps.get_mut(&step) else {
            return;
        };
        let rest = std::mem::take(&mut found.partial);
        let since = found.since;
        if !rest.is_empty() {
            self.said(step, since, &rest, out);
        }
    }

    fn said(&mut self, step: StepNumber, at: Duration, line: &[u8], out: &mut String) {
        // What follows a carriage return overwrites what stands before it.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        let text = text.rsplit('\r').next().unwrap_or_default();
        let text = format!("{:.3} {}", at.as_secs_f64(), output_line(text));
        self.line(step, text.trim_end(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Stream;

    #[test]
    fn lines_are_those_of_buildkit() {
        let mut plain = Plain::default();
        let mut out = String::new();
        let output = |step, text: &str| Event::Output {
            step,
            stream: Stream::Stdout,
            bytes: text.as_bytes().to_vec(),
        };
        let ended = |step, end| Event::Ended {
            step,
            end,
            took: Duration::from_millis(1234),
        };
        for event in [
            Event::Began {
                step: 1,
                name: "[1/2] RUN a".to_owned(),
            },
            output(1, "half "),
            output(1, "line\nnext\n"),
            Event::Began {
                step: 2,
                name: "[2/2] RUN b".to_owned(),
            },
            output(1, "\x1b[31mred"),
            ended(2, End::Cached),
            ended(1, End::Failed("it ended\nbadly".to_owned())),
        ] {
            plain.take(&event, &mut out);
        }
        let times = out.replace("0.000", "T").replace("0.001", "T");
        insta::assert_snapshot!(times, @r"
        #1 [1/2] RUN a
        #1 T half line
        #1 T next

        #2 [2/2] RUN b
        #2 CACHED

        #1 [1/2] RUN a
        #1 T red
        #1 ERROR: it ended badly
        ");
    }
}
