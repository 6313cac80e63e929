//! The container's configuration for the runtime: OCI spec and shim configuration.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, LinuxMemoryBuilder,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, Mount as OciMount, MountBuilder,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

use super::create::with_image_volumes;
use super::volume::{self, Backing};
use super::{Native, observe, template};
use crate::compose::model::{
    Device, Logging, Mount, MountSource, Resources, Service, ServiceNetwork, Ulimit,
};
use crate::engine::EngineError;
use crate::image::Image;
use crate::net::Endpoint;
use crate::runtime::bundle::{CopyUp, LogConfig, NetworkSetup, Rootfs, Seccomp, ShimConfig};
use crate::runtime::spec::{Namespace, Settings, default_spec};
use crate::state::records::ContainerRecord;
use crate::state::{StateError, write_json};

const DEFAULT_LOG_SIZE: u64 = 64 << 20;
const DEFAULT_LOG_FILES: u32 = 4;

/// What a start knows beside record and image.
pub(super) struct StartContext<'a> {
    pub(super) record: &'a ContainerRecord,
    pub(super) image: &'a Image,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) hostname: String,
    /// Directory of the container whose network namespace is shared.
    pub(super) shared_network: Option<SharedNetwork>,
    pub(super) wait_attach: bool,
}

/// A network namespace of another container.
pub(super) struct SharedNetwork {
    pub(super) pid: i32,
    pub(super) dir: PathBuf,
}

impl Native {
    /// Writes `config.json` and `shim.json`.
    pub(super) fn write_configuration(
        &self,
        context: &StartContext<'_>,
    ) -> Result<(), EngineError> {
        let record = context.record;
        let model = &record.template;
        let dir = self.paths.container(&record.id);
        let (mut mounts, copy_up) = self.mounts(record, context.image)?;
        self.own_files(context, &mut mounts)?;
        let privileges = Privileges::of(model)?;
        let (network, network_setup) = network(context);
        let settings = Settings {
            args: record.command.clone(),
            env: template::environment(model, context.image, &context.hostname),
            cwd: template::working_dir(model, context.image).into(),
            tty: model.tty,
            hostname: context.hostname.clone(),
            domainname: model.domainname.clone(),
            mounts,
            cap_add: model.cap_add.clone(),
            cap_drop: model.cap_drop.clone(),
            privileged: model.privileged,
            readonly: model.read_only,
            no_new_privileges: privileges.no_new,
            rlimits: rlimits(model)?,
            sysctls: model.sysctls.clone(),
            resources: resources(&model.resources)?,
            shm_size: model.shm_size,
            devices: model.devices.iter().map(device).collect::<Result<_, _>>()?,
            cgroup_path: observe::cgroup_path(record),
            network,
            pid: self.namespace("pid", model.pid.as_deref())?,
            ipc: self.namespace("ipc", model.ipc.as_deref())?,
            uts: self.namespace("uts", model.uts.as_deref())?,
            cgroup: Namespace::Private,
            oom_score_adj: model.oom_score_adj,
        };
        write_json(&dir.join("config.json"), &default_spec(settings)?)?;
        let shim = ShimConfig {
            version: 1,
            id: record.id.clone(),
            rootfs: Rootfs {
                lower: context.image.layers.iter().rev().cloned().collect(),
                upper: dir.join("upper"),
                work: dir.join("work"),
                snapshot: false,
            },
            network: network_setup,
            log: self.log(record)?,
            stdin_open: model.stdin_open,
            init: model.init,
            copy_up,
            wait_attach: context.wait_attach,
            socket: self.paths.shim_socket(&record.id),
            on_lost: self.on_lost(),
            end_when_lost: false,
            user: template::user(model, context.image),
            group_add: model.group_add.clone(),
            seccomp: privileges.seccomp,
        };
        Ok(write_json(&dir.join("shim.json"), &shim)?)
    }

    fn on_lost(&self) -> Vec<String> {
        let arguments = crate::control::supervisor_arguments(&self.paths, &self.project);
        std::iter::once(self.exe.clone().into_os_string())
            .chain(arguments)
            .filter_map(|argument| argument.into_string().ok())
            .collect()
    }

    fn log(&self, record: &ContainerRecord) -> Result<Option<LogConfig>, EngineError> {
        let Some(limits) = log_limits(record.template.logging.as_ref())? else {
            return Ok(None);
        };
        let dir = if record.one_off {
            self.paths.container(&record.id).join("logs")
        } else {
            self.paths
                .logs(&record.project, record.service.as_str(), record.number)
        };
        fs::create_dir_all(&dir).map_err(|error| StateError::io("make", &dir, error))?;
        Ok(Some(LogConfig {
            dir,
            max_size: limits.max_size,
            max_files: limits.max_files,
        }))
    }

