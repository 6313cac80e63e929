//! Which stages the target needs, in order, and where files come from.
//!
//! A stage can only use stages above it, so the order of the file is an order to build in, and there is
//! no circle.

use std::str::FromStr;

use super::heads::{Head, likely, named_context, stage_named};
use super::{Bases, Origin, Request, StageId, Wanted};
use crate::build::dockerfile::Source;
use crate::build::dockerfile::instruction::{Instruction, Kind, Word};
use crate::compose::diagnostic::{Problems, Span};
use crate::image::Reference;

/// What is needed.
pub(super) struct Graph {
    /// Numbers of the stages, each after those it uses.
    pub(super) order: Vec<usize>,
    /// For every stage of the file: the triggers that run before its own instructions.
    pub(super) triggers: Vec<Vec<Instruction>>,
    /// Base images that must be known first.
    pub(super) wants: Vec<Wanted>,
}

/// The number of the stage that is asked for.
pub(super) fn target(source: &Source, request: &Request, problems: &mut Problems) -> Option<usize> {
    let stages = &source.dockerfile.stages;
    let Some(target) = &request.target else {
        return stages.len().checked_sub(1);
    };
    let names: Vec<&str> = stages
        .iter()
        .filter_map(|stage| stage.from.name.as_ref())
        .map(|(_, name)| name.value.as_str())
        .collect();
    let found = stages.iter().rposition(|stage| {
        let name = stage.from.name.as_ref();
        name.is_some_and(|(_, name)| name.value.eq_ignore_ascii_case(target))
    });
    let number = || target.parse().ok().filter(|number| *number < stages.len());
    if let Some(found) = found.or_else(number) {
        return Some(found);
    }
    let message = format!("there is no stage `{target}` to build");
    let error = problems.error(None, message);
    match likely(target, names.iter().copied()) {
        Some(name) => error.help(format!("did you mean `{name}`?")),
        None if names.is_empty() => {
            error.help("no stage of this file has a name: `FROM image AS name`")
        }
        None => error.help(format!("there are {}", names.join(", "))),
    };
    None
}

/// The stages that the targets need; errors are recorded.
pub(super) fn needed(
    source: &Source,
    request: &Request,
    heads: &[Head],
    targets: &[usize],
    bases: &Bases,
    problems: &mut Problems,
) -> Option<Graph> {
    let mut graph = Graph {
        order: Vec::new(),
        triggers: vec![Vec::new(); heads.len()],
        wants: Vec::new(),
    };
    let mut is_needed = vec![false; heads.len()];
    for target in targets {
        is_needed[*target] = true;
    }
    let mut right = true;
    // Nothing reaches down, so one pass from the last stage to the first sees all.
    for index in (0..heads.len()).rev() {
        if !is_needed[index] {
            continue;
        }
        graph.order.push(index);
        let head = &heads[index];
        let mut need = |origin: &Origin| {
            if let Origin::Stage(StageId(other)) = origin {
                is_needed[*other] = true;
            }
        };
        need(&head.base);
        let texts = left_triggers(&head.base, source, bases, &mut graph.wants);
        if head.replaced {
            continue;
        }
        graph.triggers[index] = triggers(source, head.span, &texts, problems);
        let own = &source.dockerfile.stages[index].instructions;
        for instruction in graph.triggers[index].iter().chain(own) {
            for from in sources(instruction) {
                match origin(from, index, heads, request, problems) {
                    Some(origin) => need(&origin),
                    None => right = false,
                }
            }
        }
    }
    graph.order.reverse();
    graph.wants.sort();
    graph.wants.dedup();
    (right && !problems.has_errors()).then_some(graph)
}

/// The triggers that what a stage starts from has left for it; an image of which nothing is known yet
/// is wanted.
fn left_triggers(
    base: &Origin,
    source: &Source,
    bases: &Bases,
    wants: &mut Vec<Wanted>,
) -> Vec<String> {
    match base {
        Origin::Stage(StageId(base)) => own_triggers(source, *base),
        Origin::Image {
            reference,
            platform,
        } => {
            let wanted = Wanted {
                reference: reference.clone(),
                platform: platform.clone(),
            };
            match bases.get(&wanted) {
                Some(base) => base.config.onbuild.clone(),
                None => {
                    wants.push(wanted);
                    Vec::new()
                }
            }
        }
        _ => Vec::new(),
    }
}

