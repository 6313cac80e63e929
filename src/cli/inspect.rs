//! `stack inspect`: all that is known of containers, in Docker's shape.

use std::collections::BTreeMap;
use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::choice::{Format, write_documents};
use super::containers::{self, Listed, State, listed, log_dir};
use super::context::Context;
use super::error::{Error, Result};
use crate::compose::model::{RestartPolicy, Service, ServiceNetwork};
use crate::engine::native::{networks, observe};
use crate::plan::{Exit, Phase};
use crate::runtime::bundle::Bundle;
use crate::state::read_json;
use crate::state::records::{
    ContainerRecord, HealthState, HealthStatus, NetworkRecord, PortRecord,
};

/// What Go prints for a time that is not there.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names of containers, ids, or the first digits of ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    /// `json`, or a Go template for a line about each.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,
}

impl Inspect {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let observed = observe(&context.paths, None)?;
        let all = listed(&observed, None);
        let networks = networks(&context.paths)?;
        let mut found = Vec::new();
        let mut errors = Vec::new();
        for text in &self.containers {
            match find(&all, text) {
                Ok(one) => found.push(document(context, one, &networks)?),
                Err(error) => errors.push(error),
            }
        }
        let mut out = std::io::stdout().lock();
        write_documents(found, self.format.as_ref(), &mut out)?;
        out.flush()?;
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Error::several(errors)),
        }
    }
}

/// The container that a user means by its name, id, or the first digits of its id.
fn find<'a>(all: &'a [Listed], text: &str) -> Result<&'a Listed, String> {
    let bare = text.strip_prefix('/').unwrap_or(text);
    let exact = |listed: &&Listed| listed.record().name == bare || listed.record().id == bare;
    if let Some(listed) = all.iter().find(exact) {
        return Ok(listed);
    }
    let mut alike = all
        .iter()
        .filter(|listed| listed.record().id.starts_with(bare));
    match (alike.next(), alike.next()) {
        (Some(listed), None) if !bare.is_empty() => Ok(listed),
        (Some(_), Some(_)) if !bare.is_empty() => Err(format!(
            "several containers have ids that begin with {bare}; give more digits"
        )),
        _ => Err(format!("no such container: {text}")),
    }
}

/// The document about one container.
fn document(context: &Context, listed: &Listed, networks: &[NetworkRecord]) -> Result<Value> {
    let record = listed.record();
    let bundle = Bundle::new(context.paths.container(&record.id));
    // The bundle may just be going: what the records say is still true.
    let spec = read_json::<Value>(&bundle.spec())
        .unwrap_or(None)
        .unwrap_or_default();
    let log = log_dir(context, record).map(|dir| dir.join("current.log"));
    let (path, arguments) = match record.command.split_first() {
        Some((path, arguments)) => (path.as_str(), arguments),
        None => ("", &[][..]),
    };
    Ok(json!({
        "Id": record.id,
        "Created": record.created,
        "Path": path,
        "Args": arguments,
        "State": state(listed),
        "Image": record.image_id,
        "LogPath": log,
        "Name": format!("/{}", record.name),
        "RestartCount": listed.container.status.restart_count,
        "Driver": "overlayfs",
        "Platform": "linux",
        "HostConfig": host_config(record),
        "Mounts": mounts(record),
        "Config": config(record, &spec),
        "NetworkSettings": network_settings(listed, networks),
    }))
}

