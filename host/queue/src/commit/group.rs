//! One transaction: what is decided in it, and what follows from it once it is durable.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use alert_manager_core::alert::{Alert, DeliveryId, Event, Fingerprint, HandlerName, Timestamp};

use crate::model::clock::Ticks;
use crate::model::{
    Delivery, EventChange, ID_COUNTER_BITS, Known, Lease, Memory, Reason, Remember, Row, Run, Start,
};
use crate::rules::deaths::Reports;
use crate::rules::rerun::Rows;
use crate::schedule::{Ended, Grant};
use crate::store::{Applied, Change, Contents, StoreError, Txn, Wanted};

use super::shared::Shared;
use super::watched::Watched;

/// A lease on its way to a worker, with what had to be read for it.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) grant: Grant,
    /// The alert, if the grant does not hold it; and how far it is, if it has begun.
    pub(crate) contents: Contents,
}

/// Returns what has to be read for a lease.
pub(super) fn wanted(grant: &Grant) -> Wanted {
    Wanted {
        id: grant.lease.id,
        alert: grant.alert.is_none(),
        progress: grant.lease.number > 1 || grant.stands_for.is_some(),
    }
}

/// What follows from one transaction once it is durable.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) ticks: Ticks,
    pub(super) handed: Vec<Handed>,
    pub(super) ended: Vec<(Lease, Ended)>,
    /// Deliveries whose lease ended within this transaction.
    pub(super) gone: HashSet<DeliveryId>,
    /// Deliveries that are due before their time, since a person asked for it.
    pub(super) hurried: Vec<DeliveryId>,
    /// Deliveries that were cancelled while they waited: no lease of theirs ends.
    pub(super) withdrawn: Vec<DeliveryId>,
    /// Deliveries that are watched from now on.
    pub(super) watched: Vec<DeliveryId>,
    /// Deaths that count as dead letters, and how many of those live again.
    pub(super) died: u64,
    pub(super) revived: u64,
    /// The class of each death that was reported in a notice of its own.
    pub(super) noticed: Vec<String>,
    /// Deaths that were reported together.
    pub(super) coalesced: u64,
    /// Members that are done with their representatives.
    pub(super) members_done: u64,
    /// Representatives that others have taken over from, and which.
    pub(super) handed_over: Vec<(DeliveryId, DeliveryId)>,
    /// Representatives that were cancelled, and what they stand for has ended.
    pub(super) dissolved: Vec<DeliveryId>,
    /// Storms that are closed.
    pub(super) closed: Vec<DeliveryId>,
    /// What is settled, if anybody is to hear of it.
    pub(super) settled: Vec<Delivery>,
    /// Notices that died on the last way, and why.
    pub(super) unreported: Vec<(Alert, String)>,
    /// Leases that no longer stand, as the store says.
    pub(super) fenced: HashSet<Lease>,
}

/// What the committer knows from one transaction to the next, besides the store.
#[derive(Debug)]
pub(super) struct State {
    pub(super) last_id: i64,
    pub(super) texts: Texts,
    pub(super) reports: Reports,
    pub(super) watched: Watched,
}

impl State {
    /// Returns an identifier that is larger than every one before it, whatever the clock does.
    pub(super) fn next_id(&mut self, now: Timestamp) -> DeliveryId {
        self.last_id = (self.last_id + 1).max(now.as_millisecond() << ID_COUNTER_BITS);
        DeliveryId::from_raw(self.last_id)
    }
}

/// One copy of each text that many deliveries share.
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

/// A transaction under way. What was decided waits here, and is applied at once; but before anything is read that it may have
/// changed. What is known of events and deliveries is read once, and follows what is decided.
#[derive(Debug)]
pub(super) struct Work<'w, 'm, T> {
    pub(super) txn: T,
    pub(super) now: Timestamp,
    pub(super) shared: &'w Shared,
    pub(super) state: &'w mut State,
    pub(super) group: &'w mut Group,
    changes: Vec<Change<'m>>,
    answers: Vec<Applied>,
    /// Places in `group.settled`, and in `changes`, of what has its number of attempts from the store.
    counted: Vec<(usize, usize)>,
    known: HashMap<Start, Known>,
    pub(super) rows: Rows,
}

impl<'w, 'm, T: Txn> Work<'w, 'm, T> {
    pub(super) fn new(
        txn: T,
        shared: &'w Shared,
        state: &'w mut State,
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
            known: HashMap::new(),
            rows: Rows::new(),
        }
    }

    /// Has a change made with the transaction.
    pub(super) fn push(&mut self, change: Change<'m>) {
        self.changes.push(change);
    }

    /// Has a change made to a delivery, of which what was read is true no longer.
    pub(super) fn push_of(&mut self, id: DeliveryId, change: Change<'m>) {
        self.rows.remove(&id);
        self.changes.push(change);
    }

    /// Has the last of what is settled report how many attempts it took, as the last change tells.
    pub(super) fn count_attempts(&mut self) {
        let (settled, change) = (self.group.settled.len() - 1, self.changes.len() - 1);
        self.counted.push((settled, change));
    }

    /// Applies what was decided so far.
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

    /// Applies what was decided, and returns the transaction.
    pub(super) fn into_txn(mut self) -> Result<T, StoreError> {
        self.flush()?;
        Ok(self.txn)
    }

    /// Reads at once what is known of these events, and of the deliveries that they have run as.
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

    /// Returns what is known of an event's start.
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

    /// Returns the firings of a fingerprint that no resolved has ended, the one that began last first; no more than `most`.
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
        // What is new takes the place of another name of an event, as it does in the store.
        if let Some(kept) = known.kept_mut(event) {
            what.change(kept);
        } else if let Remember::New { kept, .. } = &what {
            known.add(event.occurrence, event.status, || kept.clone());
        }
        self.push(Change::Remember(EventChange { event, what }));
        Ok(())
    }

    /// Reads these deliveries, as far as they are not read yet.
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

    /// Returns how far a delivery is, as JSON; nothing if it has not begun.
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

    /// Notes that the end of a delivery may end a notice.
    pub(super) fn watch(&mut self, id: DeliveryId, route: &str) {
        if self.state.watched.insert(id, route) {
            self.group.watched.push(id);
        }
    }

    /// Returns true if somebody is to hear what is settled.
    pub(super) fn reports_settled(&self) -> bool {
        self.shared.settled.lock().is_some()
    }
}
