//! A ledger in memory for a step that is tried. It keeps nothing but the key-value store, and knows no earlier alert.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::gate::{GateAsk, Pass};
use crate::journal::{
    BoxFuture, Earlier, Entry, KvChange, KvOutcome, KvQuota, KvWrite, Ledger, LedgerError, Note,
    Past, TimerChange, TimerQuota, TimerReply,
};

/// The key-value store of a handler that is tried. Every call passes its gates, and no record is kept: there is no retry.
#[derive(Debug, Default)]
pub(super) struct MemoryLedger {
    kv: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryLedger {
    /// Makes the changes that a dry run held back, so that the next step sees them.
    pub(super) fn keep(&self, held_back: BTreeMap<String, Option<Vec<u8>>>) {
        let mut kv = self.kv.lock();
        for (key, value) in held_back {
            match value {
                Some(value) => kv.insert(key, value),
                None => kv.remove(&key),
            };
        }
    }

    /// Returns what is kept now.
    pub(super) fn kept(&self) -> BTreeMap<String, Vec<u8>> {
        self.kv.lock().clone()
    }
}

impl Ledger for MemoryLedger {
    fn ready(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn pass(&self, _: &[GateAsk]) -> Result<Pass, LedgerError> {
        Ok(Pass::Granted)
    }

    fn close_gate(&self, _: &GateAsk, _: Duration) {}

    fn note(&self, _: Note) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn record(&self, _: Vec<Entry>) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn kv_get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, LedgerError>> {
        Box::pin(std::future::ready(Ok(self.kv.lock().get(&key).cloned())))
    }

    fn kv_change(
        &self,
        key: String,
        change: KvChange,
        _: KvQuota,
        _: Vec<Entry>,
        _: Entry,
    ) -> BoxFuture<'_, Result<KvOutcome, LedgerError>> {
        let mut kv = self.kv.lock();
        let (reply, write) = change.apply(kv.get(&key).map(Vec::as_slice));
        let changed = write != KvWrite::Keep;
        match write {
            KvWrite::Keep => {}
            KvWrite::Put { value, .. } => drop(kv.insert(key, value)),
            KvWrite::Remove => drop(kv.remove(&key)),
        }
        Box::pin(std::future::ready(Ok(KvOutcome { reply, changed })))
    }

    fn earlier(&self, _: Earlier) -> BoxFuture<'_, Result<Past, LedgerError>> {
        Box::pin(std::future::ready(Ok(Past::default())))
    }

    fn timer_change(
        &self,
        _: String,
        change: TimerChange,
        _: TimerQuota,
        _: Vec<Entry>,
        _: Entry,
    ) -> BoxFuture<'_, Result<TimerReply, LedgerError>> {
        let reply = match change {
            TimerChange::Set { .. } => TimerReply::Done,
            TimerChange::Cancel => TimerReply::Absent,
        };
        Box::pin(std::future::ready(Ok(reply)))
    }
}
