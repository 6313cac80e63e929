//! `x-stack`.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::Reader;
use crate::compose::diagnostic::Problems;
use crate::compose::model::{
    Follow, OnUnhealthy, Ready, ReadyProbe, Reload, Service, ServiceName, ServiceNetwork, XStack,
};

/// What `x-stack` says; `service` is what the rest of the service says.
pub(super) fn x_stack(reader: &Reader<'_>, service: &Service, problems: &mut Problems) -> XStack {
    let Some(own) = reader.inner("x-stack") else {
        return XStack::default();
    };
    XStack {
        ready: own
            .inner("ready")
            .and_then(|ready| self::ready(&ready, service, problems)),
        on_unhealthy: on_unhealthy(&own, problems),
        follow: follow(&own, service, problems),
        reload: reload(&own, problems),
    }
}

/// `reload` of an `x-stack`.
pub(super) fn reload(own: &Reader<'_>, problems: &mut Problems) -> Option<Reload> {
    let reader = own.inner("reload")?;
    let keys = ["action", "signal", "exec"].map(|key| reader.node.get(key));
    let given = keys.into_iter().flatten().count();
    if given != 1 {
        problems
            .error(
                reader.node.span,
                format!("`{}` says {given} ways to tell a program", reader.at),
            )
            .help(
                "write `reload: restart`, `reload: {signal: HUP}` or `reload: {exec: [PROGRAM]}`",
            );
        return None;
    }
    if let Some(signal) = reader.text("signal") {
        let number = signal_number(&signal);
        if number.is_none() {
            let span = reader.node.get("signal").map(|node| node.span);
            problems
                .error(
                    span,
                    format!("`{}.signal`: `{signal}` is no signal", reader.at),
                )
                .help("give a name as `HUP` or a number from 1 to 64");
        }
        return number.map(Reload::Signal);
    }
    match reader.node.get("exec") {
        None => Some(Reload::Restart),
        Some(exec) => {
            let words = reader.texts("exec");
            if words.is_empty() {
                problems.error(exec.span, format!("`{}.exec` runs nothing", reader.at));
                return None;
            }
            Some(Reload::Exec(words))
        }
    }
}

fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let signal: nix::sys::signal::Signal = format!("SIG{name}").parse().ok()?;
    Some(signal as i32)
}

fn ready(reader: &Reader<'_>, service: &Service, problems: &mut Problems) -> Option<Ready> {
    let kinds = ["tcp", "http", "log"].map(|key| reader.node.get(key));
    let given: Vec<_> = kinds.into_iter().flatten().collect();
    let at = &reader.at;
    let [only] = given.as_slice() else {
        let message = match given.is_empty() {
            true => format!("`{at}` does not say what to look at"),
            false => format!("`{at}` says more than one thing to look at"),
        };
        problems
            .error(reader.node.span, message)
            .help("give one of `tcp`, `http` and `log`");
        return None;
    };
    let probe = probe(reader, problems)?;
    if !matches!(probe, ReadyProbe::Log(_)) && service.network == ServiceNetwork::None {
        problems
            .error(
                only.span,
                format!("`{at}` cannot be looked at: the service has no network"),
            )
            .help("use `log`, or give the service a network");
    }
    Some(Ready {
        probe,
        interval: reader.duration("interval"),
        timeout: reader.duration("timeout"),
        retries: reader.int("retries"),
        start_period: reader.duration("start_period"),
        start_interval: reader.duration("start_interval"),
    })
}

fn probe(reader: &Reader<'_>, problems: &mut Problems) -> Option<ReadyProbe> {
    if let Some(port) = reader.int("tcp") {
        return Some(ReadyProbe::Tcp(port));
    }
    if let Some(http) = reader.inner("http") {
        let path = http.text("path").unwrap_or_else(|| "/".to_owned());
        let visible = |c: char| c.is_ascii_graphic();
        if !path.starts_with('/') || !path.chars().all(visible) {
            let span = http
                .node
                .get("path")
                .map_or(http.node.span, |node| node.span);
            problems
                .error(span, format!("`{}.path` cannot be `{path}`", http.at))
                .help("a path starts with `/` and has no spaces: write those as `%20`");
        }
        return Some(ReadyProbe::Http {
            port: http.int("port")?,
            path,
        });
    }
    let node = reader.node.get("log")?;
    let pattern = node.as_text()?.to_owned();
    if let Err(error) = regex_lite::Regex::new(&pattern) {
        problems
            .error(
                node.span,
                format!("`{}.log` is not a regular expression: {error}", reader.at),
            )
            .help("put a `\\` before a character that is meant as it is");
        return None;
    }
    Some(ReadyProbe::Log(pattern))
}

fn on_unhealthy(reader: &Reader<'_>, problems: &mut Problems) -> OnUnhealthy {
    let words = reader.texts("exec");
    let asked = reader.text("on_unhealthy");
    let at = &reader.at;
    match (asked.as_deref(), reader.node.get("exec")) {
        (Some("exec"), _) if !words.is_empty() => OnUnhealthy::Exec(words),
        (Some("exec"), _) => {
            problems
                .error(
                    reader.node.get("on_unhealthy").map(|node| node.span),
                    format!("`{at}.on_unhealthy: exec` does not say what to run"),
                )
                .help("write the program and its arguments as `exec:` beside it");
            OnUnhealthy::None
        }
        (Some("restart"), None) => OnUnhealthy::Restart,
        (other, Some(exec)) => {
            problems
                .error(exec.span, format!("`{at}.exec` would never run"))
                .help("write `on_unhealthy: exec` beside it");
            match other {
                Some("restart") => OnUnhealthy::Restart,
                _ => OnUnhealthy::None,
            }
        }
        (_, None) => OnUnhealthy::None,
    }
}

fn follow(
    reader: &Reader<'_>,
    service: &Service,
    problems: &mut Problems,
) -> IndexMap<ServiceName, BTreeSet<Follow>> {
    let mut follow = IndexMap::new();
    for (name, entry) in reader.map("follow").into_iter().flatten() {
        if !service.depends_on.contains_key(name.as_str()) {
            let known = service.depends_on.keys().map(ServiceName::as_str);
            let meant = problems.suggestion(name, known);
            let diagnostic = problems.error(
                entry.key,
                format!(
                    "`{}.follow` names `{name}`, on which the service does not depend",
                    reader.at
                ),
            );
            match meant {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                None => diagnostic.help(format!("add `{name}` to `depends_on`")),
            };
            continue;
        }
        let words = entry.node.as_list();
        let events = Follow::ALL.into_iter().filter(|(word, _)| match words {
            None => true,
            Some(words) => words.iter().any(|node| node.as_text() == Some(word)),
        });
        let events: BTreeSet<Follow> = events.map(|(_, event)| event).collect();
        follow.insert(ServiceName::new(name), events);
    }
    follow
}
