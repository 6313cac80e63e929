//! The rules that look at names and keywords alone.

use super::{Findings, Rule};
use crate::build::dockerfile::Source;
use crate::build::dockerfile::instruction::{Instruction, Kind, Word};

/// Runs them over a file.
pub(in crate::build) fn named(source: &Source, findings: &mut Findings) {
    for span in &source.empty_continuations {
        findings.add(
            Rule::NoEmptyContinuation,
            *span,
            "an empty line between continued lines",
        );
    }
    casing(source, findings);
    let mut seen: Vec<String> = Vec::new();
    for stage in &source.dockerfile.stages {
        if let Some((keyword, name)) = &stage.from.name {
            let from = &stage.head.keyword;
            if is_lower(from) != is_lower(keyword) {
                let message = format!("`{}` is not written as `{}` is", keyword.value, from.value);
                findings.add(Rule::FromAsCasing, keyword.span, message);
            }
            stage_name(name, &seen, findings);
            seen.push(name.value.to_ascii_lowercase());
        }
        for instruction in &stage.instructions {
            if matches!(instruction.kind, Kind::Maintainer(_)) {
                findings.add_with_help(
                    Rule::MaintainerDeprecated,
                    instruction.span,
                    "`MAINTAINER` is deprecated",
                    Some("write `LABEL org.opencontainers.image.authors=…`".to_owned()),
                );
            }
        }
    }
}

fn stage_name(name: &Word, seen: &[String], findings: &mut Findings) {
    let lower = name.value.to_ascii_lowercase();
    if lower != name.value {
        let message = format!("the stage name `{}` should be in lower case", name.value);
        findings.add(Rule::StageNameCasing, name.span, message);
    }
    if matches!(lower.as_str(), "scratch" | "context") {
        let message = format!("the stage name `{lower}` is reserved");
        findings.add(Rule::ReservedStageName, name.span, message);
    }
    if seen.contains(&lower) {
        let message = format!("there is another stage named `{lower}`");
        findings.add(Rule::DuplicateStageName, name.span, message);
    }
}

fn is_lower(word: &Word) -> bool {
    !word.value.contains(|c: char| c.is_ascii_uppercase())
}

fn is_upper(word: &Word) -> bool {
    !word.value.contains(|c: char| c.is_ascii_lowercase())
}

/// All keywords are written as most of them are.
fn casing(source: &Source, findings: &mut Findings) {
    let stages = source.dockerfile.stages.iter();
    let all: Vec<&Instruction> = stages
        .flat_map(|stage| std::iter::once(&stage.head).chain(&stage.instructions))
        .collect();
    let lower = all.iter().filter(|i| is_lower(&i.keyword)).count();
    let upper = all.iter().filter(|i| is_upper(&i.keyword)).count();
    for instruction in all {
        let keyword = &instruction.keyword;
        let (right, most) = match lower > upper {
            true => (is_lower(keyword), "lower case"),
            false => (is_upper(keyword), "upper case"),
        };
        if !right {
            let message = format!(
                "`{}` is not written as most instructions are: in {most}",
                keyword.value
            );
            findings.add(Rule::ConsistentInstructionCasing, keyword.span, message);
        }
    }
}

/// Whether a variable's name sounds like a secret: one of its parts is `password`, `token` and the like, and
/// none says that it is public or only where the secret is.
pub(in crate::build) fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const PUBLIC: [&str; 3] = ["public", "file", "version"];
    let lower = name.to_ascii_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    has(&SECRET) && !has(&PUBLIC)
}
