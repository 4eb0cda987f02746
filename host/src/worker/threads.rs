//! The threads that guests run on, apart from those that senders are served on.

use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};

/// How much less urgent than the rest of the process guests are, as for `nice(2)`: where processors are short they get a
/// third of what a sender's answer and the store's next transaction do.
const NICER: i32 = 5;
/// The nicest that there is.
const NICENESS_MAX: i32 = 19;

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
        let niceness = niceness();
        let threads = Builder::new_multi_thread()
            .worker_threads(std::thread::available_parallelism().map_or(1, NonZero::get))
            .thread_name("guests")
            .on_thread_start(move || be_nice(niceness))
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

/// Returns how nice guests are; nothing where the system does not say, or niceness is the whole process's.
///
/// A number, not a step: a thread inherits what the one that starts it has, and guests' threads start some for what blocks.
fn niceness() -> Option<i32> {
    if cfg!(target_os = "linux") {
        let own = rustix::process::getpriority_process(None).ok()?;
        Some((own + NICER).min(NICENESS_MAX))
    } else {
        None
    }
}

/// Makes the thread that calls it so nice.
fn be_nice(niceness: Option<i32>) {
    if let Some(niceness) = niceness
        && let Err(error) = rustix::process::setpriority_process(None, niceness)
    {
        tracing::debug!(%error, "cannot lower the priority of the threads that run handlers");
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

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn guests_are_less_urgent_than_who_started_them() {
        let own = || rustix::process::getpriority_process(None).unwrap();
        let guests = GuestThreads::start().unwrap();
        let theirs = guests.enter(|| {
            tokio::spawn(async move {
                let blocking = tokio::task::spawn_blocking(own).await.unwrap();
                (own(), blocking)
            })
        });
        let nicer = (own() + NICER).min(NICENESS_MAX);
        assert_eq!(theirs.await.unwrap(), (nicer, nicer));
    }
}
