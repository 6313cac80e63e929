use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::Signal;

use super::harness::{Container, alone};
use crate::runtime::container::{Init, StdioSetup};
use crate::runtime::failure::{Absent, StartError, Step};

#[test]
fn the_program_is_pid_1_of_namespaces_of_its_own() {
    alone(the_program_is_pid_1_of_namespaces_of_its_own, || {
        let out = Container::sh("echo $$; hostname; cat /proc/1/comm; pwd; echo $HOME").run();
        assert_eq!(
            (out.code, out.stdout.as_str(), out.stderr.as_str()),
            (0, "1\nbox\nsh\n/\n/root\n", "")
        );
        for kind in ["pid", "net", "uts", "ipc", "mnt", "cgroup"] {
            let path = format!("/proc/self/ns/{kind}");
            let out = Container::new(&["readlink", &path]).run();
            let host = fs::read_link(&path).unwrap();
            assert_ne!(out.stdout.trim(), host.to_string_lossy(), "{kind}");
            assert_eq!(out.code, 0);
        }
    });
}

#[test]
fn exit_codes_and_signals_come_through() {
    alone(exit_codes_and_signals_come_through, || {
        assert_eq!(Container::sh("exit 7").run().code, 7);
        assert_eq!(
            Container::sh("kill -9 $$; exit 3").run().code,
            3,
            "PID 1 cannot kill itself"
        );
        let mut live = Container::sh("echo up; sleep 1000").start().unwrap();
        live.until("up");
        live.kill(Signal::KILL);
        assert_eq!(live.wait().code, 137);
    });
}

