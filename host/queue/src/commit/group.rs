//! One transaction: the changes that are decided in it, and what has to be done once it is durable.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use alert_manager_core::alert::{Alert, DeliveryId, Event, Fingerprint, HandlerName, Timestamp};

use crate::model::clock::Ticks;
use crate::model::{
    ActivityOf, Delivery, EventChange, Grant, ID_COUNTER_BITS, Known, Lease, Memory, Reason,
    Remember, Row, Run, Start, Tally,
};
use crate::rules::deaths::Reports;
use crate::rules::rerun::Rows;
use crate::schedule::Ended;
use crate::store::{Applied, Change, StoreError, Txn, Wanted};

use super::open_timers::{TimerNews, Timers};
use super::shared::Shared;
use super::urgency::Urgency;
use super::watched::Watched;

/// What has to be done once a transaction is durable, or undone if it is rolled back.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The time of the transaction, on the monotonic clock.
    pub(super) ticks: Ticks,
    /// Leases to send to the worker.
    pub(super) grants: Vec<Grant>,
    /// Leases that end, for the scheduler.
    pub(super) ended: Vec<(Lease, Ended)>,
    /// Deliveries whose lease ends in this transaction.
    pub(super) lease_ended: HashSet<DeliveryId>,
    /// Deliveries that become due before their time.
    pub(super) made_due: Vec<DeliveryId>,
    /// Deliveries that are cancelled while they wait.
    pub(super) withdrawn: Vec<DeliveryId>,
    /// Deliveries that are added to [`Watched`].
    pub(super) watched: Vec<DeliveryId>,
    /// How many dead letters there are more.
    pub(super) died: u64,
    /// How many dead letters are queued again.
    pub(super) revived: u64,
    /// The class of each death that was reported in a notice of its own.
    pub(super) noticed: Vec<String>,
    /// How many deaths were reported together.
    pub(super) coalesced: u64,
    /// Members that are done with their representatives.
    pub(super) members_done: u64,
    /// Representatives that others have taken over from, and which.
    pub(super) handed_over: Vec<(DeliveryId, DeliveryId)>,
    /// Representatives that were cancelled, and what they stand for has ended.
    pub(super) dissolved: Vec<DeliveryId>,
    /// Storms that were over when the transaction began.
    pub(super) over: Vec<DeliveryId>,
    /// Those of them that are closed.
    pub(super) closed: Vec<DeliveryId>,
    /// Settled deliveries, if they are to be reported.
    pub(super) settled: Vec<Delivery>,
    /// Notices that died on the last way, with the reason.
    pub(super) unreported: Vec<(Alert, String)>,
    /// Leases that are no longer valid, as the store says.
    pub(super) fenced: HashSet<Lease>,
    /// What has become of timers, in order.
    pub(super) timers: Vec<TimerNews>,
}

/// What the committer keeps in memory from one transaction to the next.
#[derive(Debug)]
pub(super) struct CommitterState {
    pub(super) last_id: i64,
    pub(super) texts: Texts,
    pub(super) reports: Reports,
    pub(super) urgency: Urgency,
    pub(super) watched: Watched,
    pub(super) timers: Timers,
}

impl CommitterState {
    /// Returns a new identifier. It is larger than every earlier one, even if the time of day is set back.
    pub(super) fn next_id(&mut self, now: Timestamp) -> DeliveryId {
        self.last_id = (self.last_id + 1).max(now.as_millisecond() << ID_COUNTER_BITS);
        DeliveryId::from_raw(self.last_id)
    }
}

/// Interns the names of routes and the pipelines, which many deliveries share.
#[derive(Debug, Default)]
pub(super) struct Texts {
    routes: HashMap<String, Arc<str>>,
    pipelines: HashMap<Vec<HandlerName>, Arc<[HandlerName]>>,
}

impl Texts {
    pub(super) fn route(&mut self, route: &str) -> Arc<str> {
        if let Some(shared) = self.routes.get(route) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = route.into();
        self.routes.insert(route.into(), Arc::clone(&shared));
        shared
    }

