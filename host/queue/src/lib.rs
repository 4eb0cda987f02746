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
#[cfg(test)]
mod stores {
    store_conformance!(sqlite: crate::store::sqlite::bench::SqliteBench);
}

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};

use alert_manager_core::alert::{Alert, DeliveryId, Fingerprint, HandlerName, Status, Timestamp};
use alert_manager_core::journal::{Dependency, Ledger, Recorded};

pub use leases::Leases;
pub use model::*;
pub use queries::Force;

use commit::inbox::{AcceptJob, Close, Settle, Urgent};
use commit::{Arriving, Committer, Shared, Started};
use failpoint::Failpoint;
use ledger::StepLedger;
use model::NOT_SENT;
use model::clock::{self, Ticks};
use rules::notices::{is_current, subject_of, ways_left};
use rules::settle::Outcome;
use store::sqlite::{Gathering, SqliteStore};
use store::{Reader, Store};

/// The longest error text that is kept with a delivery, in bytes. The whole of it is in the story.
const ERROR_BYTES_MAX: usize = 4_096;

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

    /// Stores alerts and what was refused of their body; returns once all of it is on disk.
    ///
    /// A caller that goes away changes nothing: what was handed in is stored and run all the same.
    ///
    /// # Errors
    /// If the queue is full or the store cannot write: the sender is to try again. A part of a large
    /// body may be stored even so; sent again, that part is a duplicate.
    pub async fn accept(&self, parcel: Parcel) -> Result<Receipt, AcceptError> {
        let _arriving = self.make_room(parcel.deliveries())?;
        self.store(parcel).await
    }

    /// Stores the next parcel of a body whose first one was accepted. A body is taken as a whole or not at all: the queue may
    /// be full by now.
    ///
    /// # Errors
    /// If the store cannot write.
    pub async fn accept_rest(&self, parcel: Parcel) -> Result<Receipt, AcceptError> {
        self.store(parcel).await
    }

    async fn store(&self, parcel: Parcel) -> Result<Receipt, AcceptError> {
        let shared = &*self.inner.shared;
        if let Some(why) = shared.unwritable() {
            return Err(AcceptError::Unavailable(why));
        }
        let bytes = parcel.bytes();
        let (reply, answer) = oneshot::channel();
        shared.inbox.accept(AcceptJob {
            alerts: parcel.alerts,
            taken: 0,
            refused: parcel.refused,
            verdicts: Vec::new(),
            bytes,
            reply,
        })?;
        let wait_max = shared.options.commit_wait_max;
        match tokio::time::timeout(wait_max, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AcceptError::Unavailable("the store has been closed".into())),
            Err(_) => Err(AcceptError::Unavailable(format!(
                "the disk has not answered for {} s",
                wait_max.as_secs()
            ))),
        }
    }

    fn make_room(&self, deliveries: usize) -> Result<Arriving<'_>, AcceptError> {
        let shared = &*self.inner.shared;
        let (depth, room) = shared.arrive(deliveries);
        // A body is taken as a whole if the queue is not full yet: one larger than the queue would
        // otherwise never come in.
        if deliveries > 0 && depth >= shared.options.queue_depth_max {
            return Err(AcceptError::QueueFull(depth));
        }
        Ok(room)
    }

    /// Returns where the calls of one step of a leased delivery are recorded.
    #[must_use]
    pub fn ledger(&self, lease: Lease, step: u32, handler: &HandlerName) -> Arc<dyn Ledger> {
        Arc::new(StepLedger {
            inner: Arc::clone(&self.inner),
            lease,
            step,
            handler: handler.clone(),
        })
    }

    /// Returns what earlier attempts of a step recorded. Read only when the step has its permit: what waits for one holds
    /// no record in memory.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn recorded(&self, id: DeliveryId, step: u32) -> Result<Recorded, ReadError> {
        self.inner
            .read(move |inner| inner.reader.recorded(id, step))
            .await
    }

    /// Returns a step's own random seed: the same on every attempt, unknown outside of this store.
    #[must_use]
    pub fn seed(&self, id: DeliveryId, step: u32) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.inner.shared.secret)
            .chain_update(id.as_raw().to_be_bytes())
            .chain_update(step.to_be_bytes())
            .finalize()
            .into()
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

    /// Changes who makes the alerts about dead letters. Each alert is stored in the transaction of the death that it is about;
    /// what died while nobody was to be notified is reported once somebody is, many of a kind in one alert.
    pub fn set_dead_letters(&self, notices: Option<Arc<dyn DeadLetterNotices>>) {
        *self.inner.shared.dead_letters.lock() = notices;
        self.look_again();
    }

    /// Has notices that wait for what is held take a way that has become free: to be called if [`DeadLetterNotices::ways`]
    /// returns others.
    pub fn look_again(&self) {
        self.inner.shared.inbox.push(Urgent::LookAgain);
    }

    /// Reports an alert of the server's own by the best way, unless it fires already.
    ///
    /// # Errors
    /// If the store has been closed.
    pub async fn raise(&self, alert: Alert, if_blocked: IfBlocked) -> Result<Raised, ReadError> {
        let (reply, raised) = oneshot::channel();
        self.inner.shared.inbox.push(Urgent::Raise {
            alert: Box::new(alert),
            if_blocked,
            reply,
        });
        raised
            .await
            .map_err(|_| ReadError("it has been closed".into()))
    }

    /// Counts an alert of the server's own that there was no way to report.
    pub fn count_unreported(&self) {
        self.inner.shared.losses.lock().unreported += 1;
    }

    /// Returns the alerts of the server's own that were raised and have not ended.
    ///
    /// # Errors
    /// If the store has been closed.
    pub async fn alarms(&self) -> Result<Vec<Alert>, ReadError> {
        let (reply, alarms) = oneshot::channel();
        self.inner.shared.inbox.push(Urgent::Alarms(reply));
        alarms
            .await
            .map_err(|_| ReadError("it has been closed".into()))
    }

    /// Ends an alert of the server's own on the ways on which it was reported. Returns false if there is no room for that now:
    /// then it is to be ended again.
    ///
    /// # Errors
    /// If the store has been closed.
    pub async fn end(&self, fingerprint: Fingerprint) -> Result<bool, ReadError> {
        let (reply, ended) = oneshot::channel();
        let end = Urgent::End { fingerprint, reply };
        self.inner.shared.inbox.push(end);
        ended
            .await
            .map_err(|_| ReadError("it has been closed".into()))
    }

    /// Returns true if an alert is a notice about a delivery that is no longer dead, or that has died anew since.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn is_out_of_date(&self, notice: &Alert) -> Result<bool, ReadError> {
        let subject = subject_of(notice);
        let Some(subject) = subject.filter(|_| notice.status == Status::Firing) else {
            return Ok(false);
        };
        let starts_at = notice.starts_at;
        self.inner
            .read(move |inner| {
                let subject = inner.reader.delivery(subject)?;
                Ok(subject.is_some_and(|subject| !is_current(&subject, starts_at)))
            })
            .await
    }

    /// Returns true if a way is free that an alert of the server's own has not taken: if this one fails, that may do.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn has_another_way(&self, notice: &Alert) -> Result<bool, ReadError> {
        let notices = self.inner.shared.dead_letters.lock().clone();
        let mut ways = notices.map(|notices| notices.ways()).unwrap_or_default();
        ways.retain(|way| !way.is_blocked);
        let event = notice.event();
        self.inner
            .read(move |inner| Ok(!ways_left(ways, &inner.reader.runs(event)?).is_empty()))
            .await
    }

    /// Frees a permit of `handler`: to be called once for every permit taken, as soon as the invocation ends.
    pub fn release_permit(&self, handler: &HandlerName) {
        let shared = &self.inner.shared;
        let is_awaited = shared.scheduler.lock().release_permit(handler);
        if is_awaited {
            shared.inbox.nudge();
        }
    }

    /// Takes a permit of `handler` for a delivery that is leased already; false if none is free or
    /// others wait for one: settle with [`Next::Yield`] then. What cannot run now, since a suspect runs alone, does not wait.
    #[must_use]
    pub fn try_take_permit(&self, handler: &HandlerName) -> bool {
        let shared = &self.inner.shared;
        let now = shared.clock.ticks();
        shared.scheduler.lock().try_take_permit(handler, now)
    }

    /// Stores how far a leased delivery is, without waiting.
    pub fn progress(&self, lease: Lease, progress: &Progress) {
        self.inner.shared.inbox.push(Urgent::Progress {
            lease,
            progress: to_json(progress),
        });
    }

    /// Ends a lease, without waiting: it is stored in the order of calls, and tried again until it is.
    pub fn settle(&self, settlement: Settlement) {
        if Failpoint::DiesBeforeSettling.is_set() {
            std::process::abort();
        }
        self.settle_for(settlement, Reason::Handled);
    }

    /// Ends a lease; `done` is why, if the delivery is done with it.
    fn settle_for(&self, settlement: Settlement, done: Reason) {
        let shared = &self.inner.shared;
        let mut last_error = settlement.last_error;
        let outcome = match settlement.next {
            Next::Done => Outcome::Ended(done),
            Next::Dead(reason) => {
                last_error = Some(reason).filter(|r| !r.is_empty()).or(last_error);
                Outcome::Ended(Reason::Failed)
            }
            Next::Retry { until, handler } => Outcome::Wait {
                handler,
                due: shared.clock.ticks_after(wait(shared.clock.now(), until)),
                not_before: Some(clock::millis_up(until)),
                waits_for: settlement.progress.waits_for(),
            },
            Next::Yield { handler } => Outcome::Wait {
                handler,
                due: Ticks::MIN,
                not_before: None,
                waits_for: Vec::new(),
            },
        };
        shared.inbox.push(Urgent::Settle(Settle {
            lease: settlement.lease,
            outcome,
            progress: to_json(&settlement.progress),
            alert: settlement.alert,
            story: settlement.story,
            last_error: last_error.map(|text| cut(text, ERROR_BYTES_MAX)),
        }));
    }

    /// Ends a notice that is not to be sent, since it is out of date.
    pub fn leave_out(&self, leased: Leased) {
        let settlement = Settlement {
            lease: leased.lease,
            next: Next::Done,
            progress: leased.progress,
            alert: Some(leased.alert),
            story: None,
            last_error: Some(NOT_SENT.to_owned()),
        };
        self.settle_for(settlement, Reason::Outdated);
    }

    /// Makes due what waits for `dependency`, which is back, or a part of it to find out.
    pub fn wake(&self, dependency: &Dependency, which: Wake) {
        let shared = &self.inner.shared;
        let now = shared.clock.ticks();
        if shared.scheduler.lock().wake(dependency, which, now) > 0 {
            shared.inbox.nudge();
        }
    }

    /// Returns what deliveries wait for, besides their time.
    #[must_use]
    pub fn awaited(&self) -> Vec<Dependency> {
        self.inner.shared.scheduler.lock().awaited()
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

fn wait(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

fn to_json(progress: &Progress) -> String {
    // Strings, numbers and lists: there is nothing in it that JSON cannot hold.
    serde_json::to_string(progress).unwrap_or_else(|_| r#"{"steps":[]}"#.into())
}

/// Shortens a text at a character's boundary.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}
