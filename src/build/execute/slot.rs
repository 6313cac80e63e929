//! A place for a result that others wait for.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::build::cancel::Cancel;
use crate::build::error::StepError;

/// How often a waiting thread looks whether the build was canceled: a failure wakes all slots up, so
/// this is only for a person's interruption.
const LOOK: Duration = Duration::from_millis(50);

/// A result that comes, or never does.
#[derive(Debug)]
pub(super) struct Slot<T> {
    state: Mutex<Option<Option<T>>>,
    changed: Condvar,
}

impl<T: Clone> Slot<T> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(None),
            changed: Condvar::new(),
        }
    }

    /// Puts the result in; `None` = there will be none.
    pub(super) fn set(&self, value: Option<T>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        self.changed.notify_all();
    }

    /// Waits for the result.
    pub(super) fn wait(&self, cancel: &Cancel) -> Result<T, StepError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                Some(Some(value)) => return Ok(value.clone()),
                Some(None) => return Err(StepError::Canceled),
                None if cancel.is_canceled() => return Err(StepError::Canceled),
                None => {}
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_result_with_none_and_with_the_build() {
        let cancel = Cancel::new().unwrap();
        let (good, none, never) = (Slot::new(), Slot::<u8>::new(), Slot::<u8>::new());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| good.wait(&cancel).ok());
            good.set(Some(7));
            assert_eq!(waiting.join().unwrap(), Some(7));
            let waiting = scope.spawn(|| none.wait(&cancel).ok());
            none.set(None);
            assert_eq!(waiting.join().unwrap(), None);
            let waiting = scope.spawn(|| never.wait(&cancel).ok());
            cancel.cancel();
            assert_eq!(waiting.join().unwrap(), None);
        });
    }
}