    pub(super) fn pipeline(&mut self, pipeline: &[HandlerName]) -> Arc<[HandlerName]> {
        if let Some(shared) = self.pipelines.get(pipeline) {
            return Arc::clone(shared);
        }
        let shared: Arc<[HandlerName]> = pipeline.into();
        self.pipelines
            .insert(pipeline.to_vec(), Arc::clone(&shared));
        shared
    }
}

/// A transaction under way. Changes are collected and applied together, before the next read that they may affect. What was read
/// of events and deliveries is kept, and follows the changes.
#[derive(Debug)]
pub(super) struct Work<'w, 'm, T> {
    pub(super) txn: T,
    pub(super) now: Timestamp,
    pub(super) shared: &'w Shared,
    pub(super) state: &'w mut CommitterState,
    pub(super) group: &'w mut Group,
    changes: Vec<Change<'m>>,
    answers: Vec<Applied>,
    /// Indexes into `group.settled` and `changes`: the result of the change has the number of attempts for the report.
    counted: Vec<(usize, usize)>,
    /// What it does, for the aggregates.
    pub(super) tally: Tally,
    known: HashMap<Start, Known>,
    pub(super) rows: Rows,
}

impl<'w, 'm, T: Txn> Work<'w, 'm, T> {
    pub(super) fn new(
        txn: T,
        shared: &'w Shared,
        state: &'w mut CommitterState,
        group: &'w mut Group,
    ) -> Self {
        Self {
            now: txn.now(),
            txn,
            shared,
            state,
            group,
            changes: Vec::new(),
            answers: Vec::new(),
            counted: Vec::new(),
            tally: Tally::default(),
            known: HashMap::new(),
            rows: Rows::new(),
        }
    }

    /// Adds a change.
    pub(super) fn push(&mut self, change: Change<'m>) {
        self.changes.push(change);
    }

    /// Adds a change to a delivery, and forgets what was read of it.
    pub(super) fn push_of(&mut self, id: DeliveryId, change: Change<'m>) {
        self.rows.remove(&id);
        self.changes.push(change);
    }

    /// Sets the number of attempts in the last report to the result of the last change.
    pub(super) fn count_attempts(&mut self) {
        let (settled, change) = (self.group.settled.len() - 1, self.changes.len() - 1);
        self.counted.push((settled, change));
    }

