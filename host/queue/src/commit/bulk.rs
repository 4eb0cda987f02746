//! Retries many deliveries that are dead, or wait for another try: a slice in each transaction, so that new alerts do not wait for
//! all of them, and no more than leaves room in the queue for new alerts.

use std::time::{Duration, Instant};

use alert_manager_core::alert::DeliveryId;

use crate::model::{Position, RetryBatch, RetryError, Selected, State};
use crate::rules::overtaken::LaterByKey;
use crate::rules::revive::Reviver;
use crate::store::{StoreError, Txn};

use super::group::Work;
use super::retry_job::{RetryJob, Slice};

/// The bounds of one slice.
const SLICE_MAX: usize = 256;
const SLICE_TIME_MAX: Duration = Duration::from_millis(10);

/// What became of one delivery.
enum Tried {
    Retried,
    Skipped(RetryError),
    NoRoom,
}

impl<T: Txn> Work<'_, '_, T> {
    /// Retries the next slice of a job.
    pub(super) fn retry_slice(&mut self, job: &mut RetryJob) -> Result<Slice, StoreError> {
        let began = Instant::now();
        let mut slice = Slice::default();
        self.flush()?;
        let later = &mut job.later;
        let from = later.begin_read();
        self.txn.followers(from, |other| later.add(&other))?;
        let RetryBatch {
            state, positions, ..
        } = &job.batch;
        for position in positions[job.done..].iter().take(SLICE_MAX) {
            match self.retry_one(position, *state, later)? {
                Tried::Retried => slice.retried.push(position.id),
                Tried::Skipped(why) => slice.left.push((position.id, why)),
                Tried::NoRoom => {
                    slice.no_room = true;
                    break;
                }
            }
            if began.elapsed() >= SLICE_TIME_MAX {
                break;
            }
        }
        Ok(slice)
    }

    fn retry_one(
        &mut self,
        position: &Position,
        state: Selected,
        later: &mut LaterByKey,
    ) -> Result<Tried, StoreError> {
        let Some(row) = self.row(position.id)? else {
            return Ok(Tried::Skipped(RetryError::NotFound));
        };
        match self.make_due(&row)? {
            Ok(true) => return Ok(Tried::Retried),
            Ok(false) => {}
            Err(why) => return Ok(Tried::Skipped(why)),
        }
        if self.came_with_another(position.id, state) {
            return Ok(Tried::Retried);
        }
        // If it was selected because it waited, and has died since, `later` has nothing about it.
        if state == Selected::Retrying
            || row.state != State::Dead
            || self.shared.scheduler.lock().contains(position.id)
        {
            return Ok(Tried::Skipped(RetryError::NotDead));
        }
        self.flush()?;
        let txn = &mut self.txn;
        let state_of = |id| Ok(txn.states(&[id])?.pop().flatten());
        if later.is_overtaken::<StoreError>(position, state_of)? {
            return Ok(Tried::Skipped(RetryError::Overtaken));
        }
        let with = self.representative_to_revive(&row)?;
        let row = with.unwrap_or(row);
        let count = self.revived_with(row.id)?;
        let scheduler = self.shared.scheduler.lock();
        if !scheduler.has_room_for_many(&row.pipeline, count) {
            return Ok(Tried::NoRoom);
        }
        drop(scheduler);
        self.revive(&row, Reviver::Person)?;
        Ok(Tried::Retried)
    }

    /// Returns true if a delivery was sent again with its representative, or with one that it stands for.
    fn came_with_another(&self, id: DeliveryId, state: Selected) -> bool {
        let scheduler = self.shared.scheduler.lock();
        let stands = state == Selected::Dead && scheduler.standing(id).is_some();
        stands || scheduler.representative_of(id).is_some()
    }
}
