//! The shim as its clients see it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxMemory;
use stack::runtime::cgroup::Cgroup;
use stack::runtime::client::{self, ClientError, ExecStdio};
use stack::runtime::log::Stream;
use stack::runtime::protocol::{
    AttachInput, AttachRequest, ExecRequest, ProbeRequest, ProbeResult, Reply, TerminalSize,
};
use stack::runtime::{identity, pty};

use crate::harness::{Container, PATIENCE, Root, Settings, eventually};

#[test]
fn a_program_runs_writes_and_its_end_is_recorded() {
    let root = Root::new();
    let (container, started) =
        Container::start(&root, Settings::script("echo out; echo err >&2; exit 7"));
    let record = container.wait();
    assert_eq!((record.exit_code, record.signal), (7, None));
    assert_eq!((record.error, record.oom_killed), (None, false));
    assert_eq!(record.started_at, Some(started.state.started_at));
    assert!(record.finished_at >= started.state.started_at);
    assert_eq!(container.state(), Some(started.state));
    let mut log = container.log();
    log.sort_by_key(|(stream, _)| *stream as u8);
    assert_eq!(
        log,
        [
            (Stream::Stdout, "out".into()),
            (Stream::Stderr, "err".into())
        ]
    );
}

#[test]
fn a_signal_that_ends_it_is_recorded() {
    let root = Root::new();
    let (container, _) = Container::start(&root, Settings::run(["sleep", "1000"]));
    container.kill();
    let record = container.wait();
    assert_eq!((record.exit_code, record.signal), (137, Some(9)));
}

#[test]
fn the_report_says_everything_in_order() {
    let root = Root::new();
    let container = Container::spawn(&root, Settings::run(["true"]));
    let next = || container.shim.connection.receive(Some(PATIENCE));
    assert_eq!(next().unwrap().reply, Reply::Created);
    let started = next().unwrap();
    assert!(matches!(started.reply, Reply::Started(_)), "{started:?}");
    assert_eq!(started.fds.len(), 2, "the name server's sockets");
    let Reply::Exited(record) = next().unwrap().reply else {
        panic!("no exit was reported");
    };
    // The record is there as soon as anybody can know.
    assert_eq!(container.exit_record(), Some(record));
    assert!(matches!(next(), Err(ClientError::Gone)));
    container.wait();
}

#[test]
fn a_program_that_is_not_there_fails_with_127() {
    let root = Root::new();
    let container = Container::spawn(&root, Settings::run(["no-such-program"]));
    let error = container.shim.wait_started(Some(PATIENCE)).unwrap_err();
    let ClientError::Refused(failure) = &error else {
        panic!("{error}");
    };
    assert_eq!(failure.exit_code, 127);
    assert!(error.to_string().contains("no-such-program"), "{error}");
    let record = container.wait();
    assert_eq!((record.exit_code, record.started_at), (127, None));
    assert_eq!(record.error.as_deref(), Some(error.to_string().as_str()));
    assert_eq!(container.state(), None);
}

#[test]
fn a_damaged_bundle_is_reported_with_its_path() {
    let root = Root::new();
    let (first, _) = Container::start(&root, Settings::run(["true"]));
    first.wait();
    fs::remove_file(first.bundle.exit()).unwrap();
    fs::write(first.bundle.spec(), "{").unwrap();
    let shim = crate::harness::spawn(&first.bundle);
    let error = shim.wait_started(Some(PATIENCE)).unwrap_err();
    assert!(
        error.to_string().contains("config.json is damaged"),
        "{error}"
    );
    eventually("the shim ends", || shim.reap().unwrap().then_some(()));
    assert_eq!(first.exit_record().unwrap().exit_code, 128);
}

fn exec_captured(
    container: &Container,
    request: ExecRequest,
) -> (Result<i32, ClientError>, String) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    let stdio = ExecStdio {
        stdin: null.as_fd(),
        stdout: writer.as_fd(),
        stderr: writer.as_fd(),
    };
    let exec = client::exec(container.socket(), request, stdio);
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (exec.and_then(|exec| exec.wait()), text)
}

