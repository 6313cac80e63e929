//! The images that a plan needs, and the plan that is made with what is known of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use super::stage::{Bases, Staged};
use super::{Named, Session, lock_of};
use crate::build::dockerfile::Source;
use crate::build::error::{Error, story};
use crate::build::image::{platform_of, settings_of};
use crate::build::plan::{self, Action, Mount, Origin, Outcome, Plan, Wanted};
use crate::build::request::{NamedContext, Request};
use crate::compose::diagnostic::Span;
use crate::image::{Image, Platform, PullOptions, Reference, pull};

/// Plans a request; gives the images that its stages begin with, too.
pub(super) fn plan(
    session: &Session<'_>,
    request: &Request,
    source: &Source,
    named: &BTreeMap<String, Named>,
) -> Result<(Plan, Bases), Error> {
    let wanted = asked(request);
    let mut known = plan::Bases::new();
    let mut images: HashMap<Wanted, Arc<Staged>> = HashMap::new();
    let plan = loop {
        let outcome = plan::plan(source, &wanted, &known)
            .map_err(|report| Error::Dockerfile(Box::new(report)))?;
        match outcome {
            Outcome::Ready(plan, warnings) => {
                if !warnings.is_empty() {
                    session.teller.warn(warnings.to_string().trim_end());
                }
                break plan;
            }
            Outcome::Wants(list) => {
                for wanted in list {
                    let image = session.wanted(&wanted, request, named);
                    let image = image.map_err(|error| at_its_place(source, &wanted, error))?;
                    known.insert(wanted.clone(), describe(&image));
                    images.insert(wanted, image);
                }
            }
        }
    };
    let mut bases = Bases::new();
    for origin in origins(&plan) {
        let Origin::Image {
            reference,
            platform,
        } = origin
        else {
            continue;
        };
        let wanted = Wanted {
            reference: reference.clone(),
            platform: platform.clone(),
        };
        let image = match images.get(&wanted) {
            Some(image) => Arc::clone(image),
            None => {
                let image = session.wanted(&wanted, request, named);
                let image = image.map_err(|error| at_its_place(source, &wanted, error))?;
                images.insert(wanted, Arc::clone(&image));
                image
            }
        };
        bases.insert(origin.clone(), image);
    }
    Ok((plan, bases))
}

/// The error with the line that asks for the image.
fn at_its_place(source: &Source, wanted: &Wanted, error: Error) -> Error {
    let Some((span, is_base)) = place_of(source, &wanted.reference) else {
        return error;
    };
    if matches!(error, Error::Canceled) {
        return error;
    }
    let stages = source.dockerfile.stages.iter();
    let names: Vec<String> = stages
        .filter_map(|stage| stage.from.name.as_ref())
        .map(|(_, name)| format!("`{}`", name.value))
        .collect();
    let help = match (is_base, names.is_empty()) {
        (true, _) => None,
        (false, true) => {
            Some("it names an image: no stage of this Dockerfile has a name".to_owned())
        }
        (false, false) => Some(format!(
            "it names an image: stages of this Dockerfile are {}",
            names.join(", ")
        )),
    };
    let message = format!("cannot get the image `{}`", wanted.reference);
    Error::Dockerfile(Box::new(source.error(
        span,
        &message,
        &story(&error),
        help.as_deref(),
    )))
}

/// Where an image is named, and whether a stage begins with it. A `FROM` with a variable stands for
/// whatever is not found, if it is the only one.
fn place_of(source: &Source, reference: &str) -> Option<(Span, bool)> {
    let stages = &source.dockerfile.stages;
    let bases = || stages.iter().map(|stage| &stage.from.image);
    if let Some(image) = bases().find(|image| image.value == reference) {
        return Some((image.span, true));
    }
    let needle = format!("from={reference}");
    let steps = stages.iter().flat_map(|stage| &stage.instructions);
    let named = |text: &str| {
        let words = text.split([' ', '\t', '\n', ',', '"']);
        words
            .map(|word| word.trim_start_matches('-'))
            .any(|word| word == needle)
    };
    for step in steps {
        if named(&source.text(step.span)) {
            return Some((step.span, false));
        }
    }
    let mut variable = bases().filter(|image| image.value.contains('$'));
    match (variable.next(), variable.next()) {
        (Some(image), None) => Some((image.span, true)),
        _ => None,
    }
}

/// What stands for the image of another request where names of images stand.
fn stand_in(title: &str) -> String {
    format!("request:{title}")
}

pub(in crate::build) fn asked(request: &Request) -> plan::Request {
    let contexts = request.contexts.iter().map(|(name, context)| {
        let context = match context {
            NamedContext::Directory(_) => plan::NamedContext::Files,
            NamedContext::Image(reference) => plan::NamedContext::Image(reference.clone()),
            NamedContext::Request(title) => plan::NamedContext::Image(stand_in(title)),
        };
        (name.clone(), context)
    });
    let this = Platform::this();
    plan::Request {
        target: request.target.clone(),
        args: request.args.clone(),
        platform: request
            .platform
            .as_deref()
            .map_or_else(Platform::this, parse_platform),
        build_platform: this,
        contexts: contexts.collect(),
        checks: request.checks.clone(),
    }
}

fn describe(image: &Staged) -> plan::Base {
    let empty = serde_json::Map::new();
    let config = image.base.as_deref().unwrap_or(&empty);
    plan::Base {
        config: settings_of(config),
        platform: platform_of(config),
    }
}

