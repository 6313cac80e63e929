//! `HostConfig`: what a container gets from the machine.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Surroundings;
use super::mounts::{self, Asked};
use crate::compose::model::{
    BlockIo, Device, DeviceChoice, DeviceRequest, Published, RestartPolicy, Service, ServiceNetwork,
};
use crate::engine::native::SYSTEM_PATHS;
use crate::state::records::ContainerRecord;

/// Paths that containers see as empty, unless they are privileged.
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// Paths that containers cannot write to, unless they are privileged.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// An empty list is nothing in Go's JSON.
fn list<T: serde::Serialize>(items: &[T]) -> Value {
    match items.is_empty() {
        true => Value::Null,
        false => json!(items),
    }
}

/// The settings, in Docker's order. What Docker leaves out where it says nothing is left out here.
pub(super) fn host_config(record: &ContainerRecord, around: &Surroundings<'_>) -> Value {
    let service = &record.template;
    let asked = mounts::asked(record);
    let mut config = basics(record, &asked, around);
    let parts = [
        namespaces(record, around),
        security(service, &asked),
        limits(service),
        devices(service),
        last(service, asked.mounts),
    ];
    for part in parts {
        if let (Value::Object(config), Value::Object(part)) = (&mut config, part) {
            config.extend(part);
        }
    }
    config
}

fn basics(record: &ContainerRecord, asked: &Asked, around: &Surroundings<'_>) -> Value {
    let service = &record.template;
    let logging = service.logging.as_ref();
    let driver = logging.and_then(|logging| logging.driver.as_deref());
    json!({
        "Binds": list(&asked.binds),
        "ContainerIDFile": "",
        "LogConfig": {
            "Type": driver.filter(|driver| !driver.is_empty()).unwrap_or("json-file"),
            "Config": logging.map(|logging| &logging.options).cloned().unwrap_or_default(),
        },
        "NetworkMode": network_mode(record, around),
        "PortBindings": port_bindings(service),
        "RestartPolicy": restart_policy(&service.restart),
        "AutoRemove": record.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "CapAdd": list(&capabilities(&service.cap_add)),
        "CapDrop": list(&capabilities(&service.cap_drop)),
    })
}

