//! Arguments before the first `FROM`, and those that every build has.

use indexmap::IndexMap;

use super::Request;
use super::graph::Graph;
use crate::build::dockerfile::Source;
use crate::build::dockerfile::instruction::{Instruction, Kind};
use crate::build::expand::{self, Mode};
use crate::compose::diagnostic::Problems;

/// Arguments that need no `ARG`: a `RUN` has them when the caller gives them, and nobody else sees them.
const PROXIES: [&str; 5] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// The arguments that hold for all of a file.
pub(super) struct Globals {
    /// Those with a value: the platforms first, then those of the file in order.
    pub(super) values: IndexMap<String, String>,
    /// What they would be if the caller gave none.
    pub(super) defaults: IndexMap<String, String>,
    /// Names that the file declares.
    pub(super) declared: Vec<String>,
    /// The proxies as a `RUN` gets them: in upper and in lower case.
    pub(super) proxies: IndexMap<String, String>,
}

/// Gives the arguments their values; an error is recorded.
pub(super) fn read(source: &Source, request: &Request, problems: &mut Problems) -> Option<Globals> {
    let mut values = platform_args(source, request);
    let mut defaults = values.clone();
    for (name, value) in &mut values {
        if let Some(given) = request.args.get(name) {
            value.clone_from(given);
        }
    }
    let mode = Mode::word(source.dockerfile.directives.escape);
    let mut declared = Vec::new();
    for instruction in &source.dockerfile.global {
        let Kind::Arg(args) = &instruction.kind else {
            continue;
        };
        for arg in args {
            let name = &arg.name.value;
            declared.push(name.clone());
            if let Some(default) = &arg.default {
                let lookup = |name: &str| defaults.get(name).cloned();
                if let Ok(value) = expand::expand(&default.value, mode, &lookup) {
                    defaults.insert(name.clone(), value.text);
                }
            }
            let value = match (request.args.get(name), &arg.default) {
                (Some(given), _) => given.clone(),
                (None, None) => continue,
                (None, Some(default)) => {
                    let lookup = |name: &str| values.get(name).cloned();
                    match expand::expand(&default.value, mode, &lookup) {
                        Ok(value) => value.text,
                        Err(error) => {
                            problems.error(default.span, error.to_string());
                            return None;
                        }
                    }
                }
            };
            values.insert(name.clone(), value);
        }
    }
    Some(Globals {
        values,
        defaults,
        declared,
        proxies: proxies(request),
    })
}

/// `TARGETPLATFORM` and its family.
fn platform_args(source: &Source, request: &Request) -> IndexMap<String, String> {
    let (build, target) = (&request.build_platform, &request.platform);
    let variant = |platform: &crate::image::Platform| platform.variant.clone().unwrap_or_default();
    let last = source.dockerfile.stages.last();
    let named = last.and_then(|stage| stage.from.name.as_ref());
    let stage = match (&request.target, named) {
        (Some(target), _) => target.clone(),
        (None, Some((_, name))) => name.value.to_ascii_lowercase(),
        (None, None) => "default".to_owned(),
    };
    let pairs = [
        ("BUILDPLATFORM", build.to_string()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", String::new()),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", variant(build)),
        ("TARGETPLATFORM", target.to_string()),
        ("TARGETOS", target.os.clone()),
        ("TARGETOSVERSION", String::new()),
        ("TARGETARCH", target.architecture.clone()),
        ("TARGETVARIANT", variant(target)),
        ("TARGETSTAGE", stage),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn proxies(request: &Request) -> IndexMap<String, String> {
    let mut found = IndexMap::new();
    for name in PROXIES {
        let given = request
            .args
            .iter()
            .rfind(|(given, value)| given.eq_ignore_ascii_case(name) && !value.is_empty());
        if let Some((_, value)) = given {
            found.insert(name.to_owned(), value.clone());
            found.insert(name.to_ascii_lowercase(), value.clone());
        }
    }
    found
}

/// Arguments that were given and that nothing in the stages that are built asks for.
pub(super) fn unused(source: &Source, request: &Request, graph: &Graph) -> Vec<String> {
    let global = source.dockerfile.global.iter();
    let staged = graph.order.iter().flat_map(|index| {
        let own = source.dockerfile.stages[*index].instructions.iter();
        graph.triggers[*index].iter().chain(own)
    });
    let declared: Vec<&str> = global.chain(staged).flat_map(names).collect();
    let platform = platform_args(source, request);
    request
        .args
        .keys()
        .filter(|name| {
            !declared.contains(&name.as_str())
                && !platform.contains_key(*name)
                && !PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
                && !name.starts_with("BUILDKIT_")
                && *name != "SOURCE_DATE_EPOCH"
        })
        .cloned()
        .collect()
}

fn names(instruction: &Instruction) -> Vec<&str> {
    match &instruction.kind {
        Kind::Arg(args) => args.iter().map(|arg| arg.name.value.as_str()).collect(),
        _ => Vec::new(),
    }
}
