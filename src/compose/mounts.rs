//! The short form of a mount: `TARGET`, `SOURCE:TARGET`, `SOURCE:TARGET:OPTIONS`.

use super::diagnostic::Span;
use super::paths::clean_target;
use super::tree::{self, Map, Node, Value};

/// Why a text is not a mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MountError {
    #[error("it is empty")]
    Empty,
    #[error("nothing stands between two colons")]
    EmptySection,
    #[error("it has more than `SOURCE:TARGET:OPTIONS`")]
    TooManySections,
}

/// The short form of a mount, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShortMount<'a> {
    pub(super) source: Option<&'a str>,
    pub(super) target: &'a str,
    pub(super) options: Vec<&'a str>,
}

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// Reads the short form.
pub(super) fn parse(text: &str) -> Result<ShortMount<'_>, MountError> {
    if text.is_empty() {
        return Err(MountError::Empty);
    }
    // Docker Compose leaves a text of two characters at that.
    if text.len() <= 2 {
        return Ok(ShortMount {
            source: None,
            target: text,
            options: Vec::new(),
        });
    }
    let sections = sections(text);
    if sections.iter().any(|section| section.is_empty()) {
        return Err(MountError::EmptySection);
    }
    let (source, target, options) = match sections.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return Err(MountError::TooManySections),
    };
    let options = options
        .split(',')
        .filter(|option| !option.is_empty())
        .collect();
    Ok(ShortMount {
        source,
        target,
        options,
    })
}

/// What stands between the colons. One behind a single letter is part of a path of Windows, as in
/// `C:\\data:/data`, wherever the file is loaded. (compose-go, `format/volume.go`)
fn sections(text: &str) -> Vec<&str> {
    let mut sections = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(':') {
        if !is_letter(&text[start..at]) {
            sections.push(&text[start..at]);
            start = at + 1;
        }
    }
    sections.push(&text[start..]);
    sections
}

fn is_letter(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(char::is_alphabetic) && characters.next().is_none()
}

/// Whether a source is a path and not the name of a volume.
pub(super) fn is_path(source: &str) -> bool {
    let drive = |(drive, _): (&str, &str)| is_letter(drive);
    source.starts_with(['.', '/', '~'])
        || source.starts_with(r"\\")
        || source.split_once(':').is_some_and(drive)
}

/// Whether a source is an absolute path of Windows, to which the project's directory means nothing.
pub(super) fn is_windows_path(source: &str) -> bool {
    source.starts_with(r"\\")
        || matches!(source.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}

/// The long form of a mount, and the options that mean nothing.
pub(super) fn long_form<'a>(mount: &ShortMount<'a>, span: Span) -> (Node, Vec<&'a str>) {
    let mapping = || Node::new(Value::Map(Map::default()), span);
    let flag = |flag| Node::new(Value::Bool(flag), span);
    let is_bind = mount.source.is_some_and(is_path);
    let mut node = Node::new(Value::Map(tree::map_for(4)), span);
    let kind = if is_bind { "bind" } else { "volume" };
    node.set("type", Node::text(kind, span));
    if let Some(source) = mount.source {
        node.set("source", Node::text(source, span));
    }
    node.set("target", Node::text(clean_target(mount.target), span));
    let mut bind = mapping();
    let mut volume = mapping();
    let mut unknown = Vec::new();
    for option in &mount.options {
        match *option {
            "ro" => node.set("read_only", flag(true)),
            "rw" => node.set("read_only", flag(false)),
            "cached" | "delegated" | "consistent" => {}
            "nocopy" => volume.set("nocopy", flag(true)),
            "z" | "Z" => bind.set("selinux", Node::text(*option, span)),
            other if PROPAGATIONS.contains(&other) => {
                bind.set("propagation", Node::text(other, span));
            }
            other => unknown.push(other),
        }
    }
    let given = |node: &Node| node.as_map().is_some_and(|map| !map.is_empty());
    if is_bind || given(&bind) {
        node.set("bind", bind);
    }
    // Docker Compose leaves a text of two characters at that.
    let is_short = mount.source.is_none() && mount.target.len() <= 2;
    if (!is_bind && !is_short) || given(&volume) {
        node.set("volume", volume);
    }
    (node, unknown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sections_of_a_mount_are_told_apart() {
        let parsed = parse("./a:/b:ro,z").unwrap();
        assert_eq!(
            (parsed.source, parsed.target, parsed.options.as_slice()),
            (Some("./a"), "/b", &["ro", "z"][..])
        );
        assert_eq!(parse("/data").unwrap().source, None);
        let drive = parse(r"C:\x:d:/y:z:q").unwrap();
        assert_eq!(
            (drive.source, drive.target, drive.options.as_slice()),
            (Some(r"C:\x"), "d:/y", &["z:q"][..])
        );
        assert_eq!(parse("v:/x").unwrap().source, None);
        assert_eq!(parse(""), Err(MountError::Empty));
        assert_eq!(parse(":/b"), Err(MountError::EmptySection));
        assert_eq!(parse("vol:/b:ro:xx"), Err(MountError::TooManySections));
    }

    #[test]
    fn only_dots_slashes_and_tildes_start_a_path() {
        for source in ["./a", "../a", "/a", "~/a", ".", "~"] {
            assert!(is_path(source), "{source}");
        }
        for source in ["data", "a/b", "data.d"] {
            assert!(!is_path(source), "{source}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_badly(text in "[a:/.,~]{0,20}|.{0,20}") {
            if let Ok(mount) = parse(&text) {
                long_form(&mount, Span::default());
            }
        }
    }
}
