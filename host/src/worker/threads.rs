//! The threads that guests run on, apart from those that senders are served on.

use tokio::runtime::{Builder, Runtime};

/// Threads for guests alone, one for each processor: what they compute holds up neither a sender nor a question, since
/// it is the system that shares the processors out. Ends without waiting for what still runs.
#[derive(Debug)]
pub(crate) struct GuestThreads(Option<Runtime>);

impl GuestThreads {
    /// Starts them.
    ///
    /// # Errors
    /// Where the system gives no more threads.
    pub(crate) fn start() -> std::io::Result<Self> {
        let threads = Builder::new_multi_thread()
            .thread_name("guests")
            .enable_all()
            .build()?;
        Ok(Self(Some(threads)))
    }

    /// Calls `start`: every task that it spawns, and what that spawns, runs on these threads.
    pub(crate) fn enter<T>(&self, start: impl FnOnce() -> T) -> T {
        let _entered = self.0.as_ref().map(Runtime::enter);
        start()
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            // Whoever drops it may be on a thread that must not wait.
            threads.shutdown_background();
        }
    }
}
