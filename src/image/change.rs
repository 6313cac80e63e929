//! Changes of an image's configuration: reading them, and making them.
//!
//! The configuration is changed as the JSON it is: what this program has no words for (`OnBuild`,
//! `Shell`, whatever comes) is kept.

use serde_json::{Map, Value, json};

use super::config::{ConfigChange, Healthcheck};

/// Reads one instruction; an error says what is wrong.
pub(super) fn parse(line: &str) -> Result<Vec<ConfigChange>, &'static str> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err("it needs a value");
    }
    let one = |change| Ok(vec![change]);
    match word.to_ascii_uppercase().as_str() {
        "CMD" => one(ConfigChange::Cmd(command(rest))),
        "ENTRYPOINT" => one(ConfigChange::Entrypoint(command(rest))),
        "ENV" => pairs(rest)?
            .into_iter()
            .map(|(name, value)| Ok(ConfigChange::Env { name, value }))
            .collect(),
        "LABEL" => pairs(rest)?
            .into_iter()
            .map(|(name, value)| Ok(ConfigChange::Label { name, value }))
            .collect(),
        "EXPOSE" => rest
            .split_whitespace()
            .map(|port| expose(port).map(ConfigChange::Expose))
            .collect(),
        "USER" => one(ConfigChange::User(rest.to_owned())),
        "WORKDIR" if rest.starts_with('/') => one(ConfigChange::Workdir(rest.to_owned())),
        "WORKDIR" => Err("a working directory starts with `/`"),
        "VOLUME" => Ok(list(rest).into_iter().map(ConfigChange::Volume).collect()),
        "STOPSIGNAL" => one(ConfigChange::StopSignal(rest.to_owned())),
        "HEALTHCHECK" => one(ConfigChange::Healthcheck(healthcheck(rest)?)),
        _ => Err(
            "it starts with none of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR",
        ),
    }
}

/// A JSON list is a program with its arguments; anything else a line for the shell.
fn command(text: &str) -> Vec<String> {
    json_list(text).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn json_list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

fn list(text: &str) -> Vec<String> {
    json_list(text).unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect())
}

/// `a=1 b="two words"`, or the old form with a single pair: `a all the rest`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text
            .split_once(char::is_whitespace)
            .ok_or("write it as name=value")?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let words = shlex::split(text).ok_or("a quote is not closed")?;
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err("write it as name=value"),
        })
        .collect()
}

/// `80` is `80/tcp`.
fn expose(text: &str) -> Result<String, &'static str> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    let right = match ports.split_once('-') {
        Some((from, to)) => is_port(from) && is_port(to),
        None => is_port(ports),
    };
    if !right {
        return Err("a port is a number from 1 to 65535");
    }
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err("a protocol is `tcp`, `udp` or `sctp`");
    }
    Ok(format!("{ports}/{protocol}"))
}

/// `[--interval=5s …] CMD …`, or `NONE`.
fn healthcheck(text: &str) -> Result<Healthcheck, &'static str> {
    let mut check = Healthcheck::default();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, behind) = option
            .split_once(char::is_whitespace)
            .ok_or("CMD or NONE is missing")?;
        let (name, value) = option
            .split_once('=')
            .ok_or("write options as --name=value")?;
        match name {
            "interval" => check.interval = nanoseconds(value)?,
            "timeout" => check.timeout = nanoseconds(value)?,
            "start-period" => check.start_period = nanoseconds(value)?,
            "start-interval" => check.start_interval = nanoseconds(value)?,
            "retries" => check.retries = value.parse().map_err(|_| "--retries needs a number")?,
            _ => {
                return Err(
                    "it knows --interval, --timeout, --start-period, --start-interval, --retries",
                );
            }
        }
        rest = behind.trim_start();
    }
    let (word, line) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = match (word.to_ascii_uppercase().as_str(), line.trim()) {
        ("NONE", "") => vec!["NONE".to_owned()],
        ("CMD", "") => return Err("CMD needs a program"),
        ("CMD", line) => match json_list(line) {
            Some(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
            None => vec!["CMD-SHELL".to_owned(), line.to_owned()],
        },
        _ => return Err("CMD or NONE is missing"),
    };
    Ok(check)
}

/// Go's durations: `1m30s`, `500ms`, `1.5h`.
fn nanoseconds(text: &str) -> Result<i64, &'static str> {
    const WRONG: &str = "a time is written like `30s`, `500ms` or `1m30s`";
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(WRONG)?;
        let number: f64 = rest[..digits].parse().map_err(|_| WRONG)?;
        let letters = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len() - digits);
        let unit = match &rest[digits..digits + letters] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(WRONG),
        };
        sum += number * unit;
        rest = &rest[digits + letters..];
    }
    // The largest number of seconds that fits is 292 years.
    if text.is_empty() || !(0.0..9.2e18).contains(&sum) {
        return Err(WRONG);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    Ok(sum as i64)
}

