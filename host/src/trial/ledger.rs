//! The ledger of a step that is tried: it has no record and no earlier alert. What the step changes is held back by the runtime.

use std::time::Duration;

use crate::gate::{GateAsk, Pass};
use crate::journal::{
    BoxFuture, Earlier, Entry, KvChange, KvOutcome, KvQuota, Ledger, LedgerError, Note, Past,
    TimerChange, TimerQuota, TimerReply,
};

/// Every call passes its gates, and no record is kept: there is no retry.
#[derive(Debug)]
pub(super) struct TrialLedger;

/// The answer to a change: a dry run makes none.
fn no_change<T: Send + 'static>() -> BoxFuture<'static, Result<T, LedgerError>> {
    let why = "a trial stores nothing".to_owned();
    Box::pin(std::future::ready(Err(LedgerError::Unavailable(why))))
}

impl Ledger for TrialLedger {
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

    fn kv_get(&self, _: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, LedgerError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn kv_change(
        &self,
        _: String,
        _: KvChange,
        _: KvQuota,
        _: Vec<Entry>,
        _: Entry,
    ) -> BoxFuture<'_, Result<KvOutcome, LedgerError>> {
        no_change()
    }

    fn earlier(&self, _: Earlier) -> BoxFuture<'_, Result<Past, LedgerError>> {
        Box::pin(std::future::ready(Ok(Past::default())))
    }

    fn timer_change(
        &self,
        _: String,
        _: TimerChange,
        _: TimerQuota,
        _: Vec<Entry>,
        _: Entry,
    ) -> BoxFuture<'_, Result<TimerReply, LedgerError>> {
        no_change()
    }
}