    /// Applies the changes so far.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.answers.clear();
        self.txn.apply(&self.changes, &mut self.answers)?;
        for (settled, change) in self.counted.drain(..) {
            if let Applied::Settled { attempts } = self.answers[change] {
                self.group.settled[settled].attempts = attempts;
            }
        }
        for (change, answer) in self.changes.drain(..).zip(&self.answers) {
            if let (Applied::Members { count }, Change::SettleMembers(settle)) = (answer, &change) {
                self.tally.add(ActivityOf::Settled(settle.reason), *count);
                if settle.reason == Reason::Coalesced {
                    self.group.members_done += count;
                } else {
                    self.group.died += count;
                }
            }
            if *answer == Applied::Fenced {
                self.group.fenced.extend(change.lease());
            }
        }
        Ok(())
    }

    /// Applies all changes, and returns the transaction.
    pub(super) fn into_txn(mut self) -> Result<T, StoreError> {
        self.flush()?;
        if !self.tally.is_empty() {
            let tally = std::mem::take(&mut self.tally);
            self.push(Change::Count(tally));
            self.flush()?;
        }
        Ok(self.txn)
    }

    /// Reads what is remembered of many events, and the deliveries of their runs.
    pub(super) fn recall(&mut self, mut events: Vec<Event>) -> Result<(), StoreError> {
        events.retain(|event| !self.known.contains_key(&Start::from(*event)));
        if events.is_empty() {
            return Ok(());
        }
        self.flush()?;
        let known = self.txn.recall(&events)?;
        let mut ids = Vec::new();
        for (event, known) in events.into_iter().zip(known) {
            let kept = match event.status {
                alert_manager_core::alert::Status::Firing => &known.firing,
                alert_manager_core::alert::Status::Resolved => &known.resolved,
            };
            if let Some(kept) = kept {
                ids.extend(kept.memory.deliveries());
            }
            self.known.insert(event.into(), known);
        }
        self.load(&ids)
    }

    /// Returns what is remembered of an event's start.
    pub(super) fn known(&mut self, event: Event) -> Result<&Known, StoreError> {
        self.recall_one(event).map(|known| &*known)
    }

    fn recall_one(&mut self, event: Event) -> Result<&mut Known, StoreError> {
        let start = Start::from(event);
        if !self.known.contains_key(&start) {
            self.flush()?;
            let known = self.txn.recall(&[event])?.pop().unwrap_or_default();
            self.known.insert(start, known);
        }
        Ok(self.known.entry(start).or_default())
    }

    /// Returns at most `most` firings of a fingerprint that no resolved has ended, the latest first.
    pub(super) fn open_firings(
        &mut self,
        of: Fingerprint,
        most: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.flush()?;
        self.txn.open_firings(of, most)
    }

    /// Changes what is remembered of an event.
    pub(super) fn remember(&mut self, event: Event, what: Remember) -> Result<(), StoreError> {
        let known = self.recall_one(event)?;
        // A new event replaces an alias with the same key, as it does in the store.
        if let Some(kept) = known.kept_mut(event) {
            what.change(kept);
        } else if let Remember::New { kept, .. } = &what {
            known.add(event.occurrence, event.status, || kept.clone());
        }
        self.push(Change::Remember(EventChange { event, what }));
        Ok(())
    }

    /// Reads those of the deliveries that have not been read yet.
    pub(super) fn load(&mut self, ids: &[DeliveryId]) -> Result<(), StoreError> {
        let mut ids = ids.to_vec();
        ids.retain(|id| !self.rows.contains_key(id));
        if ids.is_empty() {
            return Ok(());
        }
        self.flush()?;
        let rows = self.txn.rows(&ids)?;
        self.rows.extend(ids.into_iter().zip(rows));
        Ok(())
    }

    /// Returns a delivery, if it is stored.
    pub(super) fn row(&mut self, id: DeliveryId) -> Result<Option<Row>, StoreError> {
        self.load(&[id])?;
        Ok(self.rows.get(&id).cloned().flatten())
    }

    /// Returns the runs of an event, the youngest delivery first, with their deliveries.
    pub(super) fn runs(&mut self, memory: &Memory) -> Result<Vec<(Run, Option<Row>)>, StoreError> {
        self.load(&memory.deliveries())?;
        let runs = memory.runs_off(std::iter::empty()).into_iter();
        Ok(runs
            .map(|run| (run, self.rows.get(&run.delivery).cloned().flatten()))
            .collect())
    }

    /// Returns a delivery as it is listed, if it is stored.
    pub(super) fn delivery(&mut self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.flush()?;
        self.txn.delivery(id)
    }

    /// Returns the progress of a delivery, as JSON; nothing if none is stored.
    pub(super) fn progress_of(&mut self, id: DeliveryId) -> Result<Option<String>, StoreError> {
        self.flush()?;
        let wanted = Wanted {
            id,
            alert: false,
            progress: true,
        };
        let contents = self.txn.contents(&[wanted])?.pop();
        Ok(contents.and_then(|contents| contents.progress))
    }

    /// Returns the alert of a delivery, if it is stored and can be read.
    pub(super) fn alert_of(&mut self, id: DeliveryId) -> Result<Option<Alert>, StoreError> {
        self.flush()?;
        let wanted = Wanted {
            id,
            alert: true,
            progress: false,
        };
        let contents = self.txn.contents(&[wanted])?.pop();
        let json = contents.and_then(|contents| contents.alert);
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// Adds a delivery to those whose end may end a notice.
    pub(super) fn watch(&mut self, id: DeliveryId, route: &str) {
        if self.state.watched.insert(id, route) {
            self.group.watched.push(id);
        }
    }

    /// Returns true if settled deliveries are reported.
    pub(super) fn reports_settled(&self) -> bool {
        self.shared.settled.lock().is_some()
    }
}
