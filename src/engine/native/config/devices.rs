//! The devices of a service: nodes of this machine that it is given, and rules for what it may make.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceType};

use super::oci;
use crate::compose::model::Device;
use crate::engine::EngineError;
use crate::runtime::spec::{GivenDevice, host_devices};

/// Nodes and what may be done with them. A directory (`/dev/dri`, `/dev/snd`) stands for all devices in it.
pub(super) fn given(devices: &[Device]) -> Result<Vec<GivenDevice>, EngineError> {
    let mut all = Vec::new();
    for device in devices {
        let access = Some(device.permissions.as_str()).filter(|access| !access.is_empty());
        let access = access.unwrap_or("rwm");
        for node in nodes(device)? {
            let access = access.to_owned();
            all.push(GivenDevice { node, access });
        }
    }
    Ok(all)
}

fn nodes(device: &Device) -> Result<Vec<LinuxDevice>, EngineError> {
    let source = Path::new(&device.source);
    let metadata = fs::metadata(source).map_err(|_| {
        EngineError::Value(format!(
            "there is no device {} on this machine",
            device.source
        ))
    })?;
    if metadata.is_dir() {
        let found = host_devices(source).into_iter();
        return Ok(found
            .map(|node| moved(node, source, Path::new(&device.target)))
            .collect());
    }
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        _ => {
            let text = format!("{} is not a device", device.source);
            return Err(EngineError::Value(text));
        }
    };
    let (major, minor) = numbers(&metadata);
    let node = LinuxDeviceBuilder::default()
        .path(&device.target)
        .typ(kind)
        .major(major)
        .minor(minor)
        .file_mode(metadata.mode() & 0o777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build();
    Ok(vec![node.map_err(oci)?])
}

/// The same device below another directory.
fn moved(mut node: LinuxDevice, from: &Path, to: &Path) -> LinuxDevice {
    if let Ok(below) = node.path().strip_prefix(from) {
        let path = to.join(below);
        node.set_path(path);
    }
    node
}

fn numbers(metadata: &fs::Metadata) -> (i64, i64) {
    let device = metadata.rdev();
    (
        i64::from(nix::libc::major(device)),
        i64::from(nix::libc::minor(device)),
    )
}

/// Major and minor number of a block device.
pub(super) fn block(path: &str) -> Result<(i64, i64), EngineError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.file_type().is_block_device() => Ok(numbers(&metadata)),
        Ok(_) => Err(EngineError::Value(format!("{path} is not a block device"))),
        Err(_) => Err(EngineError::Value(format!(
            "there is no device {path} on this machine"
        ))),
    }
}

/// `device_cgroup_rules`: each a kind (`a`, `b`, `c`), numbers or `*`, and what may be done.
pub(super) fn rules(texts: &[String]) -> Result<Vec<LinuxDeviceCgroup>, EngineError> {
    let parsed = texts.iter().map(|text| {
        rule(text).ok_or_else(|| {
            // Docker's words.
            EngineError::Value(format!("invalid device cgroup rule format: '{text}'"))
        })
    });
    parsed.collect()
}

/// `c 1:3 mr`, `b 254:* rwm`, `a *:* rwm`; nothing else.
fn rule(text: &str) -> Option<LinuxDeviceCgroup> {
    let mut words = text.split(' ');
    let kind = match words.next()? {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return None,
    };
    let (major, minor) = words.next()?.split_once(':')?;
    let access = words.next()?;
    let known = access.chars().all(|letter| "rwm".contains(letter));
    if words.next().is_some() || !known || !(1..=3).contains(&access.len()) {
        return None;
    }
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(kind))
        .set_major(number(major)?)
        .set_minor(number(minor)?)
        .set_access(Some(access.to_owned()));
    Some(rule)
}

/// `*` is all of them.
fn number(text: &str) -> Option<Option<i64>> {
    if text == "*" {
        return Some(None);
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = text.parse().ok().filter(|_| digits)?;
    Some(Some(i64::from(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(source: &str, target: &str, permissions: &str) -> Device {
        Device {
            source: source.into(),
            target: target.into(),
            permissions: permissions.into(),
        }
    }

    #[test]
    fn a_device_is_given_with_what_may_be_done_with_it() {
        let devices = [
            device("/dev/null", "/dev/mine", "r"),
            device("/dev/zero", "/dev/zero", ""),
        ];
        let found = given(&devices).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|given| {
                let node = &given.node;
                let path = node.path().to_str().unwrap();
                (path, node.major(), node.minor(), given.access.as_str())
            })
            .collect();
        assert_eq!(seen, [("/dev/mine", 1, 3, "r"), ("/dev/zero", 1, 5, "rwm")]);
    }

    #[test]
    fn a_directory_stands_for_the_devices_in_it() {
        let found = given(&[device("/dev", "/dev/of/host", "rw")]).unwrap();
        let has = |path: &str| {
            found
                .iter()
                .any(|given| given.node.path() == Path::new(path) && given.access == "rw")
        };
        assert!(has("/dev/of/host/null") && !has("/dev/null"));
    }

    #[test]
    fn what_is_no_device_is_an_error_that_names_it() {
        for (path, expected) in [
            ("/etc/passwd", "/etc/passwd is not a device"),
            (
                "/dev/not-there",
                "there is no device /dev/not-there on this machine",
            ),
        ] {
            let error = given(&[device(path, path, "r")]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(
            block("/dev/null").unwrap_err().to_string(),
            "/dev/null is not a block device"
        );
    }

    #[test]
    fn rules_have_three_words() {
        let shown = |text: &str| {
            let found = rule(text)?;
            Some((
                found.typ()?.as_str().to_owned(),
                found.major(),
                found.minor(),
                found.access().clone()?,
            ))
        };
        let wanted = |kind: &str, major, minor, access: &str| {
            Some((kind.to_owned(), major, minor, access.to_owned()))
        };
        assert_eq!(shown("c 1:3 mr"), wanted("c", Some(1), Some(3), "mr"));
        assert_eq!(shown("b 254:* rwm"), wanted("b", Some(254), None, "rwm"));
        assert_eq!(shown("a *:* rwm"), wanted("a", None, None, "rwm"));
        for wrong in [
            "",
            "c",
            "c 1:3",
            "c 1 r",
            "x 1:3 r",
            "c 1:3 x",
            "c 1:3 rwmr",
            "c 1:3 ",
            "c -1:3 r",
            "c +1:3 r",
            "c 1:3 r r",
            "c  1:3 r",
            "c 99999999999:3 r",
        ] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
        let error = rules(&["c 1:3 x".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "invalid device cgroup rule format: 'c 1:3 x'");
    }
}