fn state(listed: &Listed) -> Value {
    let time = |time: Option<Timestamp>| time.map_or(NO_TIME.to_owned(), |time| time.to_string());
    let container = &listed.container;
    let exit: Option<&Exit> = match &container.phase {
        Phase::Exited(exit) => Some(exit),
        _ => None,
    };
    let mut state = json!({
        "Status": listed.state.word(),
        "Running": container.is_up(),
        "Paused": listed.state == State::Paused,
        "Restarting": listed.state == State::Restarting,
        "OOMKilled": exit.is_some_and(|exit| exit.oom_killed),
        "Dead": listed.state == State::Dead,
        "Pid": container.pid().unwrap_or(0),
        "ExitCode": listed.exit_code(),
        "Error": exit.and_then(|exit| exit.error.as_deref()).unwrap_or_default(),
        "StartedAt": time(container.started_at()),
        "FinishedAt": time(exit.map(|exit| exit.finished_at)),
    });
    if container.record.health.is_some() {
        state["Health"] = health(container.status.health.as_ref());
    }
    state
}

fn health(health: Option<&HealthState>) -> Value {
    let Some(health) = health else {
        return json!({"Status": "starting", "FailingStreak": 0, "Log": []});
    };
    let log = health.log.iter().map(|probe| {
        json!({
            "Start": probe.start,
            "End": probe.end,
            "ExitCode": probe.exit_code,
            "Output": probe.output,
        })
    });
    json!({
        "Status": match health.status {
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        },
        "FailingStreak": health.failing_streak,
        "Log": log.collect::<Vec<_>>(),
    })
}

fn host_config(record: &ContainerRecord) -> Value {
    let service = &record.template;
    let resources = &service.resources;
    let binds: Vec<String> = record
        .mounts
        .iter()
        .filter(|mount| mount.kind != "tmpfs")
        .map(|mount| {
            let source = match mount.name.is_empty() {
                true => mount.source.display().to_string(),
                false => mount.name.clone(),
            };
            let mode = if mount.writable { "rw" } else { "ro" };
            format!("{source}:{}:{mode}", mount.destination)
        })
        .collect();
    let logging = service.logging.as_ref();
    json!({
        "Binds": binds,
        "LogConfig": {
            "Type": logging.and_then(|logging| logging.driver.as_deref()).unwrap_or("json-file"),
            "Config": logging.map(|logging| &logging.options),
        },
        "NetworkMode": network_mode(record),
        "PortBindings": port_bindings(service),
        "RestartPolicy": restart_policy(&service.restart),
        "AutoRemove": record.auto_remove,
        "CapAdd": service.cap_add,
        "CapDrop": service.cap_drop,
        "Dns": service.dns,
        "DnsOptions": service.dns_opt,
        "DnsSearch": service.dns_search,
        "ExtraHosts": service
            .extra_hosts
            .iter()
            .map(|(name, address)| format!("{name}:{address}"))
            .collect::<Vec<_>>(),
        "GroupAdd": service.group_add,
        "IpcMode": service.ipc.as_deref().unwrap_or("private"),
        "OomScoreAdj": service.oom_score_adj.unwrap_or(0),
        "PidMode": service.pid.as_deref().unwrap_or_default(),
        "Privileged": service.privileged,
        "ReadonlyRootfs": service.read_only,
        "SecurityOpt": service.security_opt,
        "ShmSize": service.shm_size.unwrap_or(64 << 20),
        "Sysctls": service.sysctls,
        "Init": service.init,
        "UTSMode": service.uts.as_deref().unwrap_or_default(),
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "Memory": resources.memory.unwrap_or(0),
        "NanoCpus": resources.nano_cpus.unwrap_or(0),
        "CpuPeriod": resources.cpu_period.unwrap_or(0),
        "CpuQuota": resources.cpu_quota.unwrap_or(0),
        "CpusetCpus": resources.cpuset.as_deref().unwrap_or_default(),
        "MemoryReservation": resources.memory_reservation.unwrap_or(0),
        "MemorySwap": resources.memory_swap.unwrap_or(0),
        "PidsLimit": resources.pids,
        "Ulimits": service
            .ulimits
            .iter()
            .map(|(name, limit)| json!({"Name": name, "Soft": limit.soft, "Hard": limit.hard}))
            .collect::<Vec<_>>(),
    })
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
    use crate::compose::model::Published;
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
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { max_attempts, .. } => ("on-failure", max_attempts.unwrap_or(0)),
    };
    json!({"Name": name, "MaximumRetryCount": most})
}

