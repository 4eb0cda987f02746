//! What the handles of a queue share with the thread that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::model::clock::Clock;
use crate::model::{DeadLetterNotices, Losses, Options, Settled};
use crate::schedule::Scheduler;

use super::inbox::Inbox;

/// What every handle, and the committer, have.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Inbox,
    pub(crate) scheduler: Mutex<Scheduler>,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    /// Why the store cannot be written.
    unwritable: Mutex<Option<String>>,
    /// Dead letters: dead deliveries but for those that a person cancelled.
    pub(crate) dead: AtomicU64,
    /// Deliveries that wait to be inserted.
    arriving: AtomicUsize,
    pub(crate) secret: [u8; 32],
    /// Goes up with each commit.
    pub(crate) commits: watch::Sender<u64>,
    /// Who makes the alerts about dead letters; absent if nobody is to be notified.
    pub(crate) dead_letters: Mutex<Option<Arc<dyn DeadLetterNotices>>>,
    /// What was discarded or coalesced since the start.
    pub(crate) losses: Mutex<Losses>,
    /// Who is to hear what is settled; absent if nobody is.
    pub(crate) settled: Mutex<Option<mpsc::Sender<Settled>>>,
}

impl Shared {
    pub(super) fn new(
        scheduler: Scheduler,
        clock: Clock,
        options: Options,
        dead: u64,
        secret: [u8; 32],
    ) -> Self {
        Self {
            inbox: Inbox::default(),
            scheduler: Mutex::new(scheduler),
            clock,
            options,
            unwritable: Mutex::default(),
            dead: AtomicU64::new(dead),
            arriving: AtomicUsize::new(0),
            secret,
            commits: watch::Sender::new(0),
            dead_letters: Mutex::default(),
            losses: Mutex::default(),
            settled: Mutex::default(),
        }
    }

    /// Returns why the store cannot be written, if it cannot.
    pub(crate) fn unwritable(&self) -> Option<String> {
        self.unwritable.lock().clone()
    }

    pub(super) fn set_unwritable(&self, why: String) {
        *self.unwritable.lock() = Some(why);
    }

    pub(super) fn set_writable(&self) {
        *self.unwritable.lock() = None;
    }

    /// Returns how many deliveries are not settled, these included, which are on their way in from now on.
    pub(crate) fn arrive(&self, deliveries: usize) -> (usize, Arriving<'_>) {
        let arriving = self.arriving.fetch_add(deliveries, Ordering::Relaxed);
        let depth = self.scheduler.lock().depth() + arriving;
        (depth, Arriving(&self.arriving, deliveries))
    }
}

/// Room in the queue for what is on its way in.
#[derive(Debug)]
pub(crate) struct Arriving<'a>(&'a AtomicUsize, usize);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}
