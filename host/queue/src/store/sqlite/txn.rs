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

use super::{SqliteStore, journal, kv, listed, meta, refused, rows, storms, timers, unreported};

/// A transaction. There is only one writer, so what it has read does not change.
#[derive(Debug)]
pub(crate) struct SqliteTxn<'s> {
    pub(super) store: &'s mut SqliteStore,
    pub(super) now: Timestamp,
    /// How many new events it stores.
    pub(super) new_events: usize,
    /// About how many rows it writes.
    pub(super) written: usize,
    has_ended: bool,
}

impl<'s> SqliteTxn<'s> {
    /// Wraps a store whose connection is in a transaction.
    pub(super) fn new(store: &'s mut SqliteStore) -> Self {
        Self {
            now: store.clock.now(),
            store,
            new_events: 0,
            written: 0,
            has_ended: false,
        }
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let store = &mut *self.store;
        store
            .events
            .write(&store.conn, self.new_events, store.last_id)?;
        store.activity.write(&store.conn)?;
        store.conn.prepare_cached("COMMIT")?.execute([])?;
        store.events.commit();
        store.activity.commit();
        store.checkpointer.written(self.written);
        Ok(())
    }
}

impl Drop for SqliteTxn<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.store.roll_back();
        }
    }
}

impl Txn for SqliteTxn<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn take_arrivals(&mut self, _: usize) -> Result<Vec<Arrived>, StoreError> {
        // No other server opens a file.
        Ok(Vec::new())
    }

    fn recall(&mut self, events: &[Event]) -> Result<Vec<Known>, StoreError> {
        let store = &*self.store;
        let look_up = |event: &Event| store.events.look_up(&store.conn, *event);
        Ok(events.iter().map(look_up).collect::<Result<_, _>>()?)
    }

    fn open_firings(&mut self, of: Fingerprint, most: usize) -> Result<Vec<Event>, StoreError> {
        let store = &*self.store;
        Ok(store.events.open_firings(&store.conn, of, most)?)
    }

    fn rows(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<Row>>, StoreError> {
        let load = |id: &DeliveryId| rows::load(&self.store.conn, *id);
        Ok(ids.iter().map(load).collect::<Result<_, _>>()?)
    }

    fn contents(&mut self, of: &[Wanted]) -> Result<Vec<Contents>, StoreError> {
        let conn = &self.store.conn;
        let mut contents = Vec::with_capacity(of.len());
        for wanted in of {
            let mut found = Contents::default();
            if wanted.alert {
                found.alert = rows::alert_json(conn, wanted.id)?;
            }
            if wanted.progress {
                found.progress = rows::progress_json(conn, wanted.id)?;
            }
            contents.push(found);
        }
        Ok(contents)
    }

    fn delivery(&mut self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        Ok(listed::load(&self.store.conn, id)?)
    }

    fn has_effect(&mut self, id: DeliveryId, from_step: u32) -> Result<bool, StoreError> {
        Ok(journal::has_effect(&self.store.conn, id, from_step)?)
    }

    fn has_recorded_effect(&mut self, id: DeliveryId) -> Result<bool, StoreError> {
        Ok(journal::has_recorded_effect(&self.store.conn, id)?)
    }

    fn dead_members(&mut self, of: DeliveryId) -> Result<Vec<Row>, StoreError> {
        Ok(storms::dead_members(&self.store.conn, of)?)
    }

    fn states(&mut self, ids: &[DeliveryId]) -> Result<Vec<Option<(State, u32)>>, StoreError> {
        let load = |id: &DeliveryId| rows::state(&self.store.conn, *id);
        Ok(ids.iter().map(load).collect::<Result<_, _>>()?)
    }

    fn followers(
        &mut self,
        after: DeliveryId,
        each: impl FnMut(Follower<'_>),
    ) -> Result<(), StoreError> {
        Ok(rows::followers(&self.store.conn, after, each)?)
    }

    fn parts(&mut self, digests: &[[u8; 32]]) -> Result<Vec<Option<DeliveryId>>, StoreError> {
        let find = |digest: &[u8; 32]| refused::find(&self.store.conn, digest);
        Ok(digests.iter().map(find).collect::<Result<_, _>>()?)
    }

    fn unreported(&mut self, most: u32) -> Result<Vec<Unreported>, StoreError> {
        Ok(unreported::list(&self.store.conn, most)?)
    }

    fn earlier_deaths(&mut self, most: u32) -> Result<Option<EarlierDeaths>, StoreError> {
        Ok(unreported::earlier(&self.store.conn, most)?)
    }

    fn alarms(&mut self) -> Result<BTreeSet<Fingerprint>, StoreError> {
        Ok(meta::alarms(&self.store.conn)?)
    }

    fn kv(&mut self, op: &KvOp<'_>) -> Result<(KvReply, bool), StoreError> {
        self.written += 1;
        let store = &mut *self.store;
        Ok(kv::change(
            &store.conn,
            &mut store.kv_usage,
            (op.handler, op.key),
            op.change,
            op.quota,
            self.now,
        )?)
    }

    fn timer(&mut self, op: &TimerOp<'_>) -> Result<TimerChanged, StoreError> {
        self.written += 1;
        let store = &mut *self.store;
        Ok(timers::change(&store.conn, &mut store.timer_usage, op)?)
    }

    fn open_timer(&mut self, id: TimerId) -> Result<Option<StoredTimer>, StoreError> {
        Ok(timers::load(&self.store.conn, id)?)
    }

    fn timers_of(&mut self, set_by: DeliveryId) -> Result<Vec<TimerId>, StoreError> {
        Ok(timers::ids_of(&self.store.conn, set_by)?)
    }

    fn apply(
        &mut self,
        changes: &[Change<'_>],
        answers: &mut Vec<Applied>,
    ) -> Result<(), StoreError> {
        answers.reserve(changes.len());
        for change in changes {
            answers.push(self.make(change)?);
        }
        Ok(())
    }

    fn commit(mut self) -> Committed {
        match self.end() {
            Ok(()) => {
                self.has_ended = true;
                Committed::Yes
            }
            Err(error) => Committed::RolledBack(error),
        }
    }
}