/// Makes the changes in the `config` part of an image's configuration.
pub(super) fn apply(config: &mut Map<String, Value>, changes: &[ConfigChange]) {
    for change in changes {
        match change {
            ConfigChange::Cmd(words) => set(config, "Cmd", json!(words)),
            ConfigChange::Entrypoint(words) => {
                set(config, "Entrypoint", json!(words));
                // A base image's command was meant for its own entry point (Docker's builder).
                if !changes
                    .iter()
                    .any(|change| matches!(change, ConfigChange::Cmd(_)))
                {
                    config.remove("Cmd");
                }
            }
            ConfigChange::Env { name, value } => set_env(config, name, value),
            ConfigChange::Expose(port) => set_key(config, "ExposedPorts", port, json!({})),
            ConfigChange::User(user) => set(config, "User", json!(user)),
            ConfigChange::Workdir(path) => set(config, "WorkingDir", json!(path)),
            ConfigChange::Volume(path) => set_key(config, "Volumes", path, json!({})),
            ConfigChange::StopSignal(signal) => set(config, "StopSignal", json!(signal)),
            ConfigChange::Label { name, value } => set_key(config, "Labels", name, json!(value)),
            ConfigChange::Healthcheck(check) => set(config, "Healthcheck", json!(check)),
        }
    }
}

fn set(config: &mut Map<String, Value>, key: &str, value: Value) {
    config.insert(key.to_owned(), value);
}

fn set_key(config: &mut Map<String, Value>, map: &str, key: &str, value: Value) {
    let entry = config.entry(map).or_insert(Value::Null);
    if !entry.is_object() {
        *entry = json!({});
    }
    entry[key] = value;
}

fn set_env(config: &mut Map<String, Value>, name: &str, value: &str) {
    let mut env: Vec<Value> = match config.remove("Env") {
        Some(Value::Array(env)) => env,
        _ => Vec::new(),
    };
    let is_it = |old: &Value| {
        old.as_str()
            .and_then(|old| old.split_once('='))
            .is_some_and(|(n, _)| n == name)
    };
    let new = json!(format!("{name}={value}"));
    match env.iter().position(is_it) {
        Some(at) => env[at] = new,
        None => env.push(new),
    }
    set(config, "Env", Value::Array(env));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(base: Value, lines: &[&str]) -> Value {
        let Value::Object(mut config) = base else {
            panic!("no object")
        };
        let changes: Vec<_> = lines.iter().flat_map(|line| parse(line).unwrap()).collect();
        apply(&mut config, &changes);
        Value::Object(config)
    }

    #[test]
    fn every_instruction_changes_its_part() {
        let config = changed(
            json!({"Env": ["A=1", "PATH=/bin"], "Cmd": ["old"], "OnBuild": ["RUN x"], "Labels": null}),
            &[
                "ENTRYPOINT [\"/bin/a\", \"b c\"]",
                "env A=2 B=\"x y\"",
                "ENV OLD the old form",
                "EXPOSE 80 53/udp",
                "USER 1000:1000",
                "WORKDIR /srv",
                "VOLUME [\"/data\"]",
                "STOPSIGNAL SIGQUIT",
                "LABEL a.b=c",
                "HEALTHCHECK --interval=1m30s --retries=2 CMD curl -f x",
            ],
        );
        assert_eq!(
            config,
            json!({
                "Entrypoint": ["/bin/a", "b c"],
                "Env": ["A=2", "PATH=/bin", "B=x y", "OLD=the old form"],
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
                "User": "1000:1000", "WorkingDir": "/srv", "Volumes": {"/data": {}},
                "StopSignal": "SIGQUIT", "Labels": {"a.b": "c"}, "OnBuild": ["RUN x"],
                "Healthcheck": {"Test": ["CMD-SHELL", "curl -f x"], "Interval": 90_000_000_000_i64, "Retries": 2},
            })
        );
    }

    #[test]
    fn a_command_without_brackets_is_for_the_shell() {
        assert_eq!(
            changed(json!({}), &["CMD echo hi"]),
            json!({"Cmd": ["/bin/sh", "-c", "echo hi"]})
        );
        let none = changed(json!({}), &["HEALTHCHECK NONE"]);
        assert_eq!(none, json!({"Healthcheck": {"Test": ["NONE"]}}));
    }

    #[test]
    fn what_is_no_instruction_is_refused_with_the_reason() {
        for (line, reason) in [
            ("", "needs a value"),
            ("RUN x", "none of CMD"),
            ("CMD", "needs a value"),
            ("EXPOSE 0", "1 to 65535"),
            ("EXPOSE 80/ftp", "protocol"),
            ("WORKDIR srv", "starts with `/`"),
            ("ENV A", "name=value"),
            ("ENV A=\"x", "not closed"),
            ("HEALTHCHECK --interval=5 CMD x", "`30s`"),
            ("HEALTHCHECK x", "CMD or NONE"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
