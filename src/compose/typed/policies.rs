//! Health, restarts, pulls and limits: words and numbers with a meaning of their own.

use std::time::Duration;

use super::Reader;
use crate::compose::diagnostic::Problems;
use crate::compose::duration;
use crate::compose::model::{HealthCheck, HealthTest, PullPolicy, Resources, RestartPolicy};
use crate::compose::tree::Node;

pub(super) fn health(reader: &Reader<'_>) -> HealthCheck {
    let mut words = reader.texts("test").into_iter();
    let test = match words.next().as_deref() {
        _ if reader.flag("disable") => Some(HealthTest::None),
        None => None,
        Some("NONE") => Some(HealthTest::None),
        Some("CMD-SHELL") => Some(HealthTest::Shell(words.collect::<Vec<_>>().join(" "))),
        Some(_) => Some(HealthTest::Command(words.collect())),
    };
    HealthCheck {
        test,
        interval: reader.duration("interval"),
        timeout: reader.duration("timeout"),
        retries: reader.int("retries"),
        start_period: reader.duration("start_period"),
        start_interval: reader.duration("start_interval"),
    }
}

/// `deploy.restart_policy`, else `restart`: as Docker Compose, which has the deployment's word in place of
/// the other one.
pub(super) fn restart(reader: &Reader<'_>, problems: &mut Problems) -> RestartPolicy {
    let written = reader.text("restart").map(|word| restart_word(&word));
    if written == Some(None) {
        bad_word(
            reader,
            "restart",
            "`no`, `always`, `on-failure`, `on-failure:N` or `unless-stopped`",
            problems,
        );
    }
    let policy = reader
        .inner("deploy")
        .and_then(|deploy| deploy.inner("restart_policy"));
    match policy {
        Some(policy) => deployed(&policy, problems),
        None => written.flatten().unwrap_or_default(),
    }
}

fn restart_word(word: &str) -> Option<RestartPolicy> {
    let on_failure = |max_attempts| RestartPolicy::OnFailure {
        max_attempts,
        delay: None,
        window: None,
    };
    match word {
        "no" => Some(RestartPolicy::No),
        "always" => Some(RestartPolicy::Always),
        "unless-stopped" => Some(RestartPolicy::UnlessStopped),
        "on-failure" => Some(on_failure(None)),
        other => {
            let count: u32 = other.strip_prefix("on-failure:")?.parse().ok()?;
            // Docker takes 0 for no limit.
            Some(on_failure(Some(count).filter(|count| *count > 0)))
        }
    }
}

/// What `deploy.restart_policy` says.
fn deployed(policy: &Reader<'_>, problems: &mut Problems) -> RestartPolicy {
    let max_attempts = policy.int("max_attempts").filter(|count| *count > 0);
    let (delay, window) = (policy.duration("delay"), policy.duration("window"));
    let window = window.filter(|window| !window.is_zero());
    let limited = max_attempts.is_some() || delay.is_some();
    // Docker Compose takes the words of `restart` here, too.
    match policy.text("condition").as_deref() {
        Some("none" | "no") => RestartPolicy::No,
        Some("unless-stopped") => RestartPolicy::UnlessStopped,
        None | Some("any" | "always") if limited => RestartPolicy::Any {
            max_attempts,
            delay,
            window,
        },
        None | Some("any" | "always") => RestartPolicy::Always,
        Some("on-failure") => RestartPolicy::OnFailure {
            max_attempts,
            delay,
            window,
        },
        Some(_) => {
            bad_word(
                policy,
                "condition",
                "`none`, `on-failure` or `any`",
                problems,
            );
            RestartPolicy::No
        }
    }
}

fn bad_word(reader: &Reader<'_>, key: &str, wanted: &str, problems: &mut Problems) {
    if let Some(node) = reader.node.get(key) {
        let text = node.as_text().unwrap_or_default();
        problems
            .error(
                node.span,
                format!("`{}.{key}` cannot be `{text}`", reader.at),
            )
            .help(format!("use {wanted}"));
    }
}

pub(super) fn pull_policy(reader: &Reader<'_>, problems: &mut Problems) -> PullPolicy {
    let day = Duration::from_secs(86_400);
    let Some(text) = reader.text("pull_policy") else {
        return PullPolicy::Missing;
    };
    let every = text
        .strip_prefix("every_")
        .and_then(|duration| duration::parse(duration).ok());
    match (text.as_str(), every) {
        ("missing" | "if_not_present", _) => PullPolicy::Missing,
        ("always" | "refresh", _) => PullPolicy::Always,
        ("never", _) => PullPolicy::Never,
        ("build", _) => PullPolicy::Build,
        ("daily", _) => PullPolicy::Every(day),
        ("weekly", _) => PullPolicy::Every(day * 7),
        (_, Some(duration)) => PullPolicy::Every(duration),
        _ => {
            bad_word(
                reader,
                "pull_policy",
                "`always`, `missing`, `never`, `build`, `daily`, `weekly` or `every_<DURATION>`",
                problems,
            );
            PullPolicy::Missing
        }
    }
}

pub(super) fn resources(reader: &Reader<'_>, problems: &mut Problems) -> Resources {
    let deploy = reader
        .inner("deploy")
        .and_then(|deploy| deploy.inner("resources"));
    let part = |key: &str| deploy.as_ref().and_then(|deploy| deploy.inner(key));
    let (limits, reservations) = (part("limits"), part("reservations"));
    let limits = limits.as_ref();
    let not_zero = |size: &u64| *size > 0;
    let resources = Resources {
        nano_cpus: reader
            .nano_cpus("cpus")
            .or_else(|| limits?.nano_cpus("cpus")),
        cpu_shares: reader.int("cpu_shares").filter(not_zero),
        cpu_quota: reader.int("cpu_quota").filter(|quota| *quota != 0),
        cpu_period: reader.int("cpu_period").filter(not_zero),
        cpuset: reader.text("cpuset"),
        cpu_rt_runtime: reader.int("cpu_rt_runtime").filter(|time| *time != 0),
        cpu_rt_period: reader.int("cpu_rt_period").filter(not_zero),
        cpu_count: reader.int("cpu_count").filter(not_zero),
        cpu_percent: reader.int("cpu_percent").filter(|percent| *percent > 0),
        nano_cpus_reserved: reservations
            .as_ref()
            .and_then(|inner| inner.nano_cpus("cpus")),
        memory: reader
            .size("mem_limit")
            .or_else(|| limits?.size("memory"))
            .filter(not_zero),
        memory_reservation: reader
            .size("mem_reservation")
            .or_else(|| reservations.as_ref()?.size("memory"))
            .filter(not_zero),
        memory_swap: match reader.node.get("memswap_limit").and_then(Node::as_text) {
            Some("-1") => Some(-1),
            Some(text) => text.parse().ok().filter(|swap| *swap != 0),
            None => None,
        },
        pids: reader
            .int("pids_limit")
            .or_else(|| limits?.int("pids"))
            .filter(|pids| *pids != 0),
    };
    if let (Some(memory), Some(swap)) = (resources.memory, resources.memory_swap)
        && swap >= 0
        && swap.unsigned_abs() < memory
        && let Some(node) = reader.node.get("memswap_limit")
    {
        problems
            .error(
                node.span,
                format!("`{}.memswap_limit` is below the memory limit", reader.at),
            )
            .help("it is memory and swap together");
    }
    resources
}
