//! Which of several images is for this machine. Pure.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use super::super::oci::Descriptor;

/// The machine an image is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`…: Go's names.
    pub architecture: String,
    /// `v7`, `v8`…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The machine this program runs on, in Go's names.
    pub fn this() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "powerpc64" => ("ppc64le", None),
            other => (other, None),
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// The machine that an image is for, as its configuration says.
    pub fn of_config(config: &ImageConfiguration) -> Self {
        let empty = |text: &String| !text.is_empty();
        Self {
            os: config.os().to_string(),
            architecture: config.architecture().to_string(),
            variant: config.variant().clone().filter(empty),
        }
    }

    /// Whether something made for `other` runs here.
    pub fn runs(&self, other: &Self) -> bool {
        self.fit(other).is_some()
    }

    /// How well something made for `other` runs here; `None` = not at all, more is better.
    fn fit(&self, other: &Self) -> Option<u32> {
        if self.os != other.os {
            return None;
        }
        if self.architecture != other.architecture {
            return self.fit_older(other);
        }
        match (self.level(), other.level()) {
            (Some(own), Some(level)) => (level <= own).then_some(NATIVE + level),
            _ => (self.variant == other.variant).then_some(NATIVE),
        }
    }

    /// Processors that run the programs of their forebears (containerd, `platformVector`).
    fn fit_older(&self, other: &Self) -> Option<u32> {
        match (&*self.architecture, &*other.architecture) {
            ("amd64", "386") => Some(0),
            ("arm64", "arm") => other.level().filter(|level| (5..=8).contains(level)),
            _ => None,
        }
    }

    /// The variant as a number. Nothing said means the usual: v7 for arm, v8 for arm64, v1 for amd64.
    fn level(&self) -> Option<u32> {
        match (&*self.architecture, &self.variant) {
            (_, Some(variant)) => variant.strip_prefix('v')?.parse().ok(),
            ("arm", None) => Some(7),
            ("arm64", None) => Some(8),
            (_, None) => Some(1),
        }
    }
}

/// Better than anything for an older processor.
const NATIVE: u32 = 100;

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no platform: write it as `linux/amd64` or `linux/arm64/v8`")]
pub struct PlatformError {
    /// What was given.
    pub text: String,
}

/// `os/architecture/variant`, or a part of it, in the spellings that Docker takes (containerd,
/// `platforms.Parse`).
impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let wrong = || PlatformError {
            text: text.to_owned(),
        };
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let good = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.()+".contains(&b))
        };
        if !parts.iter().all(good) {
            return Err(wrong());
        }
        let this = Self::this();
        let (os, architecture, variant) = match parts[..] {
            [os @ ("linux" | "windows" | "darwin" | "freebsd")] => {
                return Ok(Self {
                    os: os.to_owned(),
                    ..this
                });
            }
            [architecture] => (&*this.os, architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(wrong()),
        };
        let (architecture, implied) = match architecture {
            "x86_64" | "x86-64" | "amd64" => ("amd64", None),
            "i386" | "i686" | "386" | "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            other => (other, None),
        };
        let variant = variant.or(implied).map(|variant| match variant {
            "5" | "6" | "7" | "8" => format!("v{variant}"),
            other => other.to_owned(),
        });
        Ok(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant,
        })
    }
}

/// `linux/arm/v7`
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// The best image for a machine; the first of equals. One that does not say is taken when it is the
/// only one.
pub(in crate::image) fn choose<'a>(
    images: &'a [Descriptor],
    wanted: &Platform,
) -> Option<&'a Descriptor> {
    if let [only] = images
        && only.platform.is_none()
    {
        return Some(only);
    }
    let fits = images
        .iter()
        .filter(|image| image.is_manifest() || image.is_index());
    let fits = fits.filter_map(|image| Some((wanted.fit(image.platform.as_ref()?)?, image)));
    // `max_by_key` would give the last of equals.
    let best = fits.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, image)| image)
}

#[cfg(test)]
mod tests {
    use super::super::super::digest::Digest;
    use super::super::super::oci::MANIFEST;
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn the_best_image_that_runs_is_chosen() {
        for (wanted, offered, chosen) in [
            ("linux/amd64", &["linux/arm64", "linux/amd64"][..], Some(1)),
            ("linux/amd64", &["windows/amd64", "linux/amd64"], Some(1)),
            ("linux/amd64", &["linux/amd64/v3", "linux/amd64"], Some(1)),
            (
                "linux/amd64/v3",
                &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"],
                Some(1),
            ),
            ("linux/arm64/v8", &["linux/arm64"], Some(0)),
            ("linux/arm64", &["linux/arm64/v8"], Some(0)),
            (
                "linux/arm/v7",
                &["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"],
                Some(2),
            ),
            ("linux/arm/v6", &["linux/arm/v5", "linux/arm/v7"], Some(0)),
            ("linux/amd64", &["linux/amd64", "linux/amd64"], Some(0)),
            ("linux/s390x", &["linux/amd64", "unknown/unknown"], None),
            ("linux/amd64", &["linux/386", "linux/amd64"], Some(1)),
            ("linux/amd64", &["linux/arm64", "linux/386"], Some(1)),
            ("linux/arm64", &["linux/arm/v6", "linux/arm/v7"], Some(1)),
            ("linux/386", &["linux/amd64"], None),
        ] {
            let images: Vec<_> = (0_u8..)
                .zip(offered)
                .map(|(number, text)| {
                    let mut image = Descriptor::new(MANIFEST, Digest::of(&[number]), 1);
                    image.platform = Some(platform(text));
                    image
                })
                .collect();
            let found = choose(&images, &platform(wanted));
            assert_eq!(
                found,
                chosen.map(|at: usize| &images[at]),
                "{wanted} of {offered:?}"
            );
        }
    }

    #[test]
    fn platforms_are_read_in_the_spellings_that_docker_takes() {
        for (text, full) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux/aarch64/v8", "linux/arm64/v8"),
            ("linux/arm/7", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(
                text.parse::<Platform>().unwrap().to_string(),
                full,
                "{text}"
            );
        }
        assert_eq!("linux".parse::<Platform>().unwrap(), Platform::this());
        for text in ["", "/", "linux/", "a/b/c/d", "linux/am d64", "linux/\u{1b}"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
