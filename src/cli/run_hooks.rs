//! `post_start` of a container that `run` makes: run by the command itself, which fails with them.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::context::Context;
use super::error::Result;
use crate::compose::model::Hook;
use crate::engine::EngineError;
use crate::engine::native::{observe_container, run_hook};
use crate::plan::Phase;
use crate::state::Paths;

/// Time between two looks whether the program has been started.
const RETRY: Duration = Duration::from_millis(2);

/// Hooks that are run beside the program.
pub(super) struct Running(JoinHandle<Result<(), EngineError>>);

impl Running {
    /// Runs them as soon as the program of the container runs; `None` when there are none.
    pub(super) fn begin(context: &Context, id: &str, hooks: &[Hook]) -> Option<Self> {
        let (paths, id, hooks) = (context.paths.clone(), id.to_owned(), hooks.to_vec());
        (!hooks.is_empty()).then(|| Self(thread::spawn(move || run_all(&paths, &id, &hooks))))
    }

    /// Waits until the last has ended: how they did.
    pub(super) fn end(self) -> Result<()> {
        let result = self.0.join();
        Ok(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
    }
}

/// Runs them one after the other. A program that ends meanwhile ends them, and that is no failure.
fn run_all(paths: &Paths, id: &str, hooks: &[Hook]) -> Result<(), EngineError> {
    let container = loop {
        match observe_container(paths, id, None)? {
            Some(container) if container.is_up() => break container,
            Some(container) if container.phase == Phase::Created => thread::sleep(RETRY),
            Some(_) | None => return Ok(()),
        }
    };
    for hook in hooks {
        match run_hook(paths, &container.record, (hook, |_| {})) {
            Ok(()) => {}
            Err(error) => {
                let now = observe_container(paths, id, None)?;
                let runs = now.is_some_and(|now| now.is_up());
                return if runs { Err(error) } else { Ok(()) };
            }
        }
    }
    Ok(())
}
