//! Docker's defaults as an OCI runtime spec.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Capability, Linux, LinuxCapabilities, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType,
    LinuxNamespace, LinuxNamespaceType, LinuxResources, Mount, PosixRlimit, Process, Root, Spec,
};

use super::capabilities::{ALL, DEFAULT, by_name};

/// Where one of a container's namespaces comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Namespace {
    /// A new one.
    #[default]
    Private,
    /// The host's.
    Host,
    /// An existing one (`/proc/<pid>/ns/net`).
    Path(PathBuf),
}

/// A device that a container is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenDevice {
    /// Its node in the container.
    pub node: LinuxDevice,
    /// What may be done with it: any of `r`, `w`, `m`.
    pub access: String,
}

impl GivenDevice {
    fn rule(&self) -> LinuxDeviceCgroup {
        let mut rule = LinuxDeviceCgroup::from(&self.node);
        rule.set_access(Some(self.access.clone()));
        rule
    }
}

/// What differs from one container to the next. Start from [`Settings::default`].
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; empty = `/`.
    pub cwd: PathBuf,
    /// Give it a terminal.
    pub tty: bool,
    /// Host name.
    pub hostname: String,
    /// Domain name.
    pub domainname: Option<String>,
    /// Mounts after the standard ones, in this order. One whose target is that of a standard
    /// mount replaces it.
    pub mounts: Vec<Mount>,
    /// Capabilities to add, with or without `CAP_`, or `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities to drop, with or without `CAP_`, or `ALL`.
    pub cap_drop: Vec<String>,
    /// All capabilities, all devices, no masks.
    pub privileged: bool,
    /// Root file system read-only.
    pub readonly: bool,
    /// No gain of privileges through `exec`.
    pub no_new_privileges: bool,
    /// Resource limits.
    pub rlimits: Vec<PosixRlimit>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// Cgroup limits; device rules are added to them.
    pub resources: LinuxResources,
    /// Size of `/dev/shm`; `None` = 64 MiB.
    pub shm_size: Option<u64>,
    /// Devices beyond the standard ones.
    pub devices: Vec<GivenDevice>,
    /// `/stack/<project>/<id>`.
    pub cgroup_path: PathBuf,
    /// Network namespace.
    pub network: Namespace,
    /// Pid namespace.
    pub pid: Namespace,
    /// IPC namespace.
    pub ipc: Namespace,
    /// Host name namespace.
    pub uts: Namespace,
    /// Cgroup namespace.
    pub cgroup: Namespace,
    /// Adjustment of the kernel's choice whom to kill for memory.
    pub oom_score_adj: Option<i32>,
}

/// A setting that cannot be done.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// Not a capability.
    #[error("no capability is called `{0}`")]
    UnknownCapability(String),
}

/// The OCI runtime spec of a container with Docker's defaults and these settings.
///
/// Pure, but that a privileged container gets the devices which this machine has now.
pub fn default_spec(settings: Settings) -> Result<Spec, SpecError> {
    let capabilities = capabilities(&settings)?;
    let mut spec = Spec::default();
    spec.set_version("1.2.0".to_owned());
    let mut root = Root::default();
    root.set_path(PathBuf::from("rootfs"))
        .set_readonly(Some(settings.readonly));
    spec.set_root(Some(root));
    spec.set_mounts(Some(mounts(&settings)));
    let hostname = Some(settings.hostname.clone()).filter(|_| settings.uts == Namespace::Private);
    spec.set_hostname(hostname.filter(|name| !name.is_empty()));
    spec.set_domainname(
        settings
            .domainname
            .clone()
            .filter(|_| settings.uts == Namespace::Private),
    );
    spec.set_linux(Some(linux(&settings)));
    spec.set_process(Some(process(settings, capabilities)));
    Ok(spec)
}