#[test]
fn a_program_that_cannot_run_is_126_or_127() {
    alone(a_program_that_cannot_run_is_126_or_127, || {
        let error = Container::new(&["no-such-program"]).fails();
        assert_eq!(error.exit_code(), 127);
        assert!(
            error
                .to_string()
                .contains("exec: \"no-such-program\": executable file not found in $PATH"),
            "{error}"
        );
        assert!(
            matches!(
                error,
                StartError::NotFound {
                    absent: Absent::InPath(_),
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(Container::new(&["/bin/nothing"]).fails().exit_code(), 127);
        assert_eq!(Container::new(&["/etc/passwd"]).fails().exit_code(), 126);
        assert_eq!(Container::new(&["/etc"]).fails().exit_code(), 126);
        let lost = Container::new(&["/script"]).with(|c| {
            c.file("script", "#!/no/interpreter\n");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(c.layer().join("script"), mode).unwrap();
        });
        let error = lost.fails();
        assert_eq!(error.exit_code(), 127);
        assert!(error.to_string().contains("interpreter"), "{error}");
        let empty = Container::new(&[]).fails();
        assert_eq!((empty.exit_code(), empty.step()), (128, Step::Spec));
    });
}

#[test]
fn a_failing_step_is_named_and_nothing_is_left() {
    alone(a_failing_step_is_named_and_nothing_is_left, || {
        let missing = std::path::Path::new("/no/such/source");
        let error = Container::sh("true")
            .mount(missing, "/data", &["rbind"])
            .fails();
        assert_eq!(error.step(), Step::Mount);
        assert!(error.to_string().contains("/no/such/source"), "{error}");
        let error = Container::sh("true")
            .with(|c| c.config.user = Some("nobody-here".into()))
            .fails();
        assert_eq!(
            error.to_string(),
            "cannot set the user `nobody-here`: no user `nobody-here` in the image's /etc/passwd"
        );
        let error = Container::sh("true")
            .with(|c| c.config.rootfs.lower[0] = "/no/layer".into())
            .fails();
        assert_eq!(error.step(), Step::Rootfs);
        let error = Container::sh("true").with(|c| {
            c.settings.sysctls.insert("kernel.panic".into(), "1".into());
        });
        assert_eq!(error.fails().step(), Step::Sysctl);
    });
}

#[test]
fn users_and_groups_are_those_of_the_image() {
    alone(users_and_groups_are_those_of_the_image, || {
        let as_user = |user: &str| {
            let script =
                "id -u; id -g; id -G; echo $HOME; stat -c %u /proc/self/fd/1 >/dev/null; pwd";
            Container::sh(script)
                .with(|c| c.config.user = Some(user.into()))
                .run()
                .stdout
        };
        assert_eq!(as_user("www"), "33\n34\n34 29\n/srv\n/\n");
        assert_eq!(as_user("1234"), "1234\n0\n0\n/\n/\n");
        assert_eq!(as_user("www:audio"), "33\n29\n29\n/srv\n/\n");
    });
}

#[test]
fn the_working_directory_is_made() {
    alone(the_working_directory_is_made, || {
        let out = Container::sh("pwd; stat -c '%u %a' .")
            .with(|c| c.settings.cwd = "/srv/app".into())
            .run();
        assert_eq!(out.stdout, "/srv/app\n0 755\n");
    });
}

#[test]
fn devices_and_links_are_there() {
    alone(devices_and_links_are_there, || {
        let script = "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done
            echo x > /dev/null; head -c 3 /dev/zero | wc -c
            readlink /dev/fd; readlink /dev/ptmx; test -d /dev/shm && test -d /dev/mqueue && test -c /dev/pts/ptmx
            echo out >> /dev/stdout";
        let out = Container::sh(script).run();
        assert_eq!(
            out.stdout, "3\n/proc/self/fd\npts/ptmx\nout\n",
            "{}",
            out.stderr
        );
    });
}

#[test]
fn limits_of_the_process_are_set() {
    alone(limits_of_the_process_are_set, || {
        let out = Container::sh("ulimit -n; ulimit -Hn").with(|c| {
            let json = r#"[{"type":"RLIMIT_NOFILE","soft":100,"hard":200}]"#;
            c.settings.rlimits = serde_json::from_str(json).unwrap();
        });
        assert_eq!(out.run().stdout, "100\n200\n");
    });
}

#[test]
fn kernel_parameters_are_the_containers_own() {
    alone(kernel_parameters_are_the_containers_own, || {
        let before = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
        let out = Container::sh(
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni",
        )
        .with(|c| {
            c.settings
                .sysctls
                .insert("kernel.shmmni".into(), "77".into());
        });
        assert_eq!(out.run().stdout, "0\n77\n");
        assert_eq!(
            fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap(),
            before
        );
    });
}

#[test]
fn a_terminal_is_one_of_the_containers_devpts() {
    alone(a_terminal_is_one_of_the_containers_devpts, || {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let (ours, console) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let container = Container::sh(
            "tty; test -c /dev/console && echo console; stty size 2>/dev/null; exit 3",
        )
        .with(|c| c.settings.tty = true);
        let spec = container.spec();
        let created = container
            .create_with(
                &spec,
                StdioSetup::Terminal {
                    console,
                    size: (24, 80),
                },
            )
            .unwrap();
        let master = receive(&ours);
        let size = rustix::termios::tcgetwinsize(&master).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (24, 80));
        let running = created.start().unwrap();
        assert_eq!(super::harness::wait_for(&running.pidfd), 3);
        running.cgroup.remove().unwrap();
        let mut text = String::new();
        let mut buffer = [0; 1000];
        // EIO: the last slave is closed.
        while let Ok(length @ 1..) = rustix::io::read(&master, &mut buffer) {
            text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        assert!(text.starts_with("/dev/pts/0\r\nconsole\r\n"), "{text:?}");
    });
}

fn receive(socket: &OwnedFd) -> OwnedFd {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [std::io::IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let rights = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    rights.expect("the terminal's master")
}

fn wait_for_program(program: i32) -> ! {
    let pid = rustix::process::Pid::from_raw(program);
    loop {
        if let Ok(Some((_, status))) =
            rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())
        {
            crate::sys::clone::exit_now(status.exit_status().unwrap_or(99));
        }
    }
}

#[test]
fn with_an_init_the_program_is_its_child() {
    alone(with_an_init_the_program_is_its_child, || {
        let init = Init {
            prepare_program: || {},
            supervise: wait_for_program,
        };
        let script = "echo $$ $PPID; ls /proc/1/fd; grep -h SigBlk /proc/self/status; exit 9";
        let out = Container::sh(script).with(|c| c.init = Some(init)).run();
        assert_eq!(out.code, 9);
        assert_eq!(
            out.stdout, "2 1\nSigBlk:\t0000000000000000\n",
            "{}",
            out.stderr
        );
        let out = Container::sh("readlink /proc/1/exe")
            .with(|c| c.init = Some(init))
            .run();
        assert_eq!(out.stdout, "", "PID 1 does not show its program");
        let error = Container::new(&["nothing"])
            .with(|c| c.init = Some(init))
            .fails();
        assert_eq!(error.exit_code(), 127);
    });
}

#[test]
fn a_container_dies_with_its_maker() {
    alone(a_container_dies_with_its_maker, || {
        // A maker in between, which ends at once; the container is ours to reap then.
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("note");
        let Some(maker) = crate::sys::clone::fork().unwrap() else {
            let live = Container::sh("echo up; sleep 1000").start().unwrap();
            live.until("up");
            let state = format!("{} {}", live.running.pid, live.cgroup().path().display());
            fs::write(&note, state).unwrap();
            live.abandon();
            crate::sys::clone::exit_now(0);
        };
        let wait = |pid: i32| {
            let pid = rustix::process::Pid::from_raw(pid);
            rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())
                .unwrap()
                .unwrap()
                .1
        };
        assert_eq!(wait(maker).exit_status(), Some(0));
        let note = fs::read_to_string(&note).unwrap();
        let (pid, cgroup) = note.split_once(' ').unwrap();
        assert_eq!(wait(pid.parse().unwrap()).terminating_signal(), Some(9));
        crate::runtime::cgroup::remove_stale(cgroup.as_ref()).unwrap();
    });
}