/// The triggers that a stage leaves for those that start from it.
fn own_triggers(source: &Source, stage: usize) -> Vec<String> {
    let instructions = source.dockerfile.stages[stage].instructions.iter();
    instructions
        .filter_map(|instruction| match &instruction.kind {
            Kind::Onbuild(onbuild) => Some(onbuild.text.clone()),
            _ => None,
        })
        .collect()
}

fn triggers(
    source: &Source,
    place: Span,
    texts: &[String],
    problems: &mut Problems,
) -> Vec<Instruction> {
    let mut found = Vec::new();
    for text in texts {
        let before = problems.has_errors();
        match source.trigger(text, place, problems) {
            Some(instruction) if !matches!(instruction.kind, Kind::From(_) | Kind::Onbuild(_)) => {
                found.push(instruction);
            }
            _ if problems.has_errors() && !before => {
                let message = format!("the base image's trigger `{text}` cannot be read");
                problems.error(place, message);
            }
            _ => {
                let message = format!("the base image's trigger `{text}` is no instruction");
                problems.error(place, message);
            }
        }
    }
    found
}

/// The words of an instruction that say where files come from.
fn sources(instruction: &Instruction) -> Vec<&Word> {
    match &instruction.kind {
        Kind::Copy(copy) => copy.from.iter().collect(),
        Kind::Run(run) => run
            .mounts
            .iter()
            .flat_map(|mount| &mount.options)
            .filter(|(key, _)| key.value == "from")
            .filter_map(|(_, value)| value.as_ref())
            .collect(),
        _ => Vec::new(),
    }
}

/// What `from` means in a stage: a stage by number or name, a named context, or an image.
pub(super) fn origin(
    from: &Word,
    index: usize,
    heads: &[Head],
    request: &Request,
    problems: &mut Problems,
) -> Option<Origin> {
    let text = from.value.as_str();
    let stage = match text.parse::<usize>() {
        Ok(number) if number >= heads.len() => {
            let message = format!("there is no stage {number}");
            let help = format!("stages count from 0; the last one is {}", heads.len() - 1);
            problems.error(from.span, message).help(help);
            return None;
        }
        Ok(number) => Some(number),
        // Of several with the name the nearest above; else one that stands too low.
        Err(_) => stage_named(text, &heads[..index]).or_else(|| stage_named(text, heads)),
    };
    if let Some(stage) = stage {
        return reachable(from, stage, index, heads, problems)
            .then_some(Origin::Stage(StageId(stage)));
    }
    let platform = request.platform.to_string();
    if text == "scratch" {
        return Some(Origin::Scratch);
    }
    if let Some(origin) = named_context(text, &platform, request) {
        return Some(origin);
    }
    match Reference::from_str(text) {
        Ok(_) => Some(Origin::Image {
            reference: text.to_owned(),
            platform,
        }),
        Err(error) => {
            let names = heads.iter().filter_map(|head| head.name.as_deref());
            let near = likely(text, names);
            let problem = problems.error(from.span, error.to_string());
            if let Some(name) = near {
                problem.help(format!("did you mean the stage `{name}`?"));
            }
            None
        }
    }
}

fn reachable(
    from: &Word,
    stage: usize,
    index: usize,
    heads: &[Head],
    problems: &mut Problems,
) -> bool {
    if stage < index {
        return true;
    }
    let text = &from.value;
    if stage == index {
        problems
            .error(from.span, format!("the stage `{text}` cannot use itself"))
            .label("this is the stage that is being built");
    } else {
        problems
            .error(
                from.span,
                format!("the stage `{text}` stands below this one"),
            )
            .related(heads[stage].span, "it stands here")
            .help("put it above: a stage can only use what was built before it");
    }
    false
}
