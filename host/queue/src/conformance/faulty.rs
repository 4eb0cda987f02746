//! A store that wraps another one and injects faults: answers are lost, and transactions are stopped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, Timestamp};
use alert_manager_core::journal::KvReply;

use super::bench::{LostAnswer, Stop, Stopped};
use crate::model::{
    Abandoned, Arrived, Contents, Delivery, Follower, Known, OpenError, Row, State, StoredTimer,
    TimerId,
};
use crate::store::{
    Applied, Change, Committed, EarlierDeaths, Found, Hold, KvOp, Reader, Resolved, RetentionRun,
    Store, StoreError, TimerChanged, TimerOp, Txn, Unreported, Wanted,
};

/// The faults to inject, and those that have happened. A bench shares it with the store that it has opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<Next>>);

/// The faults to inject.
#[derive(Debug, Default)]
struct Next {
    /// The answer to the next commit is lost.
    lost: Option<LostAnswer>,
    /// The next transaction is stopped after its recall.
    stop: Option<Stop>,
    /// Deliveries whose leases another server has taken.
    fenced: Vec<DeliveryId>,
    /// How many transactions have failed.
    failures: u64,
}

impl Faults {
    /// Loses the answer to the next commit.
    pub(crate) fn lose_answer(&self, of: LostAnswer) {
        self.0.lock().lost = Some(of);
    }

    /// Stops the next transaction after its recall.
    pub(crate) fn stop_after_recall(&self) -> Stopped {
        let (stopped, stop) = Stopped::new();
        self.0.lock().stop = Some(stop);
        stopped
    }

    /// Has another server take the lease of a delivery.
    pub(crate) fn take_lease(&self, of: DeliveryId) {
        self.0.lock().fenced.push(of);
    }

    fn is_fenced(&self, change: &Change<'_>) -> bool {
        let fenced = &self.0.lock().fenced;
        change
            .lease()
            .is_some_and(|lease| fenced.contains(&lease.id))
    }

    /// Returns how many transactions have failed.
    pub(crate) fn failures(&self) -> u64 {
        self.0.lock().failures
    }

    fn failed(&self) {
        self.0.lock().failures += 1;
    }

    fn recalled(&self) {
        let stop = self.0.lock().stop.take();
        if let Some(stop) = stop {
            stop.stand();
        }
    }
}

/// A store with faults.
#[derive(Debug)]
pub(crate) struct Faulty<S> {
    store: S,
    faults: Faults,
    /// The result of the transaction whose answer was lost.
    lost: Option<Resolved>,
}

impl<S> Faulty<S> {
    pub(crate) fn new(store: S, faults: Faults) -> Self {
        Self {
            store,
            faults,
            lost: None,
        }
    }
}

impl<S: Store> Store for Faulty<S> {
    type Txn<'s> = FaultyTxn<'s, S::Txn<'s>>;

    fn recover(&mut self, each: impl FnMut(Row, Option<Abandoned>)) -> Result<Found, OpenError> {
        self.store.recover(each)
    }

    fn refused(&self, error: StoreError) -> OpenError {
        self.store.refused(error)
    }

    fn begin(&mut self) -> Result<Self::Txn<'_>, StoreError> {
        Ok(FaultyTxn {
            txn: self.store.begin()?,
            faults: &self.faults,
            lost: &mut self.lost,
        })
    }

    fn resolve(&mut self) -> Result<Resolved, StoreError> {
        match self.lost.take() {
            Some(lost) => Ok(lost),
            None => self.store.resolve(),
        }
    }

    fn run_retention(&mut self, now: Timestamp) -> Result<RetentionRun, StoreError> {
        self.store.run_retention(now)
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        self.store.probe()
    }

    fn next_step(&self) -> Option<Instant> {
        self.store.next_step()
    }

    fn is_transaction_due(&self) -> bool {
        self.store.is_transaction_due()
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.store.reader()
    }

    fn hold(&self) -> Hold {
        self.store.hold()
    }

    fn close(self, left: &[(DeliveryId, Abandoned)]) -> Result<(), StoreError> {
        self.store.close(left)
    }
}

