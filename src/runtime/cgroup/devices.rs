//! Which devices a container may open and make: the rules of the spec as a BPF program for v2, or
//! as lines for v1's `devices.allow` and `devices.deny`. Pure.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::sys::bpf::Instruction;

const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Block,
    Char,
}

/// One rule; a later one overrides earlier ones for the accesses that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    allow: bool,
    kind: Kind,
    /// `None` = all of them.
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
}

const fn char_device(major: u32, minor: Option<u32>, access: u8) -> Rule {
    Rule {
        allow: true,
        kind: Kind::Char,
        major: Some(major),
        minor,
        access,
    }
}

const EVERYTHING: u8 = MKNOD | READ | WRITE;

/// What every container may use (OCI runtime spec, "Default Devices"), and may make (nodes alone
/// are harmless: opening one is checked again). [`standard`] says the same in BPF.
const STANDARD: [Rule; 11] = [
    Rule {
        allow: true,
        kind: Kind::Char,
        major: None,
        minor: None,
        access: MKNOD,
    },
    Rule {
        allow: true,
        kind: Kind::Block,
        major: None,
        minor: None,
        access: MKNOD,
    },
    char_device(1, Some(3), EVERYTHING),
    char_device(1, Some(5), EVERYTHING),
    char_device(1, Some(7), EVERYTHING),
    char_device(1, Some(8), EVERYTHING),
    char_device(1, Some(9), EVERYTHING),
    char_device(5, Some(0), EVERYTHING),
    char_device(5, Some(1), EVERYTHING),
    char_device(5, Some(2), EVERYTHING),
    // Terminals of devpts instances.
    char_device(136, None, EVERYTHING),
];

/// The rules of a container in order: nothing, the spec's, then the standard devices, which no
/// spec can take away.
pub(crate) fn rules(spec: &[LinuxDeviceCgroup]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = spec.iter().map(rule).collect();
    if is_unrestricted(&rules) {
        return rules;
    }
    // Nothing is what one starts from anyway.
    if let Some(nothing) = rules
        .iter()
        .rposition(|rule| covers_all(rule) && !rule.allow)
    {
        rules.drain(..=nothing);
    }
    rules.extend(STANDARD);
    rules
}

fn covers_all(rule: &Rule) -> bool {
    rule.kind == Kind::Any
        && rule.major.is_none()
        && rule.minor.is_none()
        && rule.access == EVERYTHING
}

/// Whether the rules allow everything, so that nothing needs to be checked.
pub(crate) fn is_unrestricted(rules: &[Rule]) -> bool {
    let decisive = rules.iter().rposition(covers_all);
    decisive.is_some_and(|at| rules[at..].iter().all(|rule| rule.allow))
}

fn rule(spec: &LinuxDeviceCgroup) -> Rule {
    // Negative numbers are how some writers say "all".
    let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
    let access = spec
        .access()
        .as_deref()
        .unwrap_or("rwm")
        .bytes()
        .fold(0, |bits, letter| {
            bits | match letter {
                b'r' => READ,
                b'w' => WRITE,
                b'm' => MKNOD,
                _ => 0,
            }
        });
    let kind = match spec.typ() {
        Some(LinuxDeviceType::B) => Kind::Block,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Kind::Char,
        _ => Kind::Any,
    };
    Rule {
        allow: spec.allow(),
        kind,
        major: number(spec.major()),
        minor: number(spec.minor()),
        access,
    }
}

// Encodings of `struct bpf_insn`, Documentation/bpf/standardization/instruction-set.rst.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const MOVE_IMMEDIATE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const AND_IMMEDIATE: u8 = 0x57; // BPF_ALU64 | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x77; // BPF_ALU64 | BPF_RSH | BPF_K
const JUMP_EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_NOT_EQUAL: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const JUMP_GREATER: u8 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const SHIFT_RIGHT_REGISTER: u8 = 0x7f; // BPF_ALU64 | BPF_RSH | BPF_X
const EXIT: u8 = 0x95;

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const ACCESS: u8 = 2;
const TYPE: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// `enum` in include/uapi/linux/bpf.h.
const DEVICE_BLOCK: i32 = 1;
const DEVICE_CHAR: i32 = 2;

fn insn(code: u8, target: u8, source: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: target | source << 4,
        offset: 0,
        immediate,
    }
}

fn load(target: u8, offset: i16) -> Instruction {
    Instruction {
        offset,
        ..insn(LOAD_WORD, target, CONTEXT, 0)
    }
}

fn jump(code: u8, register: u8, immediate: i32, offset: i16) -> Instruction {
    Instruction {
        offset,
        ..insn(code, register, 0, immediate)
    }
}

