use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use super::harness::{Container, alone};
use crate::runtime::bundle::Seccomp;
use crate::runtime::failure::Step;
use crate::runtime::spec::GivenDevice;

#[test]
fn capabilities_are_dockers() {
    alone(capabilities_are_dockers, || {
        let out = Container::sh("grep ^Cap /proc/self/status").run();
        assert_eq!(
            out.stdout,
            "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
             CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n"
        );
        let out = Container::sh("grep ^CapEff /proc/self/status; grep ^CapBnd /proc/self/status")
            .with(|c| c.config.user = Some("www".into()))
            .run();
        assert_eq!(
            out.stdout,
            "CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n"
        );
        let out = Container::sh("grep ^CapBnd /proc/self/status")
            .with(|c| c.settings.cap_drop = vec!["ALL".into()]);
        assert_eq!(out.run().stdout, "CapBnd:\t0000000000000000\n");
    });
}

#[test]
fn the_default_filter_refuses_new_namespaces() {
    alone(the_default_filter_refuses_new_namespaces, || {
        // With a user namespace no capability is needed: only the filter stands in the way.
        let script = "grep ^Seccomp: /proc/self/status; unshare -U true 2>/dev/null && echo made";
        assert_eq!(Container::sh(script).run().stdout, "Seccomp:\t2\n");
        let open = Container::sh(script).with(|c| c.config.seccomp = Seccomp::Unconfined);
        assert_eq!(open.run().stdout, "Seccomp:\t0\nmade\n");
    });
}

#[test]
fn no_new_privileges_is_set_where_asked() {
    alone(no_new_privileges_is_set_where_asked, || {
        let script = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status";
        assert_eq!(
            Container::sh(script).run().stdout,
            "NoNewPrivs:\t0\nSeccomp:\t2\n"
        );
        let strict = Container::sh(script).with(|c| c.settings.no_new_privileges = true);
        assert_eq!(strict.run().stdout, "NoNewPrivs:\t1\nSeccomp:\t2\n");
    });
}

#[test]
fn devices_of_the_host_can_be_made_but_not_opened() {
    alone(devices_of_the_host_can_be_made_but_not_opened, || {
        // 1:1 is /dev/mem, 254:0 and 8:0 disks, 10:237 loop-control, 1:3 null again.
        let script =
            "mknod /mem c 1 1 && echo made; cat /mem 2>&1 >/dev/null | grep -c 'not permitted'
            mknod /disk b 254 0; head -c 1 /disk 2>&1 | grep -c 'not permitted'
            mknod /loop c 10 237; (: < /loop) 2>&1 | grep -c 'not permitted'
            mknod /null c 1 3; echo x > /null && echo null";
        let out = Container::sh(script).run();
        assert_eq!(out.stdout, "made\n1\n1\n1\nnull\n", "{out:?}");
    });
}

#[test]
fn a_device_that_is_given_can_be_opened() {
    alone(a_device_that_is_given_can_be_opened, || {
        let container = Container::sh("test -c /dev/sub/kmsg && (: < /dev/sub/kmsg) && echo open; (: > /dev/sub/kmsg) && echo written").with(|c| {
            let json = r#"{"path":"/dev/sub/kmsg","type":"c","major":1,"minor":11,"fileMode":416,"uid":0,"gid":0}"#;
            c.settings.devices = vec![GivenDevice {
                node: serde_json::from_str(json).unwrap(),
                access: "r".into(),
            }];
            c.settings.cap_add = vec!["SYSLOG".into()];
        });
        let out = container.run();
        assert_eq!(out.stdout, "open\n", "{out:?}");
        let script = "mknod /kmsg c 1 11; (: < /kmsg) && echo open";
        let refused = Container::sh(script).with(|c| c.settings.cap_add = vec!["SYSLOG".into()]);
        assert_eq!(refused.run().stdout, "");
    });
}

#[test]
fn sensitive_paths_are_masked_or_read_only() {
    alone(sensitive_paths_are_masked_or_read_only, || {
        let script = "wc -c < /proc/timer_list; wc -c < /proc/keys; ls /sys/firmware | wc -l; ls -A /proc/scsi 2>/dev/null | wc -l
            for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/profiling; do
              (echo x > $f) 2>/dev/null && echo written $f
            done
            chmod 777 /proc/timer_list 2>/dev/null && echo changed
            ls /proc/irq >/dev/null && echo readable";
        let out = Container::sh(script).run();
        assert_eq!(out.stdout, "0\n0\n0\n0\nreadable\n", "{out:?}");
    });
}

