//! `extends`: a service laid over another one, of the same document or of another file.
//!
//! All of the other service is taken over, what it depends on too. Of another file only the services
//! that are asked for are looked at; their relative paths start at their file, their variables are
//! the extending file's. (compose-go, `loader/extends.go`)

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::circle::{self, Step};
use super::include::local;
use super::{Document, Documents, Loader, Scope, section};
use crate::compose::diagnostic::{Span, Through, suggestion};
use crate::compose::merge;
use crate::compose::paths::{self, Bases};
use crate::compose::project::display_path;
use crate::compose::schema::{self, Shape};
use crate::compose::shape::{self, At};
use crate::compose::tree::{Directive, Entry, Layer, Map, Node, Value};
use crate::compose::unique;

static SERVICE: Shape = Shape::Keys(&schema::SERVICE);

/// Services that extend one another in a row; no stack comes near.
const MAX_CHAIN: usize = 500;

/// Whether a service of a document extends another one.
pub(super) fn is_used(tree: &Node) -> bool {
    services_of(tree).any(|(_, entry)| entry.node.get("extends").is_some())
}

/// Whether a service of a document extends one of another file.
pub(super) fn names_files(tree: &Node) -> bool {
    services_of(tree).any(|(_, entry)| entry.node.at(&["extends", "file"]).is_some())
}

fn services_of(tree: &Node) -> impl Iterator<Item = (&String, &Entry)> {
    let services = tree.get("services").and_then(Node::as_map);
    services.into_iter().flatten()
}

/// Lays the services of a document over those that they extend.
pub(super) fn extend(loader: &mut Loader<'_>, document: &mut Document, scope: Scope<'_>) {
    if !is_used(&document.tree) {
        return;
    }
    let Some(services) = section(&mut document.tree, "services") else {
        return;
    };
    let names: Vec<String> = services.keys().cloned().collect();
    let own = Space {
        path: document.path.clone(),
        directory: scope.directory.to_path_buf(),
        services: std::mem::take(services),
        documents: Documents::default(),
    };
    let mut extending = Extending {
        loader,
        scope,
        spaces: vec![own],
        opened: HashMap::new(),
        done: IndexMap::new(),
        trail: Vec::new(),
    };
    for name in &names {
        extending.service(DOCUMENT, name);
    }
    let done = extending.spaces.swap_remove(DOCUMENT).services;
    if let Some(services) = section(&mut document.tree, "services") {
        *services = done;
    }
}

/// The space of the document itself.
const DOCUMENT: usize = 0;

/// Where services are looked for by their names: the document, or another file.
struct Space {
    path: PathBuf,
    /// Relative names of files start here.
    directory: PathBuf,
    /// Of another file: those that were asked for.
    services: Map,
    documents: Documents,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// On the way to the one that is asked for.
    Begun,
    Done,
}

struct Extending<'s, 'l, 'a> {
    loader: &'l mut Loader<'a>,
    scope: Scope<'s>,
    spaces: Vec<Space>,
    opened: HashMap<PathBuf, Option<usize>>,
    done: IndexMap<(usize, String), State>,
    /// The services that were begun, and where each is named by the one before.
    trail: Vec<(usize, String, Span)>,
}

/// What a service says that it extends.
struct Reference {
    service: String,
    service_span: Span,
    file: Option<Node>,
}