fn process(settings: Settings, capabilities: HashSet<Capability>) -> Process {
    let mut env = settings.env;
    let mut default = |name: &str, value: &str| {
        let prefix = format!("{name}=");
        if !value.is_empty() && !env.iter().any(|entry| entry.starts_with(&prefix)) {
            env.push(prefix + value);
        }
    };
    default(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    default("HOSTNAME", &settings.hostname);
    if settings.tty {
        default("TERM", "xterm");
    }
    let cwd = if settings.cwd.as_os_str().is_empty() {
        PathBuf::from("/")
    } else {
        settings.cwd
    };
    let mut sets = LinuxCapabilities::default();
    // Nothing inheritable, as in Docker since CVE-2022-24769.
    sets.set_bounding(Some(capabilities.clone()))
        .set_effective(Some(capabilities.clone()))
        .set_permitted(Some(capabilities))
        .set_inheritable(None)
        .set_ambient(None);
    let mut process = Process::default();
    process
        .set_terminal(Some(settings.tty))
        .set_args(Some(settings.args))
        .set_env(Some(env))
        .set_cwd(cwd)
        .set_capabilities(Some(sets))
        .set_rlimits(Some(settings.rlimits))
        .set_no_new_privileges(Some(settings.no_new_privileges))
        .set_oom_score_adj(settings.oom_score_adj);
    process
}

/// Docker's rules: `ALL` in `cap_add` starts from everything, `ALL` in `cap_drop` from nothing.
fn capabilities(settings: &Settings) -> Result<HashSet<Capability>, SpecError> {
    let named = |names: &[String]| -> Result<Vec<Capability>, SpecError> {
        let names = names.iter().filter(|name| !is_all(name));
        names
            .map(|name| by_name(name).ok_or_else(|| SpecError::UnknownCapability(name.clone())))
            .collect()
    };
    let add = named(&settings.cap_add)?;
    let drop = named(&settings.cap_drop)?;
    if settings.privileged {
        return Ok(ALL.into_iter().collect());
    }
    let all = |names: &[String]| names.iter().any(|name| is_all(name));
    let mut set: HashSet<Capability> = if all(&settings.cap_add) {
        ALL.into_iter().collect()
    } else if all(&settings.cap_drop) {
        HashSet::new()
    } else {
        DEFAULT.into_iter().collect()
    };
    drop.iter().for_each(|capability| {
        set.remove(capability);
    });
    set.extend(add);
    Ok(set)
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("ALL") || name.eq_ignore_ascii_case("CAP_ALL")
}

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

fn linux(settings: &Settings) -> Linux {
    let nodes = settings.devices.iter().map(|device| device.node.clone());
    let devices = if settings.privileged {
        let mut devices = host_devices(Path::new("/dev"));
        devices.extend(nodes);
        devices
    } else {
        nodes.collect()
    };
    let list = |paths: &[&str]| {
        let hidden = !settings.privileged;
        Some(
            paths
                .iter()
                .filter(|_| hidden)
                .map(|path| (*path).to_owned())
                .collect(),
        )
    };
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(settings)))
        .set_resources(Some(resources(settings)))
        .set_devices(Some(devices))
        .set_cgroups_path(Some(settings.cgroup_path.clone()))
        .set_sysctl(Some(sysctls(settings)))
        .set_masked_paths(list(&MASKED))
        .set_readonly_paths(list(&READONLY))
        .set_seccomp(None);
    linux
}

/// What Docker sets in a network namespace of the container's own: root's privileges over ports and
/// ping are not needed there.
fn sysctls(settings: &Settings) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = HashMap::new();
    if settings.network == Namespace::Private {
        all.insert(
            "net.ipv4.ip_unprivileged_port_start".to_owned(),
            "0".to_owned(),
        );
        all.insert(
            "net.ipv4.ping_group_range".to_owned(),
            "0 2147483647".to_owned(),
        );
    }
    all.extend(settings.sysctls.clone());
    all
}

