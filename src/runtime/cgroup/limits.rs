//! From the limits of an OCI runtime spec to files and their contents, for v1 and v2. Pure.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::layout::Controller;

/// What to do when the kernel has no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The limit cannot be kept: an error.
    Must,
    /// A refinement that many kernels are built without (swap accounting, BFQ): go on.
    Nice,
}

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) controller: Controller,
    pub(crate) file: String,
    pub(crate) value: String,
    pub(crate) need: Need,
}

fn must(controller: Controller, file: &str, value: impl ToString) -> Setting {
    Setting {
        controller,
        file: file.to_owned(),
        value: value.to_string(),
        need: Need::Must,
    }
}

fn nice(controller: Controller, file: &str, value: impl ToString) -> Setting {
    Setting {
        need: Need::Nice,
        ..must(controller, file, value)
    }
}

/// `max` for "no limit", which the spec writes as a number below zero.
fn or_max(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

/// What to write on v2.
pub(crate) fn v2(resources: &LinuxResources) -> Vec<Setting> {
    let mut out = Vec::new();
    if let Some(memory) = resources.memory() {
        memory_v2(memory, &mut out);
    }
    if let Some(cpu) = resources.cpu() {
        cpu_v2(cpu, &mut out);
        cpuset(cpu, &mut out);
    }
    pids(resources, &mut out);
    if let Some(io) = resources.block_io() {
        io_v2(io, &mut out);
    }
    for page in resources.hugepage_limits().iter().flatten() {
        out.push(must(
            Controller::Hugetlb,
            &format!("hugetlb.{}.max", page.page_size()),
            or_max(page.limit()),
        ));
    }
    out
}

/// What to write on v1.
pub(crate) fn v1(resources: &LinuxResources) -> Vec<Setting> {
    let mut out = Vec::new();
    if let Some(memory) = resources.memory() {
        memory_v1(memory, &mut out);
    }
    if let Some(cpu) = resources.cpu() {
        cpu_v1(cpu, &mut out);
        cpuset(cpu, &mut out);
    }
    pids(resources, &mut out);
    if let Some(io) = resources.block_io() {
        io_v1(io, &mut out);
    }
    for page in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.limit_in_bytes", page.page_size());
        out.push(must(Controller::Hugetlb, &file, page.limit()));
    }
    out
}

fn memory_v2(memory: &LinuxMemory, out: &mut Vec<Setting>) {
    let limit = memory.limit().filter(|limit| *limit != 0);
    if let Some(limit) = limit {
        out.push(must(Controller::Memory, "memory.max", or_max(limit)));
    }
    // The spec's `swap` is memory and swap together, v2 counts swap alone.
    if let Some(swap) = memory.swap().filter(|swap| *swap != 0) {
        let value = match limit {
            Some(limit) if swap >= 0 && limit >= 0 => (swap - limit).max(0).to_string(),
            _ => or_max(swap),
        };
        out.push(nice(Controller::Memory, "memory.swap.max", value));
    }
    if let Some(reservation) = memory.reservation().filter(|r| *r != 0) {
        out.push(must(Controller::Memory, "memory.low", or_max(reservation)));
    }
}

fn memory_v1(memory: &LinuxMemory, out: &mut Vec<Setting>) {
    let file = "memory.limit_in_bytes";
    out.extend(
        memory
            .limit()
            .filter(|v| *v != 0)
            .map(|v| must(Controller::Memory, file, v)),
    );
    // After the limit: memory and swap together may not be less than memory alone.
    let file = "memory.memsw.limit_in_bytes";
    out.extend(
        memory
            .swap()
            .filter(|v| *v != 0)
            .map(|v| nice(Controller::Memory, file, v)),
    );
    let file = "memory.soft_limit_in_bytes";
    out.extend(
        memory
            .reservation()
            .filter(|v| *v != 0)
            .map(|v| must(Controller::Memory, file, v)),
    );
    out.extend(
        memory
            .swappiness()
            .map(|v| nice(Controller::Memory, "memory.swappiness", v)),
    );
    if memory.disable_oom_killer() == Some(true) {
        out.push(must(Controller::Memory, "memory.oom_control", 1));
    }
}

