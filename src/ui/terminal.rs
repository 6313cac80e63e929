//! What the two output streams can show.

use std::io::{IsTerminal, Write as _};

use rustix::termios::tcgetwinsize;

/// `--ansi`: whether control sequences are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Ansi {
    /// Nowhere.
    Never,
    /// Everywhere.
    Always,
    /// To terminals.
    #[default]
    Auto,
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Plain text.
    Off,
    /// With colours.
    On,
}

/// A colour or weight, as the parameters of `ESC [ … m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style(pub(crate) &'static str);

impl Style {
    /// What went well.
    pub(crate) const GOOD: Self = Self("32");
    /// What failed.
    pub(crate) const BAD: Self = Self("31");
    /// What failed, as a heading.
    pub(crate) const BAD_BOLD: Self = Self("1;31");
    /// What deserves a look, as a heading.
    pub(crate) const CARE_BOLD: Self = Self("1;33");
    /// What is going on.
    pub(crate) const BUSY: Self = Self("36");
    /// Numbers beside the point.
    pub(crate) const FAINT: Self = Self("2");
    /// A heading.
    pub(crate) const BOLD: Self = Self("1");
}

impl Paint {
    /// The text in this style.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        match self {
            Self::Off => text.to_owned(),
            Self::On => format!("\x1b[{}m{text}\x1b[0m", style.0),
        }
    }
}

/// What the output streams can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Colours on standard output.
    pub(crate) stdout: Paint,
    /// Colours on standard error.
    pub(crate) stderr: Paint,
    /// Lines on standard error can be drawn over.
    pub(crate) live: bool,
    /// Where progress is shown.
    pub(crate) status: Out,
    /// A person sits at keyboard and screen: standard input and output are terminals.
    pub(crate) interactive: bool,
}

/// The facts that [`Terminal::decide`] goes by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    /// Standard output is a terminal.
    pub(crate) stdout_tty: bool,
    /// Standard error is a terminal.
    pub(crate) stderr_tty: bool,
    /// Standard input is a terminal.
    pub(crate) stdin_tty: bool,
    /// Progress is to be shown on standard output.
    pub(crate) status_stdout: bool,
    /// `NO_COLOR` is set and not empty.
    pub(crate) no_color: bool,
    /// `TERM` is `dumb` or not set.
    pub(crate) dumb: bool,
}

/// One of the two streams that are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Out {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Out {
    /// Writes a line. Nobody is left to be told when that fails.
    pub(crate) fn say(self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// Writes text at once.
    pub(crate) fn write(self, text: &str) {
        let write = |out: &mut dyn std::io::Write| {
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
        let _ = match self {
            Self::Stdout => write(&mut std::io::stdout().lock()),
            Self::Stderr => write(&mut std::io::stderr().lock()),
        };
    }
}

/// Whether the value of a variable says yes, as Docker Compose reads them.
pub(crate) fn says_yes(value: &str) -> bool {
    matches!(
        value.to_lowercase().as_str(),
        "1" | "t" | "true" | "y" | "yes" | "on"
    )
}

impl Terminal {
    /// Looks at the streams and the environment.
    pub(crate) fn detect(ansi: Ansi, env: impl Fn(&str) -> Option<String>) -> Self {
        let facts = Facts {
            stdout_tty: std::io::stdout().is_terminal(),
            stderr_tty: std::io::stderr().is_terminal(),
            stdin_tty: std::io::stdin().is_terminal(),
            status_stdout: env("COMPOSE_STATUS_STDOUT").is_some_and(|value| says_yes(&value)),
            no_color: env("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb: env("TERM").is_none_or(|term| term == "dumb" || term.is_empty()),
        };
        Self::decide(ansi, facts)
    }

    /// The decision. `NO_COLOR` takes away colours, not the cursor (<https://no-color.org>).
    pub(crate) fn decide(ansi: Ansi, facts: Facts) -> Self {
        let paint = |tty: bool| match ansi {
            Ansi::Never => Paint::Off,
            Ansi::Always => Paint::On,
            Ansi::Auto if tty && !facts.no_color && !facts.dumb => Paint::On,
            Ansi::Auto => Paint::Off,
        };
        let (status, live) = match facts.status_stdout {
            true => (Out::Stdout, facts.stdout_tty),
            false => (Out::Stderr, facts.stderr_tty),
        };
        Self {
            stdout: paint(facts.stdout_tty),
            stderr: paint(facts.stderr_tty),
            live: live && !facts.dumb && ansi != Ansi::Never,
            status,
            interactive: facts.stdin_tty && facts.stdout_tty,
        }
    }

    /// Writes a line to standard error. Nobody is left to be told when that fails.
    pub(crate) fn say(text: &str) {
        let mut line = String::with_capacity(text.len() + 1);
        line.push_str(text);
        line.push('\n');
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Columns and lines of the terminal that standard error is; 80 by 24 when it does not say.
pub(crate) fn size() -> (usize, usize) {
    let size = tcgetwinsize(std::io::stderr()).or_else(|_| tcgetwinsize(std::io::stdout()));
    match size {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => (80, 24),
    }
}

/// Columns for problems on standard error: those of its terminal; in a file or a pipe enough for long
/// lines, which can be searched.
pub(crate) fn width_for_problems() -> usize {
    match tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 140,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_live_drawing_follow_flag_environment_and_streams() {
        let tty = Facts {
            stdout_tty: true,
            stderr_tty: true,
            ..Facts::default()
        };
        let no_color = Facts {
            no_color: true,
            ..tty
        };
        let dumb = Facts { dumb: true, ..tty };
        let piped = Facts::default();
        let show = |ansi, facts| {
            let terminal = Terminal::decide(ansi, facts);
            (terminal.stdout == Paint::On, terminal.live)
        };
        assert_eq!(show(Ansi::Auto, tty), (true, true));
        assert_eq!(show(Ansi::Auto, no_color), (false, true));
        assert_eq!(show(Ansi::Auto, dumb), (false, false));
        assert_eq!(show(Ansi::Auto, piped), (false, false));
        assert_eq!(show(Ansi::Always, piped), (true, false));
        assert_eq!(show(Ansi::Never, tty), (false, false));
    }
}
