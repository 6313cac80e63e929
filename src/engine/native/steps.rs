//! `pre_start`: steps that must succeed before a service starts, each in a container of its own.
//!
//! A step has the volumes, networks, variables and rights of the container that it comes before. It runs
//! once for each command that starts the service, however many replicas there are, or before each of
//! them (`per_replica`). A container whose step failed stays, to be looked at, until the next try.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::create::{NewContainer, OneOffTraits};
use super::start::Begin;
use super::{Native, blocking, observe};
use crate::compose::model::{PreStart, RestartPolicy, Service, ServiceName, ServiceNetwork};
use crate::engine::{Engine as _, EngineError, Note};
use crate::plan::{AnonymousVolumes, Desired, ObservedContainer, Phase};
use crate::runtime::log::{Range, read};

/// The label by which other tools know a step's container.
pub(crate) const HOOK_LABEL: &str = "com.docker.compose.hook";
/// Lines that are told of a step that failed.
const TOLD_LINES: u64 = 10;

/// How the steps of services went that run once for all replicas.
#[derive(Debug, Default)]
pub(super) struct Steps(Mutex<HashMap<(ServiceName, usize), Once>>);

/// One step, for one command.
#[derive(Debug, Clone)]
struct Once {
    since: Timestamp,
    result: Arc<OnceCell<Result<(), String>>>,
}

