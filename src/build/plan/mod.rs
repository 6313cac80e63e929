//! What is to be built: stages, steps, each with its values settled.
//!
//! Pure. The way: `globals` gives the arguments before the first `FROM` their values, `heads` says what every
//! stage starts from, `graph` which stages the target needs and which triggers they get, `evaluate` goes
//! through their instructions. Values depend on base images (`ENV PATH=$PATH:/x`), so a caller plans until
//! nothing is missing: [`Outcome::Wants`] names images whose configuration must be known.
//!
//! [`Plan`]'s `Display` is the format of its tests.

mod display;
mod evaluate;
mod globals;
mod graph;
mod heads;
mod history;
mod mount;
mod platform;
mod ports;
mod scope;
pub mod step;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::build::check::{self, CheckOptions, Findings};
use crate::build::dockerfile::Source;
use crate::build::ignore::Matcher;
use crate::compose::Diagnostics;
use crate::image::Platform;

pub use step::{Action, Config, Mount, Origin, Plan, Stage, StageId, Step};

/// What the caller asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The stage to build: its name, without regard to case, or its number; `None` = the last.
    pub target: Option<String>,
    /// Build arguments with their values.
    pub args: IndexMap<String, String>,
    /// What the image is for.
    pub platform: Platform,
    /// What builds it.
    pub build_platform: Platform,
    /// Contexts by name.
    pub contexts: IndexMap<String, NamedContext>,
    /// Which checks are run; `None`: the Dockerfile says it.
    pub checks: Option<CheckOptions>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            target: None,
            args: IndexMap::new(),
            platform: Platform::this(),
            build_platform: Platform::this(),
            contexts: IndexMap::new(),
            checks: None,
        }
    }
}

/// What a named context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// Files; the caller knows where.
    Files,
    /// An image.
    Image(String),
}

/// An image whose configuration a plan needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// Its name as the Dockerfile gives it.
    pub reference: String,
    /// For which platform: `linux/amd64`.
    pub platform: String,
}

/// What is known of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// Its configuration, with its triggers.
    pub config: Config,
    /// What it runs on: `linux/amd64`; empty = not known.
    pub platform: String,
}

/// Base images that are known.
pub type Bases = BTreeMap<Wanted, Base>;

/// What came of planning.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Base images must be known first; plan again with them.
    Wants(Vec<Wanted>),
    /// All is settled; the warnings are what the checks found.
    Ready(Plan, Diagnostics),
}

/// Plans a build.
pub fn plan(source: &Source, request: &Request, bases: &Bases) -> Result<Outcome, Diagnostics> {
    let (mut problems, _) = source.problems();
    let mut findings = Findings::default();
    check::named(source, &mut findings);
    let outcome = plan_with(source, request, bases, &mut problems, &mut findings);
    let options = check::options(source, request.checks.as_ref(), &mut problems);
    match outcome {
        Some(Inner::Wants(wanted)) if !problems.has_errors() => Ok(Outcome::Wants(wanted)),
        Some(Inner::Ready(plan)) if !problems.has_errors() => {
            findings.report(&options, &mut problems);
            if problems.has_errors() {
                return Err(problems.finish());
            }
            Ok(Outcome::Ready(plan, problems.finish()))
        }
        _ => {
            findings.report(&options, &mut problems);
            Err(problems.finish())
        }
    }
}

enum Inner {
    Wants(Vec<Wanted>),
    Ready(Plan),
}

fn plan_with(
    source: &Source,
    request: &Request,
    bases: &Bases,
    problems: &mut crate::compose::diagnostic::Problems,
    findings: &mut Findings,
) -> Option<Inner> {
    let globals = globals::read(source, request, problems)?;
    let heads = heads::read(source, request, &globals, problems, findings)?;
    let target = graph::target(source, request, problems)?;
    let graph = graph::needed(source, request, &heads, &[target], bases, problems)?;
    if !graph.wants.is_empty() {
        return Some(Inner::Wants(graph.wants));
    }
    let input = evaluate::Input {
        source,
        request,
        globals: &globals,
        heads: &heads,
        graph: &graph,
        bases,
        ignore: None,
    };
    let stages = evaluate::stages(&input, problems, findings);
    let unused_args = globals::unused(source, request, &graph);
    Some(Inner::Ready(Plan {
        stages,
        unused_args,
    }))
}

/// Runs the checks over every stage, or those that the target needs; base images that are not known are
/// taken as empty, and what they could have set is not complained about.
pub(super) fn check(
    source: &Source,
    request: &Request,
    bases: &Bases,
    ignore: Option<&Matcher>,
) -> Diagnostics {
    let (mut problems, _) = source.problems();
    let mut findings = Findings::default();
    check::named(source, &mut findings);
    check_stages(source, request, bases, ignore, &mut problems, &mut findings);
    let options = check::options(source, request.checks.as_ref(), &mut problems);
    findings.report(&options, &mut problems);
    problems.finish()
}

fn check_stages(
    source: &Source,
    request: &Request,
    bases: &Bases,
    ignore: Option<&Matcher>,
    problems: &mut crate::compose::diagnostic::Problems,
    findings: &mut Findings,
) -> Option<()> {
    let globals = globals::read(source, request, problems)?;
    let heads = heads::read(source, request, &globals, problems, findings)?;
    let targets = match request.target {
        Some(_) => vec![graph::target(source, request, problems)?],
        None => (0..heads.len()).collect(),
    };
    let graph = graph::needed(source, request, &heads, &targets, bases, problems)?;
    let input = evaluate::Input {
        source,
        request,
        globals: &globals,
        heads: &heads,
        graph: &graph,
        bases,
        ignore,
    };
    evaluate::stages(&input, problems, findings);
    Some(())
}