impl Extending<'_, '_, '_> {
    /// Lays a service over the one that it extends, if it does. Mistakes are recorded; the service
    /// then stays as it is.
    fn service(&mut self, space: usize, name: &str) {
        let key = (space, name.to_owned());
        if self.done.contains_key(&key) {
            return;
        }
        self.done.insert(key.clone(), State::Begun);
        if let Some(reference) = self.take_reference(space, name)
            && let Some(base) = self.base(space, name, &reference)
            && let Some(entry) = self.spaces[space].services.get_mut(name)
        {
            let over = std::mem::replace(&mut entry.node, base);
            merge::merge_below(&mut entry.node, over, &["services", name], Layer::Extends);
        }
        self.done.insert(key, State::Done);
    }

    fn take_reference(&mut self, space: usize, name: &str) -> Option<Reference> {
        let service = &mut self.spaces[space].services.get_mut(name)?.node;
        let extends = service.as_map_mut()?.shift_remove("extends")?.node;
        if extends.directive == Directive::Reset {
            return None;
        }
        if let Some(text) = extends.as_text() {
            return Some(Reference {
                service: text.to_owned(),
                service_span: extends.span,
                file: None,
            });
        }
        let problems = &mut *self.loader.problems;
        if extends.as_map().is_none() {
            if extends.value != Value::Null {
                let message = format!(
                    "`services.{name}.extends` names a service, it is not {}",
                    extends.kind()
                );
                problems.error(extends.span, message);
            }
            return None;
        }
        let Some(service) = extends
            .get("service")
            .filter(|node| node.as_text().is_some())
        else {
            problems
                .error(
                    extends.span,
                    format!("`services.{name}.extends` does not say which service"),
                )
                .help(
                    "write `extends: {service: NAME}`, with `file: PATH` for one of another file",
                );
            return None;
        };
        let file = extends.get("file").filter(|node| node.value != Value::Null);
        Some(Reference {
            service: service.as_text().unwrap_or_default().to_owned(),
            service_span: service.span,
            file: file.cloned(),
        })
    }

    /// A copy of the service that is extended, itself laid over what it extends.
    fn base(&mut self, space: usize, name: &str, reference: &Reference) -> Option<Node> {
        let from = match &reference.file {
            Some(file) => self.open(space, file)?,
            None => space,
        };
        if !self.find(from, &reference.service) {
            self.missing(from, name, reference);
            return None;
        }
        let key = (from, reference.service.clone());
        self.trail
            .push((from, reference.service.clone(), reference.service_span));
        let circle = self.done.get(&key) == Some(&State::Begun);
        if circle {
            self.report_circle(from, &reference.service);
        } else if self.trail.len() > MAX_CHAIN {
            let message = format!("more than {MAX_CHAIN} services extend one another in a row");
            self.loader.problems.error(reference.service_span, message);
        } else {
            self.service(from, &reference.service);
        }
        self.trail.pop();
        let mut base = self.spaces[from]
            .services
            .get(&reference.service)?
            .node
            .clone();
        if circle || base.as_map().is_none() {
            return None;
        }
        merge::settle(&mut base);
        Some(base)
    }

    fn report_circle(&mut self, space: usize, name: &str) {
        let end = self.trail.len() - 1;
        let is_there = |(of, step, _): &(usize, String, Span)| *of == space && step == name;
        // When it is not on the trail, it is the one that the trail started from.
        let start = self.trail[..end]
            .iter()
            .position(is_there)
            .map_or(0, |found| found + 1);
        let steps: Vec<Step> = self.trail[start..]
            .iter()
            .map(|(_, name, span)| Step {
                span: *span,
                to: name.clone(),
            })
            .collect();
        circle::report(
            "services extend each other in a circle",
            &steps,
            self.loader.problems,
        );
    }

    fn missing(&mut self, from: usize, name: &str, reference: &Reference) {
        let space = &self.spaces[from];
        let wanted = &reference.service;
        let other = self.loader.options.working_dir.as_path();
        let place = match from {
            DOCUMENT => String::new(),
            _ => format!(" in {}", display_path(&space.path, other).display()),
        };
        let known: Vec<&str> = space
            .services
            .keys()
            .chain(
                space
                    .documents
                    .iter()
                    .flat_map(|d| services_of(d).map(|(n, _)| n)),
            )
            .map(String::as_str)
            .collect();
        let message = format!("`{name}` extends `{wanted}`, but there is no such service{place}");
        let others = known
            .iter()
            .copied()
            .filter(|other| from != DOCUMENT || *other != name);
        let help = match suggestion(wanted, others) {
            Some(meant) => Some(format!("did you mean `{meant}`?")),
            None if known.is_empty() => Some(format!("there are no services{place}")),
            None if from == DOCUMENT => Some(
                "it must be in the same document, in an included file, or in a `file:` of its own"
                    .to_owned(),
            ),
            None => None,
        };
        let diagnostic = self.loader.problems.error(reference.service_span, message);
        if let Some(help) = help {
            diagnostic.help(help);
        }
    }

    /// The space of another file.
    fn open(&mut self, space: usize, file: &Node) -> Option<usize> {
        if file.as_text().is_none() {
            let message = format!("the file of `extends` is a path, not {}", file.kind());
            self.loader.problems.error(file.span, message);
            return None;
        }
        let path = local(self.loader, file, &self.spaces[space].directory, "extended")?;
        if let Some(found) = self.opened.get(&path) {
            return *found;
        }
        let through = Through {
            span: file.span,
            what: "extended here",
        };
        let opened = self.read(&path, through);
        self.opened.insert(path, opened);
        opened
    }

    fn read(&mut self, path: &Path, through: Through) -> Option<usize> {
        let mut documents = Arc::unwrap_or_clone(self.loader.read(path, Some(through))?);
        for document in &mut documents {
            self.loader.interpolate(document, self.scope);
        }
        self.spaces.push(Space {
            path: path.to_path_buf(),
            directory: path.parent()?.to_path_buf(),
            services: Map::default(),
            documents: documents.into(),
        });
        Some(self.spaces.len() - 1)
    }

    /// Whether a space has a service. One of another file is brought to its long form and gets
    /// absolute paths when it is first asked for.
    fn find(&mut self, space: usize, name: &str) -> bool {
        if self.spaces[space].services.contains_key(name) {
            return true;
        }
        let documents = Documents::clone(&self.spaces[space].documents);
        let mut found: Option<Entry> = None;
        for document in documents.iter() {
            let services = document.get("services").and_then(Node::as_map);
            let Some(entry) = services.and_then(|services| services.get(name)) else {
                continue;
            };
            let mut entry = entry.clone();
            let at = At::ROOT.key("services");
            let shaped = shape::apply(
                &mut entry.node,
                &SERVICE,
                &at.key(name),
                self.loader.problems,
            );
            if shaped.is_err() || entry.node.directive == Directive::Reset {
                continue;
            }
            match &mut found {
                Some(base) => {
                    merge::merge_below(
                        &mut base.node,
                        entry.node,
                        &["services", name],
                        Layer::File,
                    );
                    merge::settle(&mut base.node);
                }
                None => found = Some(entry),
            }
        }
        let Some(entry) = found else {
            return false;
        };
        let entry = self.resolve_paths(space, name, entry);
        self.spaces[space].services.extend(entry);
        true
    }

    fn resolve_paths(&self, space: usize, name: &str, entry: Entry) -> Map {
        let span = entry.key;
        let mut services = Node::new(Value::Map(Map::default()), span);
        if let Some(map) = services.as_map_mut() {
            map.insert(name.to_owned(), entry);
        }
        let mut tree = Node::new(Value::Map(Map::default()), span);
        tree.set("services", services);
        unique::unify(&mut tree);
        let bases = Bases {
            project: self.spaces[space].directory.clone(),
            home: self.loader.source.home(),
        };
        paths::resolve(&mut tree, &bases);
        section(&mut tree, "services")
            .map(std::mem::take)
            .unwrap_or_default()
    }
}
