//! The rules of `develop.watch`: which changes matter, and what follows them.

mod actions;
mod editors;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::interest::Interest;
use super::links::without_links;
use super::sync::Mapping;
use crate::build::ignore::{IgnoreError, Level, Matcher};
use crate::compose::model::{Hook, ServiceName, WatchAction, WatchRule};

pub use actions::{Actions, decide};

/// What a directory of versions is called: it is never copied, and never a reason to build.
const OF_VERSIONS: &str = ".git";

/// One rule of a service, ready to be held against paths.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The service.
    pub service: ServiceName,
    /// What is watched, without symbolic links on the way to it.
    pub path: PathBuf,
    /// What follows.
    pub action: WatchAction,
    /// Path in the container that files are copied to.
    pub target: Option<String>,
    /// What runs after files were copied.
    pub exec: Option<Hook>,
    /// Copy all files when watching begins.
    pub initial_sync: bool,
    /// What is looked at; `None` = all.
    include: Option<Matcher>,
    ignore: Matcher,
    context: Option<Context>,
}

/// What the service's image is built from: its `.dockerignore` counts for watching, too.
#[derive(Debug, Clone)]
pub struct Context {
    directory: PathBuf,
    ignore: Matcher,
}

/// Why a rule cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// A pattern of the rule.
    #[error("service {service}: develop.watch: bad pattern in `{key}`")]
    Pattern {
        /// The service.
        service: ServiceName,
        /// `include` or `ignore`.
        key: &'static str,
        /// What is wrong with it.
        source: IgnoreError,
    },
    /// The `.dockerignore`.
    #[error("service {service}: bad {}", path.display())]
    DockerIgnore {
        /// The service.
        service: ServiceName,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: IgnoreError,
    },
}

impl Context {
    /// Reads the text of an ignore file of a build context. One that leaves out everything and takes
    /// some of it in again says what an image is made of, not what is watched: as for Docker Compose
    /// it leaves out nothing here.
    pub fn new(directory: &Path, text: &str) -> Result<Self, IgnoreError> {
        let ignore = Matcher::parse(text)?;
        let takes_in = text.lines().any(|line| line.trim() == "*");
        Ok(Self {
            directory: without_links(directory),
            ignore: match takes_in {
                true => Matcher::default(),
                false => ignore,
            },
        })
    }
}

impl Rule {
    /// Reads a rule of a service.
    pub fn new(
        service: &ServiceName,
        rule: &WatchRule,
        context: Option<Context>,
    ) -> Result<Self, RuleError> {
        let matcher = |key, patterns: &[String]| {
            let patterns = patterns.iter().map(String::as_str);
            Matcher::new(patterns).map_err(|source| RuleError::Pattern {
                service: service.clone(),
                key,
                source,
            })
        };
        let include = match rule.include.is_empty() {
            true => None,
            false => Some(matcher("include", &rule.include)?),
        };
        Ok(Self {
            service: service.clone(),
            path: without_links(&rule.path),
            action: rule.action,
            target: rule.target.clone(),
            exec: rule.exec.clone(),
            initial_sync: rule.initial_sync,
            include,
            ignore: matcher("ignore", &rule.ignore)?,
            context,
        })
    }

    /// Whether files are copied.
    pub fn copies(&self) -> bool {
        !matches!(self.action, WatchAction::Rebuild | WatchAction::Restart)
    }

    /// Whether a change of this path is one that the rule is about.
    pub fn matches(&self, path: &Path) -> bool {
        let Some(relative) = relative(&self.path, path) else {
            return false;
        };
        let included = match &self.include {
            None => true,
            Some(include) => include.is_ignored(&relative),
        };
        included
            && !is_left_out(&relative, |relative| self.ignore.is_ignored(relative))
            && !self.is_ignored_by_context(path)
    }

    fn is_ignored_by_context(&self, path: &Path) -> bool {
        self.context.as_ref().is_some_and(|context| {
            relative(&context.directory, path).is_some_and(|relative| {
                !relative.is_empty() && context.ignore.is_ignored(&relative)
            })
        })
    }

    /// Whether there may be something below a directory that the rule is about, or the way to what
    /// it watches leads through it.
    pub fn enters(&self, directory: &Path) -> bool {
        if self.path.starts_with(directory) {
            return true;
        }
        let Some(inside) = relative(&self.path, directory) else {
            return false;
        };
        let skipped_by_context = self.context.as_ref().is_some_and(|context| {
            relative(&context.directory, directory)
                .is_some_and(|relative| skips(&context.ignore, &relative))
        });
        !skipped_by_context && !is_left_out(&inside, |inside| skips(&self.ignore, inside))
    }

    /// Where a path goes in the container; `None` when the rule copies nothing.
    pub fn mapping(&self, path: &Path) -> Option<Mapping> {
        let target = self.target.as_ref().filter(|_| self.copies())?;
        let relative = relative(&self.path, path)?;
        let top = relative.is_empty();
        Some(Mapping {
            source: path.to_owned(),
            target: match top {
                true => target.clone(),
                false => format!("{}/{relative}", target.trim_end_matches('/')),
            },
            top,
        })
    }
}

/// A path below another, with `/` between its parts; empty when it is the same.
fn relative(root: &Path, path: &Path) -> Option<String> {
    let relative = path.strip_prefix(root).ok()?;
    Some(relative.to_string_lossy().into_owned())
}

/// Whether a path below a rule's is left out by the rule, or always.
fn is_left_out(relative: &str, ignored: impl Fn(&str) -> bool) -> bool {
    !relative.is_empty()
        && (ignored(relative)
            || relative
                .split('/')
                .any(|name| name == OF_VERSIONS || editors::is_temporary(name))
            || editors::is_in_settings(relative))
}

/// Whether a directory is left out with all that may be below it.
fn skips(matcher: &Matcher, directory: &str) -> bool {
    let mut level = Level::default();
    let ends = directory.match_indices('/').map(|(at, _)| at);
    for end in ends.chain([directory.len()]) {
        let entry = matcher.enter(&level, &directory[..end]);
        if entry.skip {
            return true;
        }
        level = entry.level;
    }
    false
}

/// What a set of rules is about.
#[derive(Debug, Clone)]
pub struct OfRules(pub Arc<[Rule]>);

impl Interest for OfRules {
    fn enters(&self, directory: &Path) -> bool {
        self.0.iter().any(|rule| rule.enters(directory))
    }

    fn wants(&self, path: &Path) -> bool {
        self.0.iter().any(|rule| rule.matches(path))
    }
}

#[cfg(test)]
mod tests;
