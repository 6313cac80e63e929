//! Which of several images is for this machine. Pure.

use std::fmt;

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

    /// How well something made for `other` runs here; `None` = not at all, more is better.
    fn fit(&self, other: &Self) -> Option<u32> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        let level = |platform: &Self| match (platform.architecture.as_str(), &platform.variant) {
            (_, Some(variant)) => variant.strip_prefix('v')?.parse::<u32>().ok(),
            // Nothing said means the usual: v7 for arm, v8 for arm64, v1 for amd64 (containerd).
            ("arm", None) => Some(7),
            ("arm64", None) => Some(8),
            (_, None) => Some(1),
        };
        match (level(self), level(other)) {
            (Some(own), Some(level)) => (level <= own).then_some(level),
            _ => (self.variant == other.variant).then_some(0),
        }
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
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next();
        Platform {
            os: next().unwrap(),
            architecture: next().unwrap(),
            variant: next(),
        }
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
}
