//! `HostConfig` and `Mounts`: what a container gets from the machine.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::compose::model::{
    BlockIo, Device, MountSource, Published, RestartPolicy, Service, ServiceNetwork,
};
use crate::state::records::{ContainerRecord, MountRecord};

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

/// The settings, in Docker's order.
pub(super) fn host_config(record: &ContainerRecord) -> Value {
    let service = &record.template;
    let mut config = basics(record);
    for part in [namespaces(service), resources(service), paths(record)] {
        if let (Value::Object(config), Value::Object(part)) = (&mut config, part) {
            config.extend(part);
        }
    }
    config
}

fn basics(record: &ContainerRecord) -> Value {
    let service = &record.template;
    let logging = service.logging.as_ref();
    let driver = logging.and_then(|logging| logging.driver.as_deref());
    json!({
        "Binds": list(&binds(record)),
        "ContainerIDFile": "",
        "LogConfig": {
            "Type": driver.unwrap_or("json-file"),
            "Config": logging.map(|logging| &logging.options).cloned().unwrap_or_default(),
        },
        "NetworkMode": network_mode(record),
        "PortBindings": port_bindings(service),
        "RestartPolicy": restart_policy(&service.restart),
        "AutoRemove": record.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "ConsoleSize": [0, 0],
        "Annotations": service.annotations,
        "CapAdd": list(&service.cap_add),
        "CapDrop": list(&service.cap_drop),
    })
}

fn namespaces(service: &Service) -> Value {
    let hosts: Vec<String> = service
        .extra_hosts
        .iter()
        .map(|(name, address)| format!("{name}:{address}"))
        .collect();
    json!({
        "CgroupnsMode": service.cgroup.as_deref().unwrap_or("private"),
        "Dns": list(&service.dns),
        "DnsOptions": list(&service.dns_opt),
        "DnsSearch": list(&service.dns_search),
        "ExtraHosts": hosts,
        "GroupAdd": list(&service.group_add),
        "IpcMode": service.ipc.as_deref().unwrap_or("private"),
        "Cgroup": "",
        "Links": null,
        "OomScoreAdj": service.oom_score_adj.unwrap_or(0),
        "PidMode": service.pid.as_deref().unwrap_or_default(),
        "Privileged": service.privileged,
        "PublishAllPorts": false,
        "ReadonlyRootfs": service.read_only,
        "SecurityOpt": list(&service.security_opt),
        "StorageOpt": service.storage_opt,
        "UTSMode": service.uts.as_deref().unwrap_or_default(),
        "UsernsMode": service.userns_mode.as_deref().unwrap_or_default(),
        "ShmSize": service.shm_size.unwrap_or(64 << 20),
        "Sysctls": service.sysctls,
        "Runtime": service.runtime.as_deref().unwrap_or("stack"),
        "Isolation": "",
    })
}

