//! Labels as Docker Compose writes them, so that scripts and tools that read them keep working.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::compose::model::{Condition, Service, ServiceName};
use crate::plan::Desired;

/// The label with the hash of what an object was made from.
pub(super) const CONFIG_HASH: &str = "com.docker.compose.config-hash";

/// Labels of a network or volume.
pub(super) fn of_object(project: &str, own: &IndexMap<String, String>) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = own
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    labels.insert("com.docker.compose.project".to_owned(), project.to_owned());
    labels.insert(
        "com.docker.compose.version".to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
    );
    labels
}

/// What a container that took the place of another has the id of that one under.
const REPLACE: &str = "replace";

/// A container, for its labels.
pub(super) struct Labelled<'a> {
    pub(super) service: &'a ServiceName,
    pub(super) model: &'a Service,
    pub(super) number: u32,
    pub(super) one_off: bool,
    /// Of a run: it has this instead of a number.
    pub(super) slug: Option<&'a str>,
    /// Id of the container that it takes the place of.
    pub(super) replaces: Option<&'a str>,
    pub(super) hash: &'a str,
    pub(super) image_id: &'a str,
    pub(super) image_labels: BTreeMap<String, String>,
}

/// Labels of a container: the image's, the service's, ours; later ones win.
pub(super) fn of_container(desired: &Desired, container: Labelled<'_>) -> BTreeMap<String, String> {
    let mut labels = container.image_labels;
    labels.extend(of_object(&desired.project, &container.model.labels));
    let files: Vec<String> = desired
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let depends_on: Vec<String> = container
        .model
        .depends_on
        .iter()
        .map(|(name, edge)| {
            let condition = match edge.condition {
                Condition::ServiceStarted => "service_started",
                Condition::ServiceHealthy => "service_healthy",
                Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
            };
            format!("{name}:{condition}:{}", edge.restart)
        })
        .collect();
    let ours = [
        ("service", container.service.as_str().to_owned()),
        match container.slug {
            Some(slug) => ("slug", slug.to_owned()),
            None => ("container-number", container.number.to_string()),
        },
        (
            "oneoff",
            if container.one_off { "True" } else { "False" }.to_owned(),
        ),
        ("config-hash", container.hash.to_owned()),
        ("image", container.image_id.to_owned()),
        ("depends_on", depends_on.join(",")),
        (
            "project.working_dir",
            desired.working_dir.display().to_string(),
        ),
        ("project.config_files", files.join(",")),
    ];
    let replaces = container.replaces.map(|old| (REPLACE, old.to_owned()));
    for (key, value) in ours.into_iter().chain(replaces) {
        labels.insert(format!("com.docker.compose.{key}"), value);
    }
    labels
}
