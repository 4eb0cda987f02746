//! A request to send many deliveries again, as it waits for the writer and is answered.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use alert_manager_core::alert::DeliveryId;

use crate::model::{Chosen, Rest, RestReason, Retried, RetryError};
use crate::rules::passed::Tails;

/// After so long with no room for the next one, the rest is left.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);

/// After so long in all the rest is left: clients wait for 30 s.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);

/// Deliveries that are left with their reasons; the others are counted.
const LEFT_MAX: usize = 1_000;

/// A request to send many again.
#[derive(Debug)]
pub(crate) struct RetryJob {
    pub(super) chosen: Chosen,
    /// What is later on the ordering keys of dead ones.
    pub(super) tails: Tails,
    /// How many of the keys are done.
    pub(super) done: usize,
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
    pub(super) retried: Vec<DeliveryId>,
    pub(super) left: Vec<(DeliveryId, RetryError)>,
    pub(super) no_room: bool,
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