fn namespaces(settings: &Settings) -> Vec<LinuxNamespace> {
    let wanted = [
        (LinuxNamespaceType::Mount, &Namespace::Private),
        (LinuxNamespaceType::Pid, &settings.pid),
        (LinuxNamespaceType::Network, &settings.network),
        (LinuxNamespaceType::Ipc, &settings.ipc),
        (LinuxNamespaceType::Uts, &settings.uts),
        (LinuxNamespaceType::Cgroup, &settings.cgroup),
    ];
    let mut out = Vec::new();
    for (typ, from) in wanted {
        let path = match from {
            Namespace::Host => continue,
            Namespace::Private => None,
            Namespace::Path(path) => Some(path.clone()),
        };
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(typ).set_path(path);
        out.push(namespace);
    }
    out
}

fn resources(settings: &Settings) -> LinuxResources {
    let mut rules = Vec::new();
    let mut everything = LinuxDeviceCgroup::default();
    everything
        .set_allow(settings.privileged)
        .set_typ(Some(LinuxDeviceType::A))
        .set_access(Some("rwm".to_owned()));
    rules.push(everything);
    rules.extend(settings.resources.devices().iter().flatten().cloned());
    if !settings.privileged {
        rules.extend(settings.devices.iter().map(GivenDevice::rule));
    }
    let mut resources = settings.resources.clone();
    resources.set_devices(Some(rules));
    resources
}

fn mount(destination: &str, typ: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some(typ.to_owned()))
        .set_source(Some(PathBuf::from(typ)))
        .set_options(Some(
            options.iter().map(|option| (*option).to_owned()).collect(),
        ));
    mount
}

const SHM_SIZE: u64 = 64 * 1024 * 1024;

fn mounts(settings: &Settings) -> Vec<Mount> {
    let plain = ["nosuid", "noexec", "nodev"];
    let kernel: &[&str] = if settings.privileged {
        &plain
    } else {
        &["nosuid", "noexec", "nodev", "ro"]
    };
    let shm_size = format!("size={}", settings.shm_size.unwrap_or(SHM_SIZE));
    let pts = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        "gid=5",
    ];
    let standard = vec![
        mount("/proc", "proc", &plain),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount("/dev/pts", "devpts", &pts),
        mount("/sys", "sysfs", kernel),
        mount("/sys/fs/cgroup", "cgroup", kernel),
        mount("/dev/mqueue", "mqueue", &plain),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm_size],
        ),
    ];
    let replaced = |mount: &Mount| settings.mounts.iter().any(|m| same_place(m, mount));
    let mut out: Vec<Mount> = standard
        .into_iter()
        .filter(|mount| !replaced(mount))
        .collect();
    out.extend(settings.mounts.iter().cloned());
    // What lies inside another mount is mounted after it; else the order stays.
    out.sort_by_key(|mount| mount.destination().components().count());
    out
}

fn same_place(a: &Mount, b: &Mount) -> bool {
    a.destination()
        .components()
        .eq(b.destination().components())
}

