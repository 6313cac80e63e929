//! Each kind of machine, as far as this one has its hierarchies: a test says so when it cannot run.

use std::process::{Child, Command};

use super::*;

fn resources(json: &str) -> oci_spec::runtime::LinuxResources {
    serde_json::from_str(json).unwrap()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("/stack-test-{}/{name}", std::process::id()))
}

/// A process that is killed and reaped, and a cgroup that is removed, whatever happens.
struct Scene {
    cgroup: Cgroup,
    child: Child,
}

impl Scene {
    fn new(cgroup: Cgroup) -> Self {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let scene = Self { cgroup, child };
        scene.cgroup.add(scene.child.id() as i32).unwrap();
        scene
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.cgroup.thaw();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.cgroup.remove();
    }
}

/// The v1 hierarchies of this machine alone.
fn only_v1() -> Option<Layout> {
    let layout = Layout {
        v2: None,
        ..Layout::detect().unwrap()
    };
    let needed = [
        Controller::Freezer,
        Controller::Devices,
        Controller::Pids,
        Controller::Memory,
    ];
    let there = needed
        .iter()
        .all(|controller| layout.v1_mount(*controller).is_some());
    if !there {
        eprintln!("SKIPPED: this machine has no v1 hierarchies");
    }
    there.then_some(layout)
}

#[test]
fn on_v1_alone_limits_freezing_and_killing_work() {
    let Some(layout) = only_v1() else { return };
    let limits = resources(r#"{"memory":{"limit":33554432},"pids":{"limit":7}}"#);
    let cgroup = Cgroup::create_on(&layout, &path("v1"), Some(&limits)).unwrap();
    let mut scene = Scene::new(cgroup);
    let cgroup = scene.cgroup.clone();
    let stats = cgroup.stats().unwrap();
    assert_eq!(
        (stats.memory_limit, stats.pids),
        (Some(33_554_432), 1),
        "{stats:?}"
    );
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.kill_all().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&scene.child.wait().unwrap()),
        Some(9)
    );
    assert_eq!(cgroup.oom_kills().unwrap(), 0);
    cgroup.remove().unwrap();
    let left = layout
        .v1
        .iter()
        .any(|(_, mount)| mount.join(&cgroup.path).exists());
    assert!(!left);
}

#[test]
fn on_v1_alone_devices_are_restricted() {
    let Some(layout) = only_v1() else { return };
    let cgroup = Cgroup::create_on(&layout, &path("devices"), None).unwrap();
    let scene = Scene::new(cgroup);
    let procs = scene
        .cgroup
        .v1_directory(Controller::Devices)
        .unwrap()
        .join("cgroup.procs");
    let script = format!(
        "echo $$ > {} && : < /dev/null && : < /dev/kmsg",
        procs.display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("/dev/kmsg"),
        "{text}"
    );
}

#[test]
fn on_v2_controllers_are_handed_down_to_where_the_limit_is() {
    let layout = Layout::detect().unwrap();
    let table = [
        (Controller::Pids, r#"{"pids":{"limit":7}}"#, "pids.max", "7"),
        (
            Controller::Memory,
            r#"{"memory":{"limit":33554432}}"#,
            "memory.max",
            "33554432",
        ),
        (
            Controller::Hugetlb,
            r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#,
            "hugetlb.2MB.max",
            "4194304",
        ),
    ];
    let mut tried = 0;
    for (controller, json, file, want) in table {
        if !layout.unified_has(controller) {
            continue;
        }
        tried += 1;
        let cgroup = Cgroup::create_on(&layout, &path("limit"), Some(&resources(json))).unwrap();
        let scene = Scene::new(cgroup);
        let dir = scene.cgroup.v2.clone().unwrap();
        assert_eq!(read(&dir.join(file)).unwrap().trim(), want);
        drop(scene);
        if let (Controller::Hugetlb, Some(v2)) = (controller, &layout.v2) {
            // Which nobody else here asks for; refused while somebody does.
            let _ = write(&v2.mount.join("cgroup.subtree_control"), "-hugetlb");
        }
    }
    if tried == 0 {
        eprintln!("SKIPPED: the v2 hierarchy of this machine has none of these controllers");
    }
}

#[test]
fn a_limit_that_no_controller_can_keep_is_an_error_and_leaves_nothing() {
    let layout = Layout {
        v1: Vec::new(),
        ..Layout::detect().unwrap()
    };
    if layout.v2.is_none() || layout.unified_has(Controller::Io) {
        eprintln!("SKIPPED: needs a v2 hierarchy without the io controller");
        return;
    }
    let limits =
        resources(r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1000}]}}"#);
    let path = path("missing");
    let error = Cgroup::create_on(&layout, &path, Some(&limits)).unwrap_err();
    assert!(
        matches!(
            error,
            CgroupError::MissingController {
                controller: "blkio",
                ..
            }
        ),
        "{error}"
    );
    assert!(Cgroup::open(&path).is_err());
}

#[test]
fn a_freeze_that_is_seen_by_v2_ends_with_a_thaw() {
    let cgroup = Cgroup::create(&path("thaw"), None).unwrap();
    let scene = Scene::new(cgroup);
    scene.cgroup.freeze().unwrap();
    scene.cgroup.thaw().unwrap();
    assert!(!scene.cgroup.is_frozen().unwrap());
    scene.cgroup.freeze().unwrap();
    assert!(scene.cgroup.is_frozen().unwrap());
}