/// Every origin of a plan.
fn origins(plan: &Plan) -> Vec<&Origin> {
    let mut all = Vec::new();
    for stage in &plan.stages {
        all.push(&stage.base);
        for step in &stage.steps {
            match &step.action {
                Action::Copy(copy) => all.push(&copy.from),
                Action::Run(run) => all.extend(run.mounts.iter().filter_map(Mount::origin)),
                _ => {}
            }
        }
    }
    all
}

impl Session<'_> {
    /// An image that a plan wants: what another request makes, or one that is here or is fetched.
    fn wanted(
        &self,
        wanted: &Wanted,
        request: &Request,
        named: &BTreeMap<String, Named>,
    ) -> Result<Arc<Staged>, Error> {
        for (name, context) in &request.contexts {
            if let NamedContext::Request(title) = context
                && stand_in(title) == wanted.reference
                && let Some(Named::Image(image)) = named.get(name)
            {
                return Ok(Arc::clone(image));
            }
        }
        if let Some(image) = self.made_here(wanted, request)? {
            return Ok(image);
        }
        let platform = Some(wanted.platform.as_str()).filter(|platform| !platform.is_empty());
        let told = self.teller.begin(match &request.title {
            Some(title) => format!("[{title} internal] load metadata for {}", wanted.reference),
            None => format!("[internal] load metadata for {}", wanted.reference),
        });
        let result = self.base(&wanted.reference, platform, request.pull);
        told.result(&result);
        Ok(Arc::new(result?))
    }

    /// `FROM` the name of an image that another request of this build makes.
    fn made_here(&self, wanted: &Wanted, request: &Request) -> Result<Option<Arc<Staged>>, Error> {
        let Ok(reference) = wanted.reference.parse::<Reference>() else {
            return Ok(None);
        };
        let maker = self
            .requests
            .iter()
            .find(|other| other.title != request.title && other.names.contains(&reference));
        let Some((title, slot)) = maker
            .and_then(|maker| maker.title.as_ref())
            .and_then(|title| self.results.get_key_value(title))
        else {
            return Ok(None);
        };
        let own = request.title.clone().unwrap_or_default();
        if !self.may_wait(&own, title) {
            return Ok(None);
        }
        let image = slot.wait(self.cancel)?;
        Ok(Some(Arc::new(Staged::of_image(self.store(), &image)?)))
    }

    /// Whether a request can wait for another: not when that one, in the end, waits for it.
    pub(super) fn may_wait(&self, own: &str, other: &str) -> bool {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = vec![other.to_owned()];
        let mut seen = std::collections::HashSet::new();
        while let Some(next) = rest.pop() {
            if next == own {
                return false;
            }
            if seen.insert(next.clone()) {
                let further = waits.iter().filter(|(from, _)| *from == next);
                rest.extend(further.map(|(_, to)| to.clone()));
            }
        }
        waits.push((own.to_owned(), other.to_owned()));
        true
    }

    /// An image to begin with, fetched if it is not here.
    pub(super) fn base(
        &self,
        text: &str,
        platform: Option<&str>,
        always: bool,
    ) -> Result<Staged, Error> {
        let reference: Reference = text.parse().map_err(crate::image::Error::from)?;
        let lock = lock_of(&self.pulls, reference.to_string());
        let mut fetched = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let here = self.store().get(&reference)?;
        let image = match here.filter(|_| !always || *fetched) {
            Some(image) => image,
            None => self.fetch(&reference, platform)?,
        };
        *fetched = true;
        Staged::of_image(self.store(), &image)
    }

    fn fetch(&self, reference: &Reference, platform: Option<&str>) -> Result<Image, Error> {
        let told = self.teller.begin(format!("[internal] pull {reference}"));
        let options = PullOptions {
            platform: platform.map(parse_platform),
            registries: self.builder.registries.clone(),
            ..PullOptions::default()
        };
        let progress = |_| {};
        let result = self.wait_for(pull(self.store(), reference, &options, &progress))?;
        told.result(&result);
        Ok(result?)
    }
}

pub(super) fn parse_platform(text: &str) -> Platform {
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    Platform {
        os: parts.next().unwrap_or_default(),
        architecture: parts.next().unwrap_or_default(),
        variant: parts.next(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(dockerfile: &str, reference: &str) -> String {
        let source = Source::parse(Path::new("Dockerfile"), dockerfile.as_bytes());
        let source = source.expect("a Dockerfile");
        let wanted = Wanted {
            reference: reference.to_owned(),
            platform: String::new(),
        };
        let cause = Error::Request {
            message: "nobody has it".to_owned(),
            help: None,
        };
        at_its_place(&source, &wanted, cause).to_string()
    }

    #[test]
    fn an_image_that_cannot_be_had_is_shown_where_it_is_named() {
        let text = "ARG V=1\nFROM a AS made\nFROM base:${V}\nCOPY --from=ghost /x /y\nCOPY --from=made /x /y\n";
        insta::assert_snapshot!(told(text, "ghost"), @"Dockerfile:4:1: error: cannot get the image `ghost` (it names an image: stages of this Dockerfile are `made`)");
        insta::assert_snapshot!(told(text, "base:1"), @"Dockerfile:3:6: error: cannot get the image `base:1`");
        insta::assert_snapshot!(told(text, "a"), @"Dockerfile:2:6: error: cannot get the image `a`");
        assert_eq!(told("FROM ${A}\nFROM ${B}\n", "b"), "nobody has it");
    }
}
