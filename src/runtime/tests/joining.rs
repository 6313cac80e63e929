use std::fs;

use super::harness::{Container, alone};
use crate::runtime::failure::StartError;
use crate::runtime::spec::Namespace;

#[test]
fn a_second_program_is_in_the_container() {
    alone(a_second_program_is_in_the_container, || {
        let live = Container::sh("echo up; sleep 1000").start().unwrap();
        live.until("up");
        let script = "hostname; readlink /proc/self/ns/pid; readlink /proc/1/ns/pid; cat /proc/1/comm; id -u; \
            grep -E 'CapEff|Seccomp:' /proc/self/status; cat /proc/self/cgroup | grep -c stack-test";
        let out = live.exec(&["sh", "-c", script], |_| {}).unwrap();
        let lines: Vec<&str> = out.stdout.lines().collect();
        assert_eq!(lines[0], "box", "{out:?}");
        assert_eq!(lines[1], lines[2]);
        assert_eq!(
            &lines[3..],
            [
                "sleep",
                "0",
                "CapEff:\t00000000a80425fb",
                "Seccomp:\t2",
                "0"
            ],
            "{out:?}"
        );
    });
}

#[test]
fn exec_has_a_user_and_errors_of_its_own() {
    alone(exec_has_a_user_and_errors_of_its_own, || {
        let live = Container::sh("echo up; sleep 1000").start().unwrap();
        live.until("up");
        assert_eq!(
            live.exec_as(Some("www"), &["id", "-u"], |_| {})
                .unwrap()
                .stdout,
            "33\n"
        );
        let error = live.exec(&["nothing"], |_| {}).unwrap_err();
        assert!(matches!(error, StartError::NotFound { .. }), "{error:?}");
        let error = live.exec_as(Some("who"), &["id"], |_| {}).unwrap_err();
        assert!(error.to_string().contains("no user `who`"), "{error}");
        let out = live.exec(&["sh", "-c", "exit 5"], |p| {
            p.set_cwd("/data".into());
        });
        assert_eq!(out.unwrap().code, 5);
        // After all of that the caller makes children in its own pid namespace again.
        let own = fs::read_link("/proc/self/ns/pid").unwrap();
        assert_eq!(
            fs::read_link("/proc/self/ns/pid_for_children").unwrap(),
            own
        );
    });
}

#[test]
fn a_container_that_has_ended_takes_no_exec() {
    alone(a_container_that_has_ended_takes_no_exec, || {
        let live = Container::sh("exit 0").start().unwrap();
        super::harness::wait_for_exit_without_reaping(&live.running.pidfd);
        let error = live.exec(&["true"], |_| {}).unwrap_err();
        assert_eq!(error.exit_code(), 128, "{error}");
    });
}

#[test]
fn namespaces_of_another_container_can_be_shared() {
    alone(namespaces_of_another_container_can_be_shared, || {
        let first = Container::sh("echo up; sleep 1000").start().unwrap();
        first.until("up");
        let of =
            |kind: &str| Namespace::Path(format!("/proc/{}/ns/{kind}", first.running.pid).into());
        let script = "cat /proc/1/comm; readlink /proc/self/ns/net; readlink /proc/1/ns/net; readlink /proc/self/ns/ipc; \
            readlink /proc/1/ns/ipc";
        let second = Container::sh(script).with(|c| {
            c.settings.pid = of("pid");
            c.settings.network = of("net");
            c.settings.ipc = of("ipc");
        });
        let out = second.run();
        let lines: Vec<&str> = out.stdout.lines().collect();
        assert_eq!(lines[0], "sleep", "{out:?}");
        assert_eq!((lines[1], lines[3]), (lines[2], lines[4]), "{out:?}");
    });
}

#[test]
fn the_hosts_namespaces_can_be_used() {
    alone(the_hosts_namespaces_can_be_used, || {
        let container = Container::sh("readlink /proc/self/ns/net; readlink /proc/self/ns/pid")
            .with(|c| {
                c.settings.network = Namespace::Host;
                c.settings.pid = Namespace::Host;
            });
        let link = |kind: &str| {
            fs::read_link(format!("/proc/self/ns/{kind}"))
                .unwrap()
                .display()
                .to_string()
        };
        assert_eq!(
            container.run().stdout,
            format!("{}\n{}\n", link("net"), link("pid"))
        );
    });
}
