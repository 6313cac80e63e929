//! Reading a file: bytes, text, YAML.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Documents, Loader};
use crate::compose::decode::decode;
use crate::compose::diagnostic::Through;
use crate::compose::project::display_path;
use crate::compose::reader;
use crate::compose::tree::{Node, Value};

impl Loader<'_> {
    /// The documents of a file, read once; `None` when it cannot be read, and why was recorded.
    pub(super) fn read(&mut self, path: &Path, through: Option<Through>) -> Option<Documents> {
        if let Some(found) = self.files.get(path) {
            return found.clone();
        }
        let documents = self.read_new(path, through);
        self.files.insert(path.to_path_buf(), documents.clone());
        documents
    }

    fn read_new(&mut self, path: &Path, through: Option<Through>) -> Option<Documents> {
        let (bytes, shown) = self.bytes(path, through)?;
        let text = match decode(&bytes) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("{}: {why}", shown.display());
                self.problems
                    .error(through.map(|through| through.span), message);
                return None;
            }
        };
        let added = self
            .problems
            .sources
            .add_through(shown, Arc::from(&*text), through);
        let Some(file) = added else {
            self.problems.error(None, "too many files");
            return None;
        };
        let documents = reader::read(&text, file, self.problems);
        let several = documents.len() > 1;
        let kept = documents.into_iter().filter(|document| {
            // Nothing but comments is no document; an empty one beside others is a slip.
            let is_empty = document.value == Value::Null && !several;
            !is_empty && self.is_mapping(document)
        });
        Some(Arc::new(kept.collect()))
    }

    fn is_mapping(&mut self, document: &Node) -> bool {
        if document.as_map().is_some() {
            return true;
        }
        let message = format!("a stack file is a mapping, not {}", document.kind());
        self.problems.error(document.span, message);
        false
    }

    fn bytes(&mut self, path: &Path, through: Option<Through>) -> Option<(Vec<u8>, PathBuf)> {
        let span = through.map(|through| through.span);
        if path.as_os_str() == "-" {
            let shown = PathBuf::from("<stdin>");
            return match &self.options.stdin {
                Some(bytes) => Some((bytes.clone(), shown)),
                None => {
                    self.problems.error(span, "standard input cannot be read");
                    None
                }
            };
        }
        let shown = display_path(path, &self.options.working_dir);
        match self.source.read(path) {
            Ok(bytes) => Some((bytes, shown)),
            Err(error) => {
                let shown = shown.display();
                self.problems.error(
                    span,
                    format!("the stack file {shown} cannot be read: {error}"),
                );
                None
            }
        }
    }
}
