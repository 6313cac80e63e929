//! What a container's program may do: `security_opt` and `privileged`. The decisions are pure; a profile is
//! a file that is read.

use std::collections::BTreeSet;
use std::path::Path;

use oci_spec::runtime::{LinuxSeccomp, Spec};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::compose::model::Service;
use crate::engine::EngineError;
use crate::runtime::bundle::Seccomp;

/// What a service's options say.
#[derive(Debug)]
pub(super) struct Privileges {
    pub(super) no_new: bool,
    pub(super) seccomp: Seccomp,
    /// Paths of the kernel that are hidden or read-only for others are as they are.
    system_paths: bool,
    profile: Option<Profile>,
}

impl Privileges {
    /// Reads the options, and the profile that they name.
    pub(super) fn of(model: &Service) -> Result<Self, EngineError> {
        let mut found = Self {
            no_new: false,
            seccomp: match model.privileged {
                true => Seccomp::Unconfined,
                false => Seccomp::Default,
            },
            system_paths: is_unconfined(model),
            profile: None,
        };
        for option in &model.security_opt {
            let (key, value) = option.split_once([':', '=']).unwrap_or((option, "true"));
            match (key, value) {
                ("no-new-privileges", value) => found.no_new = value != "false",
                ("seccomp", "unconfined") => found.seccomp = Seccomp::Unconfined,
                ("seccomp", "builtin") => found.seccomp = Seccomp::Default,
                ("seccomp", place) => {
                    found.profile = Some(Profile::read(place)?);
                    found.seccomp = Seccomp::Spec;
                }
                // Labels are SELinux's: where there is none, Docker's engine takes them and does nothing.
                ("label", _) => {}
                ("apparmor", "unconfined") => {}
                ("systempaths", _) if found.system_paths => {}
                _ => {
                    return Err(EngineError::Value(format!(
                        "security_opt `{option}` is not supported; `no-new-privileges:true`, `seccomp:unconfined` and `seccomp:PROFILE.json` are"
                    )));
                }
            }
        }
        Ok(found)
    }

    /// Puts the profile into the spec: which of its rules hold depends on the capabilities there.
    pub(super) fn complete(&self, spec: &mut Spec) -> Result<(), EngineError> {
        if self.system_paths
            && let Some(linux) = spec.linux_mut()
        {
            linux
                .set_masked_paths(Some(Vec::new()))
                .set_readonly_paths(Some(Vec::new()));
        }
        let Some(profile) = &self.profile else {
            return Ok(());
        };
        let process = spec.process().as_ref();
        let sets = process.and_then(|process| process.capabilities().as_ref());
        let bounding = sets.and_then(|sets| sets.bounding().as_ref());
        let capabilities: BTreeSet<String> = bounding
            .into_iter()
            .flatten()
            .filter_map(|capability| json!(capability).as_str().map(full_name))
            .collect();
        let around = Around {
            capabilities,
            architecture: architecture(),
            kernel: kernel(&rustix::system::uname().release().to_string_lossy()),
        };
        let seccomp = profile.for_container(&around)?;
        if let Some(linux) = spec.linux_mut() {
            linux.set_seccomp(Some(seccomp));
        }
        Ok(())
    }
}

/// Says that no path of the kernel is to be hidden or read-only. Docker's programs know it in this form
/// only, and do not hand it to the engine as an option.
pub(crate) const SYSTEM_PATHS: &str = "systempaths=unconfined";

fn is_unconfined(model: &Service) -> bool {
    model
        .security_opt
        .iter()
        .any(|option| option == SYSTEM_PATHS)
}

fn full_name(capability: &str) -> String {
    match capability.starts_with("CAP_") {
        true => capability.to_owned(),
        false => format!("CAP_{capability}"),
    }
}

