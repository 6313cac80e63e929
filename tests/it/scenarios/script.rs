//! The file `scenario`: one command a line.

/// A command, and how it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The words before the command.
    pub(super) how: How,
    /// What the shell runs; empty for [`How::State`].
    pub(super) command: String,
    /// Why `stack` answers something else on purpose.
    pub(super) differs: Option<String>,
}

/// What is done with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Its answer is compared.
    Plain,
    /// Its answer is compared, standard output as a set of lines.
    Sorted,
    /// Its exit code is compared, and that it says something on standard error exactly when the other does.
    Code,
    /// It is repeated until it succeeds.
    Until,
    /// All containers of the project: service, number, state, exit code, health, ports.
    State,
}

/// The programs of the machine that a file `scenario` asks for, beside those that every one needs.
pub(super) fn needs(text: &str) -> Vec<&str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(NEEDS));
    lines.flat_map(str::split_whitespace).collect()
}

const NEEDS: &str = "needs:";

/// Whether a line has to do with a command.
fn is_read(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#') && !line.starts_with(NEEDS)
}

/// The commands of a file `scenario`.
///
/// # Errors
///
/// The line that is not understood.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut differs = None;
    for line in text.lines().map(str::trim).filter(|line| is_read(line)) {
        let (how, command) = match line.split_once(':') {
            Some(("differs", reason)) => {
                differs = Some(reason.trim().to_owned());
                continue;
            }
            Some(("sorted", command)) => (How::Sorted, command),
            Some(("code", command)) => (How::Code, command),
            Some(("until", command)) => (How::Until, command),
            Some(("state", command)) => (How::State, command),
            _ => (How::Plain, line),
        };
        let command = command.trim().to_owned();
        if command.is_empty() != (how == How::State) {
            return Err(line.to_owned());
        }
        steps.push(Step {
            how,
            command,
            differs: differs.take(),
        });
    }
    match differs {
        Some(reason) => Err(format!("differs: {reason}: no command follows")),
        None => Ok(steps),
    }
}

/// The text without the marks of these steps.
pub(super) fn unmark(text: &str, steps: &[usize]) -> String {
    let mut kept = Vec::new();
    let (mut mark, mut index) = (None, 0);
    for line in text.lines() {
        if line.trim().starts_with("differs:") {
            mark = Some(line);
            continue;
        }
        if is_read(line.trim()) {
            kept.extend(mark.take().filter(|_| !steps.contains(&index)));
            index += 1;
        }
        kept.push(line);
    }
    kept.join("\n") + "\n"
}

impl Step {
    /// The line that stands above its answer.
    pub(super) fn title(&self) -> String {
        match self.how {
            How::Plain => self.command.clone(),
            How::Sorted => format!("sorted: {}", self.command),
            How::Code => format!("code: {}", self.command),
            How::Until => format!("until: {}", self.command),
            How::State => "state:".to_owned(),
        }
    }
}