fn plain(process: oci_spec::runtime::Process) -> ExecRequest {
    ExecRequest {
        process,
        user: None,
        terminal: None,
    }
}

#[test]
fn exec_runs_beside_the_program() {
    let root = Root::new();
    let (container, _) = Container::start(&root, Settings::run(["sleep", "1000"]));
    let process = container.process(["sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; exit 3"]);
    let (code, text) = exec_captured(&container, plain(process));
    assert_eq!((code.unwrap(), text.as_str()), (3, "sleep 1000 "));
    let mut request = plain(container.process(["id", "-u"]));
    request.user = Some("user".into());
    let (code, text) = exec_captured(&container, request);
    assert_eq!((code.unwrap(), text.as_str()), (0, "1000\n"));
    let (code, _) = exec_captured(&container, plain(container.process(["nothing"])));
    assert!(matches!(code, Err(ClientError::Refused(f)) if f.exit_code == 127));
    container.kill();
    container.wait();
}

#[test]
fn exec_finds_clean_signals_and_no_foreign_descriptor() {
    let root = Root::new();
    let (container, _) = Container::start(&root, Settings::run(["sleep", "1000"]));
    let script = "grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | tr '\\n' ' '";
    for text in [
        exec_captured(&container, plain(container.process(["sh", "-c", script]))).1,
        {
            let (other, _) = Container::start(&root, Settings::script(script));
            other.wait();
            other.output().trim_end().to_owned()
        },
    ] {
        let zero = "0000000000000000";
        // 3 is the directory that `ls` reads.
        let expected = format!("SigBlk:\t{zero}\nSigIgn:\t{zero}\n0 1 2 3 ");
        assert_eq!(text.trim_end(), expected.trim_end());
    }
    container.kill();
    container.wait();
}

#[test]
fn exec_goes_on_when_its_client_is_gone() {
    let root = Root::new();
    let (container, _) = Container::start(&root, Settings::run(["sleep", "1000"]));
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap();
    let stdio = ExecStdio {
        stdin: null.as_fd(),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
    };
    let script = "sleep 0.2; echo done > /proc/1/fd/1; sleep 1000";
    let request = plain(container.process(["sh", "-c", script]));
    let exec = client::exec(container.socket(), request, stdio).unwrap();
    let pid = exec.pid;
    let start = identity::start_ticks(pid).unwrap();
    drop(exec);
    container.wait_for_line("done");
    assert!(identity::is_running(pid, start));
    // Its end is the container's.
    container.kill();
    container.wait();
    assert!(!identity::is_running(pid, start));
}

#[test]
fn exec_with_a_terminal_has_its_size() {
    let root = Root::new();
    let (container, _) = Container::start(&root, Settings::run(["sleep", "1000"]));
    let size = |rows, columns| TerminalSize { rows, columns };
    let mut request = plain(container.process(["sh", "-c", "stty size; read x; stty size; tty"]));
    request.process.set_terminal(Some(true));
    request.terminal = Some(size(24, 80));
    let null = File::open("/dev/null").unwrap();
    let stdio = ExecStdio {
        stdin: null.as_fd(),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
    };
    let exec = client::exec(container.socket(), request, stdio).unwrap();
    let mut terminal = File::from(exec.terminal.as_ref().unwrap().try_clone().unwrap());
    let mut seen = String::new();
    let mut read_until = |terminal: &mut File, end: &str| {
        while !seen.contains(end) {
            let mut buffer = [0; 256];
            match terminal.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
                other => panic!("{other:?} after {seen:?}"),
            }
        }
    };
    read_until(&mut terminal, "24 80\r\n");
    pty::resize(&terminal, size(50, 132)).unwrap();
    terminal.write_all(b"go\n").unwrap();
    read_until(&mut terminal, "50 132\r\n");
    read_until(&mut terminal, "/dev/pts/");
    assert_eq!(exec.wait().unwrap(), 0);
    container.kill();
    container.wait();
}