/// v1's shares (2…262144, 1024 by default) as v2's weight (1…10000, 100 by default): the linear
/// map that runc and systemd's users expect.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

const DEFAULT_PERIOD: u64 = 100_000;

fn cpu_v2(cpu: &LinuxCpu, out: &mut Vec<Setting>) {
    out.extend(
        cpu.shares()
            .filter(|s| *s != 0)
            .map(|s| must(Controller::Cpu, "cpu.weight", weight(s))),
    );
    if cpu.quota().is_some() || cpu.period().is_some() {
        let quota = cpu
            .quota()
            .filter(|q| *q > 0)
            .map_or("max".to_owned(), |q| q.to_string());
        let period = cpu.period().filter(|p| *p != 0).unwrap_or(DEFAULT_PERIOD);
        out.push(must(
            Controller::Cpu,
            "cpu.max",
            format!("{quota} {period}"),
        ));
    }
    out.extend(
        cpu.burst()
            .map(|burst| nice(Controller::Cpu, "cpu.max.burst", burst)),
    );
    out.extend(
        cpu.idle()
            .map(|idle| nice(Controller::Cpu, "cpu.idle", idle)),
    );
}

fn cpu_v1(cpu: &LinuxCpu, out: &mut Vec<Setting>) {
    out.extend(
        cpu.shares()
            .filter(|s| *s != 0)
            .map(|s| must(Controller::Cpu, "cpu.shares", s.max(2))),
    );
    // The period first: the kernel checks a quota against the period that is set.
    out.extend(
        cpu.period()
            .filter(|p| *p != 0)
            .map(|p| must(Controller::Cpu, "cpu.cfs_period_us", p)),
    );
    out.extend(
        cpu.quota()
            .filter(|q| *q != 0)
            .map(|q| must(Controller::Cpu, "cpu.cfs_quota_us", q)),
    );
    out.extend(
        cpu.burst()
            .map(|burst| nice(Controller::Cpu, "cpu.cfs_burst_us", burst)),
    );
    out.extend(
        cpu.idle()
            .map(|idle| nice(Controller::Cpu, "cpu.idle", idle)),
    );
    out.extend(
        cpu.realtime_period()
            .map(|v| must(Controller::Cpu, "cpu.rt_period_us", v)),
    );
    out.extend(
        cpu.realtime_runtime()
            .map(|v| must(Controller::Cpu, "cpu.rt_runtime_us", v)),
    );
}

fn cpuset(cpu: &LinuxCpu, out: &mut Vec<Setting>) {
    let filled = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    out.extend(filled(cpu.cpus()).map(|list| must(Controller::Cpuset, "cpuset.cpus", list)));
    out.extend(filled(cpu.mems()).map(|list| must(Controller::Cpuset, "cpuset.mems", list)));
}

fn pids(resources: &LinuxResources, out: &mut Vec<Setting>) {
    if let Some(pids) = resources.pids() {
        let value = if pids.limit() > 0 {
            pids.limit().to_string()
        } else {
            "max".to_owned()
        };
        out.push(must(Controller::Pids, "pids.max", value));
    }
}

fn io_v2(io: &LinuxBlockIo, out: &mut Vec<Setting>) {
    if let Some(weight) = io.weight().filter(|w| *w != 0) {
        let weight = 1 + (u32::from(weight.clamp(10, 1000)) - 10) * 9999 / 990;
        out.push(nice(
            Controller::Io,
            "io.weight",
            format!("default {weight}"),
        ));
    }
    let kinds = [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ];
    for (key, devices) in kinds {
        for device in devices.iter().flatten() {
            let value = format!(
                "{}:{} {key}={}",
                device.major(),
                device.minor(),
                device.rate()
            );
            out.push(must(Controller::Io, "io.max", value));
        }
    }
}

