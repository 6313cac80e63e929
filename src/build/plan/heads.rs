//! What each stage starts from.

use std::str::FromStr;

use super::globals::Globals;
use super::platform;
use super::{NamedContext, Origin, Request, StageId};
use crate::build::check::{Findings, Rule};
use crate::build::dockerfile::Source;
use crate::build::dockerfile::instruction::{From, Word};
use crate::build::expand::{self, Expanded, Mode};
use crate::compose::diagnostic::{Problems, Span, suggestion};
use crate::image::Reference;

/// The start of a stage.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Its name in lower case.
    pub(super) name: Option<String>,
    pub(super) base: Origin,
    /// As the file says it; `None` = that of the stage it starts from, or the target's.
    pub(super) platform: Option<String>,
    /// A named context stands in its place: its instructions do not count.
    pub(super) replaced: bool,
    pub(super) span: Span,
}

/// Reads the `FROM`s; errors are recorded.
pub(super) fn read(
    source: &Source,
    request: &Request,
    globals: &Globals,
    problems: &mut Problems,
    findings: &mut Findings,
) -> Option<Vec<Head>> {
    let mut heads: Vec<Head> = Vec::new();
    let mut right = true;
    for stage in &source.dockerfile.stages {
        let mut reader = HeadReader {
            escape: source.dockerfile.directives.escape,
            request,
            globals,
            problems,
            findings,
        };
        match reader.head(&stage.from, stage.head.span, &heads) {
            Some(head) => heads.push(head),
            None => {
                right = false;
                // Later stages may start from this one, or copy from it by number.
                heads.push(Head {
                    name: lower_name(&stage.from),
                    base: Origin::Scratch,
                    platform: None,
                    replaced: true,
                    span: stage.head.span,
                });
            }
        }
    }
    right.then_some(heads)
}

fn lower_name(from: &From) -> Option<String> {
    let (_, name) = from.name.as_ref()?;
    Some(name.value.to_ascii_lowercase())
}

struct HeadReader<'a, 'p> {
    escape: char,
    request: &'a Request,
    globals: &'a Globals,
    problems: &'p mut Problems,
    findings: &'p mut Findings,
}

impl HeadReader<'_, '_> {
    fn head(&mut self, from: &From, span: Span, before: &[Head]) -> Option<Head> {
        let name = lower_name(from);
        let image = self.expand(&from.image);
        let platform = match &from.platform {
            Some(word) => self.platform(word, name.as_deref()).map(Some),
            None => Some(None),
        };
        let (image, platform) = (image?, platform?);
        if image.text.is_empty() {
            let message = format!("`{}` names no image: it is empty", from.image.value);
            let error = self.problems.error(from.image.span, message);
            error.help("give the argument a value, or a default: `ARG NAME=default`");
            return None;
        }
        let wanted = platform
            .clone()
            .unwrap_or_else(|| self.request.platform.to_string());
        let replacement = name
            .as_deref()
            .and_then(|name| named_context(name, &wanted, self.request));
        let replaced = replacement.is_some();
        let base = match replacement {
            Some(origin) => origin,
            None => self.base(&image.text, &from.image, &wanted, before)?,
        };
        if let Some(word) = from.image.value.find('$').map(|_| &from.image) {
            self.defaults(word, before);
        }
        Some(Head {
            name,
            base,
            platform,
            replaced,
            span,
        })
    }

    fn base(&mut self, text: &str, word: &Word, platform: &str, before: &[Head]) -> Option<Origin> {
        if let Some(stage) = stage_named(text, before) {
            return Some(Origin::Stage(StageId(stage)));
        }
        if text == "scratch" {
            return Some(Origin::Scratch);
        }
        if let Some(origin) = named_context(text, platform, self.request) {
            return Some(origin);
        }
        match Reference::from_str(text) {
            Ok(_) => Some(Origin::Image {
                reference: text.to_owned(),
                platform: platform.to_owned(),
            }),
            Err(error) => {
                self.problems.error(word.span, error.to_string());
                None
            }
        }
    }

