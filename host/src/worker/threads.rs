//! The threads that guests run on, apart from those that senders are served on.

use std::num::NonZero;

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
            .worker_threads(std::thread::available_parallelism().map_or(1, NonZero::get))
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
