//! Recovery at startup: schedules the deliveries that are not settled, and decides about those that were under lease when the
//! last process ended.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use alert_manager_core::alert::{DeliveryId, Fingerprint, Status, Timestamp};
use alert_manager_core::gate::GateName;

use crate::failpoint::Failpoint;
use crate::model::clock::{Clock, Ticks};
use crate::model::{
    Abandoned, Candidate, Caps, CrashOutcome, Delivery, GATE_CLOSED_MS_MAX, Grant, LastEnd,
    OpenError, Options, Parking, Reason, Recovered, Row, State, Storm,
};
use crate::rules::crashes;
use crate::rules::deaths::Reports;
use crate::schedule::{Entrant, Scheduler};
use crate::store::{Change, Committed, Found, Reader, Resolved, Store, StoreError, Txn};

use super::committer::Committer;
use super::group::{CommitterState, Group, Texts, Work};
use super::open_timers::Timers;
use super::shared::{self, Shared};
use super::updates;
use super::urgency::Urgency;
use super::watched::Watched;

/// The longest that a delivery waits after a start, in case the system's clock was wrong when its time was set.
const WAIT_MS_MAX: i64 = 60 * 60 * 1_000;

/// An opened store with its committer, which does not run yet.
#[derive(Debug)]
pub(crate) struct Started<C> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) recovered: Recovered,
    pub(crate) committer: C,
    pub(crate) grants: mpsc::UnboundedReceiver<Grant>,
}

/// Recovers a store: schedules what is not settled, and stores the consequences of a crash.
///
/// # Errors
/// If the store cannot be read or written.
pub(crate) fn start<S: Store>(
    mut store: S,
    options: Options,
    caps: Caps,
    clock: Clock,
) -> Result<Started<Committer<S>>, OpenError> {
    let mut open = Unsettled::new(&options, caps, &clock);
    open.scheduler.set_storm(options.storm);
    let read = read(&mut store, open, &clock)?;
    let (reader, hold) = (store.reader(), store.hold());
    let (sender, grants) = mpsc::unbounded_channel();
    let shared = Shared::new(hold, clock, options, read.found.secret);
    let shared = Arc::new(shared);
    let (committer, recovered) = resume(store, read, &shared, sender)?;
    Ok(Started {
        shared,
        reader,
        recovered,
        committer,
        grants,
    })
}

/// Recovers a store that another server had, and puts what it schedules in the place of what this server has scheduled.
///
/// # Errors
/// If the store cannot be read or written.
pub(super) fn take_over<S: Store>(
    mut store: S,
    shared: &Arc<Shared>,
    grants: mpsc::UnboundedSender<Grant>,
) -> Result<(Committer<S>, Recovered), OpenError> {
    let mut open = Unsettled::new(&shared.options, Caps::all(1), &shared.clock);
    shared
        .scheduler
        .lock()
        .hand_settings_to(&mut open.scheduler);
    let read = read(&mut store, open, &shared.clock)?;
    resume(store, read, shared, grants)
}

/// What was read of a store.
struct Read {
    found: Found,
    scheduler: Scheduler,
    texts: Texts,
    outcomes: Vec<CrashOutcome>,
    orphans: Orphans,
    under_lease: u64,
    queued: u64,
    retrying: u64,
    oldest: Option<Timestamp>,
}

fn read<S: Store>(store: &mut S, mut open: Unsettled, clock: &Clock) -> Result<Read, OpenError> {
    let mut under_lease = Vec::new();
    let mut members = Vec::new();
    let found = store.recover(|row, abandoned| match abandoned {
        Some(abandoned) => under_lease.push((row, abandoned)),
        None if row.representative.is_some() => members.push(row),
        None => open.restore(row),
    })?;
    open.scheduler.set_owner(found.owner);
    let number = updates::first_number(found.last_id, clock.now());
    open.scheduler.number_updates_from(number);
    open.restore_gates(&found.closed_gates);
    let outcomes = crashes::outcomes(&under_lease, clock.now());
    open.restore_crashed(&under_lease, &outcomes);
    let orphans = open.restore_storms(&found.storms, members, &outcomes);
    Ok(Read {
        found,
        scheduler: open.scheduler,
        texts: open.texts,
        outcomes,
        orphans,
        under_lease: under_lease.len() as u64,
        queued: open.queued,
        retrying: open.retrying,
        oldest: open.oldest,
    })
}

