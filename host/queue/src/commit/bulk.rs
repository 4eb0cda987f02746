//! Sends many deliveries again that are dead, or wait for another try: a slice in each transaction, so that senders do not wait for all of it, and no more than
//! leaves room in the queue for what is new.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use alert_manager_core::alert::DeliveryId;

use crate::model::{Chosen, OrderingKey, Rest, RestReason, Retried, RetryError, Selected, State};
use crate::rules::passed::Tails;
use crate::rules::revive::Reviver;
use crate::store::{StoreError, Txn};

use super::group::Work;

/// The most of one transaction that goes into this.
const SLICE_MAX: usize = 256;
const SLICE_TIME_MAX: Duration = Duration::from_millis(10);

/// After so long with no room for the next one, the rest is left.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);

/// After so long in all the rest is left: clients wait for 30 s.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);

/// Deliveries that are left with their reasons; the others are counted.
const LEFT_MAX: usize = 1_000;

/// A request to send many again.
#[derive(Debug)]
pub(crate) struct RetryJob {
    chosen: Chosen,
    /// What is later on the ordering keys of dead ones.
    tails: Tails,
    /// How many of the keys are done.
    done: usize,
    /// Where another request goes on.
    after: DeliveryId,
    answer: Retried,
    began: Instant,
    /// When the last of them was looked at.
    progressed: Instant,
    waits_for_room: bool,
    reply: oneshot::Sender<Retried>,
}

/// What one transaction did of it.
#[derive(Debug, Default)]
pub(super) struct Slice {
    retried: Vec<DeliveryId>,
    left: Vec<(DeliveryId, RetryError)>,
    no_room: bool,
}

/// What became of one delivery.
enum Tried {
    Sent,
    Left(RetryError),
    NoRoom,
}

impl RetryJob {
    pub(crate) fn new(
        chosen: Chosen,
        tails: Tails,
        after: Option<DeliveryId>,
        reply: oneshot::Sender<Retried>,
    ) -> Self {
        Self {
            chosen,
            tails,
            done: 0,
            after: after.unwrap_or(DeliveryId::from_raw(0)),
            answer: Retried::default(),
            began: Instant::now(),
            progressed: Instant::now(),
            waits_for_room: false,
            reply,
        }
    }

    /// Returns when it is to be looked at though nothing else happens.
    pub(super) fn deadline(&self) -> Instant {
        if self.waits_for_room {
            self.progressed + ROOM_WAIT_MAX
        } else {
            self.progressed
        }
    }

    /// Notes what is durable now; returns why the rest is left, if the request is to be answered.
    pub(super) fn advance(&mut self, slice: Slice) -> Option<RestReason> {
        let looked_at = slice.retried.len() + slice.left.len();
        self.done += looked_at;
        let keys = &self.chosen.keys;
        let last = keys[..self.done].last().map(|last| last.id);
        // Those that were looked at and have other labels are done, too.
        let all = self.chosen.looked_to.filter(|_| self.done == keys.len());
        self.after = all.or(last).unwrap_or(self.after);
        self.waits_for_room = slice.no_room;
        self.answer.retried.extend(slice.retried);
        for (id, why) in slice.left {
            self.leave(id, &why);
            let counts = &mut self.answer.left_counts;
            match counts.iter_mut().find(|(known, _)| *known == why) {
                Some((_, count)) => *count += 1,
                None => counts.push((why, 1)),
            }
        }
        let now = Instant::now();
        if looked_at > 0 {
            self.progressed = now;
        }
        if slice.no_room && now >= self.deadline() {
            Some(RestReason::Room)
        } else if self.done == self.chosen.keys.len() || now >= self.began + REQUEST_TIME_MAX {
            Some(RestReason::Time)
        } else {
            None
        }
    }

    fn leave(&mut self, id: DeliveryId, why: &RetryError) {
        if self.answer.left.len() < LEFT_MAX {
            self.answer.left.push((id, why.clone()));
        }
    }

    /// Answers with what was done.
    pub(super) fn finish(mut self, why: RestReason) {
        let keys = &self.chosen.keys[self.done..];
        let rest: Vec<_> = keys.iter().take(LEFT_MAX).map(|key| key.id).collect();
        let count = keys.len() as u64 + self.chosen.beyond;
        if count > 0 {
            let error = RetryError::Unavailable(why.to_string());
            for id in rest {
                self.leave(id, &error);
            }
            self.answer.rest = Some(Rest {
                after: self.after,
                count,
                why,
            });
        }
        // Whoever asked may have gone: what was sent again stays so.
        let _ = self.reply.send(self.answer);
    }
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