fn io_v1(io: &LinuxBlockIo, out: &mut Vec<Setting>) {
    out.extend(
        io.weight()
            .filter(|w| *w != 0)
            .map(|w| nice(Controller::Io, "blkio.weight", w)),
    );
    let kinds: [(&str, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        (
            "blkio.throttle.read_bps_device",
            io.throttle_read_bps_device(),
        ),
        (
            "blkio.throttle.write_bps_device",
            io.throttle_write_bps_device(),
        ),
        (
            "blkio.throttle.read_iops_device",
            io.throttle_read_iops_device(),
        ),
        (
            "blkio.throttle.write_iops_device",
            io.throttle_write_iops_device(),
        ),
    ];
    for (file, devices) in kinds {
        for device in devices.iter().flatten() {
            out.push(must(
                Controller::Io,
                file,
                format!("{}:{} {}", device.major(), device.minor(), device.rate()),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(json: &str) -> LinuxResources {
        serde_json::from_str(json).expect("a LinuxResources")
    }

    fn lines(settings: Vec<Setting>) -> Vec<String> {
        settings
            .iter()
            .map(|s| format!("{}={}", s.file, s.value))
            .collect()
    }

    #[test]
    fn limits_become_the_files_of_each_version() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("{}", &[], &[]),
            (
                r#"{"memory":{"limit":67108864}}"#,
                &["memory.max=67108864"],
                &["memory.limit_in_bytes=67108864"],
            ),
            (
                r#"{"memory":{"limit":-1}}"#,
                &["memory.max=max"],
                &["memory.limit_in_bytes=-1"],
            ),
            (
                r#"{"memory":{"limit":100,"swap":150,"reservation":50}}"#,
                &["memory.max=100", "memory.swap.max=50", "memory.low=50"],
                &[
                    "memory.limit_in_bytes=100",
                    "memory.memsw.limit_in_bytes=150",
                    "memory.soft_limit_in_bytes=50",
                ],
            ),
            (
                r#"{"memory":{"limit":100,"swap":-1}}"#,
                &["memory.max=100", "memory.swap.max=max"],
                &[
                    "memory.limit_in_bytes=100",
                    "memory.memsw.limit_in_bytes=-1",
                ],
            ),
            (
                r#"{"cpu":{"shares":1024}}"#,
                &["cpu.weight=39"],
                &["cpu.shares=1024"],
            ),
            (
                r#"{"cpu":{"quota":50000,"period":100000}}"#,
                &["cpu.max=50000 100000"],
                &["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000"],
            ),
            (
                r#"{"cpu":{"quota":-1}}"#,
                &["cpu.max=max 100000"],
                &["cpu.cfs_quota_us=-1"],
            ),
            (
                r#"{"cpu":{"cpus":"0-1","mems":""}}"#,
                &["cpuset.cpus=0-1"],
                &["cpuset.cpus=0-1"],
            ),
            (
                r#"{"pids":{"limit":10}}"#,
                &["pids.max=10"],
                &["pids.max=10"],
            ),
            (
                r#"{"pids":{"limit":-1}}"#,
                &["pids.max=max"],
                &["pids.max=max"],
            ),
            (
                r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1000}]}}"#,
                &["io.max=8:0 rbps=1000"],
                &["blkio.throttle.read_bps_device=8:0 1000"],
            ),
        ];
        for (json, want_v2, want_v1) in table {
            let resources = resources(json);
            assert_eq!(lines(v2(&resources)), *want_v2, "v2 of {json}");
            assert_eq!(lines(v1(&resources)), *want_v1, "v1 of {json}");
        }
    }

    #[test]
    fn weights_cover_the_whole_range() {
        assert_eq!(
            (weight(0), weight(2), weight(262_144), weight(u64::MAX)),
            (1, 1, 10_000, 10_000)
        );
    }
}
