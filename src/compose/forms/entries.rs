//! Items of lists that have a short and a long form: ports, mounts, devices, files.

use std::net::IpAddr;

use crate::compose::diagnostic::Problems;
use crate::compose::schema::{self, Form, Keys};
use crate::compose::shape::{self, At, Misshapen, Shaped, text, wrong};
use crate::compose::tree::{self, Directive, Map, Node, Value};
use crate::compose::{mounts, ports};

/// Ports of one service, so that a few ranges cannot fill the memory.
const MAX_PORTS: usize = 1 << 16;

/// A list whose items have a short and a long form.
pub(in crate::compose) fn list(
    node: &mut Node,
    form: Form,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    if form == Form::EnvFile && node.as_text().is_some() {
        let item = Node::new(std::mem::replace(&mut node.value, Value::Null), node.span);
        node.value = Value::List(vec![item]);
    }
    let Value::List(items) = &mut node.value else {
        return wrong(node, "a list", at, problems);
    };
    let mut long = Vec::with_capacity(items.len());
    for (index, item) in std::mem::take(items).into_iter().enumerate() {
        let at = at.index(index);
        if item.directive == Directive::Reset {
            continue;
        }
        // What is wrong with an item was recorded; the others are still looked at.
        if let Ok(expanded) = expand(item, form, &at, problems) {
            long.extend(expanded);
        }
        if long.len() > MAX_PORTS {
            problems.error(node.span, format!("`{at}`: too many items"));
            return Err(Misshapen);
        }
    }
    node.value = Value::List(long);
    Ok(())
}

fn expand(
    item: Node,
    form: Form,
    at: &At<'_>,
    problems: &mut Problems,
) -> Result<Vec<Node>, Misshapen> {
    match form {
        Form::Port => port(item, at, problems),
        Form::Mount => Ok(vec![mount(item, at, problems)?]),
        Form::Device => Ok(vec![device(item, at, problems)?]),
        Form::EnvFile => Ok(vec![env_file(item, at, problems)?]),
        Form::Secret => {
            let mut items = short_name(item, "source", &schema::FILE_USE, (at, problems))?;
            items.iter_mut().for_each(secret_target);
            Ok(items)
        }
        Form::File => short_name(item, "source", &schema::FILE_USE, (at, problems)),
    }
}

fn port(mut item: Node, at: &At<'_>, problems: &mut Problems) -> Result<Vec<Node>, Misshapen> {
    let short = match &item.value {
        Value::Map(_) => {
            shape::keys(&mut item, &schema::PORT, at, problems)?;
            return Ok(vec![long_port(item, at, problems)?]);
        }
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        _ => {
            wrong(&item, "a port such as `8080:80`", at, problems)?;
            return Err(Misshapen);
        }
    };
    match ports::parse(&short) {
        Ok(ports) => {
            // A range of a few bytes stands for up to 65,535 mappings of five values each.
            if let Err(error) = problems.budget.take(ports.len() * 5, 0) {
                problems.error(item.span, format!("`{at}`: {error}"));
                return Err(Misshapen);
            }
            Ok(ports
                .iter()
                .map(|port| ports::long_form(port, item.span))
                .collect())
        }
        Err(error) => {
            problems
                .error(
                    item.span,
                    format!("`{at}` is not a port: `{short}`: {error}"),
                )
                .help("a port is written `[ADDRESS:][HOST:]CONTAINER[/PROTOCOL]`, as in `8080:80`");
            Err(Misshapen)
        }
    }
}

fn long_port(mut item: Node, at: &At<'_>, problems: &mut Problems) -> Result<Node, Misshapen> {
    let span = item.span;
    if item.get("target").is_none() {
        problems.error(span, format!("`{at}` has no `target`"));
        return Err(Misshapen);
    }
    if let Some(node) = item.get("host_ip")
        && let Some(text) = node.as_text()
        && text.parse::<IpAddr>().is_err()
    {
        let message = format!("`{at}.host_ip` must be an IP address, not `{text}`");
        problems.error(node.span, message);
        return Err(Misshapen);
    }
    for (key, default) in [("mode", "ingress"), ("protocol", "tcp")] {
        if item.get(key).is_none() {
            item.set(key, Node::text(default, span));
        }
    }
    Ok(item)
}

