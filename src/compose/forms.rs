//! Short forms of values, brought to their long ones.

use std::net::IpAddr;

use super::diagnostic::Problems;
use super::schema::{self, Form, Keys, NoValue};
use super::shape::{self, At, Misshapen, Shaped, text, wrong};
use super::tree::{self, Directive, Map, Node, Value};
use super::{mounts, ports};

/// Ports of one service, so that a few ranges cannot fill the memory.
const MAX_PORTS: usize = 1 << 16;

/// A command: a line is split as a shell splits words; nothing else of a shell happens.
pub(super) fn words(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    match &mut node.value {
        Value::Null => Ok(()),
        Value::Text(line) => {
            let Some(words) = split_words(line) else {
                problems
                    .error(
                        node.span,
                        format!("`{at}` has a quote that is never closed"),
                    )
                    .help("write the command as a list, one word an item");
                return Err(Misshapen);
            };
            let span = node.span;
            let words = words.into_iter().map(|word| Node::text(word, span));
            node.value = Value::List(words.collect());
            Ok(())
        }
        Value::List(items) => {
            let mut all = Ok(());
            for (index, item) in items.iter_mut().enumerate() {
                if item.directive != Directive::Reset {
                    all = all.and(text(item, &at.index(index), problems));
                }
            }
            all
        }
        _ => wrong(node, "a line or a list of words", at, problems),
    }
}

