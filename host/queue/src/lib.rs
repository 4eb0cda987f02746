//! The durable queue: an alert is on disk before its sender has an answer, and each of its deliveries ends done or dead.
//!
//! Alerts go in through [`Queue::accept`], deliveries come out of [`Leases::next`], and a lease ends with [`Queue::settle`].
//!
//! A concurrency permit allows one invocation of a handler; it is released when the invocation ends. An ordering key is a
//! fingerprint on a route, and on routes that the configuration no longer has; its next delivery goes on when the settlement of the
//! one before is durable.
//!
//! `model` has the values, `rules` decides what becomes of them, `schedule` what runs next, `store` keeps them, and `commit` is the
//! thread that asks all three.

mod accepting;
mod alarming;
mod commit;
#[cfg(any(test, feature = "conformance"))]
#[macro_use]
pub mod conformance;
pub mod failpoint;
mod leases;
mod ledger;
mod model;
mod queries;
mod rules;
mod schedule;
mod store;
mod working;
#[cfg(test)]
mod stores {
    store_conformance!(sqlite: crate::store::sqlite::bench::SqliteBench);
}

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};

pub use leases::Leases;
pub use model::*;
pub use queries::Force;

use commit::inbox::Close;
use commit::{Committer, Shared, Started};
use store::sqlite::{Gathering, SqliteStore};
use store::{Reader, Store};

/// The queue. Cheap to clone; the store is closed when the last one goes.
#[derive(Clone, Debug)]
pub struct Queue {
    inner: Arc<Inner>,
}

/// What every handle shares.
#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    reader: Arc<dyn Reader>,
    recovered: Recovered,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct WeakQueue(Weak<Inner>);

impl WeakQueue {
    fn upgrade(&self) -> Option<Queue> {
        self.0.upgrade().map(|inner| Queue { inner })
    }
}

impl Queue {
    /// Opens the store at `path`, makes it if there is none, and takes up what was left.
    ///
    /// # Errors
    /// If the place cannot be written, another process has it, or the file is damaged or foreign.
    pub fn open(path: &Path, options: Options, caps: Caps) -> Result<(Self, Leases), OpenError> {
        let clock = Clock::system();
        let store = SqliteStore::open(path, Gathering::default(), &options, clock.clone())?;
        Self::over(commit::start(store, options, caps, clock)?)
    }

    /// Starts the thread that writes to a store.
    fn over<S: Store>(started: Started<S>) -> Result<(Self, Leases), OpenError> {
        let (committer, queue, leases) = Self::of(started);
        *queue.inner.thread.lock() = Some(committer.spawn()?);
        Ok((queue, leases))
    }

    /// Returns what writes to a store, and the ends that others hold.
    fn of<S: Store>(started: Started<S>) -> (Committer<S>, Self, Leases) {
        let Started {
            shared,
            reader,
            recovered,
            committer,
            handed,
        } = started;
        let inner = Arc::new(Inner {
            shared,
            reader,
            recovered,
            thread: Mutex::default(),
        });
        let leases = Leases {
            handed,
            attached: false,
            queue: WeakQueue(Arc::downgrade(&inner)),
        };
        (committer, Self { inner }, leases)
    }

    /// Returns a key of this store's own for one purpose: the same over restarts, unknown outside.
    #[must_use]
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.inner.shared.secret)
            .chain_update(purpose)
            .finalize()
            .into()
    }

    /// Returns what the start found in the store.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.inner.recovered
    }

    /// Returns what is settled from now on, in the order of commits. Ends when the store is closed. A later call ends the
    /// reports of an earlier one.
    #[must_use]
    pub fn settled(&self) -> mpsc::Receiver<Settled> {
        let (sender, reports) = mpsc::channel(self.inner.shared.options.bounds.settled_reports_max);
        *self.inner.shared.settled.lock() = Some(sender);
        reports
    }

    /// Returns a watch that changes with each commit.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.inner.shared.commits.subscribe()
    }

    /// Returns why the store cannot be written, if it cannot; without asking it.
    #[must_use]
    pub fn unwritable(&self) -> Option<String> {
        self.inner.shared.unwritable()
    }

    /// Changes how many invocations of each handler may run. Those under way go on.
    pub fn set_caps(&self, caps: Caps) {
        let shared = &self.inner.shared;
        shared.scheduler.lock().set_caps(caps);
        shared.inbox.nudge();
    }

    /// Changes when deliveries that are alike run as one. Those that run as one stay so.
    pub fn set_storm(&self, options: StormOptions) {
        self.inner.shared.scheduler.lock().set_storm(options);
    }

    /// Commits what was settled, gives every lease back and closes the store. The worker is to have
    /// stopped: a delivery that it has not settled counts as cut off.
    pub async fn shutdown(&self) {
        let (done, closed) = oneshot::channel();
        self.inner.shared.inbox.close(Close::Orderly(done));
        // An error says that the store was closed before.
        let _ = closed.await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.inbox.close(Close::Abandon);
        if let Some(thread) = self.thread.get_mut().take()
            && thread.join().is_err()
        {
            tracing::error!("the committer has panicked");
        }
    }
}
