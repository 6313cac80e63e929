//! Where in the tree the walk is.

use std::fmt;

/// Where in the tree the walk is, for messages.
#[derive(Debug, Clone, Copy)]
pub(in crate::compose) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl At<'_> {
    pub(in crate::compose) const ROOT: At<'static> = At {
        parent: None,
        step: Step::Root,
    };

    pub(in crate::compose) fn key<'a>(&'a self, key: &'a str) -> At<'a> {
        At {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    pub(in crate::compose) fn is_in_list(&self) -> bool {
        matches!(self.step, Step::Index(_)) || self.parent.is_some_and(At::is_in_list)
    }

    pub(in crate::compose) fn index(&self, index: usize) -> At<'_> {
        At {
            parent: Some(self),
            step: Step::Index(index),
        }
    }
}

impl<'a> At<'a> {
    /// Whether it is the top of the tree.
    pub(super) fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }

    /// The keys on the way here, places in lists left out.
    pub(in crate::compose) fn keys(&self) -> Vec<&'a str> {
        let mut keys = self.parent.map_or_else(Vec::new, At::keys);
        if let Step::Key(key) = self.step {
            keys.push(key);
        }
        keys
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let first = self
            .parent
            .is_none_or(|parent| matches!(parent.step, Step::Root));
        match self.step {
            Step::Root => Ok(()),
            Step::Key(key) if first => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}
