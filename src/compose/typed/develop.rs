//! Hooks, steps before the start, and watch rules.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::{Reader, words};
use crate::compose::model::{Hook, PreStart, WatchAction, WatchRule};

pub(super) fn hooks(reader: &Reader<'_>, key: &str) -> Vec<Hook> {
    reader.readers(key).map(|item| hook(&item)).collect()
}

fn hook(reader: &Reader<'_>) -> Hook {
    Hook {
        command: reader.texts("command"),
        user: reader.text("user"),
        privileged: reader.flag("privileged"),
        working_dir: reader.text("working_dir"),
        environment: reader.variables("environment"),
    }
}

/// The steps before the start. Their variables are laid over those of the service, which come from
/// files, too.
pub(super) fn pre_start(
    reader: &Reader<'_>,
    service: &IndexMap<String, Option<String>>,
) -> Vec<PreStart> {
    reader
        .readers("pre_start")
        .map(|step| {
            let mut environment = service.clone();
            environment.extend(step.variables("environment"));
            PreStart {
                image: step.text("image"),
                command: words(&step, "command"),
                user: step.text("user"),
                privileged: step.flag("privileged"),
                working_dir: step.text("working_dir"),
                environment,
                per_replica: step.flag("per_replica"),
            }
        })
        .collect()
}

pub(super) fn watch(reader: &Reader<'_>) -> Vec<WatchRule> {
    let Some(develop) = reader.inner("develop") else {
        return Vec::new();
    };
    let rules = develop.readers("watch").filter_map(|rule| {
        let action = match rule.text("action")?.as_str() {
            "rebuild" => WatchAction::Rebuild,
            "sync" => WatchAction::Sync,
            "restart" => WatchAction::Restart,
            "sync+restart" => WatchAction::SyncRestart,
            "sync+exec" => WatchAction::SyncExec,
            _ => return None,
        };
        Some(WatchRule {
            path: PathBuf::from(rule.text("path")?),
            action,
            target: rule.text("target"),
            exec: rule.inner("exec").map(|exec| hook(&exec)),
            include: rule.texts("include"),
            ignore: rule.texts("ignore"),
            // The second is what it was called before the Compose Specification had it.
            initial_sync: rule.flag("initial_sync") || rule.flag("x-initialSync"),
        })
    });
    rules.collect()
}