    /// Expands a word of a `FROM`, which sees only arguments that hold for the whole file.
    fn expand(&mut self, word: &Word) -> Option<Expanded> {
        let values = &self.globals.values;
        let lookup = |name: &str| values.get(name).cloned();
        let expanded = match expand::expand(&word.value, Mode::word(self.escape), &lookup) {
            Ok(expanded) => expanded,
            Err(error) => {
                self.problems.error(word.span, error.to_string());
                return None;
            }
        };
        for unset in &expanded.unset {
            if self.globals.declared.contains(&unset.name) {
                continue;
            }
            let names = values.keys().chain(&self.globals.declared);
            let help = likely(&unset.name, names.map(String::as_str));
            self.findings.add_with_help(
                Rule::UndefinedArgInFrom,
                place(word, &unset.range),
                format!("no `ARG` before the first `FROM` declares `{}`", unset.name),
                help.map(|name| format!("did you mean `{name}`?")),
            );
        }
        Some(expanded)
    }

    fn platform(&mut self, word: &Word, stage: Option<&str>) -> Option<String> {
        let expanded = self.expand(word)?;
        let Some(found) = platform::parse(&expanded.text, &self.request.platform) else {
            let message = match expanded.text.is_empty() {
                true => format!("`{}` names no platform: it is empty", word.value),
                false => format!("`{}` is no platform", expanded.text),
            };
            self.problems
                .error(word.span, message)
                .help("write it as `linux/amd64` or `linux/arm64`");
            return None;
        };
        let target = self.globals.values.get("TARGETPLATFORM");
        if let ([met], []) = (expanded.set.as_slice(), expanded.unset.as_slice())
            && met.name == "TARGETPLATFORM"
            && Some(&expanded.text) == target
        {
            let message = format!("`{}` is the platform that `FROM` takes anyway", word.value);
            self.findings
                .add(Rule::RedundantTargetPlatform, word.span, message);
        }
        let named_so = stage
            .is_some_and(|stage| stage.contains(&found.os) || stage.contains(&found.architecture));
        if expanded.set.is_empty() && expanded.unset.is_empty() && !named_so {
            let message = format!("the platform `{}` is a constant", expanded.text);
            self.findings
                .add(Rule::FromPlatformFlagConstDisallowed, word.span, message);
        }
        Some(found.to_string())
    }

    /// Checks that the image has a name without arguments of the caller, too.
    fn defaults(&mut self, word: &Word, before: &[Head]) {
        let lookup = |name: &str| self.globals.defaults.get(name).cloned();
        let Ok(expanded) = expand::expand(&word.value, Mode::word(self.escape), &lookup) else {
            return;
        };
        let text = expanded.text.as_str();
        if stage_named(text, before).is_none() && Reference::from_str(text).is_err() {
            let message = format!(
                "with the defaults of its arguments, `{}` names no image",
                word.value
            );
            self.findings
                .add(Rule::InvalidDefaultArgInFrom, word.span, message);
        }
    }
}

/// The last of some stages with a name.
pub(super) fn stage_named(name: &str, heads: &[Head]) -> Option<usize> {
    heads.iter().rposition(|head| {
        head.name
            .as_deref()
            .is_some_and(|own| own.eq_ignore_ascii_case(name))
    })
}

/// The context that the caller gave a name; names of images are compared in their short form.
pub(super) fn named_context(name: &str, platform: &str, request: &Request) -> Option<Origin> {
    if matches!(name, "scratch" | "context") {
        return None;
    }
    let wanted = short(name);
    let (key, context) = request
        .contexts
        .iter()
        .find(|(key, _)| short(key) == wanted)?;
    Some(match context {
        NamedContext::Files => Origin::Named(key.clone()),
        NamedContext::Image(reference) => Origin::Image {
            reference: reference.clone(),
            platform: platform.to_owned(),
        },
    })
}

fn short(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let familiar = Reference::from_str(&lower).map_or(lower, |reference| reference.familiar());
    match familiar.strip_suffix(":latest") {
        Some(short) => short.to_owned(),
        None => familiar,
    }
}

/// The name that a misspelt one most likely means; case does not count.
pub(super) fn likely<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let pairs: Vec<(String, &str)> = names
        .filter(|candidate| *candidate != name)
        .map(|candidate| (candidate.to_lowercase(), candidate))
        .collect();
    let found = suggestion(name, pairs.iter().map(|(lower, _)| lower.as_str()))?;
    let (_, original) = pairs.iter().find(|(lower, _)| lower == found)?;
    Some((*original).to_owned())
}

/// The place of a part of a word, where the word stands in the file as it is.
pub(super) fn place(word: &Word, range: &std::ops::Range<usize>) -> Span {
    if word.span.len() == word.value.len() {
        word.span.part(range.clone())
    } else {
        word.span
    }
}
