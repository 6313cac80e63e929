//! Configs and secrets.

use std::path::PathBuf;

use super::Reader;
use super::x_stack::reload;
use crate::compose::diagnostic::Problems;
use crate::compose::model::{FileObject, FileSource, FileUse};
use crate::compose::tree::Node;

/// The uses of files under a key; relative targets start at a directory of the container.
pub(super) fn uses(reader: &Reader<'_>, key: &str, directory: &str) -> Vec<FileUse> {
    let place = |target: String| match target.starts_with('/') || directory.is_empty() {
        true => target,
        false => format!("{}/{target}", directory.trim_end_matches('/')),
    };
    reader
        .items(key)
        .iter()
        .filter_map(|node| {
            let item = Reader {
                node,
                at: String::new(),
            };
            let source = item.text("source")?;
            let target = item.text("target").unwrap_or_else(|| source.clone());
            Some(FileUse {
                target: place(target),
                uid: item.text("uid"),
                gid: item.text("gid"),
                mode: item
                    .text("mode")
                    .and_then(|mode| u32::from_str_radix(&mode, 8).ok()),
                source,
            })
        })
        .collect()
}

/// A config or a secret. One without a source is kept elsewhere.
pub(in crate::compose) fn object(
    (node, at): (&Node, String),
    lookup: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> FileObject {
    let reader = Reader { node, at };
    let own = reader.inner("x-stack");
    let source = if reader.flag("external") {
        FileSource::External
    } else if let Some(path) = reader.text("file") {
        FileSource::File(PathBuf::from(path))
    } else if let Some(variable) = reader.text("environment") {
        FileSource::Environment {
            value: lookup(&variable),
            variable,
        }
    } else {
        match node.get("content").and_then(Node::as_text) {
            Some(text) => FileSource::Content(text.to_owned()),
            None => FileSource::External,
        }
    };
    FileObject {
        name: reader.text("name").unwrap_or_default(),
        source,
        labels: reader.pairs("labels").collect(),
        driver: reader.text("driver"),
        driver_opts: reader.pairs("driver_opts").collect(),
        content_hash: None,
        reload: own.and_then(|own| reload(&own, problems)),
        template_driver: reader.text("template_driver"),
    }
}
