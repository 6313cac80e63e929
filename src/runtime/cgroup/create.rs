//! Making a cgroup: directories, controllers, limits, device rules.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};

use super::layout::{Controller, Layout, Unified};
use super::limits::{Need, Setting};
use super::{Cgroup, CgroupError, devices, limits, read, relative, remove_empty_parents, write};
use crate::sys::bpf;

/// Controllers that every container gets on v2, for its numbers and for the count of processes
/// killed for memory.
const ALWAYS_V2: [Controller; 4] = [
    Controller::Memory,
    Controller::Pids,
    Controller::Cpu,
    Controller::Io,
];
/// The same where there is no v2: freezing, killing and devices too.
const ALWAYS_V1: [Controller; 6] = [
    Controller::Freezer,
    Controller::Devices,
    Controller::Memory,
    Controller::Pids,
    Controller::Cpu,
    Controller::Cpuacct,
];

impl Cgroup {
    /// Creates the cgroup (a leftover of the same path is taken over) with its limits and device
    /// rules. On an error nothing is left.
    pub fn create(path: &Path, resources: Option<&LinuxResources>) -> Result<Self, CgroupError> {
        Self::create_on(&Layout::detect()?, path, resources)
    }

    /// The same on given hierarchies.
    pub(super) fn create_on(
        layout: &Layout,
        path: &Path,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, CgroupError> {
        let path = relative(path)?;
        let unlimited = LinuxResources::default();
        let resources = resources.unwrap_or(&unlimited);
        let mut cgroup = Self {
            path,
            v2: None,
            v2_controllers: Vec::new(),
            v1: Vec::new(),
        };
        match cgroup.build(layout, resources) {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                // The first error says what went wrong; an empty directory is removed or it is not.
                let _ = cgroup.remove();
                Err(error)
            }
        }
    }

    fn build(&mut self, layout: &Layout, resources: &LinuxResources) -> Result<(), CgroupError> {
        let mut settings = Vec::new();
        settings.extend(
            limits::v2(resources)
                .into_iter()
                .filter(|s| layout.unified_has(s.controller)),
        );
        let on_v1 = limits::v1(resources)
            .into_iter()
            .filter(|s| !layout.unified_has(s.controller));
        let on_v1: Vec<Setting> = on_v1.collect();

        if let Some(unified) = &layout.v2 {
            self.create_v2(unified, &settings)?;
        } else {
            for controller in ALWAYS_V1 {
                self.create_v1(layout, controller)?;
            }
        }
        for setting in &on_v1 {
            self.create_v1(layout, setting.controller)?;
            if self.v1_directory(setting.controller).is_none() && setting.need == Need::Must {
                let controller = setting.controller.v1_name();
                return Err(CgroupError::MissingController {
                    controller,
                    file: setting.file.clone(),
                });
            }
        }
        for setting in settings.iter().chain(&on_v1) {
            self.apply(setting)?;
        }
        self.write_raw(resources)?;
        self.restrict_devices(layout, resources)
    }

    fn create_v2(&mut self, unified: &Unified, settings: &[Setting]) -> Result<(), CgroupError> {
        let wanted =
            |c: &Controller| ALWAYS_V2.contains(c) || settings.iter().any(|s| s.controller == *c);
        self.v2_controllers = unified.controllers.iter().copied().filter(wanted).collect();
        let dir = unified.mount.join(&self.path);
        self.v2 = Some(dir.clone());
        if make_directories(&dir, &self.path)? == Made::Nothing && self.v2_controllers.is_empty() {
            return Ok(());
        }
        let names = self.v2_controllers.iter().filter_map(|c| c.v2_name());
        let enable: Vec<String> = names.map(|name| format!("+{name}")).collect();
        if enable.is_empty() {
            return Ok(());
        }
        let enable = enable.join(" ");
        let depth = self.path.components().count();
        let mut above: Vec<&Path> = dir.ancestors().skip(1).take(depth).collect();
        above.reverse();
        for parent in above {
            delegate(parent, &unified.mount, &enable)?;
        }
        Ok(())
    }

    fn create_v1(&mut self, layout: &Layout, controller: Controller) -> Result<(), CgroupError> {
        if self.v1_directory(controller).is_some() {
            return Ok(());
        }
        let Some(mount) = layout.v1_mount(controller) else {
            return Ok(());
        };
        let dir = mount.join(&self.path);
        // With those that are mounted together with it.
        let together = layout.v1.iter().filter(|(_, other)| other == mount);
        self.v1
            .extend(together.map(|(controller, _)| (*controller, dir.clone())));
        make_directories(&dir, &self.path)?;
        if controller == Controller::Cpuset {
            inherit_cpuset(&dir, &self.path)?;
        }
        Ok(())
    }

