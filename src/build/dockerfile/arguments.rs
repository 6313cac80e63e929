//! The arguments of each instruction, after its keyword and flags were cut off.

use super::duration;
use super::flags::Flags;
use super::instruction::{
    Arg, Command, From, Healthcheck, Heredoc, Instruction, Kind, Onbuild, PairForm, Pairs, Timing,
    Word,
};
use super::parse::{Raw, Reader};
use super::words::{NotText, Part};
use super::{run, transfer};
use crate::compose::diagnostic::{Problems, Span};

/// Reads the arguments; what is wrong is recorded.
pub(super) fn read(reader: &mut Reader<'_, '_>, raw: Raw<'_>) -> Option<Kind> {
    match raw.name {
        "RUN" => return run::read(reader, raw).map(Kind::Run),
        "COPY" => return transfer::copy(reader, raw).map(Kind::Copy),
        "ADD" => return transfer::add(reader, raw).map(Kind::Add),
        "ONBUILD" => return onbuild(reader, raw).map(Kind::Onbuild),
        "FROM" => return from(reader, raw).map(Kind::From),
        "HEALTHCHECK" => return healthcheck(reader, raw).map(Kind::Healthcheck),
        _ => {}
    }
    let escape = reader.escape;
    let problems = &mut *reader.problems;
    let (name, rest, span) = (raw.name, raw.rest, raw.span());
    let right = Flags::new(raw.name, raw.flags, problems).finish();
    if rest.is_empty() && !matches!(name, "CMD" | "ENTRYPOINT") {
        missing(name, span, problems);
        return None;
    }
    let kind = match name {
        "ARG" => Kind::Arg(args(rest, escape, problems)?),
        "ENV" => Kind::Env(pairs(name, rest, escape, problems)?),
        "LABEL" => Kind::Label(pairs(name, rest, escape, problems)?),
        "EXPOSE" => Kind::Expose(rest.words()),
        "VOLUME" => Kind::Volume(list(rest, problems)?),
        "ENTRYPOINT" => Kind::Entrypoint(command(rest, problems)?),
        "CMD" => Kind::Cmd(command(rest, problems)?),
        "SHELL" => Kind::Shell(shell(rest, problems)?),
        "WORKDIR" => Kind::Workdir(rest.word()),
        "USER" => Kind::User(rest.word()),
        "STOPSIGNAL" => Kind::StopSignal(rest.word()),
        _ => Kind::Maintainer(rest.word()),
    };
    right.then_some(kind)
}

/// Records that an instruction has no arguments, with an example of them.
pub(super) fn missing(name: &str, span: Span, problems: &mut Problems) {
    let example = match name {
        "ADD" | "COPY" => "source … destination",
        "ARG" => "NAME=default",
        "ENV" | "LABEL" => "name=value",
        "EXPOSE" => "8080",
        "FROM" => "image",
        "HEALTHCHECK" => "CMD command",
        "ONBUILD" => "RUN command",
        "RUN" => "command",
        "SHELL" => "[\"/bin/bash\", \"-c\"]",
        "STOPSIGNAL" => "SIGTERM",
        "USER" => "user[:group]",
        "VOLUME" => "/data",
        "WORKDIR" => "/app",
        _ => "name",
    };
    problems
        .error(span, format!("`{name}` says nothing"))
        .help(format!("write `{name} {example}`"));
}

/// The exec form, or a line for the shell.
pub(super) fn command(rest: Part<'_>, problems: &mut Problems) -> Option<Command> {
    match rest.json() {
        Some(Ok(words)) => Some(Command::Exec(words)),
        Some(Err(NotText)) => {
            not_text(rest, problems);
            None
        }
        None => Some(Command::Shell(rest.word())),
    }
}

/// The exec form, or words.
pub(super) fn list(rest: Part<'_>, problems: &mut Problems) -> Option<Vec<Word>> {
    match rest.json() {
        Some(Ok(words)) => Some(words),
        Some(Err(NotText)) => {
            not_text(rest, problems);
            None
        }
        None => Some(rest.words()),
    }
}

fn not_text(rest: Part<'_>, problems: &mut Problems) {
    problems
        .error(rest.word().span, "a list holds only texts")
        .help("put every item in double quotes");
}

