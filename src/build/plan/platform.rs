//! Platforms as text: `linux/arm64/v8`, `arm64`, `linux/x86_64`.

use crate::image::Platform;

/// Reads a platform; `None` when it is none. Other names of an architecture become Go's.
pub(super) fn parse(text: &str, default: &Platform) -> Option<Platform> {
    let mut parts = text.split('/').map(str::to_ascii_lowercase);
    let first = parts.next().filter(|part| is_part(part))?;
    let rest: Vec<String> = parts.collect();
    if !rest.iter().all(|part| is_part(part)) {
        return None;
    }
    const SYSTEMS: [&str; 8] = [
        "linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "wasip1",
    ];
    let make = |os: &str, architecture: &str, variant: Option<&String>| {
        let (architecture, variant) = normal(architecture, variant.map(String::as_str));
        Platform {
            os: os.to_owned(),
            architecture,
            variant,
        }
    };
    match rest.as_slice() {
        [] if SYSTEMS.contains(&first.as_str()) => Some(make(
            &first,
            &default.architecture,
            default.variant.as_ref(),
        )),
        [] => Some(make(&default.os, &first, None)),
        [architecture] => Some(make(&first, architecture, None)),
        [architecture, variant] => Some(make(&first, architecture, Some(variant))),
        _ => None,
    }
}

fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn normal(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant.filter(|v| *v != "v1")),
        ("i386" | "386", _) => ("386", None),
        ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", Some("v7")),
        ("armel", _) => ("arm", Some("v6")),
        ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        (other, variant) => (other, variant),
    };
    (architecture.to_owned(), variant.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_many_names() {
        let default = Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
        };
        let table = [
            ("linux/amd64", Some("linux/amd64")),
            ("Linux/x86_64", Some("linux/amd64")),
            ("arm64", Some("linux/arm64")),
            ("linux/arm64/v8", Some("linux/arm64")),
            ("linux/arm", Some("linux/arm/v7")),
            ("linux/arm/v6", Some("linux/arm/v6")),
            ("windows", Some("windows/amd64")),
            ("", None),
            ("linux/", None),
            ("a/b/c/d", None),
            ("linux/a b", None),
        ];
        for (text, expected) in table {
            let found = parse(text, &default).map(|platform| platform.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
