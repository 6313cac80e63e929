//! Capability sets: names, numbers, and how a process comes down to them.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxCapabilities};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::failure::{Attempt, Context, Step};

const STEP: Step = Step::Capabilities;

/// In the order of their numbers (linux/capability.h).
pub(crate) const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// What Docker leaves a container.
pub(crate) const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::SysChroot,
    Capability::Mknod,
    Capability::AuditWrite,
    Capability::Setfcap,
];

/// By name, in any case, with or without `CAP_`.
pub(crate) fn by_name(name: &str) -> Option<Capability> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    ALL.into_iter()
        .find(|capability| capability.to_string() == name)
}

fn bit(capability: Capability) -> u64 {
    ALL.iter()
        .position(|c| *c == capability)
        .map_or(0, |n| 1 << n)
}

fn bits(set: &Option<HashSet<Capability>>) -> u64 {
    set.iter()
        .flatten()
        .map(|c| bit(*c))
        .fold(0, |all, one| all | one)
}

/// The five sets of a process as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
    pub(crate) ambient: u64,
}

impl Sets {
    /// From the spec; a spec without capabilities takes them all away.
    pub(crate) fn from_spec(spec: Option<&LinuxCapabilities>) -> Self {
        spec.map_or_else(Self::default, |spec| Self {
            bounding: bits(spec.bounding()),
            effective: bits(spec.effective()),
            permitted: bits(spec.permitted()),
            inheritable: bits(spec.inheritable()),
            ambient: bits(spec.ambient()),
        })
    }

    /// Whether the program can ever have this one.
    pub(crate) fn bounds(&self, capability: Capability) -> bool {
        self.bounding & bit(capability) != 0
    }

    /// Takes what is not listed out of the bounding set. Before the user changes: it needs
    /// `CAP_SETPCAP`.
    pub(crate) fn limit(&self) -> Attempt<()> {
        for number in 0..64 {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if self.bounding & one.bits() != 0 {
                continue;
            }
            match rustix::thread::capability_is_in_bounding_set(one) {
                Ok(true) => rustix::thread::remove_capability_from_bounding_set(one)
                    .at(STEP, "bounding set")?,
                Ok(false) => {}
                // The first number that the kernel does not know.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Sets the others; after the user has changed, with `keepcaps` on. What this process does not
    /// have itself it cannot give: a machine that is a container already offers less.
    pub(crate) fn apply(&self) -> Attempt<()> {
        let have = rustix::thread::capabilities(None)
            .at(STEP, "")?
            .permitted
            .bits();
        let permitted = self.permitted & have;
        let effective = self.effective & permitted;
        let inheritable = self.inheritable & have;
        let sets = CapabilitySets {
            effective: CapabilitySet::from_bits_retain(effective),
            permitted: CapabilitySet::from_bits_retain(permitted),
            inheritable: CapabilitySet::from_bits_retain(inheritable),
        };
        rustix::thread::set_capabilities(None, sets).at(STEP, "")?;
        match rustix::thread::clear_ambient_capability_set() {
            // Before Linux 4.3.
            Err(rustix::io::Errno::INVAL) => return Ok(()),
            other => other.at(STEP, "ambient set")?,
        }
        let ambient = self.ambient & permitted & inheritable;
        for number in (0..64).filter(|n| ambient & (1 << n) != 0) {
            let one = CapabilitySet::from_bits_retain(1 << number);
            rustix::thread::configure_capability_in_ambient_set(one, true)
                .at(STEP, "ambient set")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert_eq!(bit(Capability::Chown), 1);
        assert_eq!(bit(Capability::SysAdmin), CapabilitySet::SYS_ADMIN.bits());
        assert_eq!(
            bit(Capability::CheckpointRestore),
            CapabilitySet::CHECKPOINT_RESTORE.bits()
        );
        assert_eq!(bit(Capability::AuditRead), CapabilitySet::AUDIT_READ.bits());
        assert_eq!(
            bit(Capability::SysTtyConfig),
            CapabilitySet::SYS_TTY_CONFIG.bits()
        );
    }

    #[test]
    fn the_default_set_is_dockers() {
        let all = DEFAULT.into_iter().map(bit).fold(0, |a, b| a | b);
        assert_eq!(all, 0xa804_25fb);
    }

    #[test]
    fn names_come_in_any_form() {
        for name in ["SYS_ADMIN", "cap_sys_admin", "Sys_Admin"] {
            assert_eq!(by_name(name), Some(Capability::SysAdmin), "{name}");
        }
        assert_eq!(by_name("ALL"), None);
        assert_eq!(by_name("CAP_CAP_KILL"), None);
    }
}
