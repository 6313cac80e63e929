//! From files to one tree: reading, `include`, `extends` and merging, which need one another.
//!
//! A [`Scope`] is a set of files with what they mean by a relative path and by a variable: the
//! project's own files are one, each entry of `include` is another. Its files become one tree:
//!
//! - each document by itself: variables, then keys, types and long forms;
//! - what it includes is laid below it, in a scope of its own ([`mod@include`]);
//! - the services that its own extend are laid below them ([`mod@extends`]);
//! - the documents are laid over one another, in their order.
//!
//! Invariant: a file is read once, and every problem in it is told at its place, with the way on
//! which the file was found.

mod circle;
mod extends;
mod include;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Problems, Span, Through};
use super::interpolate;
use super::load::LoadOptions;
use super::schema::{self, Shape};
use super::shape::{self, At, Shaped};
use super::source::Source;
use super::template::Lookup;
use super::tree::{Map, Node, Value};
use super::{complete, merge, raw, unique};

/// Files that are loaded together, and what they mean by a path and by a variable.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Relative paths start here; absolute.
    pub(super) directory: &'a Path,
    pub(super) lookup: &'a Lookup<'a>,
    /// The entry of `include` that asked for the files.
    included: Option<&'a include::Link<'a>>,
}

impl<'a> Scope<'a> {
    /// The scope of the project's own files.
    pub(super) fn project(directory: &'a Path, lookup: &'a Lookup<'a>) -> Self {
        Self {
            directory,
            lookup,
            included: None,
        }
    }
}

/// A document of a file.
struct Document {
    /// The file; `-` for standard input.
    path: PathBuf,
    tree: Node,
}

/// The documents of one file, as they were written.
pub(super) type Documents = Arc<Vec<Node>>;

/// Loads the files of scopes.
pub(super) struct Loader<'a> {
    source: &'a dyn Source,
    options: &'a LoadOptions,
    pub(super) problems: &'a mut Problems,
    /// Files that were read; `None` for one that could not be.
    files: HashMap<PathBuf, Option<Documents>>,
    /// Variables that it was told of that they are not set.
    unset: HashSet<String>,
    includes: usize,
}

static TOP: Shape = Shape::Keys(&schema::TOP);

impl<'a> Loader<'a> {
    pub(super) fn new(
        source: &'a dyn Source,
        options: &'a LoadOptions,
        problems: &'a mut Problems,
    ) -> Self {
        Self {
            source,
            options,
            problems,
            files: HashMap::new(),
            unset: HashSet::new(),
            includes: 0,
        }
    }

    /// The documents of the project's files as they were written, for what has to be known first.
    pub(super) fn documents(&mut self, paths: &[PathBuf]) -> Vec<Documents> {
        let documents = paths.iter().filter_map(|path| self.read(path, None));
        documents.collect()
    }

    /// Loads the files of a scope and merges them to one tree; `None` when none could be read.
    pub(super) fn load(
        &mut self,
        paths: &[PathBuf],
        scope: Scope<'_>,
        through: Option<Through>,
    ) -> Option<Node> {
        let mut tree: Option<Node> = None;
        let mut nothings: Vec<Node> = Vec::new();
        let for_the_last_time = scope.included.is_none() && self.are_all(paths);
        for path in paths {
            let documents = self.read(path, through)?;
            if for_the_last_time {
                self.files.remove(path);
            }
            for document in Arc::unwrap_or_clone(documents) {
                let document = Document {
                    path: path.clone(),
                    tree: document,
                };
                self.lay(&mut tree, document, scope, &mut nothings);
            }
        }
        let mut tree = tree.unwrap_or_else(|| empty(Span::default()));
        for nothing in nothings {
            self.restore(&mut tree, nothing);
        }
        unique::unify(&mut tree);
        Some(tree)
    }

    /// Whether these files, each named once, are all that there will be: nothing in what was read
    /// names another one.
    fn are_all(&self, paths: &[PathBuf]) -> bool {
        let mut documents = self.files.values().flatten().flat_map(|file| file.iter());
        let distinct: HashSet<&PathBuf> = paths.iter().collect();
        distinct.len() == paths.len()
            && !documents.any(|tree| tree.get("include").is_some() || extends::names_files(tree))
    }

    /// Lays a document over those before it.
    fn lay(
        &mut self,
        tree: &mut Option<Node>,
        mut document: Document,
        scope: Scope<'_>,
        nothings: &mut Vec<Node>,
    ) {
        self.interpolate(&mut document.tree, scope);
        if let Some(tree) = tree.as_ref() {
            merge::refuse_other_kinds(tree, &document.tree, &[], self.problems);
        }
        let entries = include::take(&mut document.tree);
        if tree.is_some() || entries.is_some() || extends::is_used(&document.tree) {
            nothings.extend(merge::take_nothings(&mut document.tree, &[]));
        }
        if self.shape(&mut document.tree).is_err() {
            return;
        }
        if let Some(entries) = entries {
            include::include(self, &mut document, &entries, scope);
        }
        extends::extend(self, &mut document, scope);
        let span = document.tree.span;
        let tree = tree.get_or_insert_with(|| empty(span));
        merge::merge(tree, document.tree);
        if !self.options.skip.interpolation {
            complete::check(tree, self.problems);
        }
    }

    fn interpolate(&mut self, tree: &mut Node, scope: Scope<'_>) {
        if self.options.skip.interpolation {
            return;
        }
        interpolate::interpolate(tree, scope.lookup, &mut self.unset, self.problems);
    }

    fn shape(&mut self, tree: &mut Node) -> Shaped {
        if self.options.skip.interpolation {
            raw::check(tree, self.problems);
            raw::expand(tree);
            return Ok(());
        }
        shape::apply(tree, &TOP, &At::ROOT, self.problems)
    }

    /// What has no value in any layer is looked at as any other value.
    fn restore(&mut self, tree: &mut Node, mut nothings: Node) {
        merge::keep_missing(tree, &mut nothings);
        // What is wrong was told; the rest is as good as any.
        let _ = self.shape(&mut nothings);
        merge::restore_nothings(tree, nothings);
    }
}

fn empty(span: Span) -> Node {
    Node::new(Value::Map(Map::default()), span)
}

/// The entries of a section of a file.
fn section<'n>(tree: &'n mut Node, name: &str) -> Option<&'n mut Map> {
    tree.as_map_mut()?.get_mut(name)?.node.as_map_mut()
}
