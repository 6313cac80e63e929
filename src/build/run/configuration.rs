//! What a step's container is made of: its files, and the configuration for the runtime.

use std::path::Path;

use oci_spec::runtime::{LinuxMemory, LinuxResources};

use super::mounts::{self, Prepared};
use super::names::{HOSTNAME, host_resolv, resolv_file};
use super::{Job, NetworkChoice, Place, Runner, Surroundings, network_of};
use crate::build::dockerfile::instruction::Security;
use crate::build::error::StepError;
use crate::build::files::{lower, make};
use crate::build::plan::step::Program;
use crate::net::resolv::hosts_file;
use crate::runtime::bundle::{Bundle, NetworkSetup, Rootfs, Seccomp, ShimConfig};
use crate::runtime::spec::{Namespace, Settings, default_spec};
use crate::state::write_json;

impl Runner {
    /// Writes the files that are mounted from it: names, addresses, and the script of the step.
    pub(super) fn write_files(
        &self,
        bundle: &Bundle,
        job: &Job<'_>,
        (prepared, place): (&Prepared, Option<&Place>),
    ) -> Result<(), StepError> {
        let write = |name: &str, text: &str| {
            let path = bundle.dir().join(name);
            std::fs::write(&path, text).map_err(StepError::io("write", &path))
        };
        let host = host_resolv();
        match network_of(job) {
            NetworkChoice::Host => {
                let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
                let more = extra_hosts(job, "127.0.0.1".parse().ok())?;
                let more: String = more
                    .iter()
                    .map(|(name, address)| format!("{address}\t{name}\n"))
                    .collect();
                write("resolv.conf", &host)?;
                write("hosts", &(hosts + &more))?;
            }
            _ => {
                let gateway = place.and_then(|place| place.endpoint.gateway);
                let own: Vec<_> = place
                    .iter()
                    .flat_map(|place| place.endpoint.endpoint.addresses.iter())
                    .map(ipnetwork::IpNetwork::ip)
                    .collect();
                write("resolv.conf", &resolv_file(&host))?;
                let extra = extra_hosts(job, gateway)?;
                write("hosts", &hosts_file(HOSTNAME, &own, &extra))?;
            }
        }
        if let Program::Script { name, content } = &job.run.program {
            let path = prepared.private.join(format!("script-{}", plain(name)));
            std::fs::write(&path, content).map_err(StepError::io("write", &path))?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&path, mode).map_err(StepError::io("protect", &path))?;
        }
        Ok(())
    }

    /// Writes `config.json` and `shim.json`.
    pub(super) fn write_configuration(
        &self,
        id: &str,
        bundle: &Bundle,
        job: &Job<'_>,
        (prepared, place): (&mut Prepared, Option<&Place>),
    ) -> Result<(), StepError> {
        let settings = settings(id, bundle, job, prepared)?;
        let spec = default_spec(settings).map_err(|error| StepError::Value(error.to_string()))?;
        write_json(&bundle.spec(), &spec)?;
        let shim = self.shim_config(id, job, place)?;
        Ok(write_json(&bundle.shim_config(), &shim)?)
    }

    fn shim_config(
        &self,
        id: &str,
        job: &Job<'_>,
        place: Option<&Place>,
    ) -> Result<ShimConfig, StepError> {
        let run = job.run;
        let mut below = lower(job.layers);
        if below.is_empty() {
            let empty = job.snapshot.scratch().join("empty");
            make(&empty)?;
            below.push(empty);
        }
        Ok(ShimConfig {
            version: 1,
            id: id.to_owned(),
            rootfs: Rootfs {
                lower: below,
                upper: job.snapshot.upper(),
                work: job.snapshot.work(),
                snapshot: true,
            },
            network: match network_of(job) {
                NetworkChoice::Host => NetworkSetup::Inherit,
                _ => NetworkSetup::Private {
                    endpoints: place
                        .iter()
                        .map(|place| place.endpoint.endpoint.clone())
                        .collect(),
                    dns: self.wants_names(job),
                },
            },
            log: None,
            stdin_open: false,
            init: false,
            copy_up: Vec::new(),
            wait_attach: true,
            socket: self.paths.shim_socket(id),
            on_lost: Vec::new(),
            end_when_lost: true,
            user: Some(run.user.clone()).filter(|user| !user.is_empty()),
            group_add: Vec::new(),
            seccomp: match run.security {
                Security::Insecure => Seccomp::Unconfined,
                Security::Sandbox => Seccomp::Default,
            },
        })
    }
}

/// What the step's container is made of.
fn settings(
    id: &str,
    bundle: &Bundle,
    job: &Job<'_>,
    prepared: &mut Prepared,
) -> Result<Settings, StepError> {
    let run = job.run;
    let mut mounts = std::mem::take(&mut prepared.mounts);
    for name in ["resolv.conf", "hosts"] {
        let target = format!("/etc/{name}");
        mounts.push(mounts::bind(&bundle.dir().join(name), &target, true)?);
    }
    let args = match &run.program {
        Program::Arguments(words) => words.clone(),
        Program::Script { name, .. } => {
            let target = format!("/dev/pipes/{}", plain(name));
            let source = prepared.private.join(format!("script-{}", plain(name)));
            mounts.push(mounts::bind(&source, &target, false)?);
            vec![target]
        }
    };
    // Proxies do not change what a step makes, so they are no part of its key.
    let mut env = run.env.clone();
    env.extend(run.proxies.clone());
    env.extend(prepared.env.drain(..));
    let insecure = run.security == Security::Insecure;
    if insecure && !job.surroundings.insecure {
        return Err(StepError::Value(
            "RUN --security=insecure is not allowed: allow it with `--allow security.insecure`, or `privileged: true` of the build"
                .to_owned(),
        ));
    }
    Ok(Settings {
        args,
        env: env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        cwd: run.workdir.clone().into(),
        hostname: HOSTNAME.to_owned(),
        mounts,
        privileged: insecure,
        rlimits: job.surroundings.rlimits.clone(),
        resources: resources(job.surroundings),
        shm_size: job.surroundings.shm_size,
        cgroup_path: Path::new("/stack/build").join(id),
        network: match network_of(job) {
            NetworkChoice::Host => Namespace::Host,
            _ => Namespace::Private,
        },
        ..Settings::default()
    })
}

fn resources(surroundings: &Surroundings) -> LinuxResources {
    let mut resources = LinuxResources::default();
    if let Some(limit) = surroundings.memory {
        let mut memory = LinuxMemory::default();
        memory.set_limit(Some(i64::try_from(limit).unwrap_or(i64::MAX)));
        resources.set_memory(Some(memory));
    }
    resources
}

fn extra_hosts(
    job: &Job<'_>,
    gateway: Option<std::net::IpAddr>,
) -> Result<Vec<(String, std::net::IpAddr)>, StepError> {
    let resolve = |(name, text): &(String, String)| {
        let address = match (text.as_str(), gateway) {
            ("host-gateway", Some(gateway)) => Some(gateway),
            (text, _) => text.trim_matches(['[', ']']).parse().ok(),
        };
        let address = address.ok_or_else(|| {
            StepError::Value(format!("extra host {name}: `{text}` is not an address"))
        })?;
        Ok((name.clone(), address))
    };
    job.surroundings.extra_hosts.iter().map(resolve).collect()
}

/// A name of a here-document as a file name.
fn plain(name: &str) -> String {
    let keep = |c: char| {
        if c.is_alphanumeric() || c == '_' || c == '-' {
            c
        } else {
            '_'
        }
    };
    name.chars().map(keep).collect()
}