fn resources(service: &Service) -> Value {
    let resources = &service.resources;
    let none = BlockIo::default();
    let block = service.block_io.as_ref().unwrap_or(&none);
    let ulimits: Vec<Value> = service
        .ulimits
        .iter()
        .map(|(name, limit)| json!({"Name": name, "Hard": limit.hard, "Soft": limit.soft}))
        .collect();
    let devices: Vec<Value> = service.devices.iter().map(device).collect();
    json!({
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "Memory": resources.memory.unwrap_or(0),
        "NanoCpus": resources.nano_cpus.unwrap_or(0),
        "CgroupParent": service.cgroup_parent.as_deref().unwrap_or_default(),
        "BlkioWeight": block.weight.unwrap_or(0),
        "CpuPeriod": resources.cpu_period.unwrap_or(0),
        "CpuQuota": resources.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": resources.cpu_rt_period.unwrap_or(0),
        "CpuRealtimeRuntime": resources.cpu_rt_runtime.unwrap_or(0),
        "CpusetCpus": resources.cpuset.as_deref().unwrap_or_default(),
        "CpusetMems": "",
        "Devices": list(&devices),
        "DeviceCgroupRules": list(&service.device_cgroup_rules),
        "DeviceRequests": null,
        "MemoryReservation": resources.memory_reservation.unwrap_or(0),
        "MemorySwap": resources.memory_swap.unwrap_or(0),
        "MemorySwappiness": service.mem_swappiness,
        "OomKillDisable": service.oom_kill_disable,
        "PidsLimit": resources.pids,
        "Ulimits": list(&ulimits),
        "CpuCount": resources.cpu_count.unwrap_or(0),
        "CpuPercent": resources.cpu_percent.unwrap_or(0),
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}

fn device(device: &Device) -> Value {
    json!({
        "PathOnHost": device.source,
        "PathInContainer": device.target,
        "CgroupPermissions": device.permissions,
    })
}

fn paths(record: &ContainerRecord) -> Value {
    let service = &record.template;
    let unless_privileged = |paths: &[&str]| match service.privileged {
        true => Value::Null,
        false => json!(paths),
    };
    json!({
        "Mounts": list(&requested_mounts(record)),
        "MaskedPaths": unless_privileged(&MASKED),
        "ReadonlyPaths": unless_privileged(&READ_ONLY),
        "Init": service.init.then_some(true),
    })
}

/// `source:target:mode` of directories and named volumes.
fn binds(record: &ContainerRecord) -> Vec<String> {
    let binds = record.mounts.iter().filter_map(|mount| {
        let source = match mount.kind.as_str() {
            "bind" if !is_file_object(record, mount) => mount.source.display().to_string(),
            "volume" if !is_anonymous(record, mount) => mount.name.clone(),
            _ => return None,
        };
        Some(format!("{source}:{}:{}", mount.destination, mode(mount)))
    });
    binds.collect()
}

/// The mounts that are no `Binds`.
fn requested_mounts(record: &ContainerRecord) -> Vec<Value> {
    let mounts = record.mounts.iter().filter_map(|mount| {
        let mut value = json!({"Type": mount.kind});
        match mount.kind.as_str() {
            "bind" if is_file_object(record, mount) => value["Source"] = json!(mount.source),
            "image" => value["Source"] = json!(mount.name),
            "volume" if is_anonymous(record, mount) => {}
            "tmpfs" => {}
            _ => return None,
        }
        value["Target"] = json!(mount.destination);
        if !mount.writable {
            value["ReadOnly"] = json!(true);
        }
        Some(value)
    });
    mounts.collect()
}

/// `Mounts`: what is mounted, with where it comes from.
pub(super) fn mounts(record: &ContainerRecord) -> Vec<Value> {
    let mounts = record.mounts.iter().map(|mount| {
        let mut value = json!({"Type": mount.kind});
        if mount.kind == "volume" {
            value["Name"] = json!(mount.name);
        }
        value["Source"] = json!(mount.source);
        value["Destination"] = json!(mount.destination);
        if mount.kind == "volume" {
            value["Driver"] = json!("local");
        }
        value["Mode"] = json!(match mount.kind.as_str() {
            // Docker: these are not written in the short form, which has the mode.
            "volume" if is_anonymous(record, mount) => "z",
            "bind" if is_file_object(record, mount) => "",
            "volume" | "bind" => mode(mount),
            _ => "",
        });
        value["RW"] = json!(mount.writable);
        value["Propagation"] = json!(propagation(record, mount));
        value
    });
    mounts.collect()
}

fn mode(mount: &MountRecord) -> &'static str {
    match mount.writable {
        true => "rw",
        false => "ro",
    }
}

fn is_anonymous(record: &ContainerRecord, mount: &MountRecord) -> bool {
    record.anonymous_volumes.contains_key(&mount.destination)
}

/// Whether it is a config or a secret.
fn is_file_object(record: &ContainerRecord, mount: &MountRecord) -> bool {
    let service = &record.template;
    let mut uses = service.configs.iter().chain(&service.secrets);
    uses.any(|file| file.target == mount.destination)
}

fn propagation(record: &ContainerRecord, mount: &MountRecord) -> String {
    if mount.kind != "bind" {
        return String::new();
    }
    let asked = record.template.volumes.iter().find_map(|wanted| {
        let MountSource::Bind { propagation, .. } = &wanted.source else {
            return None;
        };
        propagation
            .clone()
            .filter(|_| wanted.target == mount.destination)
    });
    asked.unwrap_or_else(|| "rprivate".to_owned())
}

fn network_mode(record: &ContainerRecord) -> String {
    match &record.template.network {
        ServiceNetwork::None => "none".to_owned(),
        ServiceNetwork::Host => "host".to_owned(),
        ServiceNetwork::Service(name) => format!("service:{name}"),
        ServiceNetwork::Container(name) => format!("container:{name}"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::tests::{container, running};
    use crate::compose::model::FileUse;

    fn mount(kind: &str, name: &str, destination: &str, writable: bool) -> MountRecord {
        MountRecord {
            kind: kind.to_owned(),
            name: name.to_owned(),
            source: "/s".into(),
            destination: destination.to_owned(),
            writable,
        }
    }

    #[test]
    fn mounts_are_docker_s_in_its_order() {
        let mut container = container("web", 1, running());
        let record = std::sync::Arc::make_mut(&mut container.record);
        record.anonymous_volumes = [("/anon".to_owned(), "0123".to_owned())].into();
        record.template.configs = vec![FileUse {
            source: "c".to_owned(),
            target: "/config".to_owned(),
            uid: None,
            gid: None,
            mode: None,
        }];
        record.mounts = vec![
            mount("volume", "shop_data", "/data", true),
            mount("bind", "", "/src", false),
            mount("volume", "0123", "/anon", true),
            mount("bind", "", "/config", false),
            mount("tmpfs", "", "/tmp", true),
        ];
        let text: Vec<String> = mounts(record).iter().map(Value::to_string).collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        {"Type":"volume","Name":"shop_data","Source":"/s","Destination":"/data","Driver":"local","Mode":"rw","RW":true,"Propagation":""}
        {"Type":"bind","Source":"/s","Destination":"/src","Mode":"ro","RW":false,"Propagation":"rprivate"}
        {"Type":"volume","Name":"0123","Source":"/s","Destination":"/anon","Driver":"local","Mode":"z","RW":true,"Propagation":""}
        {"Type":"bind","Source":"/s","Destination":"/config","Mode":"","RW":false,"Propagation":"rprivate"}
        {"Type":"tmpfs","Source":"/s","Destination":"/tmp","Mode":"","RW":true,"Propagation":""}
        "#);
        let host = host_config(record);
        assert_eq!(host["Binds"], json!(["shop_data:/data:rw", "/s:/src:ro"]));
        let kinds: Vec<&Value> = host["Mounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| &mount["Target"])
            .collect();
        assert_eq!(kinds, ["/anon", "/config", "/tmp"]);
    }
}