/// Puts what was read into effect, and stores the consequences of a crash.
fn resume<S: Store>(
    store: S,
    read: Read,
    shared: &Arc<Shared>,
    grants: mpsc::UnboundedSender<Grant>,
) -> Result<(Committer<S>, Recovered), OpenError> {
    let found = &read.found;
    let dead = found.dead_letters;
    // Before anything may begin: what is under way has no lease in it.
    *shared.scheduler.lock() = read.scheduler;
    shared.set_hold(store.hold());
    let mut committer = Committer {
        store,
        grants,
        state: committer_state(found, read.texts, &shared.clock),
        shared: Arc::clone(shared),
        retries: VecDeque::new(),
        failing: None,
        is_fenced: false,
        unreported_settled: 0,
    };
    let died = match committer.store_crash_outcomes(&read.outcomes, &read.orphans) {
        Ok(died) => died,
        Err(error) => return Err(committer.store.refused(error)),
    };
    let died_now = died.count;
    let died = died.deliveries;
    for dead in &died {
        committer.state.watched.remove(dead.id);
        // Its report is due at once, and is made as soon as there is somebody to notify.
        committer.state.reports.set_due(Some(0));
    }
    *shared.open_timers.lock() = committer.state.timers.counts();
    shared.dead.store(dead + died_now, Ordering::Relaxed);
    let recovered = Recovered {
        last_end: match read.under_lease {
            0 => found.last_end,
            _ => LastEnd::Crash,
        },
        under_lease: read.under_lease,
        died,
        queued: read.queued,
        retrying: read.retrying,
        dead: dead + died_now,
        oldest: read.oldest,
        grants_used: read.found.grants_used,
    };
    Ok((committer, recovered))
}

fn committer_state(found: &Found, texts: Texts, clock: &Clock) -> CommitterState {
    let mut watched = Watched::default();
    for (id, route) in &found.watched {
        watched.insert(*id, route);
    }
    CommitterState {
        last_id: found.last_id,
        texts,
        reports: Reports::new(found.is_unreported),
        urgency: Urgency::new(found.is_unreported),
        watched,
        timers: Timers::restored(&found.timers, clock),
    }
}

/// The first member of each representative that was cancelled while it ran.
type Orphans = BTreeMap<DeliveryId, DeliveryId>;

/// The deliveries that are not settled, gathered while the store is read.
struct Unsettled {
    scheduler: Scheduler,
    texts: Texts,
    now: Timestamp,
    ticks: Ticks,
    queued: u64,
    retrying: u64,
    /// When the oldest was accepted, or retried by a person.
    oldest: Option<Timestamp>,
}

