//! Files on their way into the containers of services.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oci_spec::runtime::{Spec, User};

use crate::compose::model::ServiceName;
use crate::engine::native::observe;
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

/// A container that runs.
struct Up {
    record: Arc<ContainerRecord>,
    run: Running,
}

impl Copies {
    pub(super) fn new(paths: &Paths, project: &str) -> Self {
        Self {
            paths: paths.clone(),
            project: project.to_owned(),
            copied: BTreeMap::new(),
            runs: HashMap::new(),
        }
    }

    /// Copies files into all running containers of a service; says where that was not possible.
    pub(super) fn copy(&mut self, service: &ServiceName, mappings: &[Mapping]) -> Vec<Missing> {
        let copied = self.copied.entry(service.clone()).or_default();
        for mapping in mappings {
            copied.insert(mapping.target.clone(), mapping.clone());
        }
        if copied.is_empty() {
            return Vec::new();
        }
        let mut missing = Vec::new();
        for up in self.running(service) {
            let has_the_rest = self.runs.get(&up.record.id) == Some(&up.run);
            if has_the_rest && mappings.is_empty() {
                continue;
            }
            let found = match has_the_rest {
                true => self.into_container(&up, mappings, Unchanged::Written),
                false => {
                    let mut all: Vec<Mapping> = self.copied[service].values().cloned().collect();
                    all.sort();
                    self.into_container(&up, &all, Unchanged::LeftAlone)
                }
            };
            self.runs.insert(up.record.id.clone(), up.run);
            missing.extend(found);
        }
        missing
    }

    fn running(&self, service: &ServiceName) -> Vec<Up> {
        let Ok(observed) = observe(&self.paths, Some(&self.project)) else {
            return Vec::new();
        };
        let containers = observed.of_service(service).filter(|c| c.is_up());
        containers.filter_map(|c| self.up(c)).collect()
    }

    fn up(&self, container: &ObservedContainer) -> Option<Up> {
        let bundle = Bundle::new(self.paths.container(&container.record.id));
        let state: RuntimeState = read_json(&bundle.state()).ok()??;
        Some(Up {
            record: Arc::clone(&container.record),
            run: Running {
                pid: state.pid,
                start: state.pid_start,
            },
        })
    }

    fn into_container(
        &self,
        up: &Up,
        mappings: &[Mapping],
        unchanged: Unchanged,
    ) -> Option<Missing> {
        let mut missing = Missing {
            container: up.record.name.clone(),
            because: Vec::new(),
            count: 0,
        };
        let mut inside = match self.open(up) {
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

    fn open(&self, up: &Up) -> Result<Inside, SyncError> {
        let bundle = Bundle::new(self.paths.container(&up.record.id));
        let config: Option<ShimConfig> = read_json(&bundle.shim_config()).ok().flatten();
        let spec: Option<Spec> = read_json(&bundle.spec()).ok().flatten();
        let (Some(config), Some(spec)) = (config, spec) else {
            return Err(SyncError::Ended);
        };
        let process = spec.process().as_ref();
        let numbers = process.map_or_else(User::default, |process| process.user().clone());
        Inside::open(&up.run, config.user.as_deref(), &numbers)
    }
}
