//! Where caches that builds share come from and go to, as `cache_from` and `cache_to` say it. Pure.
//!
//! The words are BuildKit's (docs.docker.com, "Cache storage backends"): a reference, or fields as
//! `type=registry,ref=…` and `type=local,src=…`.

use std::path::PathBuf;

use crate::image::Reference;

/// Where a cache comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheSource {
    /// An image at a registry.
    Registry(Reference),
    /// A directory of this machine.
    Directory(PathBuf),
}

/// Where a cache goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTarget {
    /// The place.
    pub place: CachePlace,
    /// What every step made, not only those of which the image is made (`mode=max`).
    pub all: bool,
    /// A failure is a warning (`ignore-error=true`).
    pub ignore_error: bool,
}

/// A place for a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// An image at a registry.
    Registry(Reference),
    /// A directory of this machine.
    Directory(PathBuf),
    /// The image that is built.
    Inline,
}

/// Why a place cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It makes no sense.
    #[error("`{text}` is no place for a cache: {reason}")]
    Wrong {
        /// As written.
        text: String,
        /// Why.
        reason: String,
    },
    /// A service that this program does not speak to.
    #[error("a cache of type `{kind}` is not supported: there are registry, local and inline")]
    Unsupported {
        /// Its type.
        kind: String,
    },
}

impl CacheSource {
    /// Reads one entry of `cache_from`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let fields = Fields::read(text)?;
        match fields.kind {
            "registry" => fields.reference().map(Self::Registry),
            "local" => fields.path("src").map(Self::Directory),
            other => Err(SpecError::Unsupported {
                kind: other.to_owned(),
            }),
        }
    }
}

impl CacheTarget {
    /// Reads one entry of `cache_to`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let fields = Fields::read(text)?;
        let place = match fields.kind {
            "registry" => CachePlace::Registry(fields.reference()?),
            "local" => CachePlace::Directory(fields.path("dest")?),
            "inline" => CachePlace::Inline,
            other => {
                return Err(SpecError::Unsupported {
                    kind: other.to_owned(),
                });
            }
        };
        let all = match fields.get("mode") {
            None | Some("min") => false,
            Some("max") => true,
            Some(other) => {
                return Err(fields.wrong(format!("`{other}` is no mode, there are min and max")));
            }
        };
        Ok(Self {
            place,
            all,
            ignore_error: fields.get("ignore-error") == Some("true"),
        })
    }
}

struct Fields<'a> {
    text: &'a str,
    kind: &'a str,
    all: Vec<(&'a str, &'a str)>,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, SpecError> {
        let mut fields = Self {
            text,
            kind: "registry",
            all: Vec::new(),
        };
        // What is not a list of fields is the name of an image.
        if !text.contains('=') {
            fields.all.push(("ref", text));
            return Ok(fields);
        }
        for field in text.split(',') {
            let Some((name, value)) = field.split_once('=') else {
                return Err(fields.wrong(format!("`{field}` has no value")));
            };
            match name.trim() {
                "type" => fields.kind = value.trim(),
                name => fields.all.push((name, value.trim())),
            }
        }
        Ok(fields)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.all.iter().rev().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    fn reference(&self) -> Result<Reference, SpecError> {
        let text = self
            .get("ref")
            .ok_or_else(|| self.wrong("it has no `ref`".to_owned()))?;
        text.parse()
            .map_err(|error: crate::image::ReferenceError| self.wrong(error.to_string()))
    }

    fn path(&self, name: &str) -> Result<PathBuf, SpecError> {
        match self.get(name) {
            Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
            _ => Err(self.wrong(format!("it has no `{name}`"))),
        }
    }

    fn wrong(&self, reason: String) -> SpecError {
        SpecError::Wrong {
            text: self.text.to_owned(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_buildkit_reads_them() {
        let name = |text: &str| text.parse::<Reference>().unwrap();
        let target = |place, all, ignore_error| CacheTarget {
            place,
            all,
            ignore_error,
        };
        for (text, expected) in [
            ("web:cache", CacheSource::Registry(name("web:cache"))),
            ("type=registry,ref=a/b", CacheSource::Registry(name("a/b"))),
            ("ref=a/b:1", CacheSource::Registry(name("a/b:1"))),
            ("type=local,src=/c", CacheSource::Directory("/c".into())),
        ] {
            assert_eq!(CacheSource::parse(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            (
                "web:cache",
                target(CachePlace::Registry(name("web:cache")), false, false),
            ),
            (
                "type=local,dest=./c,mode=max,ignore-error=true",
                target(CachePlace::Directory("./c".into()), true, true),
            ),
            ("type=inline", target(CachePlace::Inline, false, false)),
        ] {
            assert_eq!(CacheTarget::parse(text), Ok(expected), "{text}");
        }
        for (text, reason) in [
            (
                "type=gha",
                "a cache of type `gha` is not supported: there are registry, local and inline",
            ),
            (
                "type=local,dest=c",
                "`type=local,dest=c` is no place for a cache: it has no `src`",
            ),
            (
                "type=registry",
                "`type=registry` is no place for a cache: it has no `ref`",
            ),
            (
                "type=registry,ref",
                "`type=registry,ref` is no place for a cache: `ref` has no value",
            ),
        ] {
            assert_eq!(CacheSource::parse(text).unwrap_err().to_string(), reason);
        }
        assert!(CacheTarget::parse("ref=a,mode=most").is_err());
    }
}
