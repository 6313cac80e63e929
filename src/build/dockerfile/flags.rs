//! The flags of an instruction, taken by name; what nobody took is a mistake.

use super::instruction::Word;
use super::words::Flag;
use crate::compose::diagnostic::{Problems, suggestion};

/// The flags that an instruction knows.
pub(super) fn known(instruction: &str) -> &'static [&'static str] {
    match instruction {
        "FROM" => &["platform"],
        "RUN" => &["mount", "network", "security"],
        "COPY" => &["from", "chown", "chmod", "link", "exclude", "parents"],
        "ADD" => &[
            "chown",
            "chmod",
            "link",
            "exclude",
            "keep-git-dir",
            "checksum",
            "unpack",
        ],
        "HEALTHCHECK" => &[
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ],
        _ => &[],
    }
}

/// The flags of one instruction.
pub(super) struct Flags {
    flags: Vec<Flag>,
    right: bool,
}

impl Flags {
    /// Records flags that the instruction does not know.
    pub(super) fn new(instruction: &str, flags: Vec<Flag>, problems: &mut Problems) -> Self {
        let known = known(instruction);
        let mut right = true;
        for flag in &flags {
            let name = flag.name.value.as_str();
            if known.contains(&name) {
                continue;
            }
            right = false;
            let message = format!("`{instruction}` has no flag `--{name}`");
            let error = problems.error(flag.name.span, message);
            let likely = suggestion(name, known.iter().copied());
            let elsewhere = super::parse::KEYWORDS
                .into_iter()
                .find(|other| self::known(other).contains(&name));
            if let Some(likely) = likely {
                error.help(format!("did you mean `--{likely}`?"));
            } else if let Some(other) = elsewhere {
                error.help(format!("it is a flag of `{other}`"));
            } else if known.is_empty() {
                error.help(format!("`{instruction}` has no flags"));
            } else {
                error.help(format!("it knows --{}", known.join(", --")));
            }
        }
        Self { flags, right }
    }

    fn take(&mut self, name: &str, problems: &mut Problems) -> Option<Flag> {
        let mut found: Option<Flag> = None;
        for flag in self.flags.extract_if(.., |flag| flag.name.value == name) {
            match &found {
                None => found = Some(flag),
                Some(first) => {
                    self.right = false;
                    let message = format!("the flag `--{name}` is given twice");
                    problems
                        .error(flag.name.span, message)
                        .related(first.name.span, "first given here");
                }
            }
        }
        found
    }

    /// The value of a flag that is given once at most.
    pub(super) fn text(&mut self, name: &str, problems: &mut Problems) -> Option<Word> {
        let flag = self.take(name, problems)?;
        self.value(flag, problems)
    }

    /// The values of a flag that can be given several times.
    pub(super) fn texts(&mut self, name: &str, problems: &mut Problems) -> Vec<Word> {
        let flags: Vec<Flag> = self
            .flags
            .extract_if(.., |flag| flag.name.value == name)
            .collect();
        flags
            .into_iter()
            .filter_map(|flag| self.value(flag, problems))
            .collect()
    }

    /// A flag that is on, off, or not given.
    pub(super) fn switch(&mut self, name: &str, problems: &mut Problems) -> Option<bool> {
        let flag = self.take(name, problems)?;
        match flag.value.as_ref().map(|value| value.value.as_str()) {
            None | Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                self.right = false;
                let message = format!("`{other}` is neither `true` nor `false`");
                problems.error(flag.name.span, message);
                None
            }
        }
    }

    fn value(&mut self, flag: Flag, problems: &mut Problems) -> Option<Word> {
        if flag.value.is_none() {
            self.right = false;
            let name = &flag.name.value;
            problems
                .error(flag.name.span, format!("the flag `--{name}` needs a value"))
                .help(format!("write `--{name}=value`, without blanks around `=`"));
        }
        flag.value
    }

    /// Whether all flags were right.
    pub(super) fn finish(self) -> bool {
        self.right
    }
}