    /// The mounts of service and image, and the volumes to fill first.
    fn mounts(
        &self,
        record: &ContainerRecord,
        image: &Image,
    ) -> Result<(Vec<OciMount>, Vec<CopyUp>), EngineError> {
        let (mut mounts, mut copy_up) = (Vec::new(), Vec::new());
        for mount in with_image_volumes(&record.template, image) {
            match &mount.source {
                MountSource::Bind {
                    path,
                    create_host_path,
                    propagation,
                    recursive,
                } => {
                    ensure_bind_source(path, *create_host_path)?;
                    let kind = if *recursive { "rbind" } else { "bind" };
                    let propagation = propagation.clone().unwrap_or_else(|| "rprivate".to_owned());
                    mounts.push(bind(path, &mount, &[kind, &propagation])?);
                }
                MountSource::Volume {
                    nocopy, subpath, ..
                } => {
                    let name = volume_name(record, &mount.target);
                    self.volume_mount(
                        (&mount, &name, subpath.as_deref()),
                        &mut mounts,
                        |directory| {
                            if !nocopy && subpath.is_none() {
                                copy_up.push(directory);
                            }
                        },
                    )?;
                }
                MountSource::Anonymous => {
                    let name = volume_name(record, &mount.target);
                    self.volume_mount((&mount, &name, None), &mut mounts, |directory| {
                        copy_up.push(directory)
                    })?;
                }
                // Refused before it comes to this: see `capabilities`.
                MountSource::Image { .. } => {}
                MountSource::Tmpfs {
                    size,
                    mode,
                    options,
                    ..
                } => {
                    let mut all = vec!["nosuid".to_owned(), "nodev".to_owned()];
                    if !options.iter().any(|option| option == "exec") {
                        all.push("noexec".to_owned());
                    }
                    all.extend(options.iter().filter(|option| *option != "exec").cloned());
                    all.extend(size.map(|size| format!("size={size}")));
                    all.extend(mode.map(|mode| format!("mode={mode:o}")));
                    if mount.read_only {
                        all.push("ro".to_owned());
                    }
                    mounts.push(oci_mount("tmpfs", Path::new("tmpfs"), &mount.target, all)?);
                }
            }
        }
        Ok((mounts, copy_up))
    }

    fn volume_mount(
        &self,
        (mount, name, subpath): (&Mount, &str, Option<&str>),
        mounts: &mut Vec<OciMount>,
        mut fill: impl FnMut(CopyUp),
    ) -> Result<(), EngineError> {
        match volume::backing(&self.paths, name)? {
            Backing::Directory(directory) => {
                fill(CopyUp {
                    image_path: mount.target.clone(),
                    volume: directory.clone(),
                });
                let source = match subpath {
                    Some(subpath) => inside(&directory, subpath)?,
                    None => directory,
                };
                mounts.push(bind(&source, mount, &["rbind", "rprivate"])?);
            }
            Backing::FileSystem {
                kind,
                device,
                options,
            } => {
                let mut options = options;
                if mount.read_only {
                    options.push("ro".to_owned());
                }
                mounts.push(oci_mount(
                    &kind,
                    Path::new(&device),
                    &mount.target,
                    options,
                )?);
            }
        }
        Ok(())
    }

    /// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`, unless the service mounts its own.
    fn own_files(
        &self,
        context: &StartContext<'_>,
        mounts: &mut Vec<OciMount>,
    ) -> Result<(), EngineError> {
        let dir = match &context.shared_network {
            Some(shared) => shared.dir.clone(),
            None => self.paths.container(&context.record.id),
        };
        for (file, target) in [
            ("resolv.conf", "/etc/resolv.conf"),
            ("hostname", "/etc/hostname"),
            ("hosts", "/etc/hosts"),
        ] {
            if !context
                .record
                .mounts
                .iter()
                .any(|mount| mount.destination == target)
            {
                let options = ["rbind", "rprivate"].map(str::to_owned).to_vec();
                mounts.push(oci_mount("bind", &dir.join(file), target, options)?);
            }
        }
        Ok(())
    }

