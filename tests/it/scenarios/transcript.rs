//! Answers as text, for people and for comparison.

use std::fmt::Write;

/// What a command answered, in a form that does not depend on the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The command.
    pub(super) title: String,
    /// Exit code.
    pub(super) code: i32,
    /// Lines of standard output.
    pub(super) stdout: Vec<String>,
    /// Lines of standard error, in alphabetical order and each once.
    pub(super) stderr: Vec<String>,
}

/// The text of answers.
pub(super) fn print<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> String {
    let mut text = String::new();
    for answer in answers {
        let _ = writeln!(text, "$ {}\nexit {}", answer.title, answer.code);
        for line in &answer.stdout {
            let _ = writeln!(text, "out| {line}");
        }
        for line in &answer.stderr {
            let _ = writeln!(text, "err| {line}");
        }
    }
    text
}

/// The answers in a text that [`print`] made.
///
/// # Errors
///
/// The line that is not understood.
pub(super) fn parse(text: &str) -> Result<Vec<Answer>, String> {
    let mut answers: Vec<Answer> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("$ ") {
            answers.push(Answer {
                title: title.to_owned(),
                ..Answer::default()
            });
            continue;
        }
        let answer = answers.last_mut().ok_or(line)?;
        // An editor may take the blank at the end of an empty line away.
        let rest = |prefix: &str| {
            let rest = line.strip_prefix(prefix)?;
            Some(rest.strip_prefix(' ').unwrap_or(rest).to_owned())
        };
        if let Some(code) = line.strip_prefix("exit ") {
            answer.code = code.parse().map_err(|_| line)?;
        } else if let Some(line) = rest("out|") {
            answer.stdout.push(line);
        } else if let Some(line) = rest("err|") {
            answer.stderr.push(line);
        } else {
            return Err(line.to_owned());
        }
    }
    Ok(answers)
}
