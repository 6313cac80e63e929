//! From text to [`Dockerfile`]: directives, then one instruction after the other. Every mistake is recorded,
//! and reading goes on behind it.

use std::ops::Range;

use super::arguments;
use super::heredoc;
use super::instruction::{Directives, Dockerfile, Heredoc, Instruction, Kind, StageText, Word};
use super::lines::{self, Line, Lines, Origin};
use super::words::{Flag, Part};
use crate::compose::diagnostic::{Problems, Span, suggestion};

/// All keywords, in upper case.
pub(super) const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What reading an instruction takes with it.
pub(super) struct Reader<'t, 'p> {
    pub(super) lines: Lines<'t>,
    pub(super) escape: char,
    pub(super) origin: Origin,
    pub(super) problems: &'p mut Problems,
}

/// One instruction's parts, before its arguments are read.
pub(super) struct Raw<'l> {
    /// The keyword as written, and in upper case.
    pub(super) keyword: Word,
    pub(super) name: &'static str,
    pub(super) flags: Vec<Flag>,
    pub(super) rest: Part<'l>,
    pub(super) heredocs: Vec<Heredoc>,
}

impl Raw<'_> {
    /// The whole of keyword, flags and arguments.
    pub(super) fn span(&self) -> Span {
        self.keyword.span.to(self.rest.word().span)
    }
}

/// Lines that are empty between continued ones, kept for the checks.
pub(super) type EmptyContinuations = Vec<Span>;

/// Reads a whole Dockerfile.
pub(super) fn dockerfile(
    text: &str,
    origin: Origin,
    problems: &mut Problems,
) -> (Dockerfile, EmptyContinuations) {
    let mut reader = Reader {
        lines: Lines::new(text, origin),
        escape: '\\',
        origin,
        problems,
    };
    let directives = reader.directives();
    reader.escape = directives.escape;
    reader.lines.set_escape(directives.escape);
    let mut file = Dockerfile {
        directives,
        global: Vec::new(),
        stages: Vec::new(),
    };
    let mut empty = Vec::new();
    let mut place = Place::default();
    while let Some(line) = reader.lines.logical() {
        empty.extend(line.empty_continuation);
        let is_from = line
            .text
            .trim_start()
            .get(..4)
            .is_some_and(|word| word.eq_ignore_ascii_case("from"));
        place.stage |= is_from;
        match reader.instruction(&line) {
            Some(instruction) => place.put(&mut file, instruction, reader.problems),
            // Whatever follows belongs to a stage that is not known.
            None => place.lost |= is_from,
        }
    }
    if !place.stage && !place.told {
        let message = match file.global.is_empty() {
            true => "the Dockerfile has no instructions",
            false => "the Dockerfile has no stage: there is no `FROM`",
        };
        let at = lines::span(origin, 0..0);
        reader
            .problems
            .error(at, message)
            .help("a stage starts with `FROM image`, or with `FROM scratch` for an empty one");
    }
    (file, empty)
}

/// Where the next instruction goes.
#[derive(Default)]
struct Place {
    /// A `FROM` was met, right or wrong.
    stage: bool,
    /// The last `FROM` could not be read.
    lost: bool,
    /// That there is no `FROM` was told.
    told: bool,
}

impl Place {
    fn put(&mut self, file: &mut Dockerfile, instruction: Instruction, problems: &mut Problems) {
        match &instruction.kind {
            Kind::From(from) => {
                self.lost = false;
                file.stages.push(StageText {
                    from: from.clone(),
                    head: instruction,
                    instructions: Vec::new(),
                });
            }
            Kind::Arg(_) if !self.stage => file.global.push(instruction),
            _ if self.lost => {}
            _ => match file.stages.last_mut() {
                Some(stage) => stage.instructions.push(instruction),
                None if self.told => {}
                None => {
                    self.told = true;
                    let keyword = &instruction.keyword;
                    let message = format!("`{}` stands before the first `FROM`", keyword.value);
                    problems
                        .error(keyword.span, message)
                        .help("only `ARG` may; put `FROM image` first");
                }
            },
        }
    }
}

