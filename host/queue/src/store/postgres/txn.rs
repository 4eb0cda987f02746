//! Transactions.

use std::collections::BTreeSet;

use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, Timestamp};
use alert_manager_core::journal::KvReply;

use crate::model::{
    Arrived, Contents, Delivery, Follower, Known, Row, State, StoredTimer, TimerId,
};
use crate::store::{
    Applied, Change, Committed, EarlierDeaths, KvOp, StoreError, TimerChanged, TimerOp, Txn,
    Unreported, Wanted,
};

use super::events::Events;
use super::session::Call;
use super::values::Columns as _;
use super::{
    PostgresStore, arrivals, events, journal, kv, listed, meta, refused, rows, storms, timers,
    unreported,
};

/// A transaction. Its first statements have raised the number of its lane and locked the term.
#[derive(Debug)]
pub(crate) struct PostgresTxn<'s> {
    pub(super) store: &'s mut PostgresStore,
    pub(super) now: Timestamp,
    pub(super) events: Events,
    has_ended: bool,
}

impl<'s> PostgresTxn<'s> {
    /// Wraps a store whose connection is in a transaction.
    pub(super) fn new(store: &'s mut PostgresStore, now: Timestamp) -> Self {
        Self {
            store,
            now,
            events: Events::default(),
            has_ended: false,
        }
    }
}

impl Drop for PostgresTxn<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.store.lane.roll_back();
        }
    }
}

impl Txn for PostgresTxn<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn take_arrivals(&mut self, most: usize) -> Result<Vec<Arrived>, StoreError> {
        let most_rows = i64::try_from(most).unwrap_or(i64::MAX);
        // Before the look: what comes after it is found by the next one.
        self.store.arriving.set_due(false);
        let taken = arrivals::take(self.store.session()?, most_rows)?;
        self.store.arriving.set_due(taken.len() == most);
        Ok(taken)
    }

    fn recall(&mut self, events: &[Event]) -> Result<Vec<Known>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.events.recall(self.store.session()?, events)
    }

    fn open_firings(&mut self, of: Fingerprint, most: usize) -> Result<Vec<Event>, StoreError> {
        let session = self.store.session()?;
        let written: Vec<_> = self.events.written().into_iter().collect();
        session.together(&written)?;
        events::open_firings(session, of, most)
    }

    fn rows(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<Row>>, StoreError> {
        rows::load(self.store.session()?, ids)
    }

    fn contents(&mut self, of: &[Wanted]) -> Result<Vec<Contents>, StoreError> {
        let column = |column: fn(&Wanted) -> bool| of.iter().map(column).collect::<Vec<_>>();
        let ids: Vec<_> = of.iter().map(|wanted| wanted.id.as_raw()).collect();
        let rows = self.store.session()?.query(
            "SELECT CASE WHEN v.alert THEN (SELECT json FROM alerts WHERE alerts.id = v.id) END,
                 CASE WHEN v.progress THEN (SELECT progress FROM runs WHERE delivery = v.id) END
             FROM unnest($1::bigint[], $2::bool[], $3::bool[]) WITH ORDINALITY AS v(id, alert, progress, at)
             ORDER BY v.at",
            &[
                &ids,
                &column(|wanted| wanted.alert),
                &column(|wanted| wanted.progress),
            ],
        )?;
        let contents = |row: &tokio_postgres::Row| {
            Ok(Contents {
                alert: row.maybe_text(0)?,
                progress: row.maybe_text(1)?,
            })
        };
        rows.iter().map(contents).collect()
    }

    fn delivery(&mut self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        listed::delivery(self.store.session()?, id)
    }

    fn has_effect(&mut self, id: DeliveryId, from_step: u32) -> Result<bool, StoreError> {
        journal::has_effect(self.store.session()?, id, from_step)
    }

    fn has_recorded_effect(&mut self, id: DeliveryId) -> Result<bool, StoreError> {
        journal::has_recorded_effect(self.store.session()?, id)
    }

    fn dead_members(&mut self, of: DeliveryId) -> Result<Vec<Row>, StoreError> {
        storms::dead_members(self.store.session()?, of)
    }

    fn states(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<(State, u32)>>, StoreError> {
        rows::states(self.store.session()?, ids)
    }

    fn followers(
        &mut self,
        after: DeliveryId,
        mut each: impl FnMut(Follower<'_>),
    ) -> Result<(), StoreError> {
        rows::followers(self.store.session()?, after, &mut each)
    }

    fn parts(&mut self, digests: &[[u8; 32]]) -> Result<Vec<Option<DeliveryId>>, StoreError> {
        refused::find(self.store.session()?, digests)
    }

    fn unreported(&mut self, most: u32) -> Result<Vec<Unreported>, StoreError> {
        unreported::list(self.store.session()?, most)
    }

    fn earlier_deaths(&mut self, _: u32) -> Result<Option<EarlierDeaths>, StoreError> {
        // A store of this kind has gathered all of them.
        Ok(None)
    }

    fn alarms(&mut self) -> Result<BTreeSet<Fingerprint>, StoreError> {
        meta::alarms(self.store.session()?)
    }

    fn kv(&mut self, op: &KvOp<'_>) -> Result<(KvReply, bool), StoreError> {
        kv::change(self.store.session()?, op, self.now)
    }

    fn timer(&mut self, op: &TimerOp<'_>) -> Result<TimerChanged, StoreError> {
        timers::change(self.store.session()?, op)
    }

    fn open_timer(&mut self, id: TimerId) -> Result<Option<StoredTimer>, StoreError> {
        timers::load(self.store.session()?, id)
    }

    fn timers_of(&mut self, set_by: DeliveryId) -> Result<Vec<TimerId>, StoreError> {
        timers::ids_of(self.store.session()?, set_by)
    }

    fn apply(
        &mut self,
        changes: &[Change<'_>],
        answers: &mut Vec<Applied>,
    ) -> Result<(), StoreError> {
        answers.reserve(changes.len());
        match changes {
            [] => Ok(()),
            changes => self.make(changes, answers),
        }
    }

    fn commit(mut self) -> Committed {
        let written: Vec<Call<'_>> = self.events.written().into_iter().collect();
        // What has failed is rolled back there.
        self.has_ended = true;
        self.store.lane.commit(written)
    }
}
