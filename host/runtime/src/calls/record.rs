//! Writes effects, and the reads before them, to the step's record in the store, within the limits of the record.

use std::time::Duration;

use crate::calls::context::HostContext;
use crate::calls::naming::Plan;
use crate::limits::quota::{LimitHit, LimitName};
use crate::limits::{
    DELIVERY_RECORD_BYTES_MAX, DELIVERY_RECORD_ENTRIES_MAX, RECORDED_EFFECT_BYTES_MIN,
    RECORDED_READ_BYTES_MAX,
};
use crate::sandbox::stop::Stop;
use alert_manager_core::gate::Parked;
use alert_manager_core::journal::{Entry, LedgerError, RecordUse};

/// The pause before writing a record is retried. The guest waits for its reply meanwhile.
const RECORD_RETRY: Duration = Duration::from_millis(200);

impl HostContext {
    /// Checks that the record has room for an effect with the smallest reply. [`Self::recorded_body_bytes_max`] bounds the
    /// reply.
    ///
    /// # Errors
    /// The limit that is used up.
    pub(super) fn check_record(&self) -> Result<(), LimitHit> {
        let own = self.replay.used();
        let all = own.plus(self.recorded_elsewhere);
        let limits = &self.limits;
        #[rustfmt::skip]
        let bounds = [
            (own.entries, 1, limits.record_entries_max, LimitName::RecordEntries, "step"),
            (own.bytes, RECORDED_EFFECT_BYTES_MIN, limits.record_bytes_max, LimitName::RecordBytes, "step"),
            (all.entries, 1, DELIVERY_RECORD_ENTRIES_MAX, LimitName::DeliveryRecordEntries, "delivery"),
            (all.bytes, RECORDED_EFFECT_BYTES_MIN, DELIVERY_RECORD_BYTES_MAX, LimitName::DeliveryRecordBytes, "delivery"),
        ];
        for (used, needed, max, limit, whose) in bounds {
            if used.saturating_add(needed) > max {
                return Err(LimitHit {
                    limit,
                    used,
                    max,
                    detail: format!(
                        "this {whose} has {used} of the {max} that may be on record over all attempts, so no further \
                         effect can be recorded, and none starts"
                    ),
                });
            }
        }
        Ok(())
    }

    /// Returns how much may still be recorded by the step, and by the delivery as a whole.
    fn record_left(&self) -> RecordUse {
        let own = self.replay.used();
        let all = own.plus(self.recorded_elsewhere);
        let left = |own_max: u64, own: u64, all_max: u64, all: u64| {
            own_max.saturating_sub(own).min(all_max.saturating_sub(all))
        };
        let limits = &self.limits;
        RecordUse {
            entries: left(
                limits.record_entries_max,
                own.entries,
                DELIVERY_RECORD_ENTRIES_MAX,
                all.entries,
            ),
            bytes: left(
                limits.record_bytes_max,
                own.bytes,
                DELIVERY_RECORD_BYTES_MAX,
                all.bytes,
            ),
        }
    }

    /// Returns the reads to record before an effect whose entry has this many bytes.
    pub(super) fn reads_before(&mut self, effect_bytes: usize) -> Vec<Entry> {
        let room = self.room_before(effect_bytes);
        self.replay.held(room)
    }

    /// Returns how much may be recorded before an effect whose entry has this many bytes.
    fn room_before(&self, effect_bytes: usize) -> RecordUse {
        let left = self.record_left();
        RecordUse {
            entries: left.entries.saturating_sub(1),
            bytes: left.bytes.saturating_sub(effect_bytes as u64),
        }
    }

    /// Returns the largest body, in bytes, that can still be recorded in base64.
    pub(super) fn recorded_body_bytes_max(&self) -> u32 {
        let left = self.record_left().bytes;
        let body = left.saturating_sub(RECORDED_EFFECT_BYTES_MIN) / 4 * 3;
        u32::try_from(body).unwrap_or(u32::MAX)
    }

