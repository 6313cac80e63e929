//! `.dockerignore`: which files of a build context are left out.
//!
//! The dialect is that of moby/patternmatcher, not of git: a pattern counts from the context's root, the
//! last pattern that matches wins, `!` takes files back in, `**` stands for any number of directories,
//! and what lies in a directory that matches is matched too. `COPY --exclude` speaks it as well.
//!
//! Pure: a [`Matcher`] sees paths, never files. While walking, [`Matcher::enter`] says for each entry
//! whether it is left out and whether a whole directory can be skipped.

mod pattern;

use pattern::{Pattern, clean};

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: the pattern `{pattern}` {reason}")]
pub struct IgnoreError {
    /// Line of the file, from 1; for a list of patterns its number.
    pub line: usize,
    /// The pattern.
    pub pattern: String,
    /// What is wrong.
    pub reason: &'static str,
}

/// The files that can hold the patterns for a Dockerfile, the first one that exists counts: one beside the
/// Dockerfile with its name, then the one at the context's root. Paths as given and relative to the root.
pub fn file_names(dockerfile: &str) -> [String; 2] {
    [
        format!("{dockerfile}.dockerignore"),
        ".dockerignore".to_owned(),
    ]
}

/// Says of paths whether they are left out.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    patterns: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    /// `!`: what matches is taken in again.
    exception: bool,
}

/// What is known of a directory: which patterns match it or a directory above it.
#[derive(Debug, Clone, Default)]
pub struct Level {
    matched: Vec<bool>,
}

/// What is said of one entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whether it is left out.
    pub ignored: bool,
    /// Whether it is left out with everything that may lie below it: nothing there need be looked at.
    pub skip: bool,
    /// For [`Matcher::enter`] with the entries below it.
    pub level: Level,
}

impl Matcher {
    /// Reads a `.dockerignore`.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate();
        let patterns = lines.filter(|(_, line)| !line.starts_with('#'));
        Self::read(patterns.map(|(index, line)| (index + 1, line)))
    }

    /// Makes a matcher of a list of patterns.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, IgnoreError> {
        let patterns = patterns.into_iter().enumerate();
        Self::read(patterns.map(|(index, pattern)| (index + 1, pattern)))
    }

    fn read<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Self, IgnoreError> {
        let mut patterns = Vec::new();
        for (line, text) in lines {
            let text = text.trim();
            let (body, exception) = match text.strip_prefix('!') {
                Some(body) => (body.trim(), true),
                None => (text, false),
            };
            let wrong = |reason| IgnoreError {
                line,
                pattern: text.to_owned(),
                reason,
            };
            if body.is_empty() {
                if exception {
                    return Err(wrong("takes nothing back in"));
                }
                continue;
            }
            let cleaned = clean(body);
            let rooted = match cleaned.strip_prefix('/') {
                Some(rest) if !rest.is_empty() => rest,
                _ => &cleaned,
            };
            let pattern = Pattern::parse(rooted).map_err(wrong)?;
            patterns.push(Rule { pattern, exception });
        }
        Ok(Self { patterns })
    }

    /// Whether nothing is ever left out.
    pub fn is_empty(&self) -> bool {
        self.patterns.iter().all(|rule| rule.exception)
    }

    /// Whether a path, relative to the root and with `/` between its parts, is left out.
    pub fn is_ignored(&self, path: &str) -> bool {
        let mut level = Level::default();
        let mut ignored = false;
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let entry = self.enter(&level, &path[..end]);
            (ignored, level) = (entry.ignored, entry.level);
        }
        ignored
    }

    /// Looks at an entry of a directory; `parent` is what is known of the directory, the default for the root.
    /// `path` is relative to the root.
    pub fn enter(&self, parent: &Level, path: &str) -> Entry {
        let known = |index: usize| parent.matched.get(index).copied().unwrap_or(false);
        let matched: Vec<bool> = self
            .patterns
            .iter()
            .enumerate()
            .map(|(index, rule)| known(index) || rule.pattern.matches(path))
            .collect();
        let last = matched.iter().rposition(|matched| *matched);
        let ignored = last.is_some_and(|index| !self.patterns[index].exception);
        let skip = ignored && !self.takes_back_below(path, last.map_or(0, |index| index + 1));
        Entry {
            ignored,
            skip,
            level: Level { matched },
        }
    }

    /// Whether a rule from `first` on may take something below a directory back in.
    fn takes_back_below(&self, directory: &str, first: usize) -> bool {
        self.patterns[first..]
            .iter()
            .any(|rule| rule.exception && rule.pattern.may_match_below(directory))
    }
}

#[cfg(test)]
mod tests;