fn shell(rest: Part<'_>, problems: &mut Problems) -> Option<Vec<Word>> {
    match command(rest, problems)? {
        Command::Exec(words) if !words.is_empty() => Some(words),
        Command::Exec(_) => {
            missing("SHELL", rest.word().span, problems);
            None
        }
        Command::Shell(word) => {
            problems
                .error(word.span, "`SHELL` takes a JSON list")
                .help("write it as `SHELL [\"/bin/bash\", \"-c\"]`, with double quotes");
            None
        }
    }
}

fn args(rest: Part<'_>, escape: char, problems: &mut Problems) -> Option<Vec<Arg>> {
    let mut args = Vec::new();
    for word in rest.quoted_words(escape) {
        let (name, default) = match split_pair(&word) {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if name.value.is_empty() {
            no_name(name.span, problems);
            return None;
        }
        args.push(Arg { name, default });
    }
    Some(args)
}

fn no_name(span: Span, problems: &mut Problems) {
    problems
        .error(span, "a name is missing before `=`")
        .help("write it as name=value, without blanks around `=`");
}

/// Name and value of `name=value`.
fn split_pair(word: &Word) -> Option<(Word, Word)> {
    let at = word.value.find('=')?;
    let part = |range: std::ops::Range<usize>| {
        Word::new(word.value[range.clone()].to_owned(), word.span.part(range))
    };
    Some((part(0..at), part(at + 1..word.value.len())))
}

fn pairs(name: &str, rest: Part<'_>, escape: char, problems: &mut Problems) -> Option<Pairs> {
    let words = rest.quoted_words(escape);
    if words
        .first()
        .is_some_and(|first| !first.value.contains('='))
    {
        let (key, value) = rest.split_word();
        if value.is_empty() {
            problems
                .error(key.span, format!("`{name} {}` has no value", key.value))
                .help(format!("write `{name} {}=value`", key.value));
            return None;
        }
        return Some(Pairs {
            items: vec![(key, value.word())],
            form: PairForm::Legacy,
        });
    }
    let mut items = Vec::new();
    for word in words {
        let Some((key, value)) = split_pair(&word) else {
            problems
                .error(word.span, format!("there is no `=` in `{}`", word.value))
                .help("a value with blanks stands in quotes: name=\"two words\"");
            return None;
        };
        if key.value.is_empty() {
            no_name(word.span, problems);
            return None;
        }
        items.push((key, value));
    }
    let form = PairForm::Equals;
    (!items.is_empty()).then_some(Pairs { items, form })
}

fn from(reader: &mut Reader<'_, '_>, raw: Raw<'_>) -> Option<From> {
    let problems = &mut *reader.problems;
    let span = raw.span();
    let words = raw.rest.words();
    let mut flags = Flags::new(raw.name, raw.flags, problems);
    let platform = flags.text("platform", problems);
    let right = flags.finish();
    let mut words = words.into_iter();
    let (image, keyword, name, more) = (words.next(), words.next(), words.next(), words.next());
    let Some(image) = image else {
        missing("FROM", span, problems);
        return None;
    };
    let name = match (keyword, name, more) {
        (None, ..) => None,
        (Some(keyword), Some(name), None) if keyword.value.eq_ignore_ascii_case("as") => {
            stage_name(&name, problems)?;
            Some((keyword, name))
        }
        (Some(keyword), ..) => {
            let error = problems.error(keyword.span, "`FROM` takes an image and `AS name`");
            error.help("write `FROM image` or `FROM image AS name`");
            return None;
        }
    };
    right.then_some(From {
        image,
        platform,
        name,
    })
}

/// Checks the name of a stage: letters, digits, `-`, `_`, `.`, a letter first.
fn stage_name(name: &Word, problems: &mut Problems) -> Option<()> {
    let right = name.value.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if right {
        return Some(());
    }
    let message = format!("`{}` cannot be the name of a stage", name.value);
    problems
        .error(name.span, message)
        .help("a name starts with a letter; letters, digits, `-`, `_` and `.` follow");
    None
}

fn healthcheck(reader: &mut Reader<'_, '_>, raw: Raw<'_>) -> Option<Healthcheck> {
    let problems = &mut *reader.problems;
    let span = raw.span();
    let (kind, rest) = raw.rest.split_word();
    let mut flags = Flags::new(raw.name, raw.flags, problems);
    let timing = timing(&mut flags, problems);
    let right = flags.finish();
    if kind.value.is_empty() {
        missing("HEALTHCHECK", span, problems);
        return None;
    }
    match kind.value.to_ascii_uppercase().as_str() {
        "NONE" if rest.is_empty() => right.then_some(Healthcheck::None),
        "NONE" => {
            problems.error(rest.word().span, "`HEALTHCHECK NONE` takes nothing else");
            None
        }
        "CMD" => {
            let command = command(rest, problems)?;
            let empty = match &command {
                Command::Shell(line) => line.value.is_empty(),
                Command::Exec(words) => words.is_empty(),
            };
            if empty {
                missing("HEALTHCHECK", span, problems);
                return None;
            }
            let timing = timing?;
            right.then_some(Healthcheck::Cmd { command, timing })
        }
        _ => {
            let message = format!("`{}` is no kind of health check", kind.value);
            problems
                .error(kind.span, message)
                .help("write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`");
            None
        }
    }
}

/// The shortest time that an option may say: a millisecond, in nanoseconds.
const SHORTEST: i64 = 1_000_000;

fn timing(flags: &mut Flags, problems: &mut Problems) -> Option<Timing> {
    let mut right = true;
    let mut time = |name: &str, problems: &mut Problems| -> i64 {
        let Some(word) = flags.text(name, problems) else {
            return 0;
        };
        match duration::nanoseconds(&word.value) {
            Some(time) if time == 0 || time >= SHORTEST => time,
            _ => {
                right = false;
                let message = format!("`{}` is no time for `--{name}`", word.value);
                problems
                    .error(word.span, message)
                    .help("write it as `30s` or `1m30s`; a millisecond is the least");
                0
            }
        }
    };
    let mut timing = Timing {
        interval: time("interval", problems),
        timeout: time("timeout", problems),
        start_period: time("start-period", problems),
        start_interval: time("start-interval", problems),
        retries: 0,
    };
    if let Some(word) = flags.text("retries", problems) {
        match word.value.parse::<i32>() {
            Ok(retries) if retries >= 0 => timing.retries = retries.into(),
            _ => {
                right = false;
                let message = format!("`{}` is no number of retries", word.value);
                problems.error(word.span, message);
            }
        }
    }
    right.then_some(timing)
}

fn onbuild(reader: &mut Reader<'_, '_>, raw: Raw<'_>) -> Option<Onbuild> {
    let span = raw.span();
    let right = Flags::new(raw.name, raw.flags, reader.problems).finish();
    if raw.rest.is_empty() {
        missing("ONBUILD", span, reader.problems);
        return None;
    }
    let (keyword, _) = raw.rest.split_word();
    let refused = match keyword.value.to_ascii_uppercase().as_str() {
        "ONBUILD" => Some("`ONBUILD` cannot trigger `ONBUILD`"),
        "FROM" => Some("`FROM` cannot be a trigger"),
        "MAINTAINER" => Some("`MAINTAINER` cannot be a trigger"),
        _ => None,
    };
    if let Some(refused) = refused {
        reader.problems.error(keyword.span, refused);
        return None;
    }
    let trigger = reader.instruction_in(raw.rest)?;
    let mut text = raw.rest.text().to_owned();
    for heredoc in heredocs(&trigger) {
        text.push('\n');
        text.push_str(&heredoc.content.value);
        text.push_str(&heredoc.name.value);
    }
    right.then(|| Onbuild {
        text,
        trigger: Box::new(trigger),
    })
}

/// The here-documents of an instruction, in order.
pub(super) fn heredocs(instruction: &Instruction) -> Vec<&Heredoc> {
    match &instruction.kind {
        Kind::Run(run) => run.heredocs.iter().collect(),
        Kind::Copy(copy) => transfer::inline(&copy.transfer).collect(),
        Kind::Add(add) => transfer::inline(&add.transfer).collect(),
        Kind::Onbuild(onbuild) => heredocs(&onbuild.trigger),
        _ => Vec::new(),
    }
}