#[test]
fn privileged_may_what_others_may_not() {
    alone(privileged_may_what_others_may_not, || {
        let script = "mount -t tmpfs none /data && echo mounted; test -e /dev/kmsg && (: < /dev/kmsg) && echo kmsg; \
            grep ^Seccomp: /proc/self/status";
        let container = Container::sh(script).with(|c| {
            c.settings.privileged = true;
            c.config.seccomp = Seccomp::Unconfined;
        });
        let out = container.run();
        assert_eq!(out.stdout, "mounted\nkmsg\nSeccomp:\t0\n", "{out:?}");
        assert_eq!(
            Container::sh("mount -t tmpfs none /data 2>/dev/null && echo mounted")
                .run()
                .stdout,
            ""
        );
    });
}

#[test]
fn no_descriptor_and_no_environment_of_the_host_is_inside() {
    alone(
        no_descriptor_and_no_environment_of_the_host_is_inside,
        || {
            // One that is not close-on-exec, as careless callers have them; 3 is the shell's own, of
            // the directory that it lists.
            let leaked =
                rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
                    .unwrap();
            let out =
                Container::sh("echo /proc/self/fd/*; env | sort | grep -v -E '^(_|PWD|SHLVL)='")
                    .run();
            assert_eq!(
                out.stdout.split_once("HOME").unwrap().0,
                "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n",
                "{out:?}"
            );
            let names: Vec<_> = out
                .stdout
                .lines()
                .filter_map(|l| l.split_once('='))
                .map(|(n, _)| n)
                .collect();
            assert_eq!(names.len(), 3, "{out:?}");
            drop(leaked);
        },
    );
}

#[test]
fn cve_2024_21626_a_working_directory_cannot_be_a_leaked_descriptor() {
    alone(
        cve_2024_21626_a_working_directory_cannot_be_a_leaked_descriptor,
        || {
            let leaked =
                rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
                    .unwrap();
            for number in 0..12 {
                let path = format!("/proc/self/fd/{number}");
                let container = Container::sh("cat etc/hostname; test -e bin/bash && echo escaped");
                let container = container.with(|c| c.settings.cwd = path.clone().into());
                match container.start() {
                    Err(error) => {
                        assert_eq!(error.step(), Step::WorkingDirectory, "{path}: {error}")
                    }
                    Ok(mut live) => assert!(!live.wait().stdout.contains("escaped"), "{path}"),
                }
                // The same for the program, and for exec.
                let program = format!("/proc/self/fd/{number}/bin/true");
                assert!(Container::new(&[&program]).start().is_err(), "{program}");
            }
            let live = Container::sh("echo up; sleep 1000").start().unwrap();
            live.until("up");
            for number in 3..12 {
                let out = live.exec(&["true"], |p| {
                    p.set_cwd(format!("/proc/self/fd/{number}").into());
                });
                assert!(out.is_err(), "exec in {number}");
            }
            drop(leaked);
        },
    );
}

#[test]
fn cve_2019_5736_our_program_cannot_be_opened_from_inside() {
    alone(
        cve_2019_5736_our_program_cannot_be_opened_from_inside,
        || {
            // With init, PID 1 stays our program.
            let init = crate::runtime::container::Init {
                prepare_program: || {},
                supervise: |program| loop {
                    let pid = rustix::process::Pid::from_raw(program);
                    if rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).is_ok()
                    {
                        crate::sys::clone::exit_now(0)
                    }
                },
            };
            let script = "(: < /proc/1/exe) 2>/dev/null && echo read; (: >> /proc/1/exe) 2>/dev/null && echo written; echo done";
            let out = Container::sh(script).with(|c| c.init = Some(init)).run();
            assert_eq!(out.stdout, "done\n", "{out:?}");
        },
    );
}

#[test]
fn cve_2023_27561_proc_cannot_be_moved_by_a_link() {
    alone(cve_2023_27561_proc_cannot_be_moved_by_a_link, || {
        for place in ["proc", "sys"] {
            let container = Container::sh("true").with(|c| {
                fs::create_dir(c.layer().join("elsewhere")).unwrap();
                symlink("/elsewhere", c.layer().join(place)).unwrap();
            });
            let error = container.fails();
            assert_eq!(error.step(), Step::Mount, "{place}: {error}");
        }
    });
}

#[test]
fn cve_2019_16884_nothing_is_mounted_over_proc() {
    alone(cve_2019_16884_nothing_is_mounted_over_proc, || {
        let volume = tempfile::tempdir().unwrap();
        fs::create_dir_all(volume.path().join("self/attr")).unwrap();
        let error = Container::sh("true")
            .mount(volume.path(), "/proc", &["rbind"])
            .fails();
        assert_eq!(error.step(), Step::Mount, "{error}");
        // By a link in the image, or a longer name of it.
        let container = Container::sh("true")
            .mount(volume.path(), "/link", &["rbind"])
            .with(|c| {
                symlink("/proc", c.layer().join("link")).unwrap();
            });
        assert_eq!(container.fails().step(), Step::Mount);
        let error = Container::sh("true")
            .mount(volume.path(), "/dev/../proc", &["rbind"])
            .fails();
        assert_eq!(error.step(), Step::Mount, "{error}");
    });
}