impl Steps {
    /// The place for the result of a step, for the command that was given at this time.
    fn of(
        &self,
        step: (ServiceName, usize),
        since: Timestamp,
    ) -> Arc<OnceCell<Result<(), String>>> {
        let new = || Once {
            since,
            result: Arc::default(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(step).or_insert_with(new);
        if known.since != since {
            *known = new();
        }
        Arc::clone(&known.result)
    }
}

impl Native {
    /// Runs what must succeed before the container starts; a start by restart policy and one after a
    /// restart are not preceded by it (Docker Compose).
    pub(super) async fn pre_start(
        self: &Arc<Self>,
        container: &ObservedContainer,
        desired: &Arc<Desired>,
    ) -> Result<(), EngineError> {
        let (record, status) = (&container.record, &container.status);
        let steps = &record.template.pre_start;
        if steps.is_empty() || record.one_off || status.interrupted || status.restart_count > 0 {
            return Ok(());
        }
        let since = desired.services.get(&record.service);
        let since = since.map_or(Timestamp::UNIX_EPOCH, |service| service.since);
        for (index, step) in steps.iter().enumerate() {
            let run = async || self.run_step(container, desired, (index, step)).await;
            let result = match step.per_replica {
                true => run().await,
                false => {
                    let once = self.steps.of((record.service.clone(), index), since);
                    once.get_or_init(run).await.clone()
                }
            };
            result.map_err(EngineError::Value)?;
        }
        Ok(())
    }

    /// Runs one step; why it failed, in a sentence.
    async fn run_step(
        self: &Arc<Self>,
        container: &ObservedContainer,
        desired: &Arc<Desired>,
        (index, step): (usize, &PreStart),
    ) -> Result<(), String> {
        let service = &container.record.service;
        let what = format!("service \"{service}\" pre_start[{index}]");
        match self
            .step_in_container(container, desired, (index, step))
            .await
        {
            Ok(None) => Ok(()),
            Ok(Some(ended)) => Err(format!("{what} {}", self.end_of_step(&ended))),
            Err(error) => Err(format!("{what}: {}", error.story())),
        }
    }

    /// Makes the container of a step, runs it to its end and removes it, unless it failed.
    async fn step_in_container(
        self: &Arc<Self>,
        container: &ObservedContainer,
        desired: &Arc<Desired>,
        (index, step): (usize, &PreStart),
    ) -> Result<Option<ObservedContainer>, EngineError> {
        let made = blocking({
            let (engine, container) = (Arc::clone(self), container.clone());
            let (desired, step) = (Arc::clone(desired), step.clone());
            move || {
                engine.remove_step(&name_of_step(&container, index, &step))?;
                engine.make_step(&container, &desired, (index, &step))
            }
        });
        let made = made.await?;
        self.note(Note::Container(made.clone()));
        let running = self.start_and_watch(made.clone(), Begin::AtOnce).await;
        if let Ok(running) = &running {
            self.note(Note::Container(running.clone()));
        }
        let ended = match running {
            Ok(running) => Arc::clone(self).ended(running).await?,
            Err(error) => {
                let seen = self.look(&made.record.id)?.unwrap_or(made);
                self.note(Note::Container(seen));
                return Err(error);
            }
        };
        if !matches!(&ended.phase, Phase::Exited(exit) if exit.code == 0) {
            self.note(Note::Container(ended.clone()));
            return Ok(Some(ended));
        }
        let (engine, gone) = (Arc::clone(self), ended.clone());
        blocking(move || engine.remove_container(&gone, AnonymousVolumes::Inherited)).await?;
        self.note(Note::ContainerGone(ended.record.id.clone()));
        Ok(None)
    }

    /// Removes what a step that failed, or was interrupted, has left.
    fn remove_step(&self, name: &str) -> Result<(), EngineError> {
        let left = observe::observe(&self.paths, Some(&self.project))?;
        let left = left.containers.into_values();
        for container in left.filter(|container| container.record.name == name) {
            if container.is_up() {
                self.send_signal(&container.record, nix::libc::SIGKILL)?;
                self.settle(&container.record)?;
            }
            self.remove_container(&container, AnonymousVolumes::Inherited)?;
            self.note(Note::ContainerGone(container.record.id.clone()));
        }
        Ok(())
    }

    fn make_step(
        &self,
        container: &ObservedContainer,
        desired: &Desired,
        (index, step): (usize, &PreStart),
    ) -> Result<ObservedContainer, EngineError> {
        let record = &container.record;
        let Some(wanted) = desired.services.get(&record.service) else {
            return Err(EngineError::CutShort);
        };
        let model = model_of_step(&wanted.service, step);
        let id = match step.image {
            None => wanted.image_id.as_ref(),
            Some(_) if step.image == wanted.service.image => wanted.image_id.as_ref(),
            Some(_) => None,
        };
        let reference = model.image.clone().unwrap_or_default();
        let image = self.image_for(id, &reference)?;
        self.create(
            desired,
            NewContainer {
                service: &record.service,
                model: &model,
                number: record.number,
                name: name_of_step(container, index, step),
                hash: wanted.hash.clone(),
                image,
                inherited: record.anonymous_volumes.clone(),
                replaces: None,
                one_off: Some(OneOffTraits {
                    auto_remove: false,
                    use_aliases: true,
                    slug: None,
                }),
            },
        )
    }

    /// How a step failed: its exit code, its last words, and where to look further.
    fn end_of_step(&self, ended: &ObservedContainer) -> String {
        let how = match &ended.phase {
            Phase::Exited(exit) if exit.error.is_none() => {
                format!("exited with code {}", exit.code)
            }
            Phase::Exited(exit) => exit.to_string(),
            _ => "did not end".to_owned(),
        };
        let id = ended.record.id.get(..12).unwrap_or_default();
        let said = self.last_words(ended);
        let said = if said.is_empty() {
            said
        } else {
            format!(": {said}")
        };
        format!("{how}{said} (hook container {id} retained for inspection)")
    }

    fn last_words(&self, ended: &ObservedContainer) -> String {
        let dir = self.paths.container(&ended.record.id).join("logs");
        let range = Range {
            tail: Some(TOLD_LINES),
            ..Range::default()
        };
        let mut lines = Vec::new();
        // Without a log there are no words.
        let _ = read(&dir, range, &mut |line| {
            lines.push(String::from_utf8_lossy(line.text).into_owned());
            ControlFlow::Continue(())
        });
        lines.join("\n")
    }

    pub(super) fn note(&self, note: Note) {
        if let Some(notes) = self.notes.get() {
            // The control loop ends after everything else has.
            let _ = notes.send(note);
        }
    }
}

/// `<project>-<service>-pre_start-<index>`, as Docker Compose has it; with the number of the replica
/// where each has its own.
fn name_of_step(container: &ObservedContainer, index: usize, step: &PreStart) -> String {
    let record = &container.record;
    let name = format!("{}-{}-pre_start-{index}", record.project, record.service);
    match step.per_replica {
        true => format!("{name}-{}", record.number),
        false => name,
    }
}

/// The model of a step's container: the service's, but for what the step says and for what only one
/// container can have.
fn model_of_step(service: &Service, step: &PreStart) -> Service {
    let mut model = Service {
        image: step.image.clone().or_else(|| service.image.clone()),
        has_build: false,
        command: step.command.clone(),
        environment: step.environment.clone(),
        user: step.user.clone().or_else(|| service.user.clone()),
        working_dir: step
            .working_dir
            .clone()
            .or_else(|| service.working_dir.clone()),
        privileged: step.privileged || service.privileged,
        container_name: None,
        ports: Vec::new(),
        expose: Vec::new(),
        healthcheck: None,
        restart: RestartPolicy::No,
        logging: None,
        tty: false,
        stdin_open: false,
        watch: Vec::new(),
        pre_start: Vec::new(),
        post_start: Vec::new(),
        pre_stop: Vec::new(),
        ..service.clone()
    };
    model
        .labels
        .insert(HOOK_LABEL.to_owned(), "pre_start".to_owned());
    if let ServiceNetwork::Networks(networks) = &mut model.network {
        for attachment in networks.values_mut() {
            attachment.ipv4_address = None;
            attachment.ipv6_address = None;
            attachment.mac_address = None;
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_step_runs_once_for_each_command() {
        let steps = Steps::default();
        let key = || (ServiceName::new("web"), 0);
        let first = steps.of(key(), at(1));
        first.set(Err("failed".to_owned())).unwrap();
        assert!(steps.of(key(), at(1)).get().is_some());
        assert!(
            steps
                .of((ServiceName::new("web"), 1), at(1))
                .get()
                .is_none()
        );
        // The next command tries again.
        assert!(steps.of(key(), at(2)).get().is_none());
    }

    #[test]
    fn a_step_is_like_its_service_but_for_what_only_one_container_can_have() {
        let service = Service {
            image: Some("web:1".to_owned()),
            command: Some(vec!["serve".to_owned()]),
            user: Some("app".to_owned()),
            container_name: Some("the-web".to_owned()),
            restart: RestartPolicy::Always,
            read_only: true,
            ..Service::default()
        };
        let step = PreStart {
            image: None,
            command: Some(vec!["migrate".to_owned()]),
            user: None,
            privileged: false,
            working_dir: Some("/srv".to_owned()),
            environment: indexmap::IndexMap::new(),
            per_replica: false,
        };
        let model = model_of_step(&service, &step);
        assert_eq!(model.image.as_deref(), Some("web:1"));
        assert_eq!(model.command.unwrap(), ["migrate"]);
        assert_eq!(model.user.as_deref(), Some("app"));
        assert_eq!(model.working_dir.as_deref(), Some("/srv"));
        assert!(model.read_only && model.container_name.is_none());
        assert_eq!(model.restart, RestartPolicy::No);
    }
}
