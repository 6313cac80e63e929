//! Cleaning up: behind a container that ended, and behind processes that were killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::{Native, leases, observe};
use crate::engine::EngineError;
use crate::net::firewall::{self, Change};
use crate::plan::{Exit, Observed, ObservedContainer, Phase};
use crate::runtime::bundle::{Bundle, ExitRecord, RuntimeState};
use crate::runtime::cgroup::remove_stale;
use crate::state::journal::{Entry, note};
use crate::state::records::{ContainerRecord, ContainerStatus};
use crate::state::{remove_file, sweep_gone, write_json};

/// A program that lives this long has started well: the back-off begins anew (Docker's value).
const GOOD_START: Duration = Duration::from_secs(10);

impl Native {
    /// Brings a container whose shim is gone to rest: an exit record exists, nothing of it runs,
    /// and what it had taken is given back.
    pub(super) fn settle(
        &self,
        record: &ContainerRecord,
    ) -> Result<ObservedContainer, EngineError> {
        let bundle = Bundle::new(self.paths.container(&record.id));
        if observe::read_if_whole::<ExitRecord>(&bundle.exit())?.is_none()
            && let Some(state) = observe::read_if_whole::<RuntimeState>(&bundle.state())?
        {
            // Killed together with its shim, or alone and its shim after it.
            self.send_signal(record, nix::libc::SIGKILL)?;
            if let Err(error) = remove_stale(&observe::cgroup_path(record)) {
                tracing::warn!(container = record.name, %error, "cannot remove its cgroup");
            }
            let exit = ExitRecord {
                version: 1,
                exit_code: 128 + nix::libc::SIGKILL,
                signal: Some(nix::libc::SIGKILL),
                oom_killed: false,
                error: None,
                started_at: Some(state.started_at),
                finished_at: Timestamp::now(),
            };
            write_json(&bundle.exit(), &exit)?;
            remove_file(&self.paths.shim_socket(&record.id))?;
        }
        let mut status = observe::container_status(&self.paths, &record.id)?;
        self.release(record, &status);
        let phase = observe::phase(&self.paths, record)?;
        status.last_addresses = addresses(&status);
        status.endpoints.clear();
        status.ports.clear();
        status.health = None;
        if let Phase::Exited(exit) = &phase {
            let lived = exit
                .started_at
                .and_then(|started| exit.finished_at.duration_since(started).try_into().ok());
            if lived.is_some_and(|lived: Duration| lived >= GOOD_START) {
                status.streak = 0;
            }
        }
        let mut settled = ObservedContainer {
            record: std::sync::Arc::new(record.clone()),
            status,
            phase,
        };
        if let Some(exit) = untold_end(&settled).cloned() {
            self.note_end(record, &exit);
            settled.status.told_end = Some(exit.finished_at);
        }
        write_json(
            &self.paths.container(&record.id).join("status.json"),
            &settled.status,
        )?;
        Ok(settled)
    }

    /// Writes an end into the journal.
    fn note_end(&self, record: &ContainerRecord, exit: &Exit) {
        let at = exit.finished_at;
        if exit.oom_killed {
            note(&self.paths, &Entry::of(record, "oom").at(at));
        }
        let lived = exit
            .started_at
            .map_or(0, |started| at.duration_since(started).as_secs().max(0));
        let entry = Entry::of(record, "die")
            .with("exitCode", exit.code)
            .with("execDuration", lived);
        note(&self.paths, &entry.at(at));
    }

    /// Removes what interrupted operations have left: half-removed and half-made objects, addresses
    /// and published ports of containers that do not run.
    pub(super) fn sweep(&self, observed: &Observed) -> Result<(), EngineError> {
        for dir in [
            self.paths.containers(),
            self.paths.volumes(),
            self.paths.networks(),
        ] {
            sweep_gone(&dir);
        }
        self.sweep_unfinished();
        let mut taken: BTreeMap<IpAddr, bool> = BTreeMap::new();
        for (name, network) in &observed.networks {
            if network.project != self.project {
                continue;
            }
            for leased in leases::list(&self.paths, name)? {
                let id = &leased.lease.container;
                let up = match observed.containers.get(id) {
                    Some(container) => container.is_up(),
                    // Another project's container on our network.
                    None => observe::observe_container(&self.paths, id, None)?
                        .is_some_and(|other| other.is_up()),
                };
                taken.insert(leased.address, up);
                if !up {
                    leases::release(&self.paths, name, leased.address)?;
                }
            }
        }
        self.sweep_ports(observed, &taken)
    }

    /// Published ports that lead to addresses of ours which nobody has any more.
    fn sweep_ports(
        &self,
        observed: &Observed,
        taken: &BTreeMap<IpAddr, bool>,
    ) -> Result<(), EngineError> {
        let subnets: Vec<IpNetwork> = observe::networks(&self.paths)?
            .into_iter()
            .filter(|network| network.project == self.project)
            .flat_map(|network| network.subnets.into_iter().map(|subnet| subnet.subnet))
            .collect();
        if subnets.is_empty() {
            return Ok(());
        }
        let live: BTreeSet<_> = observed
            .containers
            .values()
            .filter(|container| container.is_up())
            .flat_map(|container| super::start::port_rules(&container.status))
            .collect();
        let stale: Vec<Change> = firewall::snapshot()?
            .ports
            .into_iter()
            .filter(|rule| {
                subnets
                    .iter()
                    .any(|subnet| subnet.contains(rule.container_ip))
            })
            .filter(|rule| {
                !live.contains(rule) && !taken.get(&rule.container_ip).copied().unwrap_or(false)
            })
            .map(Change::Unpublish)
            .collect();
        if !stale.is_empty() {
            firewall::apply(&stale)?;
        }
        Ok(())
    }

    /// Directories that were being made when their maker was killed. Whoever sweeps holds the lock of
    /// its project, so nobody is making any of this project's now; those of projects that never
    /// come back are told by their age.
    fn sweep_unfinished(&self) {
        let own = unfinished(&self.project, "");
        for dir in [
            self.paths.containers(),
            self.paths.volumes(),
            self.paths.networks(),
        ] {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let made = entry.metadata().and_then(|metadata| metadata.modified());
                let age = made.ok().and_then(|made| made.elapsed().ok());
                let old = age.is_some_and(|age| age > ABANDONED);
                if name.starts_with(&own) || old && name.starts_with(UNFINISHED) {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
    }
}

/// The end of a program that ran, which the journal does not have yet.
pub(super) fn untold_end(container: &ObservedContainer) -> Option<&Exit> {
    let Phase::Exited(exit) = &container.phase else {
        return None;
    };
    let told = container.status.told_end == Some(exit.finished_at);
    (exit.started_at.is_some() && !told).then_some(exit)
}

/// How the names of directories that are being made begin.
const UNFINISHED: &str = ".new-";
/// Nothing takes this long to make.
const ABANDONED: Duration = Duration::from_secs(60);

/// The name of an object's directory while it is being made for a project. No project has a dot in
/// its name.
pub(super) fn unfinished(project: &str, id: &str) -> String {
    format!("{UNFINISHED}{project}.{id}")
}

fn addresses(status: &ContainerStatus) -> Vec<IpAddr> {
    let now: Vec<IpAddr> = status
        .endpoints
        .iter()
        .flat_map(|endpoint| endpoint.addresses.iter().map(IpNetwork::ip))
        .collect();
    if now.is_empty() {
        status.last_addresses.clone()
    } else {
        now
    }
}
