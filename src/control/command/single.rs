//! `container start`, `stop`, `restart`, `kill`, `rename`, `rm`: what is asked of one container and of no other.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::compose::model::ServiceName;
use crate::plan::{ByHand, Desired, Run};

/// What is asked of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Single {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its service.
    pub service: ServiceName,
    /// What is asked.
    pub act: Act,
}

/// What is asked of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It is to run, whatever it depends on.
    Start,
    /// It is to stop, and to stay so whatever its restart policy says.
    Stop {
        /// Time to stop in; `None` = its own.
        timeout: Option<Duration>,
    },
    /// Stop and start.
    Restart {
        /// Time to stop in; `None` = its own.
        timeout: Option<Duration>,
    },
    /// Send a signal.
    Kill {
        /// The signal's number.
        signal: i32,
    },
    /// It has another name from now on.
    Rename {
        /// The name.
        to: String,
    },
    /// It is to go.
    Remove {
        /// How many containers its service has without it; `None` when it is not one of those.
        left: Option<u32>,
        /// It is ended when it runs.
        force: bool,
        /// Its volumes without a name go too.
        volumes: bool,
    },
}

impl Single {
    pub(super) fn apply(&self, desired: &mut Desired, now: Timestamp) {
        let by_hand = |run, timeout, restart_before| ByHand {
            service: self.service.clone(),
            run,
            since: now,
            restart_before,
            timeout,
        };
        let asked = match &self.act {
            Act::Start => by_hand(Run::Running, None, None),
            Act::Stop { timeout } => by_hand(Run::Stopped, *timeout, None),
            Act::Restart { timeout } => by_hand(Run::Running, *timeout, Some(now)),
            // Something is done at once, and nothing is wanted from then on.
            Act::Kill { .. } | Act::Rename { .. } => return,
            Act::Remove {
                left,
                force,
                volumes,
            } => {
                desired.removals.insert(self.id.clone(), *volumes);
                if let Some(left) = left {
                    desired.keep(&self.service, *left);
                }
                if !force {
                    return;
                }
                by_hand(Run::Stopped, Some(Duration::ZERO), None)
            }
        };
        desired.by_hand.insert(self.id.clone(), asked);
    }

    /// What a person types for it.
    pub(super) fn name(&self) -> &'static str {
        match self.act {
            Act::Start => "container start",
            Act::Stop { .. } => "container stop",
            Act::Restart { .. } => "container restart",
            Act::Kill { .. } => "container kill",
            Act::Rename { .. } => "container rename",
            Act::Remove { .. } => "container rm",
        }
    }
}
