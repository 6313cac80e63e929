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

/// v1's shares (2…262144, 1024 by default) as v2's weight (1…10000, 100 by default), so that both
/// ends and the defaults meet: 1024 shares are as much as a cgroup has that nobody gave any. runc
/// does so since 1.3.2 and crun since 1.23; before, 1024 was 39.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 1 and 10000"
)]
fn weight(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
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

/// The spec's weight (10…1000) as that of `io.weight` (1…10000).
fn io_weight(weight: u16) -> u32 {
    1 + (u32::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

/// Weights of single devices: `major:minor`, weight.
fn weights(io: &LinuxBlockIo) -> impl Iterator<Item = (String, u16)> {
    let devices = io.weight_device().iter().flatten();
    devices.filter_map(|device| {
        let weight = device.weight().filter(|weight| *weight != 0)?;
        Some((format!("{}:{}", device.major(), device.minor()), weight))
    })
}

fn io_v2(io: &LinuxBlockIo, out: &mut Vec<Setting>) {
    // Two schedulers, two files; a kernel has those of the ones that it was built with.
    let of_bfq = "io.bfq.weight";
    if let Some(weight) = io.weight().filter(|w| *w != 0) {
        out.push(nice(Controller::Io, of_bfq, weight.clamp(1, 1000)));
        let value = format!("default {}", io_weight(weight));
        out.push(nice(Controller::Io, "io.weight", value));
    }
    for (device, weight) in weights(io) {
        let value = format!("{device} {}", weight.clamp(1, 1000));
        out.push(nice(Controller::Io, of_bfq, value));
        let value = format!("{device} {}", io_weight(weight));
        out.push(nice(Controller::Io, "io.weight", value));
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
    // CFQ's, and BFQ's since Linux 5.0.
    for (file, of_device) in [
        ("blkio.weight", "blkio.weight_device"),
        ("blkio.bfq.weight", "blkio.bfq.weight_device"),
    ] {
        let weight = io.weight().filter(|w| *w != 0);
        out.extend(weight.map(|w| nice(Controller::Io, file, w)));
        let lines = weights(io).map(|(device, weight)| format!("{device} {weight}"));
        out.extend(lines.map(|line| nice(Controller::Io, of_device, line)));
    }
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
                &["cpu.weight=100"],
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
            (
                r#"{"blockIO":{"weight":300,"weightDevice":[{"major":8,"minor":0,"weight":10}]}}"#,
                &[
                    "io.bfq.weight=300",
                    "io.weight=default 2930",
                    "io.bfq.weight=8:0 10",
                    "io.weight=8:0 1",
                ],
                &[
                    "blkio.weight=300",
                    "blkio.weight_device=8:0 10",
                    "blkio.bfq.weight=300",
                    "blkio.bfq.weight_device=8:0 10",
                ],
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
        for (shares, expected) in [
            (0, 1),
            (2, 1),
            (102, 17),
            (256, 35),
            (512, 59),
            (1024, 100),
            (2000, 170),
            (2048, 174),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        assert_eq!(
            (io_weight(0), io_weight(10), io_weight(1000)),
            (1, 1, 10_000)
        );
    }
}
