//! The name of an image: registry, repository, tag, digest.
//!
//! The grammar is that of the distribution project's `reference` package; the short forms are
//! Docker's: `nginx` is `docker.io/library/nginx:latest`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::digest::{Digest, DigestError};

/// The registry that a name without one means.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Docker Hub under its old name, which `docker login` still writes.
const LEGACY_REGISTRY: &str = "index.docker.io";
/// Where Docker Hub keeps the images whose name has a single part.
const OFFICIAL: &str = "library/";
/// The tag that a name without one means.
const DEFAULT_TAG: &str = "latest";
/// Longest repository name with its registry, in bytes.
const NAME_MAX: usize = 255;
/// Longest tag in bytes.
const TAG_MAX: usize = 128;

/// The name of an image, complete: the registry is known, and there is a tag or a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Which rule a name breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no image name: {rule}")]
pub struct ReferenceError {
    /// What was given.
    pub text: String,
    /// The rule it breaks.
    pub rule: NameRule,
}

/// A rule for the names of images.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameRule {
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
    /// There is nothing between two slashes.
    #[error("there is nothing between two slashes, or at an end")]
    EmptyPart,
    /// Capital letters.
    #[error("a repository name has no capital letters: try `{lower}`")]
    UpperCase {
        /// The same with small ones.
        lower: String,
    },
    /// A part with characters it may not have.
    #[error(
        "`{part}` may only hold a-z, 0-9 and, between them, single `.`, one or two `_`, or any number of `-`"
    )]
    Part {
        /// The part of the repository name.
        part: String,
    },
    /// The registry's host is no host.
    #[error("`{host}` is no registry: it needs a host name or address, and maybe `:` and a port")]
    Host {
        /// The part in front of the first slash.
        host: String,
    },
    /// The name is too long.
    #[error("a repository name has at most 255 characters, this one has {length}")]
    TooLong {
        /// How long it is.
        length: usize,
    },
    /// A tag with characters it may not have.
    #[error(
        "the tag `{tag}` may only hold letters, digits, `_`, `.`, `-`, start with a letter, a digit or `_`, and have at most 128 characters"
    )]
    Tag {
        /// The tag.
        tag: String,
    },
    /// The digest is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Sixty-four hexadecimal digits are an image's ID, not a name.
    #[error("64 hexadecimal digits are the ID of an image, not a name")]
    Id,
}

impl Reference {
    /// The registry's host, maybe with a port: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name within the registry: `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one: it decides, whatever the tag says.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The name as Docker prints it: `nginx:latest`, `localhost:5000/a:1`.
    pub fn familiar(&self) -> String {
        let mut out = self.familiar_name();
        self.push_version(&mut out);
        out
    }

    /// The repository as Docker prints it, without tag and digest: `nginx`, `ghcr.io/a/b`.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.repository);
        }
        match self.repository.strip_prefix(OFFICIAL) {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => self.repository.clone(),
        }
    }

    /// The same repository at this digest, without a tag.
    pub fn at(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Whether both are in the same repository of the same registry.
    pub fn shares_repository(&self, other: &Self) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }

    /// What to ask the registry for: the digest if there is one, else the tag.
    pub(crate) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    fn push_version(&self, out: &mut String) {
        if let Some(tag) = &self.tag {
            out.push(':');
            out.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            out.push('@');
            out.push_str(&digest.to_string());
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|rule| ReferenceError {
            text: text.to_owned(),
            rule,
        })
    }
}

fn parse(text: &str) -> Result<Reference, NameRule> {
    if text.is_empty() {
        return Err(NameRule::Empty);
    }
    if text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return Err(NameRule::Id);
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse()?)),
        None => (text, None),
    };
    let (registry, rest) = split_registry(rest)?;
    // A colon behind the registry can only start a tag: repository names have none.
    let (repository, tag) = match rest.split_once(':') {
        Some((repository, tag)) => (repository, Some(check_tag(tag)?)),
        None => (rest, None),
    };
    check_repository(repository)?;
    let repository = match registry.as_str() {
        DEFAULT_REGISTRY if !repository.contains('/') => format!("{OFFICIAL}{repository}"),
        _ => repository.to_owned(),
    };
    let length = registry.len() + 1 + repository.len();
    if length > NAME_MAX {
        return Err(NameRule::TooLong { length });
    }
    let tag = tag.or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
    Ok(Reference {
        registry,
        repository,
        tag,
        digest,
    })
}