fn mount(mut item: Node, at: &At<'_>, problems: &mut Problems) -> Result<Node, Misshapen> {
    let span = item.span;
    if item.as_map().is_some() {
        shape::keys(&mut item, &schema::MOUNT, at, problems)?;
        return long_mount(item, at, problems);
    }
    text(&mut item, at, problems)?;
    let short = item.as_text().unwrap_or_default();
    match mounts::parse(short) {
        Ok(mount) => {
            let (mut node, unknown) = mounts::long_form(&mount, span);
            clean_target(&mut node);
            for option in unknown {
                problems
                    .warn(span, format!("`{at}`: the option `{option}` is unknown"))
                    .label("ignored");
            }
            Ok(node)
        }
        Err(error) => {
            problems
                .error(span, format!("`{at}` is not a mount: `{short}`: {error}"))
                .help("a mount is written `[SOURCE:]TARGET[:OPTIONS]`, as in `./data:/data:ro`");
            Err(Misshapen)
        }
    }
}

/// Two mounts at one path are one, however the path is written.
fn clean_target(mount: &mut Node) {
    if let Some(target) = mount.get("target")
        && let Some(text) = target.as_text()
    {
        let cleaned = Node::text(crate::compose::paths::clean_target(text), target.span);
        mount.set("target", cleaned);
    }
}

fn long_mount(mut item: Node, at: &At<'_>, problems: &mut Problems) -> Result<Node, Misshapen> {
    let kind = item.get("type").and_then(Node::as_text);
    let filled = |key| {
        item.get(key)
            .and_then(Node::as_text)
            .is_some_and(|text| !text.is_empty())
    };
    let missing = if !filled("target") {
        "target"
    } else if kind == Some("bind") && !filled("source") {
        "source"
    } else {
        clean_target(&mut item);
        return Ok(item);
    };
    problems.error(item.span, format!("`{at}` has no `{missing}`"));
    Err(Misshapen)
}

fn device(mut item: Node, at: &At<'_>, problems: &mut Problems) -> Result<Node, Misshapen> {
    let span = item.span;
    let is_long = item.as_map().is_some();
    if is_long {
        shape::keys(&mut item, &schema::DEVICE, at, problems)?;
    } else {
        text(&mut item, at, problems)?;
        let short = item.as_text().unwrap_or_default().to_owned();
        let sections: Vec<&str> = short.split(':').collect();
        if sections.len() > 3 {
            problems
                .error(span, format!("`{at}` is not a device: `{short}`"))
                .help("a device is written `SOURCE[:TARGET[:rwm]]`");
            return Err(Misshapen);
        }
        item = Node::new(Value::Map(Map::default()), span);
        for (key, section) in ["source", "target", "permissions"].iter().zip(sections) {
            item.set(key, Node::text(section, span));
        }
    }
    if is_long && item.get("target").is_none() {
        problems.error(span, format!("`{at}` has no `target`"));
        return Err(Misshapen);
    }
    let source = item.get("source").and_then(Node::as_text);
    let source = source.unwrap_or_default().to_owned();
    for (key, default) in [("target", source.as_str()), ("permissions", "rwm")] {
        let is_empty = |node: &Node| node.as_text() == Some("");
        if !is_long && item.get(key).is_none_or(is_empty) {
            item.set(key, Node::text(default, span));
        }
    }
    Ok(item)
}

fn env_file(item: Node, at: &At<'_>, problems: &mut Problems) -> Result<Node, Misshapen> {
    let span = item.span;
    let mut items = short_name(item, "path", &schema::ENV_FILE, (at, problems))?;
    let Some(mut item) = items.pop() else {
        return Err(Misshapen);
    };
    if item.get("required").is_none() {
        item.set("required", Node::new(Value::Bool(true), span));
    }
    Ok(item)
}

fn secret_target(item: &mut Node) {
    let is_given = |node: &Node| node.as_text().is_some_and(|text| !text.is_empty());
    if !item.get("target").is_some_and(is_given)
        && let Some(source) = item.get("source").and_then(Node::as_text)
    {
        let target = Node::text(format!("/run/secrets/{source}"), item.span);
        item.set("target", target);
    }
}

/// Text that stands for a mapping with that text under one key, which must be there.
fn short_name(
    mut item: Node,
    key: &str,
    known: &'static Keys,
    context: (&At<'_>, &mut Problems),
) -> Result<Vec<Node>, Misshapen> {
    let (at, problems) = context;
    let span = item.span;
    if item.as_map().is_some() {
        shape::keys(&mut item, known, at, problems)?;
    } else {
        text(&mut item, at, problems)?;
        let mut long = Node::new(Value::Map(tree::map_for(2)), span);
        long.set(key, item);
        item = long;
    }
    if item.get(key).is_none() {
        problems.error(span, format!("`{at}` has no `{key}`"));
        return Err(Misshapen);
    }
    Ok(vec![item])
}