/// A transaction of a store with faults.
#[derive(Debug)]
pub(crate) struct FaultyTxn<'s, T> {
    txn: T,
    faults: &'s Faults,
    lost: &'s mut Option<Resolved>,
}

impl<T: Txn> Txn for FaultyTxn<'_, T> {
    fn now(&self) -> Timestamp {
        self.txn.now()
    }

    fn take_arrivals(&mut self, most: usize) -> Result<Vec<Arrived>, StoreError> {
        self.txn.take_arrivals(most)
    }

    fn recall(&mut self, events: &[Event]) -> Result<Vec<Known>, StoreError> {
        let known = self.txn.recall(events)?;
        self.faults.recalled();
        Ok(known)
    }

    fn open_firings(&mut self, of: Fingerprint, most: usize) -> Result<Vec<Event>, StoreError> {
        self.txn.open_firings(of, most)
    }

    fn rows(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<Row>>, StoreError> {
        self.txn.rows(ids)
    }

    fn contents(&mut self, of: &[Wanted]) -> Result<Vec<Contents>, StoreError> {
        self.txn.contents(of)
    }

    fn delivery(&mut self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.txn.delivery(id)
    }

    fn has_effect(&mut self, id: DeliveryId, from_step: u32) -> Result<bool, StoreError> {
        self.txn.has_effect(id, from_step)
    }

    fn has_recorded_effect(&mut self, id: DeliveryId) -> Result<bool, StoreError> {
        self.txn.has_recorded_effect(id)
    }

    fn dead_members(&mut self, of: DeliveryId) -> Result<Vec<Row>, StoreError> {
        self.txn.dead_members(of)
    }

    fn states(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<(State, u32)>>, StoreError> {
        self.txn.states(ids)
    }

    fn followers(
        &mut self,
        after: DeliveryId,
        each: impl FnMut(Follower<'_>),
    ) -> Result<(), StoreError> {
        self.txn.followers(after, each)
    }

    fn parts(&mut self, digests: &[[u8; 32]]) -> Result<Vec<Option<DeliveryId>>, StoreError> {
        self.txn.parts(digests)
    }

    fn unreported(&mut self, most: u32) -> Result<Vec<Unreported>, StoreError> {
        self.txn.unreported(most)
    }

    fn earlier_deaths(&mut self, most: u32) -> Result<Option<EarlierDeaths>, StoreError> {
        self.txn.earlier_deaths(most)
    }

    fn alarms(&mut self) -> Result<BTreeSet<Fingerprint>, StoreError> {
        self.txn.alarms()
    }

    fn kv(&mut self, op: &KvOp<'_>) -> Result<(KvReply, bool), StoreError> {
        self.txn.kv(op)
    }

    fn timer(&mut self, op: &TimerOp<'_>) -> Result<TimerChanged, StoreError> {
        self.txn.timer(op)
    }

    fn open_timer(&mut self, id: TimerId) -> Result<Option<StoredTimer>, StoreError> {
        self.txn.open_timer(id)
    }

    fn timers_of(&mut self, set_by: DeliveryId) -> Result<Vec<TimerId>, StoreError> {
        self.txn.timers_of(set_by)
    }

    fn apply(
        &mut self,
        changes: &[Change<'_>],
        answers: &mut Vec<Applied>,
    ) -> Result<(), StoreError> {
        for same in changes.chunk_by(|a, b| self.faults.is_fenced(a) == self.faults.is_fenced(b)) {
            if self.faults.is_fenced(&same[0]) {
                answers.extend(same.iter().map(|_| Applied::Fenced));
            } else if let Err(error) = self.txn.apply(same, answers) {
                self.faults.failed();
                return Err(error);
            }
        }
        Ok(())
    }

    fn commit(self) -> Committed {
        let lost = self.faults.0.lock().lost.take();
        match lost {
            None => self.txn.commit(),
            Some(LostAnswer::NotStored) => {
                drop(self.txn);
                *self.lost = Some(Resolved::RolledBack);
                Committed::Unknown
            }
            Some(LostAnswer::Stored) => {
                let committed = self.txn.commit();
                if committed != Committed::Yes {
                    return committed;
                }
                *self.lost = Some(Resolved::Committed);
                Committed::Unknown
            }
        }
    }
}
