//! Files on their way into the containers of services.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oci_spec::runtime::{Spec, User};

use super::session::Said;
use crate::cli::error::{Error, Result};
use crate::compose::model::ServiceName;
use crate::engine::native::{View, observe, user_of, with_root};
use crate::plan::ObservedContainer;
use crate::runtime::bundle::{Bundle, RuntimeState, ShimConfig};
use crate::state::records::ContainerRecord;
use crate::state::{Paths, read_json};
use crate::watch::sync::{Inside, Mapping, Running, SyncError, Unchanged};

/// More of them say nothing new.
const TOLD: usize = 3;

/// What has been copied since watching began.
///
/// A container gets each change once. One that was started since, be it another one or the same
/// again, gets all of them: it may be made of an image without them, and what it had in memory is gone.
#[derive(Debug)]
pub(super) struct Copies {
    paths: Paths,
    project: String,
    /// By service and place.
    copied: BTreeMap<ServiceName, BTreeMap<String, Mapping>>,
    /// The run of each container that has them all, by its id.
    runs: HashMap<String, Running>,
    /// The containers that were found running at the last look.
    found: HashMap<ServiceName, Vec<Arc<Up>>>,
}

/// Whether somebody says when a container is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nobody does, or has just done so: a look at the machine says what runs.
    Again,
    /// What runs is known, but for what has ended.
    Known,
}

/// Why files are missing in a container.
#[derive(Debug)]
pub(super) struct Missing {
    /// Its name.
    pub(super) container: String,
    /// Why; some of the reasons.
    pub(super) because: Vec<SyncError>,
    /// How many could not be copied.
    pub(super) count: usize,
}

impl Missing {
    /// What there is to say of it.
    pub(super) fn said(self) -> Vec<Said> {
        let Self {
            container,
            because,
            count,
        } = self;
        let more = count - because.len();
        let mut said: Vec<Said> = because
            .into_iter()
            .map(|error| {
                let text = format!("container {container} lacks a change");
                Said::Problem(Error::new(text).because(error))
            })
            .collect();
        if more > 0 {
            let text = format!("container {container} lacks {more} other changes");
            said.push(Said::Warning(text));
        }
        said
    }
}

/// A container that runs.
#[derive(Debug)]
struct Up {
    record: Arc<ContainerRecord>,
    run: Running,
    /// Whom its files belong to, in its own words.
    user: Option<String>,
    numbers: User,
}

impl Copies {
    pub(super) fn new(paths: &Paths, project: &str) -> Self {
        Self {
            paths: paths.clone(),
            project: project.to_owned(),
            copied: BTreeMap::new(),
            runs: HashMap::new(),
            found: HashMap::new(),
        }
    }

    /// Copies files into all running containers of a service; says where that was not possible.
    pub(super) fn copy(
        &mut self,
        service: &ServiceName,
        mappings: &[Mapping],
        look: Look,
    ) -> Vec<Missing> {
        let copied = self.copied.entry(service.clone()).or_default();
        for mapping in mappings {
            copied.insert(mapping.target.clone(), mapping.clone());
        }
        if copied.is_empty() {
            return Vec::new();
        }
        let mut missing = Vec::new();
        for up in self.running(service, look) {
            let has_the_rest = self.runs.get(&up.record.id) == Some(&up.run);
            if has_the_rest && mappings.is_empty() {
                continue;
            }
            let found = match has_the_rest {
                true => Self::into_container(&up, mappings, Unchanged::Written),
                false => {
                    let mut all: Vec<Mapping> = self.copied[service].values().cloned().collect();
                    all.sort();
                    Self::into_container(&up, &all, Unchanged::LeftAlone)
                }
            };
            self.runs.insert(up.record.id.clone(), up.run.clone());
            missing.extend(found);
        }
        missing
    }

    /// Copies files into the containers of a service that are made and do not run, so that their programs
    /// find them; says where that was not possible.
    pub(super) fn fill(&self, service: &ServiceName, mappings: &[Mapping]) -> Result<Vec<Missing>> {
        let observed = observe(&self.paths, Some(&self.project))?;
        let mut missing = Vec::new();
        for container in observed.of_service(service).filter(|c| !c.is_up()) {
            let record = &container.record;
            let user = user_of(&self.paths, record)?;
            let found = with_root(&self.paths, (container, View::Whole), |root| -> Result<_> {
                let inside = Inside::of(root, user.as_deref(), &User::default());
                Ok(Self::apply(
                    &record.name,
                    inside,
                    (mappings, Unchanged::LeftAlone),
                ))
            });
            missing.extend(found?);
        }
        Ok(missing)
    }

    fn running(&mut self, service: &ServiceName, look: Look) -> Vec<Arc<Up>> {
        if look == Look::Known
            && let Some(found) = self.found.get(service)
        {
            return found.clone();
        }
        let Ok(observed) = observe(&self.paths, Some(&self.project)) else {
            return Vec::new();
        };
        let containers = observed.of_service(service).filter(|c| c.is_up());
        let found: Vec<Arc<Up>> = containers
            .filter_map(|c| self.up(c))
            .map(Arc::new)
            .collect();
        self.found.insert(service.clone(), found.clone());
        found
    }

    fn up(&self, container: &ObservedContainer) -> Option<Up> {
        let bundle = Bundle::new(self.paths.container(&container.record.id));
        let state: RuntimeState = read_json(&bundle.state()).ok()??;
        let config: ShimConfig = read_json(&bundle.shim_config()).ok()??;
        let spec: Spec = read_json(&bundle.spec()).ok()??;
        let process = spec.process().as_ref();
        Some(Up {
            user: config.user,
            numbers: process.map_or_else(User::default, |process| process.user().clone()),
            record: Arc::clone(&container.record),
            run: Running {
                pid: state.pid,
                start: state.pid_start,
            },
        })
    }

    fn into_container(up: &Up, mappings: &[Mapping], unchanged: Unchanged) -> Option<Missing> {
        let inside = Inside::open(&up.run, up.user.as_deref(), &up.numbers);
        Self::apply(&up.record.name, inside, (mappings, unchanged))
    }

    fn apply(
        container: &str,
        inside: std::result::Result<Inside, SyncError>,
        (mappings, unchanged): (&[Mapping], Unchanged),
    ) -> Option<Missing> {
        let mut missing = Missing {
            container: container.to_owned(),
            because: Vec::new(),
            count: 0,
        };
        let mut inside = match inside {
            Ok(inside) => inside,
            // It gets all of it when it starts again.
            Err(SyncError::Ended) => return None,
            Err(error) => {
                missing.count = mappings.len();
                missing.because.push(error);
                return Some(missing);
            }
        };
        for mapping in mappings {
            if let Err(error) = inside.apply(mapping, unchanged) {
                missing.count += 1;
                if missing.because.len() < TOLD {
                    missing.because.push(error);
                }
            }
        }
        (missing.count > 0).then_some(missing)
    }
}
