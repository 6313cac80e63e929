//! What carries a plan out: the trait that the control loop drives, and its implementations.
//!
//! Owns the effects. Decides nothing: an operation is done as it is given, or fails with a cause.
//!
//! Invariant: every operation can be repeated. One that was interrupted, by whatever, is done again
//! from the beginning and ends in the same state.

mod error;
pub mod native;

pub use error::EngineError;

use std::future::Future;
use std::sync::Arc;

use crate::compose::model::ServiceName;
use crate::plan::{Desired, Observed, ObservedContainer, ObservedNetwork, ObservedVolume, Op};
use crate::state::records::{ContainerStatus, ProbeRecord};

/// What an operation made of its subject.
#[derive(Debug)]
pub enum Applied {
    /// A container is now like this.
    Container(Box<ObservedContainer>),
    /// A container runs, but what was to follow its start has failed.
    Unready(Box<ObservedContainer>, EngineError),
    /// A container is gone.
    ContainerGone(String),
    /// A network is now like this.
    Network(String, ObservedNetwork),
    /// A network is gone.
    NetworkGone(String),
    /// A network stays, because containers of other projects are on it.
    NetworkLeft(String),
    /// A volume is there, like this.
    Volume(String, ObservedVolume),
    /// A volume is gone.
    VolumeGone(String),
    /// A volume stays, because containers of other projects have it.
    VolumeLeft(String),
}

/// What becomes known while an operation is being done.
#[derive(Debug)]
pub enum Note {
    /// The program of the operation's subject runs; more is to follow before it is done.
    Started(ObservedContainer),
    /// A container beside the subject is like this.
    Container(ObservedContainer),
    /// A container beside the subject is gone.
    ContainerGone(String),
    /// A command of the stack file (`post_start`, `pre_stop`) wrote a line.
    Output {
        /// The service of the container.
        service: ServiceName,
        /// The name of the container.
        name: String,
        /// The line.
        line: String,
    },
}

/// Something that can run containers for one project.
pub trait Engine: Send + Sync + 'static {
    /// Looks at everything of the project, cleans up what died alone, and takes charge of what
    /// runs.
    fn observe(&self) -> Result<Observed, EngineError>;

    /// Says where notes are to go; the first call counts.
    fn report_to(&self, notes: tokio::sync::mpsc::UnboundedSender<Note>);

    /// Takes in what is to be, where that matters besides operations (how many containers are behind
    /// a published port). Said before [`Engine::observe`] and at every change.
    fn heed(&self, _desired: &Desired) {}

    /// Networks and volumes that are there now, into `observed`: people make and remove them beside
    /// us.
    fn look_at_objects(&self, observed: &mut Observed) -> Result<(), EngineError>;

    /// Looks at one container.
    fn look(&self, id: &str) -> Result<Option<ObservedContainer>, EngineError>;

    /// Images that these references mean now: reference → image id.
    fn images(&self, references: &[String]) -> Result<Vec<(String, String)>, EngineError>;

    /// Does one operation. `container` is the subject as last observed, where there is one.
    fn apply(
        self: Arc<Self>,
        op: Op,
        container: Option<ObservedContainer>,
        desired: Arc<Desired>,
    ) -> impl Future<Output = Result<Applied, EngineError>> + Send;

    /// Makes and starts a one-off container; reports it as soon as it exists.
    fn run_one_off(
        self: Arc<Self>,
        one_off: crate::control::OneOff,
        desired: Arc<Desired>,
        made: tokio::sync::oneshot::Sender<ObservedContainer>,
    ) -> impl Future<Output = Result<Applied, EngineError>> + Send;

    /// Waits until the program of a container that runs has ended, and cleans up behind it.
    fn ended(
        self: Arc<Self>,
        container: ObservedContainer,
    ) -> impl Future<Output = Result<ObservedContainer, EngineError>> + Send;

    /// Runs a container's health probe once; `None` while it is paused.
    fn probe(
        self: Arc<Self>,
        container: ObservedContainer,
    ) -> impl Future<Output = Option<ProbeRecord>> + Send;

    /// Runs a program in a container, as a probe does.
    fn run(
        self: Arc<Self>,
        container: ObservedContainer,
        command: Vec<String>,
        timeout: std::time::Duration,
    ) -> impl Future<Output = ProbeRecord> + Send;

    /// Sends a signal to a container's PID 1.
    fn signal(&self, container: &ObservedContainer, signal: i32) -> Result<(), EngineError>;

    /// Writes down what the control loop knows of a container.
    fn save_status(&self, id: &str, status: &ContainerStatus) -> Result<(), EngineError>;
}
