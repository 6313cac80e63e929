//! The one error at the edge: kind, message, causes, hints.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use serde_json::json;

use crate::compose::Diagnostics;
use crate::control::ClientError;
use crate::engine::EngineError;
use crate::graph::GraphError;
use crate::image;
use crate::runtime::client::ClientError as ShimError;
use crate::runtime::log::LogError;
use crate::state::StateError;
use crate::ui::text::printable;
use crate::ui::{Paint, Style};

/// What a failure means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It did not work. Docker Compose v5 ends with 1 in all such cases, wrong flags among them.
    Failure,
    /// A person interrupted it.
    Interrupted,
    /// Nobody reads what is written (`stack logs | head`).
    ClosedOutput,
    /// A program that was run for the caller ended with this code, or could not be started.
    ProgramEnded(u8),
}

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) struct Error {
    kind: Kind,
    message: Message,
    source: Option<Box<dyn StdError + Send + Sync>>,
    hints: Vec<String>,
}

#[derive(Debug)]
enum Message {
    /// Nothing is printed.
    Silent,
    /// A sentence.
    Text(String),
    /// Several, of the same rank.
    Texts(Vec<String>),
    /// Text for people with its own form.
    Report(Box<Diagnostics>),
}

/// What the commands return.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure in a sentence: what failed, and why.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with(Kind::Failure, Message::Text(message.into()))
    }

    /// Several failures of one command.
    pub(crate) fn several(messages: Vec<String>) -> Self {
        Self::with(Kind::Failure, Message::Texts(messages))
    }

    /// A person interrupted the command.
    pub(crate) fn interrupted() -> Self {
        Self::with(Kind::Interrupted, Message::Silent)
    }

    /// The program that was run for the caller ended with this code, which becomes ours.
    pub(crate) fn program_ended(code: i32) -> Self {
        // A parent sees the low eight bits only (`wait(2)`); a failure must not become a success.
        let low = u8::try_from(code & 0xff).unwrap_or(u8::MAX);
        let code = if code != 0 && low == 0 { 1 } else { low };
        Self::with(Kind::ProgramEnded(code), Message::Silent)
    }

    /// The same failure with this exit code.
    pub(crate) fn ending_with(mut self, code: i32) -> Self {
        if let Kind::ProgramEnded(code) = Self::program_ended(code).kind
            && code != 0
        {
            self.kind = Kind::ProgramEnded(code);
        }
        self
    }

    /// The same failure with its cause.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure with what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    fn with(kind: Kind, message: Message) -> Self {
        Self {
            kind,
            message,
            source: None,
            hints: Vec::new(),
        }
    }

    /// The failure in one line, without causes and hints.
    pub(crate) fn summary(&self) -> String {
        match &self.message {
            Message::Silent => String::new(),
            Message::Text(text) => text.clone(),
            Message::Texts(texts) => texts.join("; "),
            Message::Report(report) => report.to_string(),
        }
    }

    /// The exit code of the program.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Failure => 1,
            Kind::Interrupted => 130,
            Kind::ClosedOutput => 0,
            Kind::ProgramEnded(code) => code,
        }
    }

    /// Text for people; empty when there is nothing to say.
    pub(crate) fn render(&self, paint: Paint, width: usize) -> String {
        use crate::compose::diagnostic::Color;
        let mut lines: Vec<String> = Vec::new();
        let head = paint.paint(Style::BAD_BOLD, "error:");
        match &self.message {
            Message::Silent => {}
            Message::Text(text) => lines.push(format!("{head} {}", printable(text))),
            Message::Texts(texts) => {
                lines.extend(
                    texts
                        .iter()
                        .map(|text| format!("{head} {}", printable(text))),
                );
            }
            Message::Report(report) => {
                let color = match paint {
                    Paint::On => Color::Always,
                    Paint::Off => Color::Never,
                };
                lines.push(report.render(color, width).trim_end().to_owned());
            }
        }
        for cause in self.causes() {
            let head = paint.paint(Style::BOLD, "caused by:");
            lines.push(format!("  {head} {}", printable(&cause)));
        }
        for hint in &self.hints {
            let head = paint.paint(Style::GOOD, "help:");
            lines.push(format!("  {head} {}", printable(hint)));
        }
        lines.join("\n")
    }
}

