//! What an image's history says of an instruction, in BuildKit's words.

use std::fmt::Write;

use super::step::{History, Source, Transfer};

/// An entry.
pub(super) fn entry(created_by: String, empty_layer: bool) -> Option<History> {
    Some(History {
        created_by,
        empty_layer,
    })
}

/// `[a b]`.
pub(super) fn bare(items: &[String]) -> String {
    format!("[{}]", items.join(" "))
}

/// `["a" "b"]`.
pub(super) fn quoted(items: &[String]) -> String {
    let items: Vec<String> = items
        .iter()
        .map(|item| serde_json::Value::from(item.as_str()).to_string())
        .collect();
    bare(&items)
}

/// `ENV a=b c=d`.
pub(super) fn pairs(name: &str, pairs: &[(String, String)]) -> String {
    let mut text = name.to_owned();
    for (key, value) in pairs {
        let _ = write!(text, " {key}={value}");
    }
    text
}

/// `RUN |1 A=b /bin/sh -c make # buildkit`.
pub(super) fn run(args: &[String], arguments: &[String]) -> String {
    let mut text = "RUN ".to_owned();
    if !args.is_empty() {
        let _ = write!(text, "|{} {} ", args.len(), args.join(" "));
    }
    text + &arguments.join(" ") + " # buildkit"
}

/// `COPY --chown=a b /c # buildkit`.
pub(super) fn transfer(name: &str, parents: bool, transfer: &Transfer) -> String {
    let mut text = name.to_owned();
    if parents {
        text.push_str(" --parents");
    }
    for (flag, value) in [("chown", &transfer.chown), ("chmod", &transfer.chmod)] {
        if let Some(value) = value {
            let _ = write!(text, " --{flag}={value}");
        }
    }
    for source in &transfer.sources {
        let _ = match source {
            Source::Path(path) => write!(text, " {path}"),
            Source::Inline { name, .. } => write!(text, " <<{name}"),
        };
    }
    let _ = write!(text, " {} # buildkit", transfer.destination);
    text
}
