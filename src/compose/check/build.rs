//! What the `build` of a service says.

use super::{Services, undefined};
use crate::compose::diagnostic::Problems;
use crate::compose::members::Service;
use crate::compose::tree::Node;

pub(super) fn build(
    service: &Service<'_>,
    all: &Services<'_>,
    tree: &Node,
    problems: &mut Problems,
) {
    let Some(build) = service.node.get("build") else {
        return;
    };
    one_dockerfile(service.name, build, problems);
    contexts_of_services(build, all, problems);
    let secrets = build.get("secrets").and_then(Node::as_list);
    for secret in secrets.unwrap_or_default() {
        if let Some(source) = secret.get("source")
            && let Some(used) = source.as_text()
        {
            undefined("secret", "secrets", used, (source.span, tree), problems);
        }
    }
    built_for_its_platform(service, build, problems);
}

fn one_dockerfile(service: &str, build: &Node, problems: &mut Problems) {
    let given = |key: &str| {
        build
            .get(key)
            .filter(|node| node.as_text().is_some_and(|text| !text.is_empty()))
    };
    if let (Some(file), Some(inline)) = (given("dockerfile"), given("dockerfile_inline")) {
        problems
            .error(
                inline.span,
                format!(
                    "the build of `{service}` has a `dockerfile`, and another one in the stack file"
                ),
            )
            .related(file.span, "the `dockerfile`")
            .help("keep one of them");
    }
}

/// A context `service:NAME` is the image that is built for that service.
fn contexts_of_services(build: &Node, all: &Services<'_>, problems: &mut Problems) {
    let contexts = build.get("additional_contexts").and_then(Node::as_map);
    for entry in contexts.into_iter().flatten().map(|(_, entry)| entry) {
        let text = entry.node.as_text();
        let Some(other) = text.and_then(|text| text.strip_prefix("service:")) else {
            continue;
        };
        match all.get(other) {
            None => {
                problems.error(entry.node.span, format!("there is no service `{other}`"));
            }
            Some(found) if found.node.get("build").is_none() => {
                problems
                    .error(
                        entry.node.span,
                        format!(
                            "the image of `{other}` is not built, so nothing can be built from it"
                        ),
                    )
                    .help("use `docker-image://IMAGE`");
            }
            Some(_) => {}
        }
    }
}

fn built_for_its_platform(service: &Service<'_>, build: &Node, problems: &mut Problems) {
    let platforms = build.get("platforms").and_then(Node::as_list);
    let platforms = platforms.unwrap_or_default();
    let wanted = service.text("platform");
    if let Some((platform, span)) = wanted.filter(|(text, _)| !text.is_empty())
        && !platforms.is_empty()
        && !platforms
            .iter()
            .any(|node| node.as_text() == Some(platform))
    {
        problems
            .error(
                span,
                format!(
                    "`{}` is not built for its platform `{platform}`",
                    service.name
                ),
            )
            .related(platforms[0].span, "the platforms it is built for")
            .help(format!("add `{platform}` to `build.platforms`"));
    }
}
