//! The ledger of a step: records its calls through the committer.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use alert_manager_core::alert::HandlerName;
use alert_manager_core::gate::{GateAsk, GateName, Pass};
use alert_manager_core::journal::{
    BoxFuture, CallKind, Earlier, Entry, KvChange, KvOutcome, KvQuota, Ledger, LedgerError, Note,
    Past, TimerChange, TimerQuota, TimerReply,
};

use super::Inner;
use super::commit::inbox::{KvMessage, TimerMessage, Urgent};
use super::model::{GATE_CLOSED_MS_MAX, Lease};

/// The ledger of one step under one lease.
pub(super) struct StepLedger {
    pub(super) inner: Arc<Inner>,
    pub(super) lease: Lease,
    pub(super) step: u32,
    pub(super) handler: HandlerName,
    /// The message whose update is under way.
    pub(super) updates: Mutex<Option<GateName>>,
}

impl Ledger for StepLedger {
    fn ready(&self) -> Result<(), LedgerError> {
        let shared = &self.inner.shared;
        if let Some(why) = shared.unwritable() {
            return Err(LedgerError::Unavailable(why));
        }
        match shared.scheduler.lock().holds(self.lease) {
            true => Ok(()),
            false => Err(LedgerError::LeaseLost),
        }
    }

    fn pass(&self, asks: &[GateAsk]) -> Result<Pass, LedgerError> {
        let shared = &self.inner.shared;
        if let Some(why) = shared.unwritable() {
            return Err(LedgerError::Unavailable(why));
        }
        let now = shared.clock.ticks();
        let mut scheduler = shared.scheduler.lock();
        let passed = scheduler.pass(self.lease, asks, now);
        let outdated = scheduler.take_outdated();
        drop(scheduler);
        // Before the call is recorded: what is stored later is sent by nobody any more.
        for id in outdated {
            shared.inbox.push(Urgent::NoteUpdates(id));
        }
        if passed == Some(Pass::Granted) {
            let mut names = asks.iter().map(|ask| &ask.name);
            let message = names.find(|name| matches!(name, GateName::SlackMessage(_)));
            *self.updates.lock() = message.cloned();
        }
        passed.ok_or(LedgerError::LeaseLost)
    }

    fn close_gate(&self, gate: &GateAsk, wait: Duration) {
        let shared = &self.inner.shared;
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let wait_ms = wait_ms.min(GATE_CLOSED_MS_MAX);
        let now = shared.clock.ticks();
        shared.scheduler.lock().close_gate(gate, wait_ms, now);
        // An update of a message that is sent too early costs less than a transaction.
        if !matches!(gate.name, GateName::SlackMessage(_)) {
            shared.inbox.push(Urgent::CloseGate {
                name: gate.name.clone(),
                until_ms: shared.clock.now().as_millisecond() + wait_ms,
            });
        }
    }

    fn note(&self, note: Note) -> BoxFuture<'_, Result<(), LedgerError>> {
        let (reply, answer) = oneshot::channel();
        self.inner.shared.inbox.push(Urgent::Note {
            lease: self.lease,
            step: self.step,
            note: Box::new(note),
            reply,
        });
        Box::pin(async { answer.await.unwrap_or_else(|_| Err(closed())) })
    }

    fn record(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), LedgerError>> {
        let (reply, answer) = oneshot::channel();
        let is_made = |entry: &Entry| entry.effect && entry.kind == CallKind::Slack;
        if entries.iter().any(is_made)
            && let Some(message) = self.updates.lock().take()
        {
            let mut scheduler = self.inner.shared.scheduler.lock();
            scheduler.update_made(self.lease, &message);
        }
        self.inner.shared.inbox.push(Urgent::Record {
            lease: self.lease,
            step: self.step,
            entries,
            reply,
        });
        Box::pin(async { answer.await.unwrap_or_else(|_| Err(closed())) })
    }

    fn kv_get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, LedgerError>> {
        let handler = self.handler.clone();
        Box::pin(async move {
            self.inner
                .read(move |inner| {
                    let now = inner.shared.clock.now();
                    inner.reader.kv_get(&handler, &key, now)
                })
                .await
                .map_err(|e| LedgerError::Unavailable(e.0))
        })
    }

    fn kv_change(
        &self,
        key: String,
        change: KvChange,
        quota: KvQuota,
        before: Vec<Entry>,
        entry: Entry,
    ) -> BoxFuture<'_, Result<KvOutcome, LedgerError>> {
        let (reply, answer) = oneshot::channel();
        let message = KvMessage {
            lease: self.lease,
            step: self.step,
            handler: self.handler.clone(),
            key,
            change,
            quota,
            before,
            entry,
        };
        self.inner
            .shared
            .inbox
            .push(Urgent::Kv(Box::new(message), reply));
        Box::pin(async { answer.await.unwrap_or_else(|_| Err(closed())) })
    }

    fn earlier(&self, asked: Earlier) -> BoxFuture<'_, Result<Past, LedgerError>> {
        let (id, handler) = (self.lease.id, self.handler.clone());
        Box::pin(async move {
            self.inner
                .read(move |inner| inner.reader.earlier(id, &handler, &asked))
                .await
                .map_err(|e| LedgerError::Unavailable(e.0))
        })
    }

    fn timer_change(
        &self,
        key: String,
        change: TimerChange,
        quota: TimerQuota,
        before: Vec<Entry>,
        entry: Entry,
    ) -> BoxFuture<'_, Result<TimerReply, LedgerError>> {
        let (reply, answer) = oneshot::channel();
        let message = TimerMessage {
            lease: self.lease,
            step: self.step,
            handler: self.handler.clone(),
            key,
            change,
            quota,
            before,
            entry,
        };
        self.inner
            .shared
            .inbox
            .push(Urgent::Timer(Box::new(message), reply));
        Box::pin(async { answer.await.unwrap_or_else(|_| Err(closed())) })
    }
}

fn closed() -> LedgerError {
    LedgerError::Unavailable("the store has been closed".into())
}