fn probe(container: &Container, script: &str, timeout_ms: u64) -> ProbeResult {
    let request = ProbeRequest {
        process: container.process(["sh", "-c", script]),
        user: None,
        timeout_ms,
    };
    client::probe(container.socket(), request).unwrap()
}

#[test]
fn a_probe_tells_code_and_output() {
    let root = Root::new();
    let (container, _) = Container::start(&root, Settings::run(["sleep", "1000"]));
    let result = probe(&container, "echo fine; echo so-so >&2", 20_000);
    assert_eq!((result.exit_code, result.timed_out), (0, false));
    assert_eq!(result.output, "fine\nso-so\n");
    assert_eq!(probe(&container, "exit 5", 20_000).exit_code, 5);
    // A pipe's worth, and more: neither side gets stuck, and the beginning is kept, and marked as one.
    let result = probe(&container, "head -c 300000 /dev/zero | tr '\\0' x", 20_000);
    assert_eq!(result.exit_code, 0);
    assert_eq!(result.output, format!("{}...", "x".repeat(4096)));
    let request = ProbeRequest {
        process: container.process(["no-such-probe"]),
        user: None,
        timeout_ms: 20_000,
    };
    let result = client::probe(container.socket(), request).unwrap();
    assert_eq!(result.exit_code, 127);
    assert!(result.output.contains("no-such-probe"), "{result:?}");
    container.kill();
    container.wait();
}

#[test]
fn a_probe_that_takes_too_long_is_killed_with_its_descendants() {
    let root = Root::new();
    let (container, _) = Container::start(&root, Settings::run(["sleep", "1000"]));
    let before = Instant::now();
    let script = "echo begun; setsid sleep 777 & (sleep 777; true) & sleep 777";
    let result = probe(&container, script, 300);
    assert!(before.elapsed() < PATIENCE);
    assert_eq!((result.exit_code, result.timed_out), (137, true));
    assert_eq!(result.output, "begun\n");
    assert!(result.duration_ms >= 300, "{result:?}");
    eventually("no process of the probe is left", || {
        let (_, text) = exec_captured(&container, plain(container.process(["ps", "-o", "args"])));
        (!text.contains("777")).then_some(())
    });
    container.kill();
    container.wait();
}

#[test]
fn attached_clients_see_everything_from_the_first_byte() {
    let root = Root::new();
    let mut settings = Settings::script("echo first; cat; echo last >&2; exit 4");
    settings.stdin_open = true;
    settings.wait_attach = true;
    let container = Container::spawn(&root, settings);
    let created = container.shim.connection.receive(Some(PATIENCE)).unwrap();
    assert_eq!(created.reply, Reply::Created);
    let request = AttachRequest {
        input: AttachInput::Once,
    };
    let mut attached = client::attach(container.socket(), request).unwrap();
    container.shim.wait_started(Some(PATIENCE)).unwrap();
    let mut stdin = File::from(attached.stdin.take().unwrap());
    stdin.write_all(b"typed\n").unwrap();
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    let [stdout, stderr] =
        [&attached.stdout, &attached.stderr].map(|fd| File::from(fd.try_clone().unwrap()));
    { stdout }.read_to_string(&mut out).unwrap();
    { stderr }.read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("first\ntyped\n", "last\n"));
    assert_eq!(attached.wait().unwrap().exit_code, 4);
    assert_eq!(container.wait().exit_code, 4);
    // And the log has it all the same.
    assert_eq!(container.output(), "first\ntyped\n");
}

