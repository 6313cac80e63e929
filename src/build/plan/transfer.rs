//! `COPY` and `ADD`: from words to a step.

use super::evaluate::Evaluator;
use super::history;
use super::scope::clean;
use super::step::{Action, Add, Copy, History, Origin, Source, Transfer};
use crate::build::check::Rule;
use crate::build::dockerfile::instruction::{self, TransferSource, Word};
use crate::build::expand::Mode;
use crate::build::remote::Repository;
use crate::image::Digest;

impl Evaluator<'_, '_> {
    pub(super) fn copy(&mut self, copy: &instruction::Copy) -> Option<(Action, Option<History>)> {
        let from = match &copy.from {
            Some(from) => self.origin(from)?,
            None => Origin::Context,
        };
        let transfer = self.transfer(&copy.transfer, "COPY")?;
        if from == Origin::Context {
            self.ignored_sources("copy", &copy.transfer, &transfer);
        }
        let created_by = history::transfer("COPY", copy.parents, &transfer);
        let action = Action::Copy(Copy {
            from,
            transfer,
            parents: copy.parents,
        });
        Some((action, history::entry(created_by, false)))
    }

    /// Notes sources that the context's `.dockerignore` leaves out.
    pub(super) fn ignored_sources(
        &mut self,
        verb: &str,
        written: &instruction::Transfer,
        transfer: &Transfer,
    ) {
        let Some(ignore) = self.input.ignore else {
            return;
        };
        for (source, word) in transfer.sources.iter().zip(&written.sources) {
            let (Source::Path(path), TransferSource::Path(word)) = (source, word) else {
                continue;
            };
            let path = clean("/", path);
            if !path.contains("://") && ignore.is_ignored(path.trim_start_matches('/')) {
                let message = format!(
                    "`{}` cannot be found to {}: `.dockerignore` leaves it out",
                    word.value, verb
                );
                self.expander
                    .findings
                    .add(Rule::CopyIgnoredFile, word.span, message);
            }
        }
    }

    pub(super) fn add(&mut self, add: &instruction::Add) -> Option<(Action, Option<History>)> {
        let transfer = self.transfer(&add.transfer, "ADD")?;
        self.ignored_sources("add", &add.transfer, &transfer);
        let checksum = self.expander.optional(add.checksum.as_ref(), &self.scope)?;
        if let (Some(text), Some(word)) = (&checksum, &add.checksum) {
            self.checksum(text, word, &transfer)?;
        }
        let created_by = history::transfer("ADD", false, &transfer);
        let action = Action::Add(Add {
            transfer,
            checksum,
            keep_git_dir: add.keep_git_dir.unwrap_or(false),
            unpack: add.unpack,
        });
        Some((action, history::entry(created_by, false)))
    }

    fn checksum(&mut self, text: &str, word: &Word, transfer: &Transfer) -> Option<()> {
        let problems = &mut *self.expander.problems;
        let is_commit =
            (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let [Source::Path(path)] = transfer.sources.as_slice()
            && Repository::parse(path).is_some()
            && is_commit
        {
            return Some(());
        }
        if text.parse::<Digest>().is_err() {
            let message = format!("`{text}` is no checksum");
            let error = problems.error(word.span, message);
            error.help(
                "write it as `sha256:` and 64 hexadecimal digits; that of a repository is a commit",
            );
            return None;
        }
        match transfer.sources.as_slice() {
            [Source::Path(path)] if is_remote(path) => Some(()),
            _ => {
                problems.error(word.span, "a checksum needs one source, and that a URL");
                None
            }
        }
    }

    fn transfer(&mut self, written: &instruction::Transfer, name: &str) -> Option<Transfer> {
        let mut sources = Vec::new();
        for source in &written.sources {
            sources.push(match source {
                TransferSource::Path(word) => self.path(word, name)?,
                TransferSource::Inline(heredoc) => {
                    let text = Word::new(heredoc.text(), heredoc.content.span);
                    let content = match heredoc.expand {
                        true => {
                            self.expander
                                .expand(&text, Mode::heredoc(), &self.scope)?
                                .text
                        }
                        false => text.value,
                    };
                    let name = heredoc.name.value.clone();
                    Source::Inline { name, content }
                }
            });
        }
        let destination = self.expander.word(&written.destination, &self.scope)?;
        let destination = self.destination(&destination);
        let chown = self
            .expander
            .optional(written.chown.as_ref(), &self.scope)?;
        let chmod = self
            .expander
            .optional(written.chmod.as_ref(), &self.scope)?;
        if let (Some(mode), Some(word)) = (&chmod, &written.chmod)
            && !mode.is_empty()
            && !is_mode(mode)
        {
            let message = format!("`{mode}` is no mode");
            let error = self.expander.problems.error(word.span, message);
            error.help("write it as `755` or `u+x,go-w`");
            return None;
        }
        Some(Transfer {
            sources,
            destination,
            chown: chown.filter(|chown| !chown.is_empty()),
            chmod: chmod.filter(|chmod| !chmod.is_empty()),
            link: written.link,
            exclude: self.patterns(&written.exclude)?,
        })
    }

    fn path(&mut self, word: &Word, name: &str) -> Option<Source> {
        let path = self.expander.word(word, &self.scope)?;
        if name == "COPY" && is_remote(&path) {
            let message = format!("`COPY` cannot fetch `{path}`");
            let error = self.expander.problems.error(word.span, message);
            error.help("`ADD` can");
            return None;
        }
        Some(Source::Path(path))
    }

    /// Patterns may hold backslashes of their own, so only those with a variable are expanded.
    fn patterns(&mut self, words: &[Word]) -> Option<Vec<String>> {
        words
            .iter()
            .map(|word| match word.value.contains('$') {
                true => self.expander.word(word, &self.scope),
                false => Some(word.value.clone()),
            })
            .collect()
    }

    /// An absolute destination; what says that it is a directory is kept.
    fn destination(&self, text: &str) -> String {
        let mut path = self.scope.absolute(text);
        let directory = matches!(text, "" | ".") || text.ends_with('/') || text.ends_with("/.");
        if directory && !path.ends_with('/') {
            path.push('/');
        }
        path
    }
}

/// Whether a source is fetched from elsewhere.
fn is_remote(path: &str) -> bool {
    ["http://", "https://", "git://", "git@", "ssh://"]
        .iter()
        .any(|scheme| path.starts_with(scheme))
}

/// Whether a text is a mode: octal up to 7777, or symbolic as for `chmod`.
fn is_mode(text: &str) -> bool {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777);
    }
    text.split(',').all(|clause| {
        let actions = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        let first = actions.starts_with(['+', '-', '=']);
        let known = |c| {
            matches!(
                c,
                '+' | '-' | '=' | 'r' | 'w' | 'x' | 'X' | 's' | 't' | 'u' | 'g' | 'o'
            )
        };
        first && actions.chars().all(known)
    })
}
