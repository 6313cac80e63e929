//! Which system calls a program may make: Docker's default profile, or that of an OCI runtime spec,
//! as a BPF program.
//!
//! Owns numbers, profile and compiler; all of it is pure. Never installs a filter
//! ([`crate::sys::seccomp`] does). Invariant: what a filter does not know is refused, on every
//! architecture that the kernel can run.

mod filter;
mod profile;
mod syscalls;

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};

use super::capabilities::Sets;
use crate::sys::seccomp::Instruction;
use filter::{Architecture, Clause, Compare, Policy, Test, errno};
use syscalls::{LAST, NONE, TABLE};

/// A filter, ready to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(crate) flags: u32,
}

/// A profile that cannot be done.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SeccompError {
    /// Asks another process for each call.
    #[error("the action `{0}` of linux.seccomp is not supported yet")]
    Action(String),
    /// There are six arguments.
    #[error("`{name}` has no argument {index}")]
    Argument {
        /// The system call.
        name: String,
        /// The index.
        index: usize,
    },
}

/// Docker's default profile for a process with these capabilities.
pub(crate) fn default_filter(sets: &Sets) -> Filter {
    let policies: Vec<(Architecture, Policy)> = Architecture::offered()
        .iter()
        .map(|architecture| (*architecture, profile::policy(sets, *architecture)))
        .collect();
    Filter {
        program: filter::compile(&policies),
        flags: 0,
    }
}

/// The profile of a spec.
pub(crate) fn from_spec(seccomp: &LinuxSeccomp) -> Result<Filter, SeccompError> {
    let wanted = seccomp.architectures().as_deref().unwrap_or_default();
    let mut policies = Vec::new();
    for architecture in Architecture::offered() {
        let named = match architecture {
            Architecture::I386 => wanted.contains(&Arch::ScmpArchX86),
            // The native one always: a filter that knows no call at all starts no program.
            Architecture::X86_64 | Architecture::Aarch64 => true,
        };
        if named {
            policies.push((*architecture, policy(seccomp, *architecture)?));
        }
    }
    let flags = seccomp
        .flags()
        .iter()
        .flatten()
        .map(|flag| flag_bit(*flag))
        .fold(0, |all, one| all | one);
    Ok(Filter {
        program: filter::compile(&policies),
        flags,
    })
}

/// linux/seccomp.h
fn flag_bit(flag: LinuxSeccompFilterFlag) -> u32 {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 1,
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => 2,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => 4,
        // Only means something together with a listener.
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 0,
    }
}

fn policy(seccomp: &LinuxSeccomp, architecture: Architecture) -> Result<Policy, SeccompError> {
    let default = action(seccomp.default_action(), seccomp.default_errno_ret())?;
    let mut rules: BTreeMap<u32, Vec<Clause>> = BTreeMap::new();
    for rule in seccomp.syscalls().iter().flatten() {
        let action = action(rule.action(), rule.errno_ret())?;
        for name in rule.names() {
            let Some(number) = number(name, architecture) else {
                continue;
            };
            rules
                .entry(number)
                .or_default()
                .extend(clauses(name, rule, action)?);
        }
    }
    // An unconditional rule decides whatever else is said about the call.
    for clauses in rules.values_mut() {
        clauses.sort_by_key(|clause| !clause.tests.is_empty());
    }
    let refuses = matches!(seccomp.default_action(), LinuxSeccompAction::ScmpActErrno);
    let unknown = if refuses {
        errno(libc::ENOSYS)
    } else {
        default
    };
    Ok(Policy {
        rules,
        default,
        unknown,
        last_known: LAST,
    })
}

/// A name that no architecture knows, or not this one, means nothing here.
fn number(name: &str, architecture: Architecture) -> Option<u32> {
    let at = TABLE.binary_search_by_key(&name, |(name, _)| name).ok()?;
    let number = TABLE[at].1[architecture.column()];
    (number != NONE).then_some(u32::from(number))
}

/// All tests of a rule have to hold; but several on one argument are alternatives, as libseccomp's
/// users write them.
fn clauses(name: &str, rule: &LinuxSyscall, action: u32) -> Result<Vec<Clause>, SeccompError> {
    let args = rule.args().as_deref().unwrap_or_default();
    let tests: Vec<Test> = args
        .iter()
        .map(|arg| test(name, arg))
        .collect::<Result<_, _>>()?;
    let repeated = (0..6).any(|index| tests.iter().filter(|test| test.index == index).count() > 1);
    Ok(if repeated {
        tests
            .into_iter()
            .map(|test| Clause {
                tests: vec![test],
                action,
            })
            .collect()
    } else {
        vec![Clause { tests, action }]
    })
}

fn test(name: &str, arg: &LinuxSeccompArg) -> Result<Test, SeccompError> {
    let index = u32::try_from(arg.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| SeccompError::Argument {
        name: name.to_owned(),
        index: arg.index(),
    })?;
    let value = arg.value();
    let compare = match arg.op() {
        LinuxSeccompOperator::ScmpCmpEq => Compare::Eq(value),
        LinuxSeccompOperator::ScmpCmpNe => Compare::Ne(value),
        LinuxSeccompOperator::ScmpCmpLt => Compare::Lt(value),
        LinuxSeccompOperator::ScmpCmpLe => Compare::Le(value),
        LinuxSeccompOperator::ScmpCmpGt => Compare::Gt(value),
        LinuxSeccompOperator::ScmpCmpGe => Compare::Ge(value),
        LinuxSeccompOperator::ScmpCmpMaskedEq => Compare::MaskedEq {
            mask: value,
            value: arg.value_two().unwrap_or(0),
        },
    };
    Ok(Test { index, compare })
}

fn action(action: LinuxSeccompAction, errno_ret: Option<u32>) -> Result<u32, SeccompError> {
    match action {
        LinuxSeccompAction::ScmpActNotify => Err(SeccompError::Action(action.to_string())),
        other => Ok(other.as_u32(errno_ret)),
    }
}

#[cfg(test)]
mod tests;
