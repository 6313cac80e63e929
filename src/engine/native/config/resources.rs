//! From the limits of a service to those of the runtime spec.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxBlockIoBuilder, LinuxCpu, LinuxCpuBuilder, LinuxMemory, LinuxMemoryBuilder,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder,
};

use super::devices;
use super::oci;
use crate::compose::model::{BlockIo, Resources, Service};
use crate::engine::EngineError;

/// CFS period that `cpus` is turned into a quota of, in µs (Docker's value).
const CPU_PERIOD: u64 = 100_000;

/// All limits of a service, and its rules for devices. Pure, but that devices are looked up.
pub(super) fn of(service: &Service) -> Result<LinuxResources, EngineError> {
    let limits = &service.resources;
    let mut all = LinuxResourcesBuilder::default();
    if let Some(memory) = memory(service)? {
        all = all.memory(memory);
    }
    if let Some(cpu) = cpu(limits)? {
        all = all.cpu(cpu);
    }
    if let Some(pids) = limits.pids {
        let pids = LinuxPidsBuilder::default().limit(pids).build();
        all = all.pids(pids.map_err(oci)?);
    }
    if let Some(block) = &service.block_io {
        all = all.block_io(block_io(block)?);
    }
    if !service.device_cgroup_rules.is_empty() {
        all = all.devices(devices::rules(&service.device_cgroup_rules)?);
    }
    all.build().map_err(oci)
}

fn memory(service: &Service) -> Result<Option<LinuxMemory>, EngineError> {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let limits = &service.resources;
    let mut memory = LinuxMemoryBuilder::default();
    if let Some(bytes) = limits.memory {
        // Docker: without `memswap_limit`, or with 0, as much swap again as memory.
        let both = limits.memory_swap.filter(|both| *both != 0);
        let both = both.unwrap_or_else(|| signed(bytes.saturating_mul(2)));
        memory = memory.limit(signed(bytes)).swap(both);
    }
    if let Some(bytes) = limits.memory_reservation {
        memory = memory.reservation(signed(bytes));
    }
    if service.oom_kill_disable {
        memory = memory.disable_oom_killer(true);
    }
    // -1 is what Docker writes for "not said".
    if let Some(swappiness) = service.mem_swappiness.and_then(|n| u64::try_from(n).ok()) {
        memory = memory.swappiness(swappiness);
    }
    let memory = memory.build().map_err(oci)?;
    Ok(Some(memory).filter(|memory| *memory != LinuxMemory::default()))
}

fn cpu(limits: &Resources) -> Result<Option<LinuxCpu>, EngineError> {
    let mut cpu = LinuxCpuBuilder::default();
    if let Some(nano) = limits.nano_cpus {
        let quota = u128::from(nano) * u128::from(CPU_PERIOD) / 1_000_000_000;
        cpu = cpu
            .period(CPU_PERIOD)
            .quota(i64::try_from(quota).unwrap_or(i64::MAX));
    }
    if let Some(quota) = limits.cpu_quota {
        cpu = cpu.quota(quota);
    }
    if let Some(period) = limits.cpu_period {
        cpu = cpu.period(period);
    }
    if let Some(shares) = limits.cpu_shares {
        cpu = cpu.shares(shares);
    }
    if let Some(cpus) = &limits.cpuset {
        cpu = cpu.cpus(cpus);
    }
    let cpu = cpu.build().map_err(oci)?;
    Ok(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()))
}

fn block_io(block: &BlockIo) -> Result<LinuxBlockIo, EngineError> {
    let mut io = LinuxBlockIoBuilder::default()
        .weight_device(all(&block.weight_device, weight)?)
        .throttle_read_bps_device(all(&block.read_bps, throttle)?)
        .throttle_write_bps_device(all(&block.write_bps, throttle)?)
        .throttle_read_iops_device(all(&block.read_iops, throttle)?)
        .throttle_write_iops_device(all(&block.write_iops, throttle)?);
    if let Some(weight) = block.weight {
        io = io.weight(weight);
    }
    io.build().map_err(oci)
}

type Numbers = (i64, i64);

/// What is said of devices by their paths, of their numbers.
fn all<V: Copy, T>(
    list: &[(String, V)],
    make: fn(Numbers, V) -> Result<T, EngineError>,
) -> Result<Vec<T>, EngineError> {
    let each = |(path, value): &(String, V)| make(devices::block(path)?, *value);
    list.iter().map(each).collect()
}

fn weight((major, minor): Numbers, weight: u16) -> Result<LinuxWeightDevice, EngineError> {
    let device = LinuxWeightDeviceBuilder::default()
        .major(major)
        .minor(minor)
        .weight(weight);
    device.build().map_err(oci)
}

fn throttle((major, minor): Numbers, rate: u64) -> Result<LinuxThrottleDevice, EngineError> {
    let device = LinuxThrottleDeviceBuilder::default()
        .major(major)
        .minor(minor)
        .rate(rate);
    device.build().map_err(oci)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(resources: Resources) -> Service {
        Service {
            resources,
            ..Service::default()
        }
    }

    #[test]
    fn cpus_become_a_quota_and_memory_brings_as_much_swap() {
        let limits = Resources {
            nano_cpus: Some(1_500_000_000),
            memory: Some(64 << 20),
            ..Resources::default()
        };
        let found = cpu(&limits).unwrap().unwrap();
        let expected = (Some(150_000), Some(100_000));
        assert_eq!((found.quota(), found.period()), expected);
        for (memory_swap, expected) in [
            (None, 128 << 20),
            (Some(0), 128 << 20),
            (Some(-1), -1),
            (Some(64 << 20), 64 << 20),
        ] {
            let service = limited(Resources {
                memory_swap,
                ..limits.clone()
            });
            let found = memory(&service).unwrap().unwrap();
            let expected = (Some(64 << 20), Some(expected));
            assert_eq!((found.limit(), found.swap()), expected);
        }
    }

    #[test]
    fn what_is_not_limited_is_not_written() {
        let nothing = limited(Resources::default());
        assert_eq!(cpu(&nothing.resources).unwrap(), None);
        assert_eq!(memory(&nothing).unwrap(), None);
        let service = Service {
            oom_kill_disable: true,
            mem_swappiness: Some(10),
            ..nothing
        };
        let found = memory(&service).unwrap().unwrap();
        let seen = (
            found.limit(),
            found.disable_oom_killer(),
            found.swappiness(),
        );
        assert_eq!(seen, (None, Some(true), Some(10)));
    }

    #[test]
    fn a_limit_for_what_is_no_block_device_is_an_error_that_names_it() {
        let block = BlockIo {
            read_bps: vec![("/dev/null".into(), 1000)],
            ..BlockIo::default()
        };
        let error = block_io(&block).unwrap_err().to_string();
        assert_eq!(error, "/dev/null is not a block device");
    }
}