#[test]
fn input_that_is_kept_outlives_its_client() {
    let root = Root::new();
    let mut settings = Settings::run(["cat"]);
    settings.stdin_open = true;
    let (container, _) = Container::start(&root, settings);
    for (input, text) in [(AttachInput::Keep, "one"), (AttachInput::Once, "two")] {
        let attached = client::attach(container.socket(), AttachRequest { input }).unwrap();
        let mut stdin = File::from(attached.stdin.unwrap());
        writeln!(stdin, "{text}").unwrap();
        container.wait_for_line(text);
    }
    assert_eq!(container.wait().exit_code, 0);
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_at_the_end() {
    let root = Root::new();
    let (container, _) = Container::start(
        &root,
        Settings::script("read x < /dev/null; sleep 0.2; head -c 400000 /dev/zero"),
    );
    let request = AttachRequest {
        input: AttachInput::None,
    };
    let lazy = client::attach(container.socket(), request).unwrap();
    // Its pipe is full, the program waits; then the client goes.
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(container.exit_record(), None);
    drop(lazy);
    assert_eq!(container.wait().exit_code, 0);
}

#[test]
fn a_program_with_a_terminal_is_logged_and_attached_to() {
    let root = Root::new();
    let mut settings = Settings::script("stty size; read line; echo got $line; test -t 1");
    settings.terminal = Some((30, 90));
    settings.stdin_open = true;
    let (container, _) = Container::start(&root, settings);
    container.wait_for_line("30 90");
    let request = AttachRequest {
        input: AttachInput::Keep,
    };
    let attached = client::attach(container.socket(), request).unwrap();
    assert!(attached.terminal);
    File::from(attached.stdin.unwrap())
        .write_all(b"hello\n")
        .unwrap();
    let mut text = String::new();
    File::from(attached.stdout)
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.contains("got hello\r\n"), "{text:?}");
    assert_eq!(container.wait().exit_code, 0);
    assert!(container.output().contains("got hello"));
}

#[test]
fn the_built_in_init_reaps_and_forwards() {
    let root = Root::new();
    let script = "trap 'echo caught; exit 9' TERM; echo $$; (sleep 0.05 & exec true); sleep 0.3; \
                  cat /proc/1/comm; tr '\\0' ' ' </proc/1/cmdline | cut -c 1-24; ls /proc | grep -c '^[0-9]'; while :; do sleep 0.05; done";
    let mut settings = Settings::script(script);
    settings.init = true;
    let (container, _) = Container::start(&root, settings);
    container.wait_for_line("docker-init");
    let lines = eventually("all lines", || {
        let text = container.output();
        (text.lines().count() >= 4).then_some(text)
    });
    assert_ne!(lines.lines().next(), Some("1"), "the program is not PID 1");
    assert!(lines.contains("\n/sbin/docker-init -- "), "{lines}");
    client::signal(container.socket(), 15).unwrap();
    let record = container.wait();
    assert_eq!((record.exit_code, record.signal), (9, None));
    assert!(container.output().ends_with("caught\n"));
}

#[test]
fn the_program_cannot_be_overwritten_through_pid_1() {
    let root = Root::new();
    let script = "(: > /proc/1/exe) 2>/dev/null && echo written; \
                  (: >> /proc/1/exe) 2>/dev/null && echo written; echo tried";
    let mut settings = Settings::script(script);
    settings.init = true;
    settings.spec.privileged = true;
    let (container, _) = Container::start(&root, settings);
    assert_eq!(container.wait().exit_code, 0);
    assert_eq!(container.output(), "tried\n");
}

#[test]
fn a_new_supervisor_is_called_and_takes_over() {
    let root = Root::new();
    let called = root.path().join("called");
    let mut settings = Settings::run(["sleep", "1000"]);
    settings.on_lost = ["/bin/sh", "-c", "echo x >> $0", called.to_str().unwrap()]
        .map(str::to_owned)
        .to_vec();
    let (container, started) = Container::start(&root, settings);
    let count = || fs::read_to_string(&called).map_or(0, |text| text.lines().count());
    assert_eq!(count(), 0);
    // The supervisor dies.
    rustix::net::shutdown(&container.shim.connection, rustix::net::Shutdown::Both).unwrap();
    eventually("a call", || (count() == 1).then_some(()));
    let adopted = client::adopt(container.socket()).unwrap();
    assert_eq!(adopted.state, Some(started.state));
    assert!(adopted.dns.is_some());
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(count(), 1, "somebody looks after it");
    container.kill();
    let exited = adopted.connection.receive(Some(PATIENCE)).unwrap();
    assert!(matches!(exited.reply, Reply::Exited(_)), "{exited:?}");
    container.wait();
}