/// The part in front of the first slash is a registry if it has a dot or a colon, is `localhost`, or
/// has a capital letter, which no repository may have (`splitDockerDomain`).
fn split_registry(name: &str) -> Result<(String, &str), NameRule> {
    let Some((host, rest)) = name.split_once('/') else {
        return Ok((DEFAULT_REGISTRY.to_owned(), name));
    };
    let is_host = host.contains(['.', ':'])
        || host == "localhost"
        || host.bytes().any(|b| b.is_ascii_uppercase());
    if !is_host {
        return Ok((DEFAULT_REGISTRY.to_owned(), name));
    }
    if !is_registry_host(host) {
        return Err(NameRule::Host {
            host: host.to_owned(),
        });
    }
    match host {
        LEGACY_REGISTRY => Ok((DEFAULT_REGISTRY.to_owned(), rest)),
        _ => Ok((host.to_owned(), rest)),
    }
}

fn is_registry_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(inside) => {
            let Some((address, port)) = inside.split_once(']') else {
                return false;
            };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match port.strip_prefix(':') {
                None if port.is_empty() => return true,
                None => return false,
                port => (None, port),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.is_none_or(|host| host.split('.').all(label))
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn check_repository(name: &str) -> Result<(), NameRule> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(NameRule::UpperCase {
            lower: name.to_lowercase(),
        });
    }
    name.split('/').try_for_each(|part| match part {
        "" => Err(NameRule::EmptyPart),
        part if is_repository_part(part) => Ok(()),
        part => Err(NameRule::Part {
            part: part.to_owned(),
        }),
    })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_repository_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let edges =
        bytes.first().is_some_and(|b| is_word(*b)) && bytes.last().is_some_and(|b| is_word(*b));
    edges
        && bytes.split(|b| is_word(*b)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

fn check_tag(tag: &str) -> Result<String, NameRule> {
    let start = tag
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let rest = tag
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if start && rest && tag.len() <= TAG_MAX {
        Ok(tag.to_owned())
    } else {
        Err(NameRule::Tag {
            tag: tag.to_owned(),
        })
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// The complete name: `docker.io/library/nginx:latest`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = format!("{}/{}", self.registry, self.repository);
        self.push_version(&mut out);
        f.write_str(&out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_completed_as_docker_completes_them() {
        for (text, full, familiar) in [
            ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
            ("a/b", "docker.io/a/b:latest", "a/b:latest"),
            (
                "library/nginx",
                "docker.io/library/nginx:latest",
                "nginx:latest",
            ),
            (
                "docker.io/nginx",
                "docker.io/library/nginx:latest",
                "nginx:latest",
            ),
            (
                "index.docker.io/nginx",
                "docker.io/library/nginx:latest",
                "nginx:latest",
            ),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            (
                "localhost:5000/a:x",
                "localhost:5000/a:x",
                "localhost:5000/a:x",
            ),
            (
                "127.0.0.1:5000/a",
                "127.0.0.1:5000/a:latest",
                "127.0.0.1:5000/a:latest",
            ),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            (
                "ghcr.io/a/b-c_d__e.f:V1",
                "ghcr.io/a/b-c_d__e.f:V1",
                "ghcr.io/a/b-c_d__e.f:V1",
            ),
            ("Registry/a", "Registry/a:latest", "Registry/a:latest"),
            ("a--b/c", "docker.io/a--b/c:latest", "a--b/c:latest"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), full, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
            assert_eq!(full.parse(), Ok(reference), "{text}");
        }
    }

    #[test]
    fn a_digest_takes_the_place_of_the_default_tag() {
        let text = format!("nginx@sha256:{HEX}");
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.tag(), None);
        assert_eq!(reference.familiar(), text);
        let both: Reference = format!("nginx:1@sha256:{HEX}").parse().unwrap();
        assert_eq!(both.tag(), Some("1"));
        assert_eq!(both.version(), format!("sha256:{HEX}"));
    }

    #[test]
    fn a_broken_name_is_refused_with_the_rule_it_breaks() {
        let long = "a".repeat(300);
        let long_tag = format!("a:{}", "b".repeat(129));
        for (text, rule) in [
            ("", "empty"),
            ("a//b", "between two slashes"),
            ("a/", "between two slashes"),
            ("/a", "between two slashes"),
            ("Nginx", "try `nginx`"),
            ("a/B", "try `a/b`"),
            ("a..b", "`a..b` may only hold"),
            ("a/.b", "`.b` may only hold"),
            ("a/../b", "`..` may only hold"),
            ("a___b", "may only hold"),
            ("-a", "may only hold"),
            ("a b", "may only hold"),
            ("nginx:", "the tag ``"),
            ("nginx:a:b", "the tag `a:b`"),
            ("nginx:-a", "the tag `-a`"),
            (long_tag.as_str(), "at most 128"),
            ("a.b:x/c", "`a.b:x` is no registry"),
            ("host:0/c", "is no registry"),
            ("[::1/c", "is no registry"),
            ("-a.b/c", "is no registry"),
            (long.as_str(), "at most 255"),
            (HEX, "the ID of an image"),
            ("nginx@sha256:12", "64 lower-case"),
            ("nginx@md5:12", "md5"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(rule), "{text}: {error}");
        }
    }
}
