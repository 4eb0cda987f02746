//! The guests' threads, separate from those that serve HTTP.

use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};

/// Threads that only guests run on, one per processor. Since the operating system shares the processors, guests that compute
/// delay neither senders nor the API. Dropping it does not wait for running tasks.
#[derive(Debug)]
pub(crate) struct GuestThreads(Option<Runtime>);

impl GuestThreads {
    /// Starts the threads.
    ///
    /// # Errors
    /// Returns an error if the operating system cannot create more threads.
    pub(crate) fn start() -> std::io::Result<Self> {
        let threads = Builder::new_multi_thread()
            .worker_threads(std::thread::available_parallelism().map_or(1, NonZero::get))
            .thread_name("guests")
            .enable_all()
            .build()?;
        Ok(Self(Some(threads)))
    }

    /// Calls `start`: tasks that it spawns, directly or indirectly, run on these threads.
    pub(crate) fn enter<T>(&self, start: impl FnOnce() -> T) -> T {
        let _entered = self.0.as_ref().map(Runtime::enter);
        start()
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            // It may be dropped on a thread that must not block.
            threads.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn what_is_started_there_stays_there() {
        let guests = GuestThreads::start().unwrap();
        let on = || std::thread::current().name().map(str::to_owned);
        let seen = guests.enter(|| {
            tokio::spawn(async move { (on(), tokio::spawn(async move { on() }).await.unwrap()) })
        });
        let guests = Some("guests".to_owned());
        assert_eq!(seen.await.unwrap(), (guests.clone(), guests));
        assert_ne!(on().as_deref(), Some("guests"));
    }
}