impl Unsettled {
    fn new(options: &Options, caps: Caps, clock: &Clock) -> Self {
        Self {
            scheduler: shared::idle(options, caps),
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
    /// Adds the deliveries that were under lease, except those that are dead now.
    fn restore_crashed(&mut self, under_lease: &[(Row, Abandoned)], outcomes: &[CrashOutcome]) {
        for ((row, _), outcome) in under_lease.iter().zip(outcomes) {
            let mut row = row.clone();
            outcome.apply(&mut row);
            if row.is_open() {
                self.restore(row);
            }
        }
    }

    /// Takes in the storms that are open, and members whose representative goes on. Returns the representatives that were
    /// cancelled while they ran, and of which nobody knows how far they came, each with the first of its members.
    fn restore_storms(
        &mut self,
        storms: &[Storm],
        mut members: Vec<Row>,
        outcomes: &[CrashOutcome],
    ) -> Orphans {
        for storm in storms {
            let [opened, firing, last] =
                [storm.opened_at, storm.last_firing_at, storm.last_at].map(|at| self.ticks_at(at));
            let storm = storm.clone();
            self.scheduler.restore_storm(storm, opened, firing, last);
        }
        let dead: HashSet<_> = outcomes
            .iter()
            .filter(|outcome| outcome.died.is_some())
            .map(|outcome| outcome.id)
            .collect();
        let mut orphans = Orphans::new();
        // As they were sent again: one generation after the other, so that none of them waits for one that waits for it.
        members.sort_by_key(|row| (row.representative, row.id));
        for row in members {
            match row.representative {
                // What died with its representative is settled with it.
                Some(of) if dead.contains(&of) => {}
                Some(of) if !self.scheduler.contains(of) => {
                    orphans.entry(of).or_insert(row.id);
                }
                _ => self.restore(row),
            }
        }
        self.scheduler.restored(self.ticks);
        orphans
    }

    /// Returns when something was, on the monotonic clock.
    fn ticks_at(&self, at: Timestamp) -> Ticks {
        let age_ms = self.now.as_millisecond() - at.as_millisecond();
        self.ticks.saturating_sub(age_ms.max(0))
    }

    /// Adds a delivery that waits.
    fn restore(&mut self, row: Row) {
        match row.state {
            State::Retrying => self.retrying += 1,
            _ => self.queued += 1,
        }
        self.oldest = Some(self.oldest.map_or(row.since, |at| at.min(row.since)));
        let storm = candidate(&row);
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
        let since = self.ticks_at(row.since);
        let (representative, belongs_to) = (row.representative, row.storm);
        let entrant = Entrant {
            id: row.id,
            route: self.texts.route(&row.route),
            other_routes: row.other_routes,
            fingerprint,
            pipeline: self.texts.pipeline(&row.pipeline),
            handler,
            priority: row.priority,
            due: self.ticks + wait_ms,
            accepted_at: row.since,
            since,
            leases: row.leases,
            after_crash: row.after_crash,
            suspected: row.suspected,
            waits_for: row.waits_for,
            alert: None,
            alert_bytes: 0,
            storm,
            cause: row.cause.clone(),
        };
        match representative {
            Some(of) => {
                let scheduler = &mut self.scheduler;
                scheduler.restore_member(entrant, of, belongs_to, self.ticks);
            }
            None => self.scheduler.restore(entrant, self.ticks),
        }
    }
}

/// Returns what a stored delivery may run as one with. What was sent again has no key any more.
fn candidate(row: &Row) -> Option<Candidate> {
    let event = row.event?;
    // A firing has its storm once it counts there. A resolved has that of its firing, and counts once it has run, or another for it.
    let has_run = row.leases > 0 || row.representative.is_some();
    Some(Candidate {
        text: Arc::clone(row.storm_key.as_ref()?),
        event,
        storm: row.storm,
        is_counted: row.storm.is_some() && (event.status == Status::Firing || has_run),
        is_clean: row.parking == Parking::Clean,
    })
}

/// What the server died under too often.
#[derive(Default)]
struct Died {
    deliveries: Vec<Delivery>,
    /// How many, with those that they stood for.
    count: u64,
}

impl<S: Store> Committer<S> {
    /// Stores the outcomes of a crash; returns the deliveries that are dead because of it.
    fn store_crash_outcomes(
        &mut self,
        outcomes: &[CrashOutcome],
        orphans: &Orphans,
    ) -> Result<Died, StoreError> {
        if outcomes.is_empty() && orphans.is_empty() {
            return Ok(Died::default());
        }
        let mut group = Group {
            ticks: self.shared.clock.ticks(),
            ..Group::default()
        };
        let txn = self.store.begin()?;
        let mut work = Work::new(txn, &self.shared, &mut self.state, &mut group);
        for outcome in outcomes {
            work.push(Change::Crashed(*outcome));
        }
        let mut died = Vec::new();
        for outcome in outcomes.iter().filter(|outcome| outcome.died.is_some()) {
            work.settle_members(outcome.id, None, Reason::Died);
            died.extend(work.found_dead(outcome.id)?);
        }
        for (of, next) in orphans {
            if work.has_actor_effect(*of)? {
                work.settle_members(*of, None, Reason::Coalesced);
            } else {
                work.leave_in_doubt(*of, *next);
                died.extend(work.found_dead(*next)?);
            }
        }
        let committed = work.into_txn()?.commit();
        let died = Died {
            count: died.len() as u64 + group.died,
            deliveries: died,
        };
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