fn mounts(record: &ContainerRecord) -> Vec<Value> {
    let mounts = record.mounts.iter().map(|mount| {
        let mut value = json!({
            "Type": mount.kind,
            "Source": mount.source,
            "Destination": mount.destination,
            "Mode": if mount.writable { "rw" } else { "ro" },
            "RW": mount.writable,
        });
        if mount.kind == "volume" {
            value["Name"] = json!(mount.name);
            value["Driver"] = json!("local");
        }
        value
    });
    mounts.collect()
}

/// `spec` is the OCI configuration: it has what image and service have come to together.
fn config(record: &ContainerRecord, spec: &Value) -> Value {
    let service = &record.template;
    let process = &spec["process"];
    let env = match &process["env"] {
        Value::Array(env) => json!(env),
        _ => json!(
            service
                .environment
                .iter()
                .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
                .collect::<Vec<_>>()
        ),
    };
    let exposed: Map<String, Value> = service
        .expose
        .iter()
        .map(|port| match port.contains('/') {
            true => (port.clone(), json!({})),
            false => (format!("{port}/tcp"), json!({})),
        })
        .chain(
            service
                .ports
                .iter()
                .map(|port| (format!("{}/{}", port.target, port.protocol), json!({}))),
        )
        .collect();
    let mut config = json!({
        "Hostname": spec["hostname"].as_str().or(service.hostname.as_deref()).unwrap_or_default(),
        "Domainname": service.domainname.as_deref().unwrap_or_default(),
        "User": service.user.as_deref().unwrap_or_default(),
        "Tty": service.tty,
        "OpenStdin": service.stdin_open,
        "Env": env,
        "Cmd": service.command,
        "Entrypoint": service.entrypoint,
        "ExposedPorts": exposed,
        "Image": record.image,
        "WorkingDir": process["cwd"].as_str().or(service.working_dir.as_deref()).unwrap_or("/"),
        "Labels": record.labels,
        "StopSignal": record.stop_signal.to_string(),
        "StopTimeout": record.stop_grace.as_secs(),
    });
    if let Some(health) = &record.health {
        let test: Vec<&str> = std::iter::once("CMD")
            .chain(health.command.iter().map(String::as_str))
            .collect();
        // Docker has durations in nanoseconds.
        let nanoseconds =
            |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        config["Healthcheck"] = json!({
            "Test": test,
            "Interval": nanoseconds(health.interval),
            "Timeout": nanoseconds(health.timeout),
            "StartPeriod": nanoseconds(health.start_period),
            "StartInterval": nanoseconds(health.start_interval),
            "Retries": health.retries,
        });
    }
    config
}

fn network_settings(listed: &Listed, networks: &[NetworkRecord]) -> Value {
    let record = listed.record();
    let mut joined = Map::new();
    for request in &record.networks {
        let endpoints = match listed.container.is_up() {
            true => &listed.container.status.endpoints[..],
            false => &[],
        };
        let endpoint = endpoints
            .iter()
            .find(|endpoint| endpoint.network == request.network);
        let address = |wants_v4: bool| {
            let addresses = endpoint
                .into_iter()
                .flat_map(|endpoint| &endpoint.addresses);
            addresses
                .copied()
                .find(|address| address.is_ipv4() == wants_v4)
        };
        let (v4, v6) = (address(true), address(false));
        let network = networks
            .iter()
            .find(|network| network.name == request.network);
        let mut value = json!({
            "IPAMConfig": ipam_config(&request.addresses),
            "Aliases": endpoint.map_or(&request.aliases, |endpoint| &endpoint.names),
            "DNSNames": endpoint.map(|endpoint| &endpoint.names),
            "NetworkID": network.map(|network| network.id.as_str()).unwrap_or_default(),
            "MacAddress": endpoint.map(|endpoint| endpoint.mac.as_str()).unwrap_or_default(),
            "Gateway": "",
            "IPAddress": v4.map(|address| address.ip().to_string()).unwrap_or_default(),
            "IPPrefixLen": v4.map_or(0, |address| address.prefix()),
            "IPv6Gateway": "",
            "GlobalIPv6Address": v6.map(|address| address.ip().to_string()).unwrap_or_default(),
            "GlobalIPv6PrefixLen": v6.map_or(0, |address| address.prefix()),
        });
        if let Some(gateway) = endpoint.and_then(|endpoint| endpoint.gateway) {
            let key = if gateway.is_ipv4() {
                "Gateway"
            } else {
                "IPv6Gateway"
            };
            value[key] = json!(gateway);
        }
        joined.insert(request.network.clone(), value);
    }
    json!({
        "Ports": ports(listed.ports(), listed),
        "Networks": joined,
    })
}

