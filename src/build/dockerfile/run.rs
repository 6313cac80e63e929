//! The flags and arguments of `RUN`.

use super::arguments::{command, missing};
use super::flags::Flags;
use super::instruction::{MountText, Network, Run, Security, Spanned, Word};
use super::parse::{Raw, Reader};
use super::transfer::no_variable;
use super::words::comma_fields;
use crate::compose::diagnostic::{Problems, suggestion};

/// The options of `--mount`, with their other names.
pub(super) const MOUNT_OPTIONS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
];

/// Options that need no value.
const MOUNT_SWITCHES: [&str; 5] = ["readonly", "ro", "readwrite", "rw", "required"];

/// `RUN`.
pub(super) fn read(reader: &mut Reader<'_, '_>, raw: Raw<'_>) -> Option<Run> {
    let span = raw.span();
    let problems = &mut *reader.problems;
    let mut flags = Flags::new(raw.name, raw.flags, problems);
    let mounts: Vec<Option<MountText>> = flags
        .texts("mount", problems)
        .into_iter()
        .map(|word| mount(word, problems))
        .collect();
    let network = flags.text("network", problems);
    let security = flags.text("security", problems);
    let right = flags.finish();
    let network = choice(network, &NETWORKS, problems);
    let security = choice(security, &SECURITIES, problems);
    if raw.rest.is_empty() {
        missing("RUN", span, problems);
        return None;
    }
    let command = command(raw.rest, problems)?;
    let run = Run {
        command,
        heredocs: raw.heredocs,
        mounts: mounts.into_iter().collect::<Option<_>>()?,
        network: network?,
        security: security?,
    };
    right.then_some(run)
}

const NETWORKS: [(&str, Network); 3] = [
    ("default", Network::Default),
    ("none", Network::None),
    ("host", Network::Host),
];

const SECURITIES: [(&str, Security); 2] = [
    ("sandbox", Security::Sandbox),
    ("insecure", Security::Insecure),
];

/// The value that a word names; the outer `None`: it names none, which is recorded.
fn choice<T: Copy>(
    word: Option<Word>,
    choices: &[(&str, T)],
    problems: &mut Problems,
) -> Option<Option<Spanned<T>>> {
    let Some(word) = word else {
        return Some(None);
    };
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == word.value) {
        return Some(Some(Spanned::new(*value, word.span)));
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let message = format!("`{}` is none of {}", word.value, names.join(", "));
    let error = problems.error(word.span, message);
    if let Some(likely) = suggestion(&word.value, names.iter().copied()) {
        error.help(format!("did you mean `{likely}`?"));
    }
    None
}

/// The options of one `--mount`; what they mean is told when variables have values.
fn mount(word: Word, problems: &mut Problems) -> Option<MountText> {
    let Some(fields) = comma_fields(&word.value) else {
        problems.error(word.span, "a quote in this mount is not closed");
        return None;
    };
    let mut right = true;
    let mut options = Vec::new();
    for (field, start) in fields {
        let place = |at: usize, length: usize| word.span.part(start + at..start + at + length);
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        let key_word = Word::new(key.to_ascii_lowercase(), place(0, key.len()));
        let value =
            value.map(|value| Word::new(value.to_owned(), place(key.len() + 1, value.len())));
        right &= known_option(&key_word, value.is_some(), problems);
        if let Some(value) = value.as_ref().filter(|_| key_word.value == "from") {
            right &= no_variable(value, problems);
        }
        options.push((key_word, value));
    }
    right.then_some(MountText {
        options,
        span: word.span,
    })
}

fn known_option(key: &Word, has_value: bool, problems: &mut Problems) -> bool {
    let name = key.value.as_str();
    if !MOUNT_OPTIONS.contains(&name) {
        let error = problems.error(key.span, format!("a mount has no option `{name}`"));
        match suggestion(name, MOUNT_OPTIONS) {
            Some(likely) => error.help(format!("did you mean `{likely}`?")),
            None => error.help(format!("it knows {}", MOUNT_OPTIONS.join(", "))),
        };
        return false;
    }
    if !has_value && !MOUNT_SWITCHES.contains(&name) {
        problems
            .error(key.span, format!("the option `{name}` needs a value"))
            .help(format!("write `{name}=value`"));
        return false;
    }
    true
}