/// Every device node of this directory tree, for a privileged container; terminals and what the
/// container has of its own are left out.
pub fn host_devices(directory: &Path) -> Vec<LinuxDevice> {
    const OWN: [&str; 6] = ["pts", "shm", "mqueue", "fd", "console", "ptmx"];
    let mut out = Vec::new();
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| !OWN.iter().any(|name| entry.file_name() == *name)) {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            out.extend(host_devices(&entry.path()));
        } else if kind.is_char_device() || kind.is_block_device() {
            let rdev = metadata.rdev();
            let mut device = LinuxDevice::default();
            device
                .set_path(entry.path())
                .set_typ(if kind.is_char_device() {
                    LinuxDeviceType::C
                } else {
                    LinuxDeviceType::B
                })
                .set_major(i64::from(rustix::fs::major(rdev)))
                .set_minor(i64::from(rustix::fs::minor(rdev)))
                .set_file_mode(Some(metadata.mode() & 0o7777))
                .set_uid(Some(metadata.uid()))
                .set_gid(Some(metadata.gid()));
            out.push(device);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability_names(settings: Settings) -> Vec<String> {
        let spec = default_spec(settings).unwrap();
        let process = spec.process().as_ref().unwrap();
        let set = process
            .capabilities()
            .as_ref()
            .unwrap()
            .bounding()
            .clone()
            .unwrap();
        let mut names: Vec<String> = set.iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn capabilities_are_added_and_dropped_as_docker_does() {
        let with = |add: &[&str], drop: &[&str]| {
            capability_names(Settings {
                cap_add: strings(add),
                cap_drop: strings(drop),
                ..Settings::default()
            })
        };
        assert_eq!(with(&[], &[]).len(), DEFAULT.len());
        assert_eq!(with(&["SYS_TIME"], &["ALL"]), ["SYS_TIME"]);
        assert_eq!(with(&["ALL"], &["CAP_SYS_ADMIN"]).len(), ALL.len() - 1);
        assert!(!with(&[], &["chown"]).contains(&"CHOWN".to_owned()));
        let wrong = Settings {
            cap_add: strings(&["SYS_ADMN"]),
            ..Settings::default()
        };
        assert_eq!(
            default_spec(wrong).unwrap_err(),
            SpecError::UnknownCapability("SYS_ADMN".into())
        );
    }

    #[test]
    fn a_mount_of_the_users_takes_the_place_of_a_standard_one() {
        let settings = Settings {
            mounts: vec![
                mount("/data/sub", "tmpfs", &[]),
                mount("/data", "tmpfs", &[]),
                mount("/dev/shm", "bind", &[]),
            ],
            ..Settings::default()
        };
        let spec = default_spec(settings).unwrap();
        let mounts = spec.mounts().as_ref().unwrap();
        let at = |path: &str| {
            mounts
                .iter()
                .position(|m| m.destination() == Path::new(path))
                .unwrap()
        };
        let shm: Vec<_> = mounts
            .iter()
            .filter(|m| m.destination() == Path::new("/dev/shm"))
            .collect();
        assert_eq!(shm.len(), 1);
        assert_eq!(shm[0].typ().as_deref(), Some("bind"));
        assert!(at("/data") < at("/data/sub"));
        assert!(at("/dev") < at("/dev/pts"));
    }

    #[test]
    fn privileged_hides_nothing_and_restricts_no_device() {
        let spec = default_spec(Settings {
            privileged: true,
            ..Settings::default()
        })
        .unwrap();
        let linux = spec.linux().as_ref().unwrap();
        assert!(linux.masked_paths().as_ref().unwrap().is_empty());
        let rules = linux
            .resources()
            .as_ref()
            .unwrap()
            .devices()
            .as_ref()
            .unwrap();
        assert!(rules.iter().all(|rule| rule.allow()));
        assert!(
            linux
                .devices()
                .as_ref()
                .unwrap()
                .iter()
                .any(|d| d.path() == Path::new("/dev/null"))
        );
    }

    #[test]
    fn namespaces_are_new_unless_named() {
        let settings = Settings {
            network: Namespace::Host,
            ipc: Namespace::Path("/proc/1/ns/ipc".into()),
            ..Settings::default()
        };
        let spec = default_spec(settings).unwrap();
        let linux = spec.linux().as_ref().unwrap();
        let list = linux.namespaces().as_ref().unwrap();
        assert!(list.iter().all(|n| n.typ() != LinuxNamespaceType::Network));
        let ipc = list
            .iter()
            .find(|n| n.typ() == LinuxNamespaceType::Ipc)
            .unwrap();
        assert_eq!(ipc.path().as_deref(), Some(Path::new("/proc/1/ns/ipc")));
        assert!(
            linux.sysctl().as_ref().unwrap().is_empty(),
            "the host's network parameters are not ours"
        );
    }

    #[test]
    fn the_environment_gets_what_it_lacks() {
        let settings = Settings {
            tty: true,
            env: strings(&["PATH=/x"]),
            hostname: "h".into(),
            ..Settings::default()
        };
        let spec = default_spec(settings).unwrap();
        let env = spec.process().as_ref().unwrap().env().clone().unwrap();
        assert_eq!(env, ["PATH=/x", "HOSTNAME=h", "TERM=xterm"]);
    }
}
