//! Which cgroup hierarchies this machine has, and where.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::CgroupError;

/// A resource controller, or one of the two old hierarchies that v2 has no controller for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Memory,
    Pids,
    /// `io` on v2, `blkio` on v1.
    Io,
    Hugetlb,
    Freezer,
    Devices,
}

impl Controller {
    pub(crate) const ALL: [Self; 9] = [
        Self::Cpu,
        Self::Cpuacct,
        Self::Cpuset,
        Self::Memory,
        Self::Pids,
        Self::Io,
        Self::Hugetlb,
        Self::Freezer,
        Self::Devices,
    ];

    pub(crate) fn v1_name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Io => "blkio",
            Self::Hugetlb => "hugetlb",
            Self::Freezer => "freezer",
            Self::Devices => "devices",
        }
    }

    /// Its name in `cgroup.controllers`; `None` for what the v2 core or BPF does.
    pub(crate) fn v2_name(self) -> Option<&'static str> {
        match self {
            Self::Cpu => Some("cpu"),
            Self::Cpuset => Some("cpuset"),
            Self::Memory => Some("memory"),
            Self::Pids => Some("pids"),
            Self::Io => Some("io"),
            Self::Hugetlb => Some("hugetlb"),
            Self::Cpuacct | Self::Freezer | Self::Devices => None,
        }
    }
}

/// The v2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unified {
    pub(crate) mount: PathBuf,
    /// What is not held by a v1 hierarchy.
    pub(crate) controllers: Vec<Controller>,
}

/// The hierarchies of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) v2: Option<Unified>,
    /// Each v1 controller with the mount point of its hierarchy; controllers that are mounted
    /// together have the same one.
    pub(crate) v1: Vec<(Controller, PathBuf)>,
}

impl Layout {
    /// Reads this machine's.
    pub(crate) fn detect() -> Result<Self, CgroupError> {
        let path = Path::new("/proc/self/mountinfo");
        // In one go: a file that says it is empty is read in small pieces otherwise, and the kernel
        // makes the text anew for each.
        let mut text = String::with_capacity(32 * 1024);
        fs::File::open(path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(|e| CgroupError::io("read", path, e))?;
        let mut layout = Self::parse(&text);
        if let Some(v2) = &mut layout.v2 {
            let file = v2.mount.join("cgroup.controllers");
            let names = fs::read_to_string(&file).map_err(|e| CgroupError::io("read", &file, e))?;
            v2.controllers = controllers_v2(&names);
        }
        if layout.v2.is_none() && layout.v1.is_empty() {
            return Err(CgroupError::NotMounted);
        }
        Ok(layout)
    }

    /// From the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)); v2 without its controllers.
    pub(crate) fn parse(mountinfo: &str) -> Self {
        let mut layout = Self::default();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(mount) = left.split(' ').nth(4).map(unescape) else {
                continue;
            };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) if layout.v2.is_none() => {
                    layout.v2 = Some(Unified {
                        mount,
                        controllers: Vec::new(),
                    });
                }
                (Some("cgroup"), Some(options)) => layout.add_v1(options, &mount),
                _ => {}
            }
        }
        layout
    }

    fn add_v1(&mut self, options: &str, mount: &Path) {
        for controller in Controller::ALL {
            let named = options
                .split(',')
                .any(|option| option == controller.v1_name());
            if named && self.v1_mount(controller).is_none() {
                self.v1.push((controller, mount.to_path_buf()));
            }
        }
    }

    /// The v1 hierarchy of a controller.
    pub(crate) fn v1_mount(&self, controller: Controller) -> Option<&Path> {
        self.v1
            .iter()
            .find(|(c, _)| *c == controller)
            .map(|(_, mount)| mount.as_path())
    }

    /// Whether v2 has this controller.
    pub(crate) fn unified_has(&self, controller: Controller) -> bool {
        self.v2
            .as_ref()
            .is_some_and(|v2| v2.controllers.contains(&controller))
    }
}

/// Those that a v2 cgroup has; one that is just going away has none.
pub(crate) fn controllers_of(directory: &Path) -> Vec<Controller> {
    let names = fs::read_to_string(directory.join("cgroup.controllers"));
    controllers_v2(&names.unwrap_or_default())
}

/// From the text of `cgroup.controllers`.
pub(crate) fn controllers_v2(names: &str) -> Vec<Controller> {
    let names: Vec<&str> = names.split_whitespace().collect();
    Controller::ALL
        .into_iter()
        .filter(|c| c.v2_name().is_some_and(|name| names.contains(&name)))
        .collect()
}

/// Mount points have space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &rest[4..] } else { tail };
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pure_v2_machine_has_one_hierarchy() {
        let layout = Layout::parse(
            "26 24 0:22 / /sys rw - sysfs sysfs rw\n\
             30 26 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate",
        );
        assert_eq!(layout.v2.unwrap().mount, Path::new("/sys/fs/cgroup"));
        assert!(layout.v1.is_empty());
    }

    #[test]
    fn a_hybrid_machine_has_both_and_controllers_can_share_a_hierarchy() {
        let layout = Layout::parse(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw",
        );
        assert_eq!(
            layout.v2.as_ref().unwrap().mount,
            Path::new("/sys/fs/cgroup/uni fied")
        );
        assert_eq!(
            layout.v1_mount(Controller::Cpu),
            Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(
            layout.v1_mount(Controller::Cpuacct),
            layout.v1_mount(Controller::Cpu)
        );
        assert_eq!(layout.v1_mount(Controller::Memory), None);
    }

    #[test]
    fn nonsense_is_no_hierarchy() {
        for text in [
            "",
            "\n\n",
            "a b c",
            "1 2 3 4 5 6 - cgroup",
            " - cgroup2 x y",
            "x - ",
        ] {
            let layout = Layout::parse(text);
            assert!(layout.v1.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn v2_controllers_are_known_by_their_v2_names() {
        assert_eq!(
            controllers_v2("cpuset cpu io memory hugetlb pids rdma misc\n"),
            [
                Controller::Cpu,
                Controller::Cpuset,
                Controller::Memory,
                Controller::Pids,
                Controller::Io,
                Controller::Hugetlb
            ]
        );
    }
}
