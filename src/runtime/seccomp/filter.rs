//! From rules to a program of classic BPF. Pure.
//!
//! The program finds a system call's number by a binary search over ranges of numbers that are
//! treated the same: seven or eight comparisons, where a list would take hundreds.

use std::collections::BTreeMap;

use crate::sys::seccomp::Instruction;

/// `SECCOMP_RET_ALLOW`.
pub(super) const ALLOW: u32 = 0x7fff_0000;
const RET_ERRNO: u32 = 0x0005_0000;

/// The action that refuses with an error number.
pub(super) const fn errno(number: i32) -> u32 {
    RET_ERRNO | (number as u32 & 0xffff)
}

/// A way to call the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    X86_64,
    /// 32-bit programs on x86_64.
    I386,
    Aarch64,
}

impl Architecture {
    /// What this program is compiled for.
    #[cfg(target_arch = "x86_64")]
    pub(super) const NATIVE: Self = Self::X86_64;
    #[cfg(target_arch = "aarch64")]
    pub(super) const NATIVE: Self = Self::Aarch64;

    /// What the kernel of this machine can run: its own, and 32-bit x86 on x86_64. 32-bit ARM and x32
    /// are refused as if the kernel did not have them.
    pub(super) fn offered() -> &'static [Self] {
        match Self::NATIVE {
            Self::X86_64 => &[Self::X86_64, Self::I386],
            Self::I386 => &[Self::I386],
            Self::Aarch64 => &[Self::Aarch64],
        }
    }

    pub(super) fn column(self) -> usize {
        match self {
            Self::X86_64 => 0,
            Self::I386 => 1,
            Self::Aarch64 => 2,
        }
    }

    /// linux/audit.h
    fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Eq(u64),
    Ne(u64),
    Lt(u64),
    Le(u64),
    Gt(u64),
    Ge(u64),
    MaskedEq { mask: u64, value: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Test {
    /// 0…5
    pub(super) index: u32,
    pub(super) compare: Compare,
}

/// If all tests hold, this action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) tests: Vec<Test>,
    pub(super) action: u32,
}

/// The rules of one architecture; the first clause of a call that holds decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) rules: BTreeMap<u32, Vec<Clause>>,
    /// For calls without a clause that holds.
    pub(super) default: u32,
    /// For calls newer than our table: programs try them and expect `ENOSYS` from an old kernel.
    pub(super) unknown: u32,
    /// The highest number that is not newer.
    pub(super) last_known: u32,
}

// linux/bpf_common.h
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JEQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JGT: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JGE: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Numbers of x32 have this bit.
const X32: u32 = 0x4000_0000;

fn insn(code: u16, k: u32) -> Instruction {
    Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// The whole program: each architecture's rules, all others refused.
pub(super) fn compile(policies: &[(Architecture, Policy)]) -> Vec<Instruction> {
    let mut out = vec![insn(LOAD, ARCH)];
    for (architecture, policy) in policies {
        let section = section(*architecture, policy);
        out.push(branch(JEQ, architecture.audit(), 1, 0));
        out.push(insn(JUMP, section.len() as u32));
        out.extend(section);
    }
    out.push(insn(RETURN, errno(libc::ENOSYS)));
    out
}

fn section(architecture: Architecture, policy: &Policy) -> Vec<Instruction> {
    let mut out = vec![insn(LOAD, NUMBER)];
    if architecture == Architecture::X86_64 {
        out.push(branch(JGE, X32, 0, 1));
        out.push(insn(RETURN, errno(libc::ENOSYS)));
    }
    out.extend(search(&ranges(policy)));
    out
}

/// Numbers from `first` on are treated like this.
struct Range<'a> {
    first: u32,
    clauses: &'a [Clause],
    default: u32,
}

impl Range<'_> {
    /// The one action, when it does not depend on arguments.
    fn plain(&self) -> Option<u32> {
        match self.clauses {
            [] => Some(self.default),
            [first, ..] if first.tests.is_empty() => Some(first.action),
            _ => None,
        }
    }
}

fn ranges(policy: &Policy) -> Vec<Range<'_>> {
    let mut out: Vec<Range<'_>> = Vec::new();
    let mut next = 0;
    for (number, clauses) in &policy.rules {
        if *number > next {
            push(
                &mut out,
                Range {
                    first: next,
                    clauses: &[],
                    default: policy.default,
                },
            );
        }
        push(
            &mut out,
            Range {
                first: *number,
                clauses,
                default: policy.default,
            },
        );
        next = number + 1;
    }
    if next <= policy.last_known {
        push(
            &mut out,
            Range {
                first: next,
                clauses: &[],
                default: policy.default,
            },
        );
        next = policy.last_known + 1;
    }
    push(
        &mut out,
        Range {
            first: next,
            clauses: &[],
            default: policy.unknown,
        },
    );
    out
}

fn push<'a>(out: &mut Vec<Range<'a>>, range: Range<'a>) {
    let same = out
        .last()
        .is_some_and(|last| range.plain().is_some() && last.plain() == range.plain());
    if !same {
        out.push(range);
    }
}

