use oci_spec::runtime::LinuxResources;
use rustix::process::Signal;

use super::harness::{Container, alone, eventually};
use crate::runtime::cgroup::{Cgroup, remove_stale};

fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}

#[test]
fn memory_beyond_the_limit_is_killed_and_counted() {
    alone(memory_beyond_the_limit_is_killed_and_counted, || {
        let script =
            "echo up; x=$(dd if=/dev/zero bs=1M count=100 2>/dev/null | tr '\\0' x); echo survived";
        let container = Container::sh(script).with(|c| {
            c.settings.resources = resources(r#"{"memory":{"limit":16777216,"swap":16777216}}"#);
        });
        let mut live = container.start().unwrap();
        assert_eq!(live.cgroup().stats().unwrap().memory_limit, Some(16 << 20));
        super::harness::wait_for_exit_without_reaping(&live.running.pidfd);
        assert!(
            live.cgroup().oom_kills().unwrap() > 0,
            "counted while the cgroup is there"
        );
        let out = live.wait();
        assert_ne!(out.code, 0);
        assert!(!out.stdout.contains("survived"), "{out:?}");
    });
}

#[test]
fn forks_beyond_the_limit_fail() {
    alone(forks_beyond_the_limit_fail, || {
        let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; echo all";
        let container = Container::sh(script).with(|c| {
            c.settings.resources = resources(r#"{"pids":{"limit":5}}"#);
        });
        let out = container.run();
        assert!(out.stderr.contains("fork"), "{out:?}");
    });
}

#[test]
fn processor_limits_are_what_the_kernel_says() {
    alone(processor_limits_are_what_the_kernel_says, || {
        let container = Container::sh("echo up; sleep 1000").with(|c| {
            c.settings.resources =
                resources(r#"{"cpu":{"quota":25000,"period":100000,"shares":512}}"#);
        });
        let live = container.start().unwrap();
        let text = std::fs::read_to_string(format!("/proc/{}/cgroup", live.running.pid)).unwrap();
        let path = live.cgroup().path().display().to_string();
        assert!(text.contains(&path), "{text}");
        let found = [
            "/sys/fs/cgroup/cpu",
            "/sys/fs/cgroup/cpu,cpuacct",
            "/sys/fs/cgroup",
        ]
        .iter()
        .any(|top| {
            let read = |file: &str| {
                std::fs::read_to_string(format!("{top}/{path}/{file}")).unwrap_or_default()
            };
            read("cpu.cfs_quota_us").trim() == "25000" || read("cpu.max").trim() == "25000 100000"
        });
        assert!(found);
    });
}

#[test]
fn a_frozen_container_stands_still() {
    alone(a_frozen_container_stands_still, || {
        let live = Container::sh("while true; do echo x; done")
            .start()
            .unwrap();
        live.until("x");
        let length = || live.outcome("main", 0).stdout.len();
        live.cgroup().freeze().unwrap();
        assert!(live.cgroup().is_frozen().unwrap());
        let frozen = length();
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(length(), frozen);
        let error = live.exec(&["true"], |_| {}).unwrap_err();
        assert!(error.to_string().contains("paused"), "{error}");
        live.cgroup().thaw().unwrap();
        assert!(!live.cgroup().is_frozen().unwrap());
        eventually("it goes on", || length() > frozen);
    });
}

#[test]
fn frozen_processes_can_be_killed() {
    alone(frozen_processes_can_be_killed, || {
        let mut live = Container::sh("sleep 1000 & echo up; wait").start().unwrap();
        live.until("up");
        live.cgroup().freeze().unwrap();
        live.cgroup().kill_all().unwrap();
        assert_eq!(live.wait().code, 137);
    });
}

#[test]
fn usage_is_counted() {
    alone(usage_is_counted, || {
        let mut live = Container::sh("sleep 1000 & echo up; wait").start().unwrap();
        live.until("up");
        let stats = live.cgroup().stats().unwrap();
        assert_eq!(stats.pids, 2, "{stats:?}");
        assert!(stats.memory > 0 && stats.cpu_usec > 0, "{stats:?}");
        live.kill(Signal::KILL);
        live.wait();
    });
}

#[test]
fn what_a_killed_shim_left_is_swept() {
    alone(what_a_killed_shim_left_is_swept, || {
        let live = Container::sh("echo up; sleep 1000").start().unwrap();
        live.until("up");
        let path = live.container.settings.cgroup_path.clone();
        let reaper = std::thread::scope(|scope| {
            let wait = scope.spawn(|| super::harness::wait_for(&live.running.pidfd));
            remove_stale(&path).unwrap();
            wait.join().unwrap()
        });
        assert_eq!(reaper, 137);
        assert!(Cgroup::open(&path).is_err());
        remove_stale(&path).unwrap();
        live.abandon();
    });
}

#[test]
fn a_path_that_leads_outside_is_refused() {
    for path in ["", "/", "..", "/a/../../b"] {
        assert!(Cgroup::create(path.as_ref(), None).is_err(), "{path:?}");
        assert!(remove_stale(path.as_ref()).is_err(), "{path:?}");
    }
}

#[test]
fn its_own_cgroup_is_the_root_that_a_container_sees() {
    alone(its_own_cgroup_is_the_root_that_a_container_sees, || {
        let script = "grep ':.*/stack-test' /proc/self/cgroup; touch /sys/fs/cgroup/x 2>/dev/null && echo written;
            mkdir /sys/fs/cgroup/sub 2>/dev/null && echo made; cat /sys/fs/cgroup/cgroup.type /sys/fs/cgroup/unified/cgroup.type";
        let container = Container::sh(script).with(|c| {
            c.settings.resources = resources(r#"{"memory":{"limit":67108864}}"#);
        });
        let out = container.run();
        assert_eq!(out.stdout, "domain\n", "{out:?}");
    });
}
