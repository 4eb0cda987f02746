//! Takes up where the last process ended: what it had under lease when it died, and what was waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use alert_manager_core::alert::{Fingerprint, Timestamp};
use alert_manager_core::gate::GateName;

use crate::failpoint::Failpoint;
use crate::model::clock::{Clock, Ticks};
use crate::model::{
    Caps, CutOff, Delivery, GATE_CLOSED_MS_MAX, LastEnd, Left, OpenError, Options, Recovered, Row, State as Stands,
};
use crate::rules::crashes;
use crate::rules::deaths::Reports;
use crate::schedule::{Entrant, Scheduler};
use crate::store::{Change, Committed, Found, Reader, Resolved, Store, StoreError, Txn};

use super::committer::Committer;
use super::group::{Group, Handed, State, Texts, Work};
use super::shared::Shared;
use super::watched::Watched;

/// JSON bytes of waiting alerts that are kept in memory; the rest is read when it is leased.
const ALERT_BYTES_MAX: usize = 16 << 20;

/// The longest that a delivery waits after a start, whatever the clock was when it was asked to wait.
const WAIT_MS_MAX: i64 = 60 * 60 * 1_000;

/// A store, ready to work.
#[derive(Debug)]
pub(crate) struct Started<S> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) recovered: Recovered,
    pub(crate) committer: Committer<S>,
    pub(crate) handed: mpsc::UnboundedReceiver<Handed>,
}

/// Takes up everything in a store that is not settled.
///
/// # Errors
/// If the store cannot be read, or what the server died under cannot be stored.
pub(crate) fn start<S: Store>(
    mut store: S,
    options: Options,
    caps: Caps,
    clock: Clock,
) -> Result<Started<S>, OpenError> {
    let mut open = Open::new(&options, caps, &clock);
    let mut under_lease = Vec::new();
    let found = store.recover(|row, left| match left {
        Some(left) => under_lease.push((row, left)),
        None => open.restore(row),
    })?;
    open.scheduler.set_owner(found.owner);
    open.restore_gates(&found.closed_gates);
    let cut_off = crashes::cut_off(&under_lease, clock.now());
    open.restore_cut_off(&under_lease, &cut_off);
    let Open {
        scheduler,
        texts,
        queued,
        retrying,
        oldest,
        ..
    } = open;
    let dead = found.dead_letters;
    let reader = store.reader();
    let (sender, handed) = mpsc::unbounded_channel();
    let mut committer = Committer {
        store,
        shared: Arc::new(Shared::new(scheduler, clock, options, dead, found.secret)),
        handed: sender,
        state: state(&found, texts),
        retries: VecDeque::new(),
        failing: None,
        unreported_settled: 0,
    };
    let died = match committer.take_up(&cut_off) {
        Ok(died) => died,
        Err(error) => return Err(committer.store.refused(error)),
    };
    let died_now = died.len() as u64;
    for dead in &died {
        committer.state.watched.remove(dead.id);
        // Reported as soon as there is somebody to report to.
        committer.state.reports.set_due(Some(0));
    }
    let shared = &committer.shared;
    shared.dead.fetch_add(died_now, Ordering::Relaxed);
    let recovered = Recovered {
        last_end: match under_lease.is_empty() {
            true => found.last_end,
            false => LastEnd::Crash,
        },
        under_lease: under_lease.len() as u64,
        died,
        queued,
        retrying,
        dead: dead + died_now,
        oldest,
    };
    Ok(Started {
        shared: Arc::clone(&committer.shared),
        reader,
        recovered,
        committer,
        handed,
    })
}

fn state(found: &Found, texts: Texts) -> State {
    let mut watched = Watched::default();
    for (id, route) in &found.watched {
        watched.insert(*id, route);
    }
    State {
        last_id: found.last_id,
        texts,
        reports: Reports::new(found.is_unreported),
        watched,
    }
}

/// What is not settled.
struct Open {
    scheduler: Scheduler,
    texts: Texts,
    now: Timestamp,
    ticks: Ticks,
    queued: u64,
    retrying: u64,
    /// When the oldest was accepted, or sent again.
    oldest: Option<Timestamp>,
}