/// A program of type `BPF_PROG_TYPE_CGROUP_DEVICE` that returns 1 for what the rules allow.
///
/// It walks the rules from the last to the first and strikes out each access that one allows; an
/// access that one denies, or that is left at the end, is refused.
pub(crate) fn program(rules: &[Rule]) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx { u32 access_type: access << 16 | type; u32 major; u32 minor; }
    let mut out = vec![
        load(TYPE, 0),
        insn(MOVE, ACCESS, TYPE, 0),
        insn(AND_IMMEDIATE, TYPE, 0, 0xffff),
        insn(SHIFT_RIGHT, ACCESS, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    let own = match rules.strip_suffix(&STANDARD) {
        Some(own) => {
            out.extend(standard());
            own
        }
        None => rules,
    };
    for rule in own.iter().rev().filter(|rule| rule.access != 0) {
        let body = action(rule);
        let mut tests = Vec::new();
        match rule.kind {
            Kind::Any => {}
            Kind::Block => tests.push((TYPE, DEVICE_BLOCK)),
            Kind::Char => tests.push((TYPE, DEVICE_CHAR)),
        }
        tests.extend(rule.major.map(|n| (MAJOR, n as i32)));
        tests.extend(rule.minor.map(|n| (MINOR, n as i32)));
        let mut left = tests.len() + body.len();
        for (register, value) in tests {
            left -= 1;
            out.push(jump(JUMP_NOT_EQUAL, register, value, left as i16));
        }
        out.extend(body);
    }
    out.extend([insn(MOVE_IMMEDIATE, RESULT, 0, 0), insn(EXIT, 0, 0, 0)]);
    out
}

/// [`STANDARD`] by hand: the kernel's checks of the program, on every container's way to its start,
/// take less than half of the time.
fn standard() -> Vec<Instruction> {
    // null, zero, full, random, urandom
    const MEMORY_MINORS: i32 = 1 << 3 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9;
    // Where the block allows, and where it ends: offsets count from the next instruction.
    const ALLOWED: i16 = 13;
    const END: i16 = 15;
    let block = [
        insn(AND_IMMEDIATE, ACCESS, 0, !i32::from(MKNOD)),
        jump(JUMP_EQUAL, ACCESS, 0, ALLOWED - 2),
        jump(JUMP_NOT_EQUAL, TYPE, DEVICE_CHAR, END - 3),
        jump(JUMP_EQUAL, MAJOR, 136, ALLOWED - 4),
        jump(JUMP_NOT_EQUAL, MAJOR, 5, 2),
        jump(JUMP_GREATER, MINOR, 2, END - 6),
        jump(JUMP_EQUAL, MAJOR, 5, ALLOWED - 7),
        jump(JUMP_NOT_EQUAL, MAJOR, 1, END - 8),
        jump(JUMP_GREATER, MINOR, 9, END - 9),
        insn(MOVE_IMMEDIATE, SCRATCH, 0, MEMORY_MINORS),
        insn(SHIFT_RIGHT_REGISTER, SCRATCH, MINOR, 0),
        insn(AND_IMMEDIATE, SCRATCH, 0, 1),
        jump(JUMP_EQUAL, SCRATCH, 0, END - 13),
        insn(MOVE_IMMEDIATE, RESULT, 0, 1),
        insn(EXIT, 0, 0, 0),
    ];
    debug_assert_eq!(block.len(), END as usize);
    block.to_vec()
}

fn action(rule: &Rule) -> Vec<Instruction> {
    let named = i32::from(rule.access);
    if rule.allow {
        vec![
            insn(AND_IMMEDIATE, ACCESS, 0, !named),
            jump(JUMP_NOT_EQUAL, ACCESS, 0, 2),
            insn(MOVE_IMMEDIATE, RESULT, 0, 1),
            insn(EXIT, 0, 0, 0),
        ]
    } else {
        vec![
            insn(MOVE, SCRATCH, ACCESS, 0),
            insn(AND_IMMEDIATE, SCRATCH, 0, named),
            jump(JUMP_EQUAL, SCRATCH, 0, 2),
            insn(MOVE_IMMEDIATE, RESULT, 0, 0),
            insn(EXIT, 0, 0, 0),
        ]
    }
}

/// For v1: file and line in the order of writing.
pub(crate) fn v1_lines(rules: &[Rule]) -> Vec<(&'static str, String)> {
    let file = |allow| {
        if allow {
            "devices.allow"
        } else {
            "devices.deny"
        }
    };
    let mut lines = vec![(file(is_unrestricted(rules)), "a".to_owned())];
    if !is_unrestricted(rules) {
        lines.extend(rules.iter().map(|rule| (file(rule.allow), v1_line(rule))));
    }
    lines
}

fn v1_line(rule: &Rule) -> String {
    let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
    let kind = match rule.kind {
        // The kernel takes `a` as the whole device list, whatever follows.
        Kind::Any => return "a".to_owned(),
        Kind::Block => 'b',
        Kind::Char => 'c',
    };
    let letters = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    let access: String = letters
        .iter()
        .filter(|(bit, _)| rule.access & bit != 0)
        .map(|(_, c)| c)
        .collect();
    format!(
        "{kind} {}:{} {access}",
        number(rule.major),
        number(rule.minor)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program the way the kernel does, for the instructions that are used here.
    fn run(program: &[Instruction], kind: i32, major: u32, minor: u32, access: u8) -> bool {
        let context = [(u32::from(access) << 16) | kind as u32, major, minor];
        let mut registers = [0u64; 11];
        let mut at = 0usize;
        loop {
            let i = program[at];
            let (target, source) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            // Immediates are sign-extended to 64 bits.
            let immediate = i64::from(i.immediate) as u64;
            let mut take = false;
            match i.code {
                LOAD_WORD => registers[target] = u64::from(context[i.offset as usize / 4]),
                MOVE => registers[target] = registers[source],
                MOVE_IMMEDIATE => registers[target] = immediate,
                AND_IMMEDIATE => registers[target] &= immediate,
                SHIFT_RIGHT => registers[target] >>= immediate,
                SHIFT_RIGHT_REGISTER => registers[target] >>= registers[source],
                JUMP_GREATER => take = registers[target] > immediate,
                JUMP_EQUAL => take = registers[target] == immediate,
                JUMP_NOT_EQUAL => take = registers[target] != immediate,
                EXIT => return registers[0] != 0,
                other => panic!("instruction {other:#x}"),
            }
            at += 1 + if take { i.offset as usize } else { 0 };
        }
    }

    fn spec(json: &str) -> Vec<LinuxDeviceCgroup> {
        serde_json::from_str(json).expect("device rules")
    }

    #[test]
    fn without_rules_only_the_standard_devices_can_be_opened() {
        let program = program(&rules(&[]));
        let table = [
            (DEVICE_CHAR, 1, 3, READ | WRITE, true),
            (DEVICE_CHAR, 1, 9, READ, true),
            (DEVICE_CHAR, 136, 77, READ | WRITE, true),
            (DEVICE_CHAR, 1, 1, READ, false),
            (DEVICE_CHAR, 10, 200, READ, false),
            (DEVICE_BLOCK, 8, 0, READ, false),
            (DEVICE_BLOCK, 8, 0, MKNOD, true),
            (DEVICE_BLOCK, 8, 0, MKNOD | READ, false),
            (DEVICE_BLOCK, 1, 3, READ, false),
        ];
        for (kind, major, minor, access, want) in table {
            assert_eq!(
                run(&program, kind, major, minor, access),
                want,
                "{kind} {major}:{minor} {access}"
            );
        }
    }

    #[test]
    fn the_block_for_the_standard_devices_says_what_their_rules_say() {
        let by_hand = program(&rules(&[]));
        // With a rule that means nothing behind them they are translated one by one.
        let nothing = Rule {
            access: 0,
            ..STANDARD[0]
        };
        let mut longer = STANDARD.to_vec();
        longer.push(nothing);
        let one_by_one = program(&longer);
        assert!(by_hand.len() < one_by_one.len());
        for kind in [DEVICE_BLOCK, DEVICE_CHAR] {
            for (major, minor) in
                (0..140).flat_map(|major| (0..70).map(move |minor| (major, minor)))
            {
                for access in 1..8 {
                    let [a, b] =
                        [&by_hand, &one_by_one].map(|p| run(p, kind, major, minor, access));
                    assert_eq!(a, b, "{kind} {major}:{minor} {access}");
                }
            }
        }
    }

    #[test]
    fn a_later_rule_overrides_an_earlier_one_for_the_accesses_it_names() {
        let rules = rules(&spec(
            r#"[{"allow":false,"access":"rwm"},
                {"allow":true,"type":"b","major":8,"minor":0,"access":"rw"},
                {"allow":false,"type":"b","major":8,"minor":0,"access":"w"}]"#,
        ));
        let program = program(&rules);
        assert!(run(&program, DEVICE_BLOCK, 8, 0, READ));
        assert!(!run(&program, DEVICE_BLOCK, 8, 0, WRITE));
        assert!(!run(&program, DEVICE_BLOCK, 8, 0, READ | WRITE));
        assert!(!run(&program, DEVICE_BLOCK, 8, 1, READ));
    }

    #[test]
    fn privileged_means_no_program_at_all() {
        assert!(is_unrestricted(&rules(&spec(
            r#"[{"allow":true,"access":"rwm"}]"#
        ))));
        let taken_back =
            spec(r#"[{"allow":true,"access":"rwm"},{"allow":false,"type":"c","access":"w"}]"#);
        assert!(!is_unrestricted(&rules(&taken_back)));
        assert!(!is_unrestricted(&rules(&[])));
    }

    #[test]
    fn v1_lines_start_from_nothing() {
        let lines = v1_lines(&rules(&spec(
            r#"[{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]"#,
        )));
        assert_eq!(lines[0], ("devices.deny", "a".to_owned()));
        assert_eq!(lines[1], ("devices.allow", "c 10:229 rw".to_owned()));
        assert!(lines.contains(&("devices.allow", "c 136:* rwm".to_owned())));
    }
}
