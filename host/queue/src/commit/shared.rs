//! What the handles of a queue share with the committer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use alert_manager_core::alert::{Alert, HandlerName};

use crate::model::clock::Clock;
use crate::model::{Caps, DeadLetterNotices, Elsewhere, Losses, Options, Settled};
use crate::schedule::Scheduler;
use crate::store::{Hold, Roster, Watched};

use super::inbox::Inbox;

/// The JSON bytes of waiting alerts that are kept in memory. Other alerts are read when their deliveries are leased.
const ALERT_BYTES_MAX: usize = 16 << 20;

/// Looks at an alert that another server has accepted for this one.
#[derive(Clone)]
pub(crate) struct OnArrival(pub(crate) Arc<dyn Fn(&Alert) + Send + Sync>);

impl fmt::Debug for OnArrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnArrival")
    }
}

/// The state that all handles and the committer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Inbox,
    pub(crate) scheduler: Mutex<Scheduler>,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    /// Why the last write to the store failed; absent if it succeeded.
    unwritable: Mutex<Option<String>>,
    /// Whether this server may begin an effect.
    hold: Mutex<Hold>,
    /// What a server without the term has counted; nothing with the term.
    elsewhere: Mutex<Elsewhere>,
    /// How many dead letters there are: dead deliveries, except those that a person cancelled.
    pub(crate) dead: AtomicU64,
    /// Deliveries that are to be inserted, and are not in the scheduler yet.
    reserved: AtomicUsize,
    pub(crate) secret: [u8; 32],
    /// How many commits there have been.
    pub(crate) commits: watch::Sender<u64>,
    /// Makes the notices about dead letters; absent if nobody is to be notified.
    pub(crate) dead_letters: Mutex<Option<Arc<dyn DeadLetterNotices>>>,
    /// How many timers are open, by handler.
    pub(crate) open_timers: Mutex<BTreeMap<HandlerName, usize>>,
    /// Whether this server decides and runs: it alone has the store, or it has the term.
    pub(crate) leads: watch::Sender<bool>,
    /// The other servers of the store, and what they are asked.
    pub(crate) watched: Watched,
    /// Is given each alert that another server has accepted for this one; absent if nobody looks at them.
    pub(crate) on_arrival: Mutex<Option<OnArrival>>,
    /// How much was discarded or coalesced since the start.
    pub(crate) losses: Mutex<Losses>,
    /// Receives reports of settled deliveries; absent if nobody does.
    pub(crate) settled: Mutex<Option<mpsc::Sender<Settled>>>,
}

impl Shared {
    pub(super) fn new(hold: Hold, clock: Clock, options: Options, secret: [u8; 32]) -> Self {
        let watched = Watched {
            roster: Arc::new(Roster::new(clock.now())),
            mail: Arc::default(),
        };
        Self {
            inbox: Inbox::default(),
            scheduler: Mutex::new(idle(&options, Caps::all(1))),
            clock,
            options,
            unwritable: Mutex::default(),
            hold: Mutex::new(hold),
            elsewhere: Mutex::default(),
            dead: AtomicU64::default(),
            reserved: AtomicUsize::new(0),
            watched,
            secret,
            commits: watch::Sender::new(0),
            dead_letters: Mutex::default(),
            open_timers: Mutex::default(),
            leads: watch::Sender::new(true),
            on_arrival: Mutex::default(),
            losses: Mutex::default(),
            settled: Mutex::default(),
        }
    }

    /// Returns why the last write to the store failed, or why no effect may begin; nothing if neither is so.
    pub(crate) fn unwritable(&self) -> Option<String> {
        let failed = self.unwritable.lock().clone();
        failed.or_else(|| self.hold.lock().check().err())
    }

    /// Changes what says whether this server may begin an effect.
    pub(super) fn set_hold(&self, hold: Hold) {
        *self.hold.lock() = hold;
    }

    /// Returns what another server decides on, as it was counted last.
    pub(crate) fn elsewhere(&self) -> Elsewhere {
        *self.elsewhere.lock()
    }

    /// Notes what another server decides on. A change of it counts as a commit for those who follow.
    pub(super) fn set_elsewhere(&self, counted: Elsewhere) {
        let before = std::mem::replace(&mut *self.elsewhere.lock(), counted);
        if before != counted {
            self.commits.send_modify(|commits| *commits += 1);
        }
    }

    /// Notes whether this server decides and runs.
    pub(super) fn set_leads(&self, leads: bool) {
        self.leads.send_replace(leads);
    }

    pub(super) fn set_unwritable(&self, why: String) {
        *self.unwritable.lock() = Some(why);
    }

    pub(super) fn set_writable(&self) {
        *self.unwritable.lock() = None;
    }

    /// Reserves room for deliveries that are to be inserted. Returns the depth of the queue without them, but with those for which
    /// room was reserved before.
    pub(crate) fn reserve(&self, deliveries: usize) -> (usize, Reserved<'_>) {
        let before = self.reserved.fetch_add(deliveries, Ordering::Relaxed);
        let elsewhere = self.elsewhere().depth();
        let depth = self.scheduler.lock().depth() + elsewhere + before;
        (depth, Reserved(&self.reserved, deliveries))
    }
}

/// A scheduler in which nothing is.
pub(super) fn idle(options: &Options, caps: Caps) -> Scheduler {
    Scheduler::new(caps, options.queue_depth_max, ALERT_BYTES_MAX)
}

/// Reserved room in the queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved<'a>(&'a AtomicUsize, usize);

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}
