//! A Dockerfile that was read: its text, its instructions, and how problems in it are shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::instruction::{Dockerfile, Instruction};
use super::lines::Origin;
use super::parse;
use crate::compose::Diagnostics;
use crate::compose::diagnostic::{FileId, Problems, Span};

/// Bytes that a Dockerfile may have.
const MAX_BYTES: usize = 16 << 20;

/// A Dockerfile that was read.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    text: Arc<str>,
    /// Its instructions.
    pub dockerfile: Dockerfile,
    /// Empty lines between continued ones.
    pub(crate) empty_continuations: Vec<Span>,
}

impl Source {
    /// Reads a Dockerfile; `path` is the name it is shown with. All its mistakes are told at once.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Diagnostics> {
        let (text, wrong) = decode(bytes);
        let mut source = Self {
            path: path.to_owned(),
            text,
            dockerfile: Dockerfile {
                directives: super::instruction::Directives {
                    syntax: None,
                    escape: '\\',
                    check: None,
                },
                global: Vec::new(),
                stages: Vec::new(),
            },
            empty_continuations: Vec::new(),
        };
        let (mut problems, file) = source.problems();
        if let Some(wrong) = wrong {
            problems.error(Span::new(file, 0..0), wrong);
        } else {
            let origin = Origin::File(file);
            let (dockerfile, empty) = parse::dockerfile(&source.text, origin, &mut problems);
            source.dockerfile = dockerfile;
            source.empty_continuations = empty;
        }
        if problems.has_errors() {
            return Err(problems.finish());
        }
        Ok(source)
    }

    /// What was written at a place.
    pub fn text(&self, span: Span) -> String {
        let (problems, _) = self.problems();
        problems.sources.text(span).unwrap_or_default().to_owned()
    }

    /// A problem at a place of this file, met after it was read: a step that failed, say.
    pub fn error(&self, span: Span, message: &str, label: &str, help: Option<&str>) -> Diagnostics {
        let (mut problems, _) = self.problems();
        let error = problems.error(span, message);
        if !label.is_empty() {
            error.label(label);
        }
        if let Some(help) = help {
            error.help(help);
        }
        problems.finish()
    }

    /// A place to collect problems of this file; the instructions' spans fit it.
    pub(crate) fn problems(&self) -> (Problems, FileId) {
        let mut problems = Problems::default();
        let file = problems
            .sources
            .add(self.path.clone(), Arc::clone(&self.text));
        // The first file of a collection always has a number.
        (problems, file.unwrap_or_default())
    }

    /// Reads an instruction that stands in no file: a trigger of the base image named at `place`.
    pub(crate) fn trigger(
        &self,
        text: &str,
        place: Span,
        problems: &mut Problems,
    ) -> Option<Instruction> {
        parse::single(text, place, self.dockerfile.directives.escape, problems)
    }
}

/// The text of a file, and why it is none.
fn decode(bytes: &[u8]) -> (Arc<str>, Option<String>) {
    let empty = Arc::from("");
    if bytes.len() > MAX_BYTES {
        let size = bytes.len() >> 20;
        return (
            empty,
            Some(format!(
                "the file has {size} MiB; a Dockerfile may have {}",
                MAX_BYTES >> 20
            )),
        );
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return (
            empty,
            Some("the file is UTF-16; save it as UTF-8".to_owned()),
        );
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => (empty, Some("the file is binary".to_owned())),
        Ok(text) => (Arc::from(text), None),
        Err(error) => {
            let line = bytes[..error.valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            (empty, Some(format!("line {line} is not UTF-8")))
        }
    }
}