    fn apply(&self, setting: &Setting) -> Result<(), CgroupError> {
        let unified = self
            .v2_controllers
            .contains(&setting.controller)
            .then_some(self.v2.as_deref())
            .flatten();
        let Some(dir) = unified.or_else(|| self.v1_directory(setting.controller)) else {
            return Ok(());
        };
        let path = dir.join(&setting.file);
        match fs::write(&path, &setting.value) {
            Err(e) if setting.need == Need::Nice && is_absent(&e) => Ok(()),
            Err(e) if is_absent(&e) => Err(CgroupError::io("write", &path, e)),
            Err(source) => Err(CgroupError::Limit {
                path,
                value: setting.value.clone(),
                source,
            }),
            Ok(()) => Ok(()),
        }
    }

    /// `resources.unified`: v2 files by name.
    fn write_raw(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        for (file, value) in resources.unified().iter().flatten() {
            let Some(dir) = self
                .v2
                .as_deref()
                .filter(|_| !file.contains('/') && file != "..")
            else {
                return Err(CgroupError::MissingController {
                    controller: "cgroup2",
                    file: file.clone(),
                });
            };
            let path = dir.join(file);
            fs::write(&path, value).map_err(|source| CgroupError::Limit {
                path,
                value: value.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn restrict_devices(
        &mut self,
        layout: &Layout,
        resources: &LinuxResources,
    ) -> Result<(), CgroupError> {
        let rules = devices::rules(resources.devices().as_deref().unwrap_or_default());
        if devices::is_unrestricted(&rules) {
            return Ok(());
        }
        let bpf_error = match &self.v2 {
            Some(dir) => match attach_device_program(dir, &rules) {
                Ok(()) => return Ok(()),
                Err(source) => Some(source),
            },
            None => None,
        };
        // A kernel without CONFIG_CGROUP_BPF, or without permission for bpf(2): v1 does it too.
        self.create_v1(layout, Controller::Devices)?;
        let Some(dir) = self.v1_directory(Controller::Devices) else {
            let source = bpf_error.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENODEV));
            return Err(CgroupError::Devices { source });
        };
        devices::v1_lines(&rules)
            .iter()
            .try_for_each(|(file, line)| write(&dir.join(file), line))
    }
}

/// Whether the kernel has no such file (cgroup directories do not let one be created), or no
/// scheduler at work that would heed it.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::EPERM | libc::EACCES | libc::EOPNOTSUPP)
    )
}

fn attach_device_program(dir: &Path, rules: &[devices::Rule]) -> io::Result<()> {
    let program = bpf::load_device_program(&devices::program(rules))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(dir, flags, Mode::empty())?;
    bpf::attach_device_program(&dir, program.as_fd())
}

#[derive(PartialEq, Eq)]
enum Made {
    /// It was there.
    Nothing,
    Something,
}

/// `mkdir -p`, again when another container's removal takes an empty parent away in between.
fn make_directories(dir: &Path, path: &Path) -> Result<Made, CgroupError> {
    for attempt in 0.. {
        let result = match fs::create_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => fs::create_dir_all(dir),
            other => other,
        };
        match result {
            Ok(()) => return Ok(Made::Something),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {
                return Ok(Made::Nothing);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < 10 => {}
            Err(e) => {
                remove_empty_parents(dir, path);
                return Err(CgroupError::io("create the cgroup", dir, e));
            }
        }
    }
    Ok(Made::Nothing)
}

/// Lets the children of `parent` have these controllers.
fn delegate(parent: &Path, mount: &Path, enable: &str) -> Result<(), CgroupError> {
    let file = parent.join("cgroup.subtree_control");
    let present = read(&file)?;
    let has = |name: &str| present.split_whitespace().any(|p| p == name);
    if enable
        .split(' ')
        .all(|name| has(name.trim_start_matches('+')))
    {
        return Ok(());
    }
    match fs::write(&file, enable) {
        Ok(()) => Ok(()),
        // "No internal processes": inside a container the root of the hierarchy that we see is an
        // ordinary cgroup, with the processes of that container in it. They move to a leaf.
        Err(e) if e.raw_os_error() == Some(libc::EBUSY) && parent == mount => {
            move_processes_to_leaf(mount)?;
            write(&file, enable)
        }
        Err(e) => Err(CgroupError::io("enable controllers in", &file, e)),
    }
}

fn move_processes_to_leaf(mount: &Path) -> Result<(), CgroupError> {
    let leaf = mount.join("stack.init");
    make_directories(&leaf, Path::new("stack.init"))?;
    for pid in read(&mount.join("cgroup.procs"))?.lines() {
        match fs::write(leaf.join("cgroup.procs"), pid) {
            Ok(()) => {}
            // It ended in the meantime.
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
            Err(e) => return Err(CgroupError::io("move processes to", &leaf, e)),
        }
    }
    Ok(())
}

/// v1's cpuset starts empty and takes no process before it has processors and memory nodes.
fn inherit_cpuset(dir: &Path, path: &Path) -> Result<(), CgroupError> {
    let depth = path.components().count();
    let mut chain: Vec<PathBuf> = dir
        .ancestors()
        .take(depth + 1)
        .map(Path::to_path_buf)
        .collect();
    chain.reverse();
    for pair in chain.windows(2) {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if read(&pair[1].join(file))?.trim().is_empty() {
                write(&pair[1].join(file), read(&pair[0].join(file))?.trim())?;
            }
        }
    }
    Ok(())
}
