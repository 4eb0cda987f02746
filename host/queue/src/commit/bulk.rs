//! Sends many deliveries again that are dead, or wait for another try: a slice in each transaction, so that senders do not wait for all of it, and no more than
//! leaves room in the queue for what is new.

use std::time::{Duration, Instant};

use crate::model::{Chosen, OrderingKey, RetryError, Selected, State};
use crate::rules::passed::Tails;
use crate::rules::revive::Reviver;
use crate::store::{StoreError, Txn};

use super::group::Work;
use super::retry_job::{RetryJob, Slice};

/// The most of one transaction that goes into this.
const SLICE_MAX: usize = 256;
const SLICE_TIME_MAX: Duration = Duration::from_millis(10);

/// What became of one delivery.
enum Tried {
    Sent,
    Left(RetryError),
    NoRoom,
}

impl<T: Txn> Work<'_, '_, T> {
    /// Sends some more of a job's again.
    pub(super) fn retry_slice(&mut self, job: &mut RetryJob) -> Result<Slice, StoreError> {
        let began = Instant::now();
        let mut slice = Slice::default();
        self.flush()?;
        let tails = &mut job.tails;
        let from = tails.read_on();
        self.txn.follow(from, |other| tails.look_at(&other))?;
        let Chosen { state, keys, .. } = &job.chosen;
        for key in keys[job.done..].iter().take(SLICE_MAX) {
            match self.retry_one(key, *state, tails)? {
                Tried::Sent => slice.retried.push(key.id),
                Tried::Left(why) => slice.left.push((key.id, why)),
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
        key: &OrderingKey,
        state: Selected,
        tails: &mut Tails,
    ) -> Result<Tried, StoreError> {
        let Some(row) = self.row(key.id)? else {
            return Ok(Tried::Left(RetryError::NotFound));
        };
        match self.hurry(&row)? {
            Ok(true) => return Ok(Tried::Sent),
            Ok(false) => {}
            Err(why) => return Ok(Tried::Left(why)),
        }
        // It came with its representative.
        if self.shared.scheduler.lock().representative_of(key.id).is_some() {
            return Ok(Tried::Sent);
        }
        // What waited when it was selected may have died since, and nobody has looked at what is later.
        if state == Selected::Retrying
            || row.state != State::Dead
            || self.shared.scheduler.lock().contains(key.id)
        {
            return Ok(Tried::Left(RetryError::NotDead));
        }
        self.flush()?;
        let txn = &mut self.txn;
        let stands = |id| Ok(txn.states(&[id])?.pop().flatten());
        if tails.have_passed::<StoreError>(key, stands)? {
            return Ok(Tried::Left(RetryError::Passed));
        }
        let scheduler = self.shared.scheduler.lock();
        if !scheduler.has_room_for_many(&row.pipeline) {
            return Ok(Tried::NoRoom);
        }
        drop(scheduler);
        self.revive(&row, Reviver::Person)?;
        Ok(Tried::Sent)
    }
}
