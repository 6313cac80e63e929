//! Questions to the person who gave the command: the one place where they are asked.
//!
//! Nothing, the end of standard input, and any word that is not a yes, are a no.

use std::io::{self, BufRead as _, Write};

use super::context::Context;
use super::error::{Error, Result};

/// Asks what Docker Compose asks, where it does: on standard output, with the choice on a terminal
/// only.
pub(crate) fn confirm(context: &Context, question: &str) -> Result<bool> {
    let choice = match context.terminal.interactive {
        true => " (y/N) ",
        false => "\n",
    };
    ask(&mut io::stdout().lock(), &format!("{question}{choice}"))
}

/// Asks before something is deleted, in Docker's words; `--force` says yes. What `command` deletes is
/// data on standard output, so the question is not.
///
/// # Errors
/// That the command has been cancelled.
pub(crate) fn confirm_removal(force: bool, warning: &str, command: &str) -> Result<()> {
    let question = || format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] ");
    if force || ask(&mut io::stderr().lock(), &question())? {
        return Ok(());
    }
    Err(Error::new(format!("{command} has been cancelled")).hint("`--force` does not ask"))
}

fn ask(out: &mut dyn Write, question: &str) -> Result<bool> {
    out.write_all(question.as_bytes())?;
    out.flush()?;
    let mut line = String::new();
    // What cannot be read is no answer; nobody has ended the line of the question then.
    let read = io::stdin().lock().read_line(&mut line).unwrap_or(0);
    if read == 0 && !question.ends_with('\n') {
        writeln!(out)?;
    }
    Ok(is_yes(&line))
}

fn is_yes(answer: &str) -> bool {
    let answer = answer.trim().to_lowercase();
    matches!(answer.as_str(), "y" | "yes" | "1" | "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for yes in ["y\n", "Yes", " Y ", "1"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n", "no", "ye", "yy"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
