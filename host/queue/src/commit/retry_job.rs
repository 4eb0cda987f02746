//! A request to retry many deliveries, which takes several transactions.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use alert_manager_core::alert::DeliveryId;

use crate::model::{Rest, RestReason, Retried, RetryBatch, RetryError};
use crate::rules::overtaken::LaterByKey;

/// A request ends after this time without room in the queue for the next delivery.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);

/// A request ends after this time in all. Clients wait for 30 s.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);

/// How many deliveries an answer lists that were not retried. Further ones are only counted.
const LEFT_MAX: usize = 1_000;

/// A request to retry many deliveries.
#[derive(Debug)]
pub(crate) struct RetryJob {
    pub(super) batch: RetryBatch,
    /// The deliveries behind dead ones on their ordering keys.
    pub(super) later: LaterByKey,
    /// How many deliveries of the batch have been looked at.
    pub(super) done: usize,
    /// The delivery after which another request continues.
    after: DeliveryId,
    answer: Retried,
    began: Instant,
    /// When a delivery was last looked at.
    progressed: Instant,
    waits_for_room: bool,
    reply: oneshot::Sender<Retried>,
}

/// What one transaction has done for a request.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub(super) retried: Vec<DeliveryId>,
    pub(super) left: Vec<(DeliveryId, RetryError)>,
    pub(super) no_room: bool,
}

impl RetryJob {
    pub(crate) fn new(
        batch: RetryBatch,
        later: LaterByKey,
        after: Option<DeliveryId>,
        reply: oneshot::Sender<Retried>,
    ) -> Self {
        Self {
            batch,
            later,
            done: 0,
            after: after.unwrap_or(DeliveryId::from_raw(0)),
            answer: Retried::default(),
            began: Instant::now(),
            progressed: Instant::now(),
            waits_for_room: false,
            reply,
        }
    }

    /// Returns when the committer has to continue it.
    pub(super) fn deadline(&self) -> Instant {
        if self.waits_for_room {
            self.progressed + ROOM_WAIT_MAX
        } else {
            self.progressed
        }
    }

    /// Records a slice that is durable; returns why the request ends, if it does.
    pub(super) fn advance(&mut self, slice: Slice) -> Option<RestReason> {
        let looked_at = slice.retried.len() + slice.left.len();
        self.done += looked_at;
        let positions = &self.batch.positions;
        let last = positions[..self.done].last().map(|last| last.id);
        // After the last of the batch, the deliveries behind it whose labels were not selected are done, too.
        let all = self
            .batch
            .scanned_to
            .filter(|_| self.done == positions.len());
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
        } else if self.done == self.batch.positions.len() || now >= self.began + REQUEST_TIME_MAX {
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

    /// Answers the request.
    pub(super) fn finish(mut self, why: RestReason) {
        let positions = &self.batch.positions[self.done..];
        let rest: Vec<_> = positions
            .iter()
            .take(LEFT_MAX)
            .map(|position| position.id)
            .collect();
        let count = positions.len() as u64 + self.batch.remaining;
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
        // An error means that the client has gone.
        let _ = self.reply.send(self.answer);
    }
}
