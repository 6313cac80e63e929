//! A watch that goes on beside other things.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::session::{Said, follow};
use super::setup::Setup;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};

/// A watch that goes on while [`next`](Following::next) is waited for, and ends when it is dropped.
pub(crate) struct Following<'a> {
    work: Pin<Box<dyn Future<Output = Result<()>> + 'a>>,
    said: UnboundedReceiver<Said>,
}

impl<'a> Following<'a> {
    /// Begins.
    pub(crate) fn start(context: &'a Context, setup: Setup) -> Self {
        let (sender, said) = unbounded_channel();
        Self {
            work: Box::pin(follow(context, setup, sender)),
            said,
        }
    }

    /// The next that it has to tell; an error is the last.
    pub(crate) async fn next(&mut self) -> Result<Said> {
        tokio::select! {
            biased;
            Some(said) = self.said.recv() => Ok(said),
            ended = &mut self.work => Err(match ended {
                Err(error) => error,
                Ok(()) => Error::new("the watch has ended"),
            }),
        }
    }
}
