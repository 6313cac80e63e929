use oci_spec::runtime::{Capability, LinuxCapabilitiesBuilder};

use super::filter::{ALLOW, machine::run};
use super::*;
use crate::runtime::capabilities::DEFAULT;

const EPERM: u32 = errno(libc::EPERM);
const ENOSYS: u32 = errno(libc::ENOSYS);

fn sets(more: &[Capability]) -> Sets {
    let bounding: std::collections::HashSet<_> = DEFAULT.iter().chain(more).copied().collect();
    Sets::from_spec(Some(
        &LinuxCapabilitiesBuilder::default()
            .bounding(bounding)
            .build()
            .unwrap(),
    ))
}

fn ask(filter: &Filter, architecture: Architecture, name: &str, args: [u64; 6]) -> u32 {
    let number =
        number(name, architecture).unwrap_or_else(|| panic!("no {name} on {architecture:?}"));
    run(&filter.program, architecture, number, args)
}

fn first(value: u64) -> [u64; 6] {
    [value, 0, 0, 0, 0, 0]
}

#[test]
fn the_table_is_sorted_by_name() {
    assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn the_default_profile_allows_and_refuses_as_docker_does() {
    let filter = default_filter(&sets(&[]));
    let table: &[(&str, [u64; 6], u32)] = &[
        ("read", first(0), ALLOW),
        ("execve", first(0), ALLOW),
        ("file_setattr", first(0), ALLOW),
        ("chroot", first(0), ALLOW),
        ("ptrace", first(0), ALLOW),
        ("mount", first(0), EPERM),
        ("unshare", first(0), EPERM),
        ("setns", first(0), EPERM),
        ("bpf", first(0), EPERM),
        ("keyctl", first(0), EPERM),
        ("io_uring_setup", first(0), EPERM),
        ("reboot", first(0), EPERM),
        ("clone3", first(0), ENOSYS),
        ("clone", first(libc::SIGCHLD as u64), ALLOW),
        ("clone", first(libc::CLONE_NEWUSER as u64), EPERM),
        ("clone", first(libc::CLONE_NEWNS as u64 | 0x11), EPERM),
        ("socket", first(libc::AF_INET as u64), ALLOW),
        ("socket", first(40), EPERM),
        ("socket", first(1 << 32 | 40), ALLOW),
        ("personality", first(0), ALLOW),
        ("personality", first(8), ALLOW),
        ("personality", first(0xffff_ffff), ALLOW),
        ("personality", first(0x0040_0000), EPERM),
    ];
    for (name, args, want) in table {
        assert_eq!(
            ask(&filter, Architecture::NATIVE, name, *args),
            *want,
            "{name} {:x}",
            args[0]
        );
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn other_ways_into_the_kernel_are_closed_the_same_way() {
    let filter = default_filter(&sets(&[]));
    assert_eq!(ask(&filter, Architecture::I386, "read", first(0)), ALLOW);
    assert_eq!(
        ask(&filter, Architecture::I386, "socketcall", first(0)),
        ALLOW
    );
    assert_eq!(ask(&filter, Architecture::I386, "mount", first(0)), EPERM);
    assert_eq!(ask(&filter, Architecture::I386, "umount", first(0)), EPERM);
    assert_eq!(
        run(&filter.program, Architecture::X86_64, 0x4000_0000, first(0)),
        ENOSYS,
        "x32"
    );
    assert_eq!(
        run(&filter.program, Architecture::X86_64, u32::MAX, first(0)),
        ENOSYS
    );
    assert_eq!(
        run(&filter.program, Architecture::Aarch64, 63, first(0)),
        ENOSYS
    );
    assert_eq!(
        run(&filter.program, Architecture::X86_64, LAST + 1, first(0)),
        ENOSYS,
        "newer than the table"
    );
}

#[test]
fn capabilities_open_their_calls() {
    let admin = default_filter(&sets(&[Capability::SysAdmin]));
    for name in ["mount", "unshare", "clone3", "setns", "sethostname"] {
        assert_eq!(
            ask(&admin, Architecture::NATIVE, name, first(0)),
            ALLOW,
            "{name}"
        );
    }
    let namespaces = first(libc::CLONE_NEWUSER as u64);
    assert_eq!(
        ask(&admin, Architecture::NATIVE, "clone", namespaces),
        ALLOW
    );
    assert_eq!(ask(&admin, Architecture::NATIVE, "reboot", first(0)), EPERM);
    let time = default_filter(&sets(&[Capability::SysTime]));
    assert_eq!(
        ask(&time, Architecture::NATIVE, "settimeofday", first(0)),
        ALLOW
    );
    assert_eq!(ask(&time, Architecture::NATIVE, "mount", first(0)), EPERM);
}

#[test]
fn the_search_is_short_and_the_program_fits() {
    let filter = default_filter(&sets(&[]));
    assert!(
        filter.program.len() < 4096,
        "{} instructions",
        filter.program.len()
    );
}

#[test]
fn every_number_gets_what_its_rules_say() {
    let sets = sets(&[]);
    let filter = default_filter(&sets);
    for architecture in Architecture::offered() {
        let policy = profile::policy(&sets, *architecture);
        for number in 0..=LAST + 5 {
            let want = match policy.rules.get(&number) {
                Some(clauses) if clauses[0].tests.is_empty() => clauses[0].action,
                Some(_) => continue,
                None if number > LAST => ENOSYS,
                None => EPERM,
            };
            assert_eq!(
                run(&filter.program, *architecture, number, [0; 6]),
                want,
                "{architecture:?} {number}"
            );
        }
    }
}

#[test]
fn a_profile_of_a_spec_is_translated() {
    let seccomp: LinuxSeccomp = serde_json::from_str(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":[
            {"names":["getcwd","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":13},
            {"names":["kill"],"action":"SCMP_ACT_ERRNO","args":[
                {"index":0,"value":10,"op":"SCMP_CMP_GE"},{"index":1,"value":9,"op":"SCMP_CMP_EQ"}]},
            {"names":["dup2"],"action":"SCMP_ACT_ERRNO","args":[
                {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},
            {"names":["lseek"],"action":"SCMP_ACT_KILL_PROCESS","args":[
                {"index":1,"value":4294967296,"op":"SCMP_CMP_LT"}]},
            {"names":["ioctl"],"action":"SCMP_ACT_TRAP","args":[
                {"index":1,"value":255,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#,
    )
    .unwrap();
    let filter = from_spec(&seccomp).unwrap();
    let refused = errno(libc::EPERM);
    let table: &[(&str, [u64; 6], u32)] = &[
        ("getcwd", [0; 6], errno(13)),
        ("read", [0; 6], ALLOW),
        ("kill", [10, 9, 0, 0, 0, 0], refused),
        ("kill", [1 << 40, 9, 0, 0, 0, 0], refused),
        ("kill", [9, 9, 0, 0, 0, 0], ALLOW),
        ("kill", [10, 15, 0, 0, 0, 0], ALLOW),
        ("lseek", [0, 0xffff_ffff, 0, 0, 0, 0], 0x8000_0000),
        ("lseek", [0, 1 << 32, 0, 0, 0, 0], ALLOW),
        ("ioctl", [0, 0x5401, 0, 0, 0, 0], 0x0003_0000),
        ("ioctl", [0, 0x5402, 0, 0, 0, 0], ALLOW),
    ];
    for (name, args, want) in table {
        assert_eq!(
            ask(&filter, Architecture::NATIVE, name, *args),
            *want,
            "{name} {args:x?}"
        );
    }
    #[cfg(target_arch = "x86_64")]
    for (value, want) in [(1, refused), (2, refused), (3, ALLOW)] {
        assert_eq!(
            ask(&filter, Architecture::NATIVE, "dup2", first(value)),
            want,
            "dup2 {value}"
        );
    }
}

#[test]
fn a_profile_that_asks_a_listener_is_refused() {
    let json = r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#;
    let error = from_spec(&serde_json::from_str(json).unwrap()).unwrap_err();
    assert_eq!(error, SeccompError::Action("SCMP_ACT_NOTIFY".into()));
}