/// As Docker's engine keeps them: in capitals, with `CAP_`, in order; `ALL` stands alone.
fn capabilities(written: &[String]) -> Vec<String> {
    let mut names: Vec<String> = written
        .iter()
        .map(|name| name.to_ascii_uppercase())
        .map(|name| match name == "ALL" || name.starts_with("CAP_") {
            true => name,
            false => format!("CAP_{name}"),
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn namespaces(record: &ContainerRecord, around: &Surroundings<'_>) -> Value {
    let service = &record.template;
    let hosts: Vec<String> = service
        .extra_hosts
        .iter()
        .map(|(name, address)| format!("{name}:{address}"))
        .collect();
    let shared = |mode: &Option<String>| around.resolved(record, mode.as_deref().unwrap_or(""));
    let ipc = shared(&service.ipc);
    json!({
        "CgroupnsMode": service.cgroup.as_deref().unwrap_or("private"),
        "Dns": list(&service.dns),
        "DnsOptions": list(&service.dns_opt),
        "DnsSearch": list(&service.dns_search),
        "ExtraHosts": hosts,
        "GroupAdd": list(&service.group_add),
        "IpcMode": if ipc.is_empty() { "private" } else { &ipc },
        "Cgroup": "",
        "Links": null,
        "OomScoreAdj": service.oom_score_adj.unwrap_or(0),
        "PidMode": shared(&service.pid),
        "Privileged": service.privileged,
        "PublishAllPorts": false,
        "ReadonlyRootfs": service.read_only,
    })
}

fn is_about_paths(option: &String) -> bool {
    option == SYSTEM_PATHS
}

fn security(service: &Service, asked: &Asked) -> Value {
    let mut options = service.security_opt.clone();
    options.retain(|option| !is_about_paths(option));
    let mut config = json!({"SecurityOpt": list(&options)});
    if !service.storage_opt.is_empty() {
        config["StorageOpt"] = json!(service.storage_opt);
    }
    if !asked.tmpfs.is_empty() {
        config["Tmpfs"] = json!(asked.tmpfs);
    }
    config["UTSMode"] = json!(service.uts.as_deref().unwrap_or_default());
    config["UsernsMode"] = json!(service.userns_mode.as_deref().unwrap_or_default());
    config["ShmSize"] = json!(service.shm_size.unwrap_or(64 << 20));
    if !service.sysctls.is_empty() {
        config["Sysctls"] = json!(service.sysctls);
    }
    config["Runtime"] = json!(service.runtime.as_deref().unwrap_or("stack"));
    config["ConsoleSize"] = json!([0, 0]);
    config["Isolation"] = json!("");
    if !service.annotations.is_empty() {
        config["Annotations"] = json!(service.annotations);
    }
    config
}

fn limits(service: &Service) -> Value {
    let resources = &service.resources;
    let none = BlockIo::default();
    let block = service.block_io.as_ref().unwrap_or(&none);
    let rates = |rates: &[(String, u64)]| {
        let rate = |(path, rate): &(String, u64)| json!({"Path": path, "Rate": rate});
        list(&rates.iter().map(rate).collect::<Vec<_>>())
    };
    let weights = block
        .weight_device
        .iter()
        .map(|(path, weight)| json!({"Path": path, "Weight": weight}));
    json!({
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "Memory": resources.memory.unwrap_or(0),
        "NanoCpus": resources.nano_cpus.unwrap_or(0),
        "CgroupParent": service.cgroup_parent.as_deref().unwrap_or_default(),
        "BlkioWeight": block.weight.unwrap_or(0),
        "BlkioWeightDevice": list(&weights.collect::<Vec<_>>()),
        "BlkioDeviceReadBps": rates(&block.read_bps),
        "BlkioDeviceWriteBps": rates(&block.write_bps),
        "BlkioDeviceReadIOps": rates(&block.read_iops),
        "BlkioDeviceWriteIOps": rates(&block.write_iops),
        "CpuPeriod": resources.cpu_period.unwrap_or(0),
        "CpuQuota": resources.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": resources.cpu_rt_period.unwrap_or(0),
        "CpuRealtimeRuntime": resources.cpu_rt_runtime.unwrap_or(0),
        "CpusetCpus": resources.cpuset.as_deref().unwrap_or_default(),
        "CpusetMems": "",
    })
}

fn devices(service: &Service) -> Value {
    let resources = &service.resources;
    let ulimits: Vec<Value> = service
        .ulimits
        .iter()
        .map(|(name, limit)| json!({"Name": name, "Hard": limit.hard, "Soft": limit.soft}))
        .collect();
    let devices: Vec<Value> = service.devices.iter().map(device).collect();
    let requests: Vec<Value> = service.device_requests.iter().map(request).collect();
    json!({
        "Devices": list(&devices),
        "DeviceCgroupRules": list(&service.device_cgroup_rules),
        "DeviceRequests": list(&requests),
        "KernelMemory": 0,
        "KernelMemoryTCP": 0,
        "MemoryReservation": resources.memory_reservation.unwrap_or(0),
        "MemorySwap": memory_swap(service),
        "MemorySwappiness": service.mem_swappiness,
        "OomKillDisable": service.oom_kill_disable,
        // To Docker no limit is none, however it is written.
        "PidsLimit": resources.pids.filter(|most| *most > 0),
        "Ulimits": list(&ulimits),
        "CpuCount": resources.cpu_count.unwrap_or(0),
        "CpuPercent": resources.cpu_percent.unwrap_or(0),
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}

/// Docker: without `memswap_limit`, or with 0, as much swap again as memory.
fn memory_swap(service: &Service) -> i64 {
    let resources = &service.resources;
    let doubled = |bytes: u64| i64::try_from(bytes.saturating_mul(2)).unwrap_or(i64::MAX);
    let unless_given = || resources.memory.map_or(0, doubled);
    let given = resources.memory_swap.filter(|both| *both != 0);
    given.unwrap_or_else(unless_given)
}

fn device(device: &Device) -> Value {
    json!({
        "PathOnHost": device.source,
        "PathInContainer": device.target,
        "CgroupPermissions": device.permissions,
    })
}

fn request(request: &DeviceRequest) -> Value {
    let (count, ids) = match &request.devices {
        DeviceChoice::All => (-1, None),
        DeviceChoice::Count(count) => (i64::from(*count), None),
        DeviceChoice::Ids(ids) => (0, Some(ids)),
    };
    json!({
        "Driver": request.driver.as_deref().unwrap_or_default(),
        "Count": count,
        "DeviceIDs": ids,
        "Capabilities": [request.capabilities],
        "Options": request.options,
    })
}

fn last(service: &Service, mounts: Vec<Value>) -> Value {
    let mut config = json!({});
    if !mounts.is_empty() {
        config["Mounts"] = Value::Array(mounts);
    }
    let shown = |paths: &[&str]| match service.privileged {
        true => Value::Null,
        false if service.security_opt.iter().any(is_about_paths) => json!([]),
        false => json!(paths),
    };
    config["MaskedPaths"] = shown(&MASKED);
    config["ReadonlyPaths"] = shown(&READ_ONLY);
    if service.init {
        config["Init"] = json!(true);
    }
    config
}

fn network_mode(record: &ContainerRecord, around: &Surroundings<'_>) -> String {
    match &record.template.network {
        ServiceNetwork::None => "none".to_owned(),
        ServiceNetwork::Host => "host".to_owned(),
        ServiceNetwork::Service(name) => around.resolved(record, &format!("service:{name}")),
        ServiceNetwork::Container(name) => around.resolved(record, &format!("container:{name}")),
        ServiceNetwork::Networks(_) => record
            .networks
            .first()
            .map_or_else(|| "none".to_owned(), |network| network.network.clone()),
    }
}

fn port_bindings(service: &Service) -> Value {
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in &service.ports {
        let host_port = match port.published {
            Published::Any => String::new(),
            Published::Port(port) => port.to_string(),
            Published::Range(first, last) => format!("{first}-{last}"),
        };
        let binding = json!({
            "HostIp": port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            "HostPort": host_port,
        });
        let key = format!("{}/{}", port.target, port.protocol);
        bindings.entry(key).or_default().push(binding);
    }
    json!(bindings)
}

fn restart_policy(policy: &RestartPolicy) -> Value {
    let (name, most) = match policy {
        RestartPolicy::No => ("no", 0),
        // Docker has no limit for a program that ended well.
        RestartPolicy::Always | RestartPolicy::Any { .. } => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { max_attempts, .. } => ("on-failure", max_attempts.unwrap_or(0)),
    };
    json!({"Name": name, "MaximumRetryCount": most})
}