/// Reads one instruction that stands in no file: a trigger of a base image.
pub(super) fn single(
    text: &str,
    place: Span,
    escape: char,
    problems: &mut Problems,
) -> Option<Instruction> {
    let origin = Origin::Fixed(place);
    let mut lines = Lines::new(text, origin);
    lines.set_escape(escape);
    let mut reader = Reader {
        lines,
        escape,
        origin,
        problems,
    };
    let line = reader.lines.logical()?;
    reader.instruction(&line)
}

impl Reader<'_, '_> {
    /// The comments at the top that are no comments.
    fn directives(&mut self) -> Directives {
        let mut directives = Directives {
            syntax: None,
            escape: '\\',
            check: None,
        };
        let mut escape = None;
        while let Some((start, line)) = self.lines.peek() {
            let Some((name, value)) = directive(line) else {
                break;
            };
            self.lines.physical();
            let place = |range: Range<usize>| {
                lines::span(self.origin, start + range.start..start + range.end)
            };
            let word = Word::new(line[value.clone()].to_owned(), place(value));
            let slot = match line[name.clone()].to_ascii_lowercase().as_str() {
                "syntax" => &mut directives.syntax,
                "check" => &mut directives.check,
                _ => &mut escape,
            };
            if slot.is_some() {
                let message = format!("the directive `{}` is given twice", &line[name.clone()]);
                self.problems.error(place(name), message);
            }
            *slot = Some(word);
        }
        if let Some(escape) = escape {
            match escape.value.as_str() {
                "\\" => {}
                "`" => directives.escape = '`',
                other => {
                    let message = format!("`{other}` cannot be the escape character");
                    self.problems
                        .error(escape.span, message)
                        .help("it is `\\` or a backtick");
                }
            }
        }
        directives
    }

    /// One instruction with its here-documents.
    fn instruction(&mut self, line: &Line) -> Option<Instruction> {
        self.instruction_in(Part::from(line, 0))
    }

    /// The instruction that a part of a line holds: the whole line, or what follows `ONBUILD`.
    pub(super) fn instruction_in(&mut self, part: Part<'_>) -> Option<Instruction> {
        let (keyword, mut rest) = part.split_word();
        let upper = keyword.value.to_ascii_uppercase();
        let Some(name) = KEYWORDS.iter().find(|name| **name == upper).copied() else {
            self.unknown(&keyword, &upper);
            return None;
        };
        let flags = rest.take_flags();
        let heredocs = match name {
            "RUN" | "COPY" | "ADD" if rest.json().is_none() => {
                heredoc::read(rest, &mut self.lines, self.origin, self.problems)?
            }
            _ => Vec::new(),
        };
        let raw = Raw {
            keyword: keyword.clone(),
            name,
            flags,
            rest,
            heredocs,
        };
        let span = match raw.heredocs.last() {
            Some(_) => raw.span().to(lines::span(self.origin, 0..self.lines.end())),
            None => raw.span(),
        };
        let kind = arguments::read(self, raw)?;
        Some(Instruction {
            kind,
            keyword,
            span,
        })
    }

    fn unknown(&mut self, keyword: &Word, upper: &str) {
        let candidates = KEYWORDS.map(str::to_ascii_lowercase);
        let likely = suggestion(upper, candidates.iter().map(String::as_str));
        let message = format!("`{}` is no instruction", keyword.value);
        let error = self.problems.error(keyword.span, message);
        match likely {
            Some(name) => error.help(format!("did you mean `{}`?", name.to_ascii_uppercase())),
            None => {
                error.help("an instruction starts each line; a line that goes on ends with a `\\`")
            }
        };
    }
}

/// Where name and value of a directive stand in a line: `# name = value`.
fn directive(line: &str) -> Option<(Range<usize>, Range<usize>)> {
    let body = line.trim_start_matches('\u{feff}').trim_start();
    let body = body.strip_prefix('#')?.trim_start();
    let at = |part: &str| part.as_ptr() as usize - line.as_ptr() as usize;
    let (name, value) = body.split_once('=')?;
    let (name, value) = (name.trim_end(), value.trim());
    let known = ["syntax", "escape", "check"];
    if value.is_empty() || !known.contains(&name.to_ascii_lowercase().as_str()) {
        return None;
    }
    let range = |part: &str| at(part)..at(part) + part.len();
    Some((range(name), range(value)))
}
