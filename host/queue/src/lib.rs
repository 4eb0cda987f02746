//! The durable queue: an alert is stored before its sender gets an answer, and each of its deliveries ends done or dead.
//!
//! Alerts go in through [`Queue::accept`], deliveries come out of [`Leases::next`], and a lease ends with [`Queue::settle`].
//!
//! A concurrency permit allows one invocation of a handler, and is released when the invocation ends. An ordering key is a
//! fingerprint on a route; routes that the configuration no longer has count as the same one. The next delivery of a key runs
//! once the settlement of the one before is durable.
//!
//! `model` has the values, `rules` makes the decisions, `schedule` decides what runs next, `store` keeps everything, and `commit`
//! is the thread that calls all three.

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
mod replicas;
mod rules;
mod schedule;
mod store;
mod views;
mod working;
#[cfg(test)]
mod stores {
    store_conformance!(
        sqlite: crate::store::sqlite::bench::SqliteBench,
        postgres: crate::store::postgres::bench::PostgresBench
    );
}

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};

use alert_manager_core::alert::Alert;

pub use leases::Leases;
pub use model::*;
pub use queries::Force;
pub use store::migrate::{MigrateError, MoveProgress, MovedTable, migrate_store};
pub use store::{Database, InvalidDatabase, InvalidStoreUrl, StoreUrl};

use commit::inbox::Close;
use commit::{Committer, OnArrival, Shared, Started};
use store::postgres::{PostgresReplica, Settings};
use store::sqlite::{Gathering, SqliteStore};
use store::{Reader, Replica as _, Store};
use views::Views;

/// A handle on the queue. Cheap to clone; dropping the last one closes the store.
#[derive(Clone, Debug)]
pub struct Queue {
    inner: Arc<Inner>,
}

/// What all handles share.
#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    reader: Arc<dyn Reader>,
    /// What people read, who watch.
    views: Views,
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
    /// Opens a store, creates it if there is none, and recovers what an earlier process left.
    ///
    /// # Errors
    /// If the store cannot be written, is damaged, is in use by another process, or was not made by this program.
    pub fn open(
        store: &StoreUrl,
        options: Options,
        caps: Caps,
    ) -> Result<(Self, Leases), OpenError> {
        let clock = Clock::system();
        match store {
            StoreUrl::Sqlite(path) => {
                let store = SqliteStore::open(path, Gathering::default(), &options, clock.clone())?;
                Self::over(commit::start(store, options, caps, clock)?)
            }
            StoreUrl::Postgres(database) => {
                let settings = Settings::default();
                let replica = PostgresReplica::open(database, settings, &options, clock.clone())?;
                Self::on(replica, options, caps, clock)
            }
        }
    }

    /// Joins the servers on a store, and takes the term unless another one has it.
    fn on(
        mut replica: PostgresReplica,
        options: Options,
        caps: Caps,
        clock: Clock,
    ) -> Result<(Self, Leases), OpenError> {
        let held = replica.wait_for_term();
        let held = held.map_err(|error| replica.refused(error))?;
        let started = commit::join(replica, held, options, caps, clock)?;
        let (replicated, queue, leases) = Self::of(started);
        *queue.inner.thread.lock() = Some(replicated.spawn()?);
        Ok((queue, leases))
    }

    /// Starts the thread that writes to a store.
    fn over<S: Store>(started: Started<Committer<S>>) -> Result<(Self, Leases), OpenError> {
        let (committer, queue, leases) = Self::of(started);
        *queue.inner.thread.lock() = Some(committer.spawn()?);
        Ok((queue, leases))
    }

    /// Returns the committer of a store, and the handles on it.
    fn of<C>(started: Started<C>) -> (C, Self, Leases) {
        let Started {
            shared,
            reader,
            recovered,
            committer,
            grants,
        } = started;
        let inner = Arc::new(Inner {
            shared,
            views: Views::new(reader.views_max()),
            reader,
            recovered,
            thread: Mutex::default(),
        });
        let leases = Leases {
            grants,
            attached: false,
            queue: WeakQueue(Arc::downgrade(&inner)),
        };
        (committer, Self { inner }, leases)
    }

    /// Returns a secret key for one purpose, derived from the store's own secret: it stays the same over restarts.
    #[must_use]
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.inner.shared.secret)
            .chain_update(purpose)
            .finalize()
            .into()
    }

    /// Returns what was found in the store when it was opened.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.inner.recovered
    }

    /// Returns the deliveries that are settled from now on, in the order of commits. Ends when the store is closed, or when this is
    /// called again.
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

    /// Returns a watch that says whether this server decides and runs: no other one has its store, or it has the term.
    #[must_use]
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.inner.shared.leads.subscribe()
    }

    /// Has a function look at each alert that another server has accepted for this one. It must not block.
    pub fn set_on_arrival(&self, look: impl Fn(&Alert) + Send + Sync + 'static) {
        *self.inner.shared.on_arrival.lock() = Some(OnArrival(Arc::new(look)));
    }

    /// Returns why the last write to the store failed; nothing if it succeeded.
    #[must_use]
    pub fn unwritable(&self) -> Option<String> {
        self.inner.shared.unwritable()
    }

    /// Changes the concurrency limits. Invocations under way continue.
    pub fn set_caps(&self, caps: Caps) {
        let shared = &self.inner.shared;
        shared.scheduler.lock().set_caps(caps);
        shared.inbox.nudge();
    }

    /// Changes when deliveries that are alike run as one. Those that run as one stay so.
    pub fn set_storm(&self, options: StormOptions) {
        self.inner.shared.scheduler.lock().set_storm(options);
    }

    /// Commits what was settled, ends every lease and closes the store. The worker must have stopped: a delivery that it has not
    /// settled counts as interrupted.
    pub async fn shutdown(&self) {
        let (done, closed) = oneshot::channel();
        self.inner.shared.inbox.close(Close::Orderly(done));
        // An error means that the store is closed already.
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
