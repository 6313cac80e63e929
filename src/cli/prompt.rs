//! Questions to the person who gave the command.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::error::Result;

/// Asks; no answer is a no, as is any word that is not a yes.
pub(crate) fn confirm(question: &str) -> Result<bool> {
    let mut out = io::stdout().lock();
    write!(out, "{question} [y/N]: ")?;
    out.flush()?;
    Ok(answer())
}

/// The same; a program that answers gets the question alone, as a line.
pub(crate) fn confirm_plainly(question: &str) -> Result<bool> {
    if io::stdin().is_terminal() {
        return confirm(question);
    }
    writeln!(io::stdout(), "{question}")?;
    Ok(answer())
}

/// Reads an answer. What cannot be read is none, and so a no.
fn answer() -> bool {
    let mut line = String::new();
    let _ = io::stdin().lock().read_line(&mut line);
    is_yes(&line)
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