/// Splits a line into words: spaces part them, quotes and backslashes keep them together. A `#` is a
/// character like any other: there are no comments in a command.
fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        inner => word.push(inner),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            '\n' => {}
                            other => word.extend(['\\', other]),
                        },
                        inner => word.push(inner),
                    }
                }
            }
            '\\' => match characters.next()? {
                '\n' => {}
                escaped => word.get_or_insert_default().push(escaped),
            },
            // Docker Compose takes one command of a line and drops the rest, with what says which
            // file descriptor goes there.
            ';' | '&' | '|' | '<' | '>' => {
                let digit = |word: &String| word.starts_with(|c: char| c.is_ascii_digit());
                if character == '>' && word.as_ref().is_some_and(digit) {
                    word = None;
                }
                break;
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// A health test: a line is for the container's shell.
pub(super) fn health_test(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if let Some(line) = node.as_text() {
        let words = ["CMD-SHELL", line].map(|word| Node::text(word, node.span));
        node.value = Value::List(words.into());
        return Ok(());
    }
    if node.as_list().is_none() {
        return wrong(node, "a line or a list of words", at, problems);
    }
    words(node, at, problems)?;
    let first = node.as_list().and_then(|items| items.first());
    let Some(first) = first else {
        return Ok(());
    };
    match first.as_text() {
        Some("NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        _ => {
            problems
                .error(
                    first.span,
                    format!("`{at}` must start with `NONE`, `CMD` or `CMD-SHELL`"),
                )
                .help("a program and its arguments: `[\"CMD\", \"curl\", \"localhost\"]`");
            Err(Misshapen)
        }
    }
}

/// A list whose items have a short and a long form.
pub(super) fn list(node: &mut Node, form: Form, at: &At<'_>, problems: &mut Problems) -> Shaped {
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
        let cleaned = Node::text(super::paths::clean_target(text), target.span);
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

/// Permission bits of a file: a number or octal digits, brought to text with a leading zero.
pub(super) fn file_mode(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let bits = match &node.value {
        Value::Int(bits) => Some(*bits),
        Value::Text(text) => i64::from_str_radix(text, 8).ok().map(i128::from),
        _ => None,
    };
    let Some(bits) = bits else {
        return wrong(node, "permission bits such as `0440`", at, problems);
    };
    let sign = if bits < 0 { "-" } else { "" };
    node.value = Value::Text(format!("0{sign}{:o}", bits.unsigned_abs()));
    Ok(())
}

/// `default` or `ID=PATH`: a list or a mapping, brought to a mapping.
pub(super) fn ssh_keys(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    shape::unique(node, at, problems);
    shape::pairs(node, NoValue::Inherit, at, problems)?;
    for (id, entry) in node.as_map().into_iter().flatten() {
        let path = entry.node.as_text().unwrap_or_default();
        if path.is_empty() && id != "default" {
            problems
                .error(entry.key, format!("the SSH key `{id}` has no path"))
                .help(format!("write `{id}=PATH`, or `default` for the agent"));
            return Err(Misshapen);
        }
    }
    Ok(())
}

/// `all`, or a list of requests.
pub(super) fn gpus(
    node: &mut Node,
    known: &'static Keys,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    let span = node.span;
    if node.as_text() == Some("all") {
        let mut all = Node::new(Value::Map(Map::default()), span);
        all.set("count", Node::new(Value::Int(-1), span));
        node.value = Value::List(vec![all]);
        return Ok(());
    }
    mappings(node, known, at, problems)
}

/// A list of mappings with known keys.
pub(super) fn mappings(
    node: &mut Node,
    known: &'static Keys,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    let Value::List(items) = &mut node.value else {
        return wrong(node, "a list", at, problems);
    };
    let mut index = 0;
    items.retain_mut(|item| {
        let kept = shape::keys(item, known, &at.index(index), problems).is_ok();
        index += 1;
        kept
    });
    Ok(())
}

/// A number of devices; `all` is -1.
pub(super) fn device_count(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if node
        .as_text()
        .is_some_and(|text| text.eq_ignore_ascii_case("all"))
    {
        node.value = Value::Int(-1);
    }
    shape::integer(node, (i64::MIN, i64::MAX), at, problems)
}

/// One limit for both, or `{soft, hard}`.
pub(super) fn ulimit(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if node.as_map().is_none() {
        let of_build = at.keys().contains(&"build");
        if matches!(node.value, Value::Float(_)) || (of_build && node.as_text().is_some()) {
            return wrong(node, "a whole number", at, problems);
        }
        shape::integer(node, (i64::MIN, i64::MAX), at, problems)?;
        // Docker Compose cannot tell one limit of 0 from two.
        if node.as_int() == Some(0) {
            let span = node.span;
            node.value = Value::Map(Map::default());
            for key in ["soft", "hard"] {
                node.set(key, Node::new(Value::Int(0), span));
            }
        }
        return Ok(());
    }
    shape::keys(node, &schema::ULIMIT, at, problems)
}

/// `name=address` for each host; both `=` and `:` may part them.
pub(super) fn hosts(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    shape::unique(node, at, problems);
    let mut lines: Vec<Node> = Vec::new();
    match std::mem::replace(&mut node.value, Value::Null) {
        Value::List(items) => {
            for (index, mut item) in items.into_iter().enumerate() {
                let at = at.index(index);
                if text(&mut item, &at, problems).is_err() {
                    continue;
                }
                let line = item.as_text().unwrap_or_default();
                match line.split_once('=').or_else(|| line.split_once(':')) {
                    Some(("", _)) => {
                        problems.error(item.span, format!("`{at}` has no name: `{line}`"));
                    }
                    Some((name, address)) => {
                        lines.push(host(name, address, &item));
                    }
                    None => {
                        problems
                            .error(item.span, format!("`{at}` has no address: `{line}`"))
                            .help("a host is written `NAME=ADDRESS`");
                    }
                }
            }
        }
        Value::Map(map) => {
            for (name, entry) in map {
                if name.is_empty() || name.contains('=') {
                    let message = format!("`{at}` has a host that cannot be called `{name}`");
                    problems.error(entry.key, message);
                    continue;
                }
                let at = at.key(&name);
                let addresses = match entry.node.value {
                    Value::List(items) => items,
                    _ => vec![entry.node],
                };
                for mut address in addresses {
                    if text(&mut address, &at, problems).is_ok() {
                        let value = address.as_text().unwrap_or_default().to_owned();
                        lines.push(host(&name, &value, &address));
                    }
                }
            }
        }
        other => {
            node.value = other;
            return wrong(node, "a list or a mapping", at, problems);
        }
    }
    node.value = Value::List(lines);
    Ok(())
}

fn host(name: &str, address: &str, node: &Node) -> Node {
    let address = address
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(address);
    Node::text(format!("{name}={address}"), node.span)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_split_as_a_shell_would() {
        let table: [(&str, Option<&[&str]>); 10] = [
            ("", Some(&[])),
            ("  a  b ", Some(&["a", "b"])),
            (
                "a b'c d' \"e $f\" g\\ h # i",
                Some(&["a", "bc d", "e $f", "g h", "#", "i"]),
            ),
            ("'' \"\"", Some(&["", ""])),
            ("\"a\\\"b\\n\"", Some(&["a\"b\\n"])),
            ("sh -c \"echo 'x'\"", Some(&["sh", "-c", "echo 'x'"])),
            ("a\\\nb", Some(&["ab"])),
            ("'open", None),
            ("\"open", None),
            ("end\\", None),
        ];
        for (line, expected) in table {
            let words = split_words(line);
            let words: Option<Vec<&str>> = words
                .as_ref()
                .map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(words.as_deref(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_word_comes_back(word in "[^']{0,20}") {
            prop_assert_eq!(split_words(&format!("'{word}'")), Some(vec![word]));
        }

        #[test]
        fn no_line_makes_it_fail_badly(line in "['\"\\\\ a]{0,20}|.{0,20}") {
            let _ = split_words(&line);
        }
    }
}