    /// `host`, `service:x`, `container:x`, `private`, `shareable` or nothing.
    fn namespace(&self, kind: &'static str, text: Option<&str>) -> Result<Namespace, EngineError> {
        match text {
            None | Some("" | "private" | "shareable") => Ok(Namespace::Private),
            Some("host") => Ok(Namespace::Host),
            Some(other) => {
                let owner = self
                    .running_owner(other)
                    .ok_or_else(|| EngineError::NoOwner {
                        what: kind,
                        owner: other.to_owned(),
                    })?;
                Ok(Namespace::Path(
                    format!("/proc/{}/ns/{kind}", owner.pid).into(),
                ))
            }
        }
    }
}

fn network(context: &StartContext<'_>) -> (Namespace, NetworkSetup) {
    match (&context.record.template.network, &context.shared_network) {
        (_, Some(shared)) => {
            let path = format!("/proc/{}/ns/net", shared.pid);
            (Namespace::Path(path.into()), NetworkSetup::Inherit)
        }
        (ServiceNetwork::Host, None) => (Namespace::Host, NetworkSetup::Inherit),
        _ => {
            let setup = NetworkSetup::Private {
                dns: !context.endpoints.is_empty(),
                endpoints: context.endpoints.clone(),
            };
            (Namespace::Private, setup)
        }
    }
}

fn volume_name(record: &ContainerRecord, target: &str) -> String {
    record
        .anonymous_volumes
        .get(target)
        .cloned()
        .or_else(|| {
            let found = record
                .mounts
                .iter()
                .find(|mount| mount.destination == target);
            found.map(|mount| mount.name.clone())
        })
        .unwrap_or_default()
}

