//! Contents of configs and secrets, put in place in a container that stays (`x-stack.reload`).
//!
//! The mounts of a container lead to files, not to names: a new content is written into the same file.
//! Its processes stand still meanwhile, so that none of them finds half of it.

use std::sync::Arc;
use std::time::Duration;

use super::probe::Ended;
use super::{Native, blocking, files, observe};
use crate::compose::model::Reload;
use crate::engine::{Applied, Engine as _, EngineError};
use crate::plan::{Desired, ObservedContainer};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::signal::stop_signal_reaches;
use crate::state::records::ContainerRecord;

/// The program that tells another one may take this long.
const TELLING: Duration = Duration::from_secs(30);

impl Native {
    /// Puts contents in place in a container that runs, and tells its program.
    pub(super) async fn renew(
        self: &Arc<Self>,
        container: ObservedContainer,
        (names, then): (Vec<String>, Vec<Reload>),
        desired: &Arc<Desired>,
    ) -> Result<Applied, EngineError> {
        let (engine, record) = (Arc::clone(self), Arc::clone(&container.record));
        let wanted = Arc::clone(desired);
        blocking(move || engine.put_in_place(&record, &wanted)).await?;
        for reload in &then {
            self.tell(&container, reload).await?;
        }
        // Only now: what failed is done again by the next command.
        let id = &container.record.id;
        let mut status = observe::container_status(&self.paths, id)?;
        if let Some(service) = desired.services.get(&container.record.service) {
            let hashes = service.content_hashes().into_iter();
            let done = hashes.filter(|(name, _)| names.contains(name));
            status.contents.extend(done);
        }
        self.save_status(id, &status)?;
        Ok(Applied::Container(Box::new(ObservedContainer {
            status,
            ..container
        })))
    }

    /// Writes contents while the container's processes stand still.
    fn put_in_place(&self, record: &ContainerRecord, desired: &Desired) -> Result<(), EngineError> {
        let dir = self.paths.container(&record.id);
        let given = files::given(desired, &record.template, &dir)?;
        let frozen = |error| EngineError::Frozen {
            container: record.name.clone(),
            source: error,
        };
        let cgroup = Cgroup::open(&observe::cgroup_path(record)).map_err(frozen)?;
        if cgroup.is_frozen().unwrap_or(false) {
            // A person has paused it: it stands still already, and is not let go on.
            return Ok(files::renew(&given.files, &dir)?);
        }
        // Whoever comes after a supervisor that was killed now lets them go on.
        self.note_renewing(record, true)?;
        let stopped = cgroup.freeze().map_err(frozen);
        let written = stopped.and_then(|()| Ok(files::renew(&given.files, &dir)?));
        cgroup.thaw().map_err(frozen)?;
        self.note_renewing(record, false)?;
        written
    }

    fn note_renewing(&self, record: &ContainerRecord, renewing: bool) -> Result<(), EngineError> {
        let mut status = observe::container_status(&self.paths, &record.id)?;
        status.renewing = renewing;
        self.save_status(&record.id, &status)
    }

    /// Lets a container go on whose contents were being renewed when the supervisor was killed: it is
    /// done again from the beginning.
    pub(super) fn go_on_after_renewal(
        &self,
        container: ObservedContainer,
    ) -> Result<ObservedContainer, EngineError> {
        let record = &container.record;
        if !container.status.renewing {
            return Ok(container);
        }
        self.thaw(record);
        self.note_renewing(record, false)?;
        Ok(self.look(&record.id)?.unwrap_or(container))
    }

    async fn tell(
        self: &Arc<Self>,
        container: &ObservedContainer,
        reload: &Reload,
    ) -> Result<(), EngineError> {
        let record = &container.record;
        let failed = |why: String| EngineError::NotTold {
            container: record.name.clone(),
            how: reload.to_string(),
            why,
        };
        match reload {
            // A start finds the new contents.
            Reload::Restart => Ok(()),
            Reload::Signal(signal) => {
                let reaches = |pid| stop_signal_reaches(pid, *signal).unwrap_or(true);
                if !container.pid().is_none_or(reaches) {
                    let why = "its program does not handle that signal; use `exec` or `restart`";
                    return Err(failed(why.to_owned()));
                }
                self.signal(container, *signal)
            }
            Reload::Exec(words) => {
                let run = (container.clone(), words.clone());
                match Arc::clone(self).run_inside(run.0, run.1, TELLING).await {
                    Ended::InTime((0, _)) => Ok(()),
                    Ended::InTime((code, output)) => {
                        Err(failed(format!("exit code {code}: {}", output.trim())))
                    }
                    Ended::Late(output) => {
                        let message = format!("it took too long: {}", output.trim());
                        Err(failed(message.trim_end_matches([':', ' ']).to_owned()))
                    }
                }
            }
        }
    }

    /// What is started has the contents of now.
    pub(super) async fn renew_before_start(
        self: &Arc<Self>,
        mut container: ObservedContainer,
        desired: &Arc<Desired>,
    ) -> Result<ObservedContainer, EngineError> {
        let service = desired.services.get(&container.record.service);
        let hashes = service.map_or_else(Default::default, |found| found.content_hashes());
        if hashes == container.status.contents {
            return Ok(container);
        }
        let (engine, desired) = (Arc::clone(self), Arc::clone(desired));
        blocking(move || {
            let dir = engine.paths.container(&container.record.id);
            let given = files::given(&desired, &container.record.template, &dir)?;
            files::renew(&given.files, &dir)?;
            container.status.contents = hashes;
            Ok(container)
        })
        .await
    }
}