impl Open {
    fn new(options: &Options, caps: Caps, clock: &Clock) -> Self {
        Self {
            scheduler: Scheduler::new(caps, options.queue_depth_max, ALERT_BYTES_MAX),
            texts: Texts::default(),
            now: clock.now(),
            ticks: clock.ticks(),
            queued: 0,
            retrying: 0,
            oldest: None,
        }
    }

    /// Keeps gates closed that a service had closed. Nothing waits at them yet: what was parked runs again, and asks anew.
    fn restore_gates(&mut self, closed: &[(GateName, i64)]) {
        for (name, until_ms) in closed {
            let left_ms = until_ms.saturating_sub(self.now.as_millisecond());
            if left_ms > 0 {
                let until = self.ticks + left_ms.min(GATE_CLOSED_MS_MAX);
                self.scheduler.restore_gate(name, until);
            }
        }
    }

    /// Takes in what the server died under, as far as it goes on.
    fn restore_cut_off(&mut self, under_lease: &[(Row, Left)], cut_off: &[CutOff]) {
        for ((row, _), cut_off) in under_lease.iter().zip(cut_off) {
            let mut row = row.clone();
            cut_off.apply(&mut row);
            if row.is_open() {
                self.restore(row);
            }
        }
    }

    /// Takes a delivery in that waits.
    fn restore(&mut self, row: Row) {
        match row.state {
            Stands::Retrying => self.retrying += 1,
            _ => self.queued += 1,
        }
        self.oldest = Some(self.oldest.map_or(row.since, |at| at.min(row.since)));
        let handler = row.next_handler.or_else(|| row.pipeline.first().cloned());
        let (Some(handler), Some(fingerprint)) = (handler, row.fingerprint) else {
            tracing::error!(delivery = %row.id, "delivery {} has no handler and cannot run; it is left as it is", row.id);
            return;
        };
        let fingerprint = match Failpoint::Unordered.is_set() {
            true => Fingerprint(row.id.as_raw().unsigned_abs()),
            false => fingerprint,
        };
        let now_ms = self.now.as_millisecond();
        let wait_ms = row
            .not_before
            .map_or(0, |at| (at - now_ms).clamp(0, WAIT_MS_MAX));
        let age_ms = (now_ms - row.since.as_millisecond()).max(0);
        let entrant = Entrant {
            id: row.id,
            route: self.texts.route(&row.route),
            beside: row.beside,
            fingerprint,
            pipeline: self.texts.pipeline(&row.pipeline),
            handler,
            priority: row.priority,
            due: self.ticks + wait_ms,
            accepted_at: row.since,
            since: self.ticks.saturating_sub(age_ms),
            leases: row.leases,
            after_crash: row.after_crash,
            suspected: row.suspected,
            waits_for: row.waits_for,
            alert: None,
            alert_bytes: 0,
        };
        self.scheduler.restore(entrant, self.ticks);
    }
}

impl<S: Store> Committer<S> {
    /// Stores what becomes of deliveries that the server died under; returns those that are dead for it.
    fn take_up(&mut self, cut_off: &[CutOff]) -> Result<Vec<Delivery>, StoreError> {
        if cut_off.is_empty() {
            return Ok(Vec::new());
        }
        let mut group = Group {
            ticks: self.shared.clock.ticks(),
            ..Group::default()
        };
        let txn = self.store.begin()?;
        let mut work = Work::new(txn, &self.shared, &mut self.state, &mut group);
        for cut in cut_off {
            work.push(Change::CutOff(*cut));
        }
        let mut died = Vec::new();
        for cut in cut_off.iter().filter(|cut| cut.died.is_some()) {
            died.extend(work.found_dead(cut.id)?);
        }
        let committed = work.into_txn()?.commit();
        match committed {
            Committed::Yes => Ok(died),
            Committed::RolledBack(error) => Err(error),
            Committed::Unknown => match self.store.resolve()? {
                Resolved::Committed => Ok(died),
                Resolved::RolledBack => Err(StoreError::Away("the commit was not answered".into())),
            },
        }
    }
}