#[test]
fn a_shim_that_is_told_to_end_ends_the_program_first() {
    let root = Root::new();
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let (container, _) = Container::start(&root, Settings::script(script));
    container.wait_for_line("ready");
    let term = rustix::process::Signal::TERM;
    rustix::process::pidfd_send_signal(&container.shim.pidfd, term).unwrap();
    assert_eq!(container.wait().exit_code, 0);
    assert_eq!(container.output(), "ready\nbye\n");
}

#[test]
fn a_program_that_takes_too_much_memory_is_recorded_as_such() {
    let root = Root::new();
    let mut settings = Settings::script("x=$(head -c 200000000 /dev/zero | tr '\\0' x)");
    let mut memory = LinuxMemory::default();
    memory.set_limit(Some(16 << 20));
    memory.set_swap(Some(16 << 20));
    settings.spec.resources.set_memory(Some(memory));
    let (container, _) = Container::start(&root, settings);
    let record = container.wait();
    assert!(record.oom_killed, "{record:?}");
    assert_ne!(record.exit_code, 0);
}

#[test]
fn a_paused_container_refuses_further_processes_and_goes_on_afterwards() {
    let root = Root::new();
    let (container, _) = Container::start(&root, Settings::run(["sleep", "1000"]));
    let linux = container.spec.linux().as_ref().unwrap();
    let cgroup = Cgroup::open(linux.cgroups_path().as_ref().unwrap()).unwrap();
    cgroup.freeze().unwrap();
    let (code, _) = exec_captured(&container, plain(container.process(["true"])));
    let error = code.unwrap_err().to_string();
    assert!(error.contains("paused"), "{error}");
    cgroup.thaw().unwrap();
    let (code, _) = exec_captured(&container, plain(container.process(["true"])));
    assert_eq!(code.unwrap(), 0);
    // Paused again, it can still be ended.
    cgroup.freeze().unwrap();
    cgroup.kill_all().unwrap();
    assert_eq!(container.wait().exit_code, 137);
}

#[test]
fn a_file_where_the_logs_belong_is_an_error_that_names_it() {
    let root = Root::new();
    let (first, _) = Container::start(&root, Settings::run(["true"]));
    first.wait();
    let log = first.config.log.as_ref().unwrap().dir.clone();
    fs::remove_dir_all(&log).unwrap();
    fs::write(&log, "in the way").unwrap();
    let shim = crate::harness::spawn(&first.bundle);
    let error = shim.wait_started(Some(PATIENCE)).unwrap_err().to_string();
    assert!(error.starts_with("cannot open the log /"), "{error}");
    eventually("the shim ends", || shim.reap().unwrap().then_some(()));
}

#[test]
fn strangers_and_nonsense_do_not_disturb_the_others() {
    let root = Root::new();
    let (container, _) = Container::start(&root, Settings::run(["sleep", "1000"]));
    // Says nothing, says nonsense, comes in great numbers.
    let idle: Vec<_> = (0..300)
        .map_while(|_| UnixSeqpacket::connect(container.socket()))
        .collect();
    assert_eq!(idle.len(), 300);
    idle[298].send(b"{\"nonsense\": true}");
    idle[299].send(&[0xff; 1000]);
    let works = || {
        let (code, _) = exec_captured(&container, plain(container.process(["true"])));
        assert_eq!(code.unwrap(), 0);
    };
    works();
    drop(idle);
    works();
    container.kill();
    container.wait();
}

/// A client without manners.
struct UnixSeqpacket(std::os::fd::OwnedFd);

impl UnixSeqpacket {
    fn connect(path: &std::path::Path) -> Option<Self> {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).ok()?;
        // A socket's address has room for 108 bytes.
        let directory = File::open(path.parent()?).ok()?;
        let short = format!(
            "/proc/self/fd/{}/shim.sock",
            std::os::fd::AsRawFd::as_raw_fd(&directory)
        );
        connect(&socket, &SocketAddrUnix::new(short).ok()?).ok()?;
        Some(Self(socket))
    }

    fn send(&self, bytes: &[u8]) {
        rustix::net::send(&self.0, bytes, rustix::net::SendFlags::NOSIGNAL).unwrap();
    }
}
