//! A thread for all that ports carry, so that much traffic does not keep others waiting, nor they it.

use std::io;
use std::thread;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio_util::sync::CancellationToken;

const STACK: usize = 256 * 1024;

/// The thread; it ends, with everything that it carries, when this is dropped.
#[derive(Debug)]
pub struct ProxyThread {
    handle: Handle,
    end: CancellationToken,
}

impl ProxyThread {
    /// Starts it.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
        let ended = end.clone().cancelled_owned();
        thread::Builder::new()
            .name("ports".to_owned())
            .stack_size(STACK)
            .spawn(move || runtime.block_on(ended))?;
        Ok(Self { handle, end })
    }

    /// What is served from now on, until the guard is dropped, is served there.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }
}

impl Drop for ProxyThread {
    fn drop(&mut self) {
        self.end.cancel();
    }
}