    /// Asks the store whether it can record an effect now. The inner error is for the guest: the store cannot.
    ///
    /// # Errors
    /// If the lease is lost.
    pub(super) fn may_start(&self) -> Result<Result<(), String>, Stop> {
        stored(self.ledger.ready())
    }

    /// Stores a note that the call begins, if an earlier effect of this attempt has failed; otherwise does nothing. The
    /// inner error is for the guest, as in [`Self::may_start`].
    ///
    /// # Errors
    /// If the lease is lost.
    pub(super) async fn note(&self, plan: &Plan) -> Result<Result<(), String>, Stop> {
        let recorded_to = self.replay.recorded_to();
        match self.recorder.note_before(plan.named(), recorded_to) {
            Some(note) => stored(self.ledger.note(note).await),
            None => Ok(Ok(())),
        }
    }

    /// Records an effect and the reads before it; returns once they are durable. Retries while the store is unavailable.
    ///
    /// # Errors
    /// If the lease is lost.
    pub(super) async fn record(
        &mut self,
        plan: &Plan,
        result: &str,
        reply: String,
        in_doubt: bool,
    ) -> Result<(), Stop> {
        let seq = self.replay.take_seq();
        let entry = Entry {
            in_doubt,
            ..plan.entry(self.clock.now(), seq, true, result, reply)
        };
        let mut entries = self.reads_before(entry.bytes());
        entries.push(entry.clone());
        loop {
            match self.ledger.record(entries.clone()).await {
                Ok(()) => {
                    self.replay.record(&entry);
                    return Ok(());
                }
                Err(error @ LedgerError::LeaseLost) => return Err(Stop::Host(error.to_string())),
                // The effect has happened, so this is retried: the guest must not get the reply before it is recorded.
                Err(LedgerError::Unavailable(_)) => tokio::time::sleep(RECORD_RETRY).await,
            }
        }
    }

    /// Ends the invocation, since its delivery waits for its turn. What it has read, and which of its changes have failed, is on
    /// record first, so that the next attempt comes to this call by the same path and makes no other before it.
    pub(super) async fn park(&mut self, parked: Box<Parked>) -> Stop {
        // An effect is to come after it.
        let bytes = usize::try_from(RECORDED_EFFECT_BYTES_MIN).unwrap_or(usize::MAX);
        let room = self.room_before(bytes);
        let mut held = self.replay.held_to_park(room);
        let Some(last) = held.last_mut() else {
            return Stop::Parked(parked);
        };
        last.parked = true;
        match self.ledger.record(held).await {
            Ok(()) => {
                self.replay.record_held();
                self.recorder.set_recorded(&self.replay);
                Stop::Parked(parked)
            }
            Err(error) => Stop::Host(error.to_string()),
        }
    }

    /// Keeps a read for the record. One that is too large is not kept, and a retry makes the call again.
    pub(super) fn hold_read(&mut self, plan: &Plan, result: &str, reply: String) {
        if reply.len() <= RECORDED_READ_BYTES_MAX {
            let seq = self.replay.take_seq();
            let entry = plan.entry(self.clock.now(), seq, false, result, reply);
            self.replay.hold(entry);
        }
    }

    /// Keeps a change that has failed, for the record of a step that is parked.
    pub(super) fn hold_failed(&mut self, plan: &Plan, result: &str, reply: String) {
        if reply.len() <= RECORDED_READ_BYTES_MAX {
            let seq = self.replay.take_seq();
            let entry = plan.entry(self.clock.now(), seq, false, result, reply);
            self.replay.hold(Entry {
                failed: true,
                ..entry
            });
        }
    }
}

/// Splits the ledger's errors: the inner one is for the guest.
///
/// # Errors
/// If the lease is lost.
pub(super) fn stored<T>(answer: Result<T, LedgerError>) -> Result<Result<T, String>, Stop> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(error @ LedgerError::Unavailable(_)) => Ok(Err(error.to_string())),
        Err(error @ LedgerError::LeaseLost) => Err(Stop::Host(error.to_string())),
    }
}