/// As Go calls it, for profiles are made for Docker's engine.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The first two numbers of a version.
fn kernel(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What the rules of a profile may depend on.
struct Around {
    /// In capitals, with `CAP_`.
    capabilities: BTreeSet<String>,
    architecture: &'static str,
    kernel: (u32, u32),
}

/// A seccomp profile in Docker's format: that of the runtime specification, with conditions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: Value,
    #[serde(default)]
    default_errno_ret: Value,
    #[serde(default)]
    architectures: Vec<Value>,
    #[serde(default)]
    arch_map: Vec<Architectures>,
    #[serde(default)]
    flags: Vec<Value>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architectures {
    architecture: Value,
    #[serde(default)]
    sub_architectures: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// Of profiles from before there were `names`.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: Value,
    #[serde(default)]
    errno_ret: Value,
    #[serde(default)]
    args: Value,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

impl Profile {
    /// From a file, or from what stands in the option itself, as Docker's client sends it.
    fn read(place: &str) -> Result<Self, EngineError> {
        let failed = |why: String| {
            EngineError::Value(format!("opening seccomp profile ({place}) failed: {why}"))
        };
        let text = match place.starts_with('{') {
            true => place.to_owned(),
            false => std::fs::read_to_string(Path::new(place))
                .map_err(|error| failed(error.to_string()))?,
        };
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }

    /// The rules that hold here (moby, `profiles/seccomp`).
    fn for_container(&self, around: &Around) -> Result<LinuxSeccomp, EngineError> {
        let of_map = self.arch_map.iter().flat_map(|entry| {
            std::iter::once(&entry.architecture).chain(entry.sub_architectures.iter().flatten())
        });
        let architectures: Vec<&Value> = self.architectures.iter().chain(of_map).collect();
        let rules = self.syscalls.iter().filter(|rule| rule.holds(around));
        let rules = rules.map(|rule| {
            let names: Vec<&String> = rule.names.iter().chain(&rule.name).collect();
            let mut document = json!({"names": names, "action": rule.action});
            put(&mut document, "errnoRet", &rule.errno_ret);
            put(&mut document, "args", &rule.args);
            document
        });
        let mut document = json!({
            "defaultAction": self.default_action,
            "architectures": architectures,
            "flags": self.flags,
            "syscalls": rules.collect::<Vec<_>>(),
        });
        put(&mut document, "defaultErrnoRet", &self.default_errno_ret);
        serde_json::from_value(document)
            .map_err(|error| EngineError::Value(format!("the seccomp profile is wrong: {error}")))
    }
}

fn put(document: &mut Value, key: &str, value: &Value) {
    if !value.is_null() {
        document[key] = value.clone();
    }
}

impl Rule {
    fn holds(&self, around: &Around) -> bool {
        let (with, without) = (&self.includes, &self.excludes);
        let has = |name: &String| around.capabilities.contains(name);
        let here = |names: &[String]| names.iter().any(|name| name == around.architecture);
        let reached = |least: &Option<String>| least.as_deref().map(kernel) <= Some(around.kernel);
        let excluded = without.caps.iter().any(has)
            || here(&without.arches)
            || (without.min_kernel.is_some() && reached(&without.min_kernel));
        !excluded
            && with.caps.iter().all(has)
            && (with.arches.is_empty() || here(&with.arches))
            && reached(&with.min_kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(capabilities: &[&str]) -> Around {
        Around {
            capabilities: capabilities.iter().map(|name| (*name).to_owned()).collect(),
            architecture: "amd64",
            kernel: (5, 10),
        }
    }

    #[test]
    fn the_rules_of_a_profile_hold_where_their_conditions_do() {
        let rules = [
            ("always", json!({})),
            ("admin", json!({"includes": {"caps": ["CAP_SYS_ADMIN"]}})),
            ("no-admin", json!({"excludes": {"caps": ["CAP_SYS_ADMIN"]}})),
            ("arm", json!({"includes": {"arches": ["arm64", "arm"]}})),
            ("intel", json!({"includes": {"arches": ["amd64"]}})),
            ("old", json!({"includes": {"minKernel": "4.8"}})),
            ("new", json!({"includes": {"minKernel": "5.11"}})),
            ("till", json!({"excludes": {"minKernel": "5.11"}})),
            ("before", json!({"excludes": {"minKernel": "5.10"}})),
        ];
        let syscalls = rules.map(|(name, mut rule)| {
            rule["names"] = json!([name]);
            rule["action"] = json!("SCMP_ACT_ALLOW");
            rule
        });
        let document = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
            "syscalls": syscalls,
        });
        let profile = Profile::read(&document.to_string()).unwrap();
        let named = |capabilities: &[&str]| {
            let seccomp = profile.for_container(&around(capabilities)).unwrap();
            assert_eq!(seccomp.architectures().as_ref().map(Vec::len), Some(2));
            assert_eq!(seccomp.default_errno_ret(), Some(1));
            let rules = seccomp.syscalls().clone().unwrap_or_default();
            let names = rules.iter().flat_map(|rule| rule.names().clone());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named(&[]), "always no-admin intel old till");
        assert_eq!(named(&["CAP_SYS_ADMIN"]), "always admin intel old till");
    }

    #[test]
    fn options_that_cannot_be_kept_are_refused() {
        let of = |option: &str| {
            let service = Service {
                security_opt: vec![option.to_owned()],
                ..Service::default()
            };
            match Privileges::of(&service) {
                Ok(found) => format!("{} {:?}", found.no_new, found.seccomp),
                Err(error) => error.to_string(),
            }
        };
        for (option, expected) in [
            ("no-new-privileges", "true Default"),
            ("no-new-privileges:false", "false Default"),
            ("seccomp=unconfined", "false Unconfined"),
            (
                "seccomp:{\"defaultAction\": \"SCMP_ACT_ALLOW\"}",
                "false Spec",
            ),
            ("label:type:some_t", "false Default"),
            ("apparmor=unconfined", "false Default"),
            (SYSTEM_PATHS, "false Default"),
        ] {
            assert_eq!(of(option), expected, "{option}");
        }
        for refused in ["apparmor:profile", "systempaths:unconfined"] {
            assert!(of(refused).contains("not supported"), "{refused}");
        }
        assert!(of("seccomp:/nothere.json").contains("(/nothere.json) failed"));
        assert!(of("seccomp:{}").contains("failed: missing field"));
    }
}
