//! The order of updates of messages, as it is stored.
//!
//! An update that waits is sent as its handler has made it, however late. So after a restart it has to be known which of several
//! is the latest. The scheduler numbers them in the order in which they are asked for; the number is stored with the progress of
//! the delivery in the transaction that ends its lease, or that records what it has read before it was parked. A later update
//! that is sent makes the earlier ones outdated: that is stored before its own record, so a delivery whose update is on record
//! leaves none behind that could be sent after it.

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::{ID_COUNTER_BITS, Progress, Text, UpdateOrder};
use crate::schedule::LeaseEnds;
use crate::store::{Change, StoreError, Txn};

use super::group::Work;

/// Returns the number above which the updates of a process are numbered. As with identifiers, it is higher than those of every
/// process before, unless the time of day was set back and nothing was accepted since.
pub(super) fn first_number(last_id: i64, now: Timestamp) -> u64 {
    let by_clock = now.as_millisecond() << ID_COUNTER_BITS;
    last_id.max(by_clock).max(0).unsigned_abs()
}

impl<'m, T: Txn> Work<'_, 'm, T> {
    /// Returns the progress of a delivery with the order of its updates.
    pub(super) fn with_updates(
        &self,
        id: DeliveryId,
        progress: &'m str,
        ends: LeaseEnds,
    ) -> Result<Text<'m>, StoreError> {
        let Some(updates) = self.shared.scheduler.lock().updates_of(id, ends) else {
            return Ok(progress.into());
        };
        let Ok(stored) = serde_json::from_str::<Progress>(progress) else {
            return Ok(progress.into());
        };
        Ok(with(stored, updates)?.into())
    }

    /// Stores the order of the updates of a delivery that has not ended.
    pub(super) fn note_updates(&mut self, id: DeliveryId) -> Result<(), StoreError> {
        let updates = self
            .shared
            .scheduler
            .lock()
            .updates_of(id, LeaseEnds::Later);
        let (Some(updates), Some(row)) = (updates, self.row(id)?) else {
            return Ok(());
        };
        let stored = match self.progress_of(id)? {
            Some(json) => match serde_json::from_str(&json) {
                Ok(stored) => stored,
                // It dies when it is leased, and sends nothing.
                Err(_) => return Ok(()),
            },
            None => Progress::new(&row.pipeline),
        };
        self.push(Change::PutProgress {
            id,
            lease: row.leases,
            progress: with(stored, updates)?,
        });
        Ok(())
    }
}

fn with(stored: Progress, updates: Vec<UpdateOrder>) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Progress { updates, ..stored })
}