fn ipam_config(addresses: &[std::net::IpAddr]) -> Value {
    let mut config = Map::new();
    for address in addresses {
        let key = if address.is_ipv4() {
            "IPv4Address"
        } else {
            "IPv6Address"
        };
        config.insert(key.to_owned(), json!(address));
    }
    match config.is_empty() {
        true => Value::Null,
        false => Value::Object(config),
    }
}

/// Docker's map: port of the container → addresses of the host, `null` for one that is only
/// announced.
fn ports(ports: &[PortRecord], listed: &Listed) -> Value {
    let mut map: BTreeMap<String, Option<Vec<Value>>> = BTreeMap::new();
    for publisher in containers::publishers(listed) {
        let key = format!("{}/{}", publisher.target, publisher.protocol);
        let entry = map.entry(key).or_default();
        if publisher.published != 0 && !ports.is_empty() {
            entry.get_or_insert_default().push(json!({
                "HostIp": publisher.url,
                "HostPort": publisher.published.to_string(),
            }));
        }
    }
    json!(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::tests::{container, exited, running};

    fn some() -> Vec<Listed> {
        vec![
            Listed {
                container: container("web", 1, running()),
                state: State::Running,
            },
            Listed {
                container: container("job", 12, exited(137)),
                state: State::Exited,
            },
        ]
    }

    #[test]
    fn containers_are_found_by_name_id_and_first_digits() {
        let mut all = some();
        std::sync::Arc::make_mut(&mut all[0].container.record).id = "ab12".to_owned();
        std::sync::Arc::make_mut(&mut all[1].container.record).id = "ab34".to_owned();
        let name = |text: &str| find(&all, text).map(|listed| listed.record().name.clone());
        assert_eq!(name("shop-web-1").unwrap(), "shop-web-1");
        assert_eq!(name("/shop-web-1").unwrap(), "shop-web-1");
        assert_eq!(name("ab3").unwrap(), "shop-job-12");
        assert!(name("ab").unwrap_err().contains("several"));
        assert_eq!(name("").unwrap_err(), "no such container: ");
        assert_eq!(name("nope").unwrap_err(), "no such container: nope");
    }

    #[test]
    fn the_state_is_docker_s() {
        let all = some();
        let running = state(&all[0]);
        assert_eq!(running["Status"], "running");
        assert_eq!(running["Running"], true);
        assert_eq!(running["Pid"], 7);
        assert_eq!(running["FinishedAt"], NO_TIME);
        assert!(running.get("Health").is_none());
        let exited = state(&all[1]);
        assert_eq!(exited["ExitCode"], 137);
        assert_eq!(exited["Pid"], 0);
        assert_eq!(exited["StartedAt"], "2023-11-14T22:13:20Z");
    }

    #[test]
    fn ports_are_a_map_with_null_for_those_only_announced() {
        let all = some();
        let settings = network_settings(&all[0], &[]);
        insta::assert_snapshot!(settings["Ports"], @r#"{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"9000/tcp":null}"#);
    }
}