fn ensure_bind_source(path: &Path, create: bool) -> Result<(), EngineError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            fs::create_dir_all(path).map_err(|source| EngineError::BindSource {
                path: path.to_owned(),
                source,
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(EngineError::NoBindSource(path.to_owned()))
        }
        Err(source) => Err(EngineError::BindSource {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A directory inside a volume; a link that leads out of it is refused.
fn inside(directory: &Path, subpath: &str) -> Result<PathBuf, EngineError> {
    let wanted = directory.join(subpath.trim_start_matches('/'));
    let found = wanted.canonicalize().map_err(|_| {
        EngineError::Value(format!(
            "the volume has no `{subpath}`; make it before it is mounted as a subpath"
        ))
    })?;
    let root = directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned());
    if found.starts_with(&root) {
        Ok(found)
    } else {
        Err(EngineError::Value(format!(
            "`{subpath}` leads out of the volume"
        )))
    }
}

fn bind(source: &Path, mount: &Mount, options: &[&str]) -> Result<OciMount, EngineError> {
    let mut options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    options.push(if mount.read_only { "ro" } else { "rw" }.to_owned());
    oci_mount("bind", source, &mount.target, options)
}

fn oci_mount(
    kind: &str,
    source: &Path,
    target: &str,
    options: Vec<String>,
) -> Result<OciMount, EngineError> {
    MountBuilder::default()
        .typ(kind)
        .source(source)
        .destination(target)
        .options(options)
        .build()
        .map_err(oci)
}

fn oci(error: oci_spec::OciSpecError) -> EngineError {
    EngineError::Value(format!(
        "cannot make the container's configuration: {error}"
    ))
}

struct Privileges {
    no_new: bool,
    seccomp: Seccomp,
}

impl Privileges {
    /// What `security_opt` and `privileged` say.
    fn of(model: &Service) -> Result<Self, EngineError> {
        let mut found = Self {
            no_new: false,
            seccomp: if model.privileged {
                Seccomp::Unconfined
            } else {
                Seccomp::Default
            },
        };
        for option in &model.security_opt {
            let (key, value) = option.split_once([':', '=']).unwrap_or((option, "true"));
            match (key, value) {
                ("no-new-privileges", value) => found.no_new = value != "false",
                ("seccomp", "unconfined") => found.seccomp = Seccomp::Unconfined,
                ("apparmor" | "label" | "systempaths", "unconfined" | "disable") => {}
                _ => {
                    return Err(EngineError::Value(format!(
                        "security_opt `{option}` is not supported; `no-new-privileges:true` and `seccomp:unconfined` are"
                    )));
                }
            }
        }
        Ok(found)
    }
}

fn rlimits(model: &Service) -> Result<Vec<PosixRlimit>, EngineError> {
    model
        .ulimits
        .iter()
        .map(|(name, limit)| rlimit(name, *limit))
        .collect()
}

fn rlimit(name: &str, limit: Ulimit) -> Result<PosixRlimit, EngineError> {
    let text = format!("RLIMIT_{}", name.to_ascii_uppercase());
    let kind: PosixRlimitType = serde_json::from_value(serde_json::Value::String(text))
        .map_err(|_| EngineError::Value(format!("there is no ulimit `{name}`")))?;
    // -1 is unlimited, which the kernel writes as all ones.
    let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    PosixRlimitBuilder::default()
        .typ(kind)
        .soft(value(limit.soft))
        .hard(value(limit.hard))
        .build()
        .map_err(oci)
}

/// CFS period that `cpus` is turned into a quota of, in µs (Docker's value).
const CPU_PERIOD: u64 = 100_000;

fn resources(limits: &Resources) -> Result<LinuxResources, EngineError> {
    let mut all = LinuxResourcesBuilder::default();
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    if limits.memory.is_some()
        || limits.memory_reservation.is_some()
        || limits.memory_swap.is_some()
    {
        let mut memory = LinuxMemoryBuilder::default();
        if let Some(bytes) = limits.memory {
            memory = memory.limit(signed(bytes));
            // Docker: without `memswap_limit`, as much swap again as memory.
            memory = memory.swap(
                limits
                    .memory_swap
                    .unwrap_or_else(|| signed(bytes.saturating_mul(2))),
            );
        }
        if let Some(bytes) = limits.memory_reservation {
            memory = memory.reservation(signed(bytes));
        }
        all = all.memory(memory.build().map_err(oci)?);
    }
    let mut cpu = LinuxCpuBuilder::default();
    let mut any_cpu = false;
    if let Some(nano) = limits.nano_cpus {
        let quota = u128::from(nano) * u128::from(CPU_PERIOD) / 1_000_000_000;
        cpu = cpu
            .period(CPU_PERIOD)
            .quota(i64::try_from(quota).unwrap_or(i64::MAX));
        any_cpu = true;
    }
    if let Some(quota) = limits.cpu_quota {
        cpu = cpu.quota(quota);
        any_cpu = true;
    }
    if let Some(period) = limits.cpu_period {
        cpu = cpu.period(period);
        any_cpu = true;
    }
    if let Some(shares) = limits.cpu_shares {
        cpu = cpu.shares(shares);
        any_cpu = true;
    }
    if let Some(cpus) = &limits.cpuset {
        cpu = cpu.cpus(cpus);
        any_cpu = true;
    }
    if any_cpu {
        all = all.cpu(cpu.build().map_err(oci)?);
    }
    if let Some(pids) = limits.pids {
        all = all.pids(
            LinuxPidsBuilder::default()
                .limit(pids)
                .build()
                .map_err(oci)?,
        );
    }
    all.build().map_err(oci)
}

fn device(device: &Device) -> Result<LinuxDevice, EngineError> {
    let missing = || {
        EngineError::Value(format!(
            "there is no device {} on this machine",
            device.source
        ))
    };
    let metadata = fs::metadata(&device.source).map_err(|_| missing())?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        _ => {
            return Err(EngineError::Value(format!(
                "{} is not a device",
                device.source
            )));
        }
    };
    let number = |part: u32| i64::from(part);
    LinuxDeviceBuilder::default()
        .path(&device.target)
        .typ(kind)
        .major(number(nix::libc::major(metadata.rdev())))
        .minor(number(nix::libc::minor(metadata.rdev())))
        .file_mode(metadata.mode() & 0o777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .map_err(oci)
}

/// How much of a container's output is kept.
#[derive(Debug, PartialEq, Eq)]
struct LogLimits {
    max_size: u64,
    max_files: u32,
}

/// What `logging` says; `None` = keep nothing. Options that Docker's drivers do not have are refused in
/// its words: a limit with a slip in its name would be none. Other drivers' options are their own.
fn log_limits(logging: Option<&Logging>) -> Result<Option<LogLimits>, EngineError> {
    const LOCAL: [&str; 3] = ["max-size", "max-file", "compress"];
    const JSON: [&str; 6] = ["labels", "labels-regex", "env", "env-regex", "tag", "mode"];
    const BOTH: [&str; 1] = ["max-buffer-size"];
    let driver = logging.and_then(|logging| logging.driver.as_deref());
    let driver = driver
        .filter(|driver| !driver.is_empty())
        .unwrap_or("json-file");
    let mut limits = LogLimits {
        max_size: DEFAULT_LOG_SIZE,
        max_files: DEFAULT_LOG_FILES,
    };
    match driver {
        "none" => return Ok(None),
        "json-file" => {}
        // Docker's defaults for it.
        "local" => {
            limits = LogLimits {
                max_size: 20 << 20,
                max_files: 5,
            }
        }
        _ => return Ok(Some(limits)),
    }
    for (key, text) in logging.into_iter().flat_map(|logging| &logging.options) {
        let failed = |what: String| {
            EngineError::Value(format!("failed to initialize logging driver: {what}"))
        };
        match key.as_str() {
            "max-size" => {
                limits.max_size =
                    size(text).ok_or_else(|| failed(format!("invalid size: '{text}'")))?;
            }
            "max-file" => {
                let files = text.parse().ok().filter(|files| *files > 0);
                limits.max_files = files
                    .ok_or_else(|| failed(format!("max-file `{text}` is not a number above 0")))?;
            }
            key if LOCAL.contains(&key) || BOTH.contains(&key) => {}
            key if driver == "json-file" && JSON.contains(&key) => {}
            _ => {
                return Err(EngineError::Value(format!(
                    "unknown log opt '{key}' for {driver} log driver"
                )));
            }
        }
    }
    Ok(Some(limits))
}

/// `10m`, `1g`, `4096`: the sizes of Docker's logging options.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
        .filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_the_output_is_what_the_driver_s_options_say() {
        let limits = |driver: &str, options: &[(&str, &str)]| {
            let logging = Logging {
                driver: Some(driver.to_owned()),
                options: options
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            };
            match log_limits(Some(&logging)) {
                Ok(None) => "nothing".to_owned(),
                Ok(Some(limits)) => format!("{} of {}", limits.max_files, limits.max_size),
                Err(error) => error.to_string(),
            }
        };
        let default = format!("{DEFAULT_LOG_FILES} of {DEFAULT_LOG_SIZE}");
        let unknown = "unknown log opt 'maxsize' for json-file log driver";
        for (driver, options, expected) in [
            ("none", &[][..], "nothing"),
            ("json-file", &[], &default),
            (
                "json-file",
                &[("max-size", "10k"), ("max-file", "3")],
                "3 of 10240",
            ),
            ("json-file", &[("tag", "x"), ("compress", "true")], &default),
            ("json-file", &[("maxsize", "1m")], unknown),
            ("local", &[], "5 of 20971520"),
            (
                "local",
                &[("tag", "x")],
                "unknown log opt 'tag' for local log driver",
            ),
            (
                "json-file",
                &[("max-size", "lots")],
                "failed to initialize logging driver: invalid size: 'lots'",
            ),
            ("syslog", &[("syslog-address", "tcp://x")], &default),
        ] {
            assert_eq!(limits(driver, options), expected, "{driver} {options:?}");
        }
        assert!(log_limits(None).unwrap().is_some());
    }

    #[test]
    fn sizes_of_logging_options() {
        let table = [
            ("10m", Some(10 << 20)),
            ("1G", Some(1 << 30)),
            ("4096", Some(4096)),
            ("2kb", Some(2048)),
            ("0", None),
            ("", None),
            ("x", None),
        ];
        for (text, expected) in table {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn cpus_become_a_quota_and_memory_brings_as_much_swap() {
        let found = resources(&Resources {
            nano_cpus: Some(1_500_000_000),
            memory: Some(64 << 20),
            pids: Some(10),
            ..Resources::default()
        })
        .unwrap();
        let cpu = found.cpu().as_ref().unwrap();
        assert_eq!((cpu.quota(), cpu.period()), (Some(150_000), Some(100_000)));
        let memory = found.memory().as_ref().unwrap();
        assert_eq!(
            (memory.limit(), memory.swap()),
            (Some(64 << 20), Some(128 << 20))
        );
        assert!(found.pids().is_some());
    }

    #[test]
    fn a_subpath_stays_inside_its_volume() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
        assert!(inside(dir.path(), "a/b").is_ok());
        assert!(inside(dir.path(), "/a").is_ok());
        assert!(inside(dir.path(), "out").is_err());
        assert!(inside(dir.path(), "../..").is_err());
        assert!(inside(dir.path(), "none").is_err());
    }

    #[test]
    fn ulimits_by_name_and_unlimited() {
        let limit = rlimit("nofile", Ulimit { soft: 10, hard: -1 }).unwrap();
        assert_eq!((limit.soft(), limit.hard()), (10, u64::MAX));
        assert!(rlimit("nothing", Ulimit { soft: 1, hard: 1 }).is_err());
    }
}