/// A tree of "from this number on?", leaves first to last.
fn search(ranges: &[Range<'_>]) -> Vec<Instruction> {
    if let [range] = ranges {
        return leaf(range);
    }
    let middle = ranges.len() / 2;
    let low = search(&ranges[..middle]);
    let high = search(&ranges[middle..]);
    let first = ranges[middle].first;
    let mut out = Vec::with_capacity(low.len() + high.len() + 2);
    match u8::try_from(low.len()) {
        Ok(skip) => out.push(branch(JGE, first, skip, 0)),
        // Conditional jumps reach 255 instructions.
        Err(_) => {
            out.push(branch(JGE, first, 0, 1));
            out.push(insn(JUMP, low.len() as u32));
        }
    }
    out.extend(low);
    out.extend(high);
    out
}

fn leaf(range: &Range<'_>) -> Vec<Instruction> {
    if let Some(action) = range.plain() {
        return vec![insn(RETURN, action)];
    }
    let mut out = Vec::new();
    for clause in range.clauses {
        let mut body: Vec<Instruction> = Vec::new();
        let mut tests: Vec<Vec<Step>> = clause.tests.iter().map(steps).collect();
        // From the last test to the first, the distance to the next clause is known.
        let mut rest = 1;
        while let Some(test) = tests.pop() {
            let code = place(&test, rest);
            rest += code.len();
            body.splice(0..0, code);
        }
        out.extend(body);
        out.push(insn(RETURN, clause.action));
    }
    out.push(insn(RETURN, range.default));
    out
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum To {
    Next,
    /// The test holds.
    Holds,
    /// It does not: to the next clause.
    Fails,
}

enum Step {
    Do(Instruction),
    Branch(u16, u32, To, To),
}

fn place(steps: &[Step], after: usize) -> Vec<Instruction> {
    let distance = |at: usize, to: To| match to {
        To::Next => 0,
        To::Holds => (steps.len() - at - 1) as u8,
        // At most six tests of eight instructions: far below 255.
        To::Fails => (steps.len() - at - 1 + after) as u8,
    };
    let place = |(at, step): (usize, &Step)| match step {
        Step::Do(instruction) => *instruction,
        Step::Branch(code, k, yes, no) => branch(*code, *k, distance(at, *yes), distance(at, *no)),
    };
    steps.iter().enumerate().map(place).collect()
}

/// Arguments have 64 bits, the machine 32: high half, then low half (little endian).
fn steps(test: &Test) -> Vec<Step> {
    let low_at = ARGUMENTS + 8 * test.index;
    let low = |value: u64| value as u32;
    let high = |value: u64| (value >> 32) as u32;
    let load = |at| Step::Do(insn(LOAD, at));
    let ordered = |value: u64, code: u16, holds: To, fails: To| {
        vec![
            load(low_at + 4),
            Step::Branch(JGT, high(value), holds, To::Next),
            Step::Branch(JEQ, high(value), To::Next, fails),
            load(low_at),
            Step::Branch(code, low(value), holds, fails),
        ]
    };
    match test.compare {
        Compare::Eq(value) => vec![
            load(low_at + 4),
            Step::Branch(JEQ, high(value), To::Next, To::Fails),
            load(low_at),
            Step::Branch(JEQ, low(value), To::Holds, To::Fails),
        ],
        Compare::Ne(value) => vec![
            load(low_at + 4),
            Step::Branch(JEQ, high(value), To::Next, To::Holds),
            load(low_at),
            Step::Branch(JEQ, low(value), To::Fails, To::Holds),
        ],
        Compare::MaskedEq { mask, value } => vec![
            load(low_at + 4),
            Step::Do(insn(AND, high(mask))),
            Step::Branch(JEQ, high(value), To::Next, To::Fails),
            load(low_at),
            Step::Do(insn(AND, low(mask))),
            Step::Branch(JEQ, low(value), To::Holds, To::Fails),
        ],
        Compare::Gt(value) => ordered(value, JGT, To::Holds, To::Fails),
        Compare::Ge(value) => ordered(value, JGE, To::Holds, To::Fails),
        Compare::Le(value) => ordered(value, JGT, To::Fails, To::Holds),
        Compare::Lt(value) => ordered(value, JGE, To::Fails, To::Holds),
    }
}

#[cfg(test)]
pub(super) mod machine {
    //! A classic BPF machine, as the kernel runs it.

    use super::*;

    /// What the program says to a call.
    pub(in crate::runtime::seccomp) fn run(
        program: &[Instruction],
        architecture: Architecture,
        number: u32,
        args: [u64; 6],
    ) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(architecture.audit().to_le_bytes());
        data.extend(0u64.to_le_bytes());
        args.iter().for_each(|arg| data.extend(arg.to_le_bytes()));
        let word = |at: u32| {
            let at = at as usize;
            u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"))
        };
        let (mut at, mut accumulator) = (0usize, 0u32);
        loop {
            let i = program[at];
            at += 1;
            let take = |holds: bool| usize::from(if holds { i.jt } else { i.jf });
            match i.code {
                LOAD => accumulator = word(i.k),
                AND => accumulator &= i.k,
                JUMP => at += i.k as usize,
                JEQ => at += take(accumulator == i.k),
                JGT => at += take(accumulator > i.k),
                JGE => at += take(accumulator >= i.k),
                RETURN => return i.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }
}
