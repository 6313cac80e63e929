//! What to do about a mistake, where its kind and place say what was meant.

use super::schema::{self, Keys, Shape};
use super::shape::At;
use super::tree::{Node, Value};

/// Keys of other tools and of other places, and what they are called in a service.
const OTHER_NAMES: [(&str, &str); 14] = [
    ("args", "build.args"),
    ("cmd", "command"),
    ("context", "build.context"),
    ("cpu", "cpus"),
    ("depends", "depends_on"),
    ("dockerfile", "build.dockerfile"),
    ("env", "environment"),
    ("envs", "environment"),
    ("hosts", "extra_hosts"),
    ("memory", "mem_limit"),
    ("mounts", "volumes"),
    ("name", "container_name"),
    ("workdir", "working_dir"),
    ("variables", "environment"),
];

/// Lists of `KEY=value`.
const PAIRS: [&str; 5] = ["environment", "labels", "args", "sysctls", "annotations"];

/// Lists of texts.
const TEXTS: [&str; 22] = [
    "aliases",
    "cache_from",
    "cache_to",
    "cap_add",
    "cap_drop",
    "configs",
    "depends_on",
    "device_cgroup_rules",
    "devices",
    "dns_opt",
    "expose",
    "external_links",
    "group_add",
    "links",
    "networks",
    "platforms",
    "ports",
    "profiles",
    "secrets",
    "security_opt",
    "volumes",
    "volumes_from",
];

/// What to do with a value of the wrong kind.
pub(super) fn wrong_kind(node: &Node, wanted: &str, at: &At<'_>) -> Option<String> {
    let path = at.keys();
    if let ["services", key] = path.as_slice()
        && schema::SERVICE.field(key).is_some()
        && node.as_map().is_none()
    {
        return Some(format!(
            "`{key}` is a key of a service: put it, indented, below the service's name"
        ));
    }
    match &node.value {
        Value::Null => match path.as_slice() {
            ["services", name] => Some(format!(
                "say what `{name}` runs, with `image:` or `build:`; what is below it must be indented"
            )),
            _ => Some(
                "give it a value, or take the key out; what is below it must be indented"
                    .to_owned(),
            ),
        },
        Value::List(items) if wanted.contains("mapping") && path.len() == 1 => {
            let name = items.first().and_then(|item| match &item.value {
                Value::Map(map) => map.keys().next().cloned(),
                _ => item.scalar_text(),
            })?;
            Some(format!("leave out the `-` and write `{name}:`"))
        }
        Value::Map(map) if wanted == "text" => {
            let (key, value) = map.iter().next().filter(|_| map.len() == 1)?;
            let value = value.node.scalar_text().unwrap_or_default();
            match path.last() {
                Some(list) if PAIRS.contains(list) => Some(format!("write `{key}={value}`")),
                _ => Some(format!("put it in quotes: \"{key}: {value}\"")),
            }
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Moment(_) | Value::Text(_) => {
            let text = node
                .scalar_text()
                .filter(|text| !text.contains(['\n', '"', '\\']))?;
            if wanted == "true or false" {
                return match text.as_str() {
                    "1" => Some("write `true`".to_owned()),
                    "0" => Some("write `false`".to_owned()),
                    _ => None,
                };
            }
            let of_text = path.last().is_some_and(|list| TEXTS.contains(list));
            (of_text && wanted.contains("list")).then(|| format!("write a list: `[\"{text}\"]`"))
        }
        _ => None,
    }
}

/// What to do about a key that is not known at a place.
pub(super) fn unknown_key(key: &str, at: &At<'_>) -> Option<String> {
    match at.keys().as_slice() {
        [] if schema::SERVICE.field(key).is_some() => Some(format!(
            "`{key}` is a key of a service: put it below `services:` and the service's name"
        )),
        ["services", _] => {
            let other = OTHER_NAMES.iter().find(|(name, _)| *name == key);
            if let Some((_, meant)) = other {
                return Some(format!("did you mean `{meant}`?"));
            }
            if key == "services" {
                return Some("services stand beside each other: indent it less".to_owned());
            }
            let within = ["deploy", "build", "healthcheck", "logging"];
            let place = within.into_iter().find(|place| {
                let shape = schema::SERVICE.field(place).map(|field| &field.shape);
                shape
                    .and_then(keys_of)
                    .is_some_and(|keys| keys.field(key).is_some())
            })?;
            Some(format!("put it below `{place}:`"))
        }
        ["services", _, "healthcheck"] if key == "command" => {
            Some("did you mean `test`?".to_owned())
        }
        ["services", _, place, ..] if schema::SERVICE.field(key).is_some() => Some(format!(
            "`{key}` is a key of the service: indent it as far as `{place}`"
        )),
        _ => None,
    }
}

fn keys_of(shape: &'static Shape) -> Option<&'static Keys> {
    match shape {
        Shape::Keys(keys) | Shape::Shorthand(_, keys) => Some(keys),
        Shape::Optional(inner) => keys_of(inner),
        _ => None,
    }
}

/// What to do about YAML that cannot be read. `offset` is where the reader gave up, and why in its
/// own words.
pub(super) fn syntax(text: &str, offset: usize, why: &str) -> Option<String> {
    let line_start = text[..offset].rfind('\n').map_or(0, |found| found + 1);
    let line = text[line_start..].lines().next().unwrap_or("");
    let number = text[..line_start].lines().count();
    let last = text[..line_start]
        .lines()
        .rev()
        .zip((1..=number).rev())
        .find(|(line, _)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    if line[..indent(line)].contains('\t') {
        return Some("YAML is indented with spaces; this line starts with a tab".to_owned());
    }
    if why.contains("recursion") || why.contains("nest") {
        return Some("no stack file needs to be nested that deep".to_owned());
    }
    if let Some(character) = why.strip_prefix("unexpected character: `") {
        let character = character
            .chars()
            .next()
            .filter(|c| "@`%&*!|>".contains(*c))?;
        return Some(format!(
            "a value that starts with `{character}` must be in quotes"
        ));
    }
    if why.contains("quote") {
        return Some("a quote above is opened and never closed".to_owned());
    }
    if why.contains("mapping values are not allowed") {
        if let Some((before, number)) = last
            && let Some((key, value)) = before.trim().split_once(':')
            && !value.is_empty()
            && !value.starts_with([' ', '/'])
            && !key.contains([' ', '"', '\''])
        {
            return Some(format!(
                "a space is missing after the colon in line {}: `{key}: {value}`",
                number
            ));
        }
        if line.matches(": ").count() > 1 {
            return Some("put the value in quotes: it has a `: ` in it".to_owned());
        }
    }
    let (before, _) = last?;
    let (here, there) = (indent(line), indent(before));
    (here != there && why.contains("did not find expected")).then(|| {
        format!("this line is indented by {here} spaces, the one above by {there}: keys of one mapping must line up")
    })
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