#[test]
fn cve_2025_31133_a_false_null_device_masks_nothing() {
    alone(cve_2025_31133_a_false_null_device_masks_nothing, || {
        // An image whose /dev/null is a link: /dev is ours, so it plays no part.
        let container = Container::sh("wc -c < /proc/timer_list; test -c /dev/null && echo device")
            .with(|c| {
                fs::create_dir(c.layer().join("dev")).unwrap();
                symlink("/proc/sys/kernel/core_pattern", c.layer().join("dev/null")).unwrap();
            });
        let out = container.run();
        assert_eq!(out.stdout, "0\ndevice\n", "{out:?}");
        // Without a /dev of ours masks come from the host's null device.
        let container =
            Container::sh("wc -c < /proc/timer_list; mount | grep -c timer_list").with(|c| {
                fs::create_dir(c.layer().join("dev")).unwrap();
                symlink("/proc/sys/kernel/core_pattern", c.layer().join("dev/null")).unwrap();
                c.change = |spec| {
                    let kept = spec.mounts().clone().unwrap();
                    let kept = kept
                        .into_iter()
                        .filter(|m| !m.destination().starts_with("/dev"))
                        .collect();
                    spec.set_mounts(Some(kept));
                };
            });
        let out = container.run();
        assert_eq!(out.stdout, "0\n1\n", "{out:?}");
    });
}

#[test]
fn cve_2025_52565_a_false_terminal_is_not_used() {
    alone(cve_2025_52565_a_false_terminal_is_not_used, || {
        use crate::runtime::container::StdioSetup;
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let container = Container::sh("true").with(|c| {
            c.settings.tty = true;
            c.file("dev/pts/ptmx", "");
            c.change = |spec| {
                let kept = spec.mounts().clone().unwrap();
                let kept = kept
                    .into_iter()
                    .filter(|m| !m.destination().starts_with("/dev"))
                    .collect();
                spec.set_mounts(Some(kept));
            };
        });
        let kind = SocketType::STREAM;
        let (_ours, console) =
            socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        let spec = container.spec();
        let error = container
            .create_with(
                &spec,
                StdioSetup::Terminal {
                    console,
                    size: (0, 0),
                },
            )
            .unwrap_err();
        assert_eq!(error.step(), Step::Terminal, "{error}");
    });
}

#[test]
fn cve_2025_52881_parameters_are_not_written_through_the_image() {
    alone(
        cve_2025_52881_parameters_are_not_written_through_the_image,
        || {
            // The image's own /proc/sys is what a naive writer would find.
            let container = Container::sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start")
                .with(|c| {
                    c.file("proc/sys/net/ipv4/ip_unprivileged_port_start", "image");
                });
            assert_eq!(container.run().stdout, "0\n");
        },
    );
}

#[test]
fn hostile_account_files_do_not_hang_or_fill_memory() {
    alone(hostile_account_files_do_not_hang_or_fill_memory, || {
        let container = Container::sh("true").with(|c| {
            let passwd = c.layer().join("etc/passwd");
            fs::remove_file(&passwd).unwrap();
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &passwd,
                rustix::fs::FileType::Fifo,
                mode,
                0,
            )
            .unwrap();
        });
        assert_eq!(container.fails().step(), Step::User);
        let container = Container::sh("true").with(|c| {
            let passwd = fs::File::create(c.layer().join("etc/passwd")).unwrap();
            passwd.set_len(1 << 40).unwrap();
        });
        assert_eq!(container.fails().step(), Step::User);
        // A link to the host's file is looked up inside.
        let container = Container::sh("id -u").with(|c| {
            fs::remove_file(c.layer().join("etc/passwd")).unwrap();
            symlink(
                "../../../../../../../../etc/passwd",
                c.layer().join("etc/passwd"),
            )
            .unwrap();
            c.config.user = Some("daemon".into());
        });
        assert!(
            container.fails().step() == Step::User,
            "{}",
            Path::new("/etc/passwd").display()
        );
    });
}

#[test]
fn keys_of_the_caller_are_out_of_reach() {
    alone(keys_of_the_caller_are_out_of_reach, || {
        // keyctl is refused by the filter; what is left to see is the session of the process.
        let read = || {
            fs::read_to_string("/proc/keys")
                .unwrap_or_default()
                .lines()
                .count()
        };
        let before = read();
        let out = Container::sh("cat /proc/keys | wc -l").run();
        assert_eq!(out.stdout, "0\n");
        // Others have keys, too, and give them back; one that is left behind stays.
        let deadline = Instant::now() + Duration::from_secs(10);
        while read() > before + 1 {
            assert!(Instant::now() < deadline, "a key is left behind");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}