impl Error {
    /// Text for programs (`--progress json`), in Docker Compose's form: one line.
    pub(crate) fn json(&self) -> String {
        let summary = self.summary();
        // A report about a stack file begins as its lines do.
        let mut parts = vec![summary.trim_start_matches("error: ").to_owned()];
        parts.extend(self.causes());
        parts.retain(|part| !part.is_empty());
        match parts.is_empty() {
            true => json!({ "error": true }).to_string(),
            false => json!({ "error": true, "message": parts.join(": ") }).to_string(),
        }
    }

    /// The causes, each said once.
    fn causes(&self) -> Vec<String> {
        let mut said = match &self.message {
            Message::Text(text) => text.clone(),
            _ => String::new(),
        };
        let mut causes = Vec::new();
        let mut cause = self.source.as_deref().map(|cause| cause as &dyn StdError);
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries print their source as a part of themselves.
            if !said.contains(&text) {
                causes.push(text.clone());
                said = text;
            }
            cause = error.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Paint::Off, 80))
    }
}

/// Writing to standard output failed.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::with(Kind::ClosedOutput, Message::Silent);
        }
        Self::new("cannot write the output").because(error)
    }
}

impl From<Diagnostics> for Error {
    fn from(report: Diagnostics) -> Self {
        Self::with(Kind::Failure, Message::Report(Box::new(report)))
    }
}

/// An error whose own text is the whole sentence.
fn from_typed(error: impl StdError + Send + Sync + 'static) -> Error {
    let mut result = Error::new(error.to_string());
    if error.source().is_some() {
        result.source = Some(Box::new(error));
    }
    result
}

macro_rules! typed {
    ($($error:ty),*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                from_typed(error)
            }
        })*
    };
}

typed!(
    StateError,
    GraphError,
    EngineError,
    ClientError,
    ShimError,
    LogError,
    image::Error,
    image::LayerError,
    crate::engine::native::RootError,
    crate::transfer::PlaceError,
    crate::transfer::UnpackError
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once_each_and_hints_last() {
        let cause = StateError::Io {
            verb: "read",
            path: "/x/state.json".into(),
            source: io::Error::from_raw_os_error(13),
        };
        let error = Error::new("cannot list the containers")
            .because(cause)
            .hint("run it as root");
        insta::assert_snapshot!(error.to_string(), @r"
        error: cannot list the containers
          caused by: cannot read /x/state.json
          caused by: Permission denied (os error 13)
          help: run it as root
        ");
        let error = Error::from(StateError::Io {
            verb: "read",
            path: "/x".into(),
            source: io::Error::from_raw_os_error(2),
        });
        insta::assert_snapshot!(error.to_string(), @r"
        error: cannot read /x
          caused by: No such file or directory (os error 2)
        ");
    }

    #[test]
    fn exit_codes_are_those_of_docker_compose() {
        assert_eq!(Error::new("x").exit_code(), 1);
        assert_eq!(Error::interrupted().exit_code(), 130);
        assert_eq!(Error::program_ended(137).exit_code(), 137);
        assert_eq!(Error::program_ended(256).exit_code(), 1);
        let closed = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((closed.exit_code(), closed.to_string()), (0, String::new()));
    }

    #[test]
    fn programs_get_one_line() {
        let cause = io::Error::from_raw_os_error(13);
        let error = Error::new("cannot \"x\"")
            .because(cause)
            .hint("run it as root");
        insta::assert_snapshot!(error.json(), @r#"{"error":true,"message":"cannot \"x\": Permission denied (os error 13)"}"#);
        assert_eq!(Error::program_ended(3).json(), r#"{"error":true}"#);
    }

    #[test]
    fn nobody_elses_text_controls_the_terminal() {
        let error = Error::new("registry says: \x1b]0;owned\x07");
        assert!(!error.to_string().contains('\x1b'));
    }
}
