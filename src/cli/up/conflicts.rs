//! What cannot be brought up beside what is there: names that are taken, owners that are missing.

use indexmap::IndexMap;

use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::project::Selection;
use crate::compose::model::{Service, ServiceName, ServiceNetwork};
use crate::engine::native::observe;

/// Refuses two containers of one name: of two services that are brought up, or of one of them and one
/// that has a container.
pub(super) fn check_names(context: &Context, selection: &Selection) -> Result<()> {
    let stack = &selection.stack;
    let mut names: IndexMap<&str, &ServiceName> = IndexMap::new();
    for service in &selection.services {
        let model = stack.services.get(service);
        let Some(name) = model.and_then(|model| model.container_name.as_deref()) else {
            continue;
        };
        if let Some(first) = names.insert(name, service) {
            return Err(name_taken(service, name, first));
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let observed = observe(&context.paths, Some(stack.name.as_str()))?;
    for container in observed.containers.values() {
        let record = &container.record;
        // That of a service which the stack file has no more goes, or is told of.
        let stays = stack.services.contains_key(&record.service)
            || stack.disabled_services.contains_key(&record.service);
        if let Some(service) = names.get(record.name.as_str())
            && **service != record.service
            && !selection.services.contains(&record.service)
            && stays
        {
            return Err(name_taken(service, &record.name, &record.service));
        }
    }
    Ok(())
}

fn name_taken(service: &ServiceName, name: &str, other: &ServiceName) -> Error {
    Error::new(format!(
        "services.{service}: container name \"{name}\" is already in use by service {other}"
    ))
    .hint("each container needs a name of its own")
}

/// Refuses to leave out services whose containers do not exist, and share something.
pub(super) fn check_owners(context: &Context, selection: &Selection) -> Result<()> {
    let observed = observe(&context.paths, Some(selection.stack.name.as_str()))?;
    for service in &selection.services {
        let Some(model) = selection.stack.services.get(service) else {
            continue;
        };
        for (what, owner) in owners(model) {
            let here = selection.services.contains(&owner);
            if !here && observed.of_service(&owner).next().is_none() {
                return Err(Error::new(format!(
                    "cannot share {what} with service {owner}: container missing"
                ))
                .hint(format!("bring it up with `stack up {owner}`")));
            }
        }
    }
    Ok(())
}

/// The services whose containers a service shares something with, and what.
fn owners(model: &Service) -> Vec<(&'static str, ServiceName)> {
    let of_service = |text: &Option<String>| {
        let name = text.as_deref()?.strip_prefix("service:")?;
        Some(ServiceName::new(name))
    };
    let network = match &model.network {
        ServiceNetwork::Service(owner) => Some(owner.clone()),
        _ => None,
    };
    let all = [
        ("network namespace", network),
        ("PID namespace", of_service(&model.pid)),
        ("IPC namespace", of_service(&model.ipc)),
    ];
    all.into_iter()
        .filter_map(|(what, owner)| Some((what, owner?)))
        .collect()
}
