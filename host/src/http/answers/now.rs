//! What happens now.

use std::sync::Arc;

use super::Answers;
use crate::alert::{DeliveryId, Timestamp};
use crate::api::{self, Delivery, Handler, Heartbeat, Longest, Now, Waiting};
use crate::http::error::ApiError;
use crate::queue::{self, Filter, Open};
use crate::runtime::ModuleState;
use crate::units::format_duration;

/// How many of the deliveries that have waited longest are named.
const LONGEST_MAX: usize = 8;

/// How many of the newest deliveries are listed.
const NEWEST_MAX: u32 = 20;

impl Answers {
    /// Returns what happens now. It walks all open deliveries, under the lock of the scheduler: all who ask meanwhile share the next.
    pub(in crate::http) async fn now(&self) -> Result<Now, ApiError> {
        let now = self.now.answer(async || self.make_now().await).await?;
        Ok(Arc::unwrap_or_clone(now))
    }

    async fn make_now(&self) -> Result<Now, ApiError> {
        let (open, counts) = (self.queue.open_now(LONGEST_MAX), self.queue.counts());
        let mut handlers = self.handlers().handlers;
        let serving = handlers.iter().filter(|handler| handler.serving).count();
        handlers.retain(needs_a_person);
        let newest = self.newest(None, NEWEST_MAX).await?;
        Ok(Now {
            at: Timestamp::now(),
            longest: self.longest(&open).await?,
            open: open.into(),
            dead: counts.dead,
            coalesced: counts.losses.storm,
            oldest: counts.oldest,
            channels: self.channels(),
            handlers,
            handlers_serving: serving as u64,
            heartbeats: self.heartbeats(),
            store_error: self.queue.unwritable(),
            newest,
        })
    }

    /// Returns deliveries before one, newest first.
    async fn newest(
        &self,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, ApiError> {
        let filter = Filter {
            before,
            limit,
            ..Filter::default()
        };
        Ok(self.deliveries(filter).await?.deliveries)
    }

    async fn longest(&self, open: &Open) -> Result<Vec<Longest>, ApiError> {
        let mut longest = Vec::new();
        for (id, waiting) in &open.longest {
            let next = DeliveryId::from_raw(id.as_raw().saturating_add(1));
            let found = self.newest(Some(next), 1).await?.pop();
            // It may have ended since.
            if let Some(delivery) = found.filter(|found| found.id == *id && !found.is_settled()) {
                let waiting = Waiting::from(waiting.clone());
                longest.push(Longest { delivery, waiting });
            }
        }
        Ok(longest)
    }

    fn heartbeats(&self) -> Vec<Heartbeat> {
        let all = self.heartbeats.status().into_iter();
        let heartbeat = all.map(|(name, every, missing_since)| Heartbeat {
            name,
            every: format_duration(every),
            missing_since,
        });
        heartbeat.collect()
    }
}

impl From<Open> for api::Open {
    fn from(open: queue::Open) -> Self {
        Self {
            running: open.running as u64,
            at_gates: open.at_gates as u64,
            for_slots: open.for_permits as u64,
            behind_others: open.behind_others as u64,
            for_time: open.for_time as u64,
            coalesced: open.members as u64,
        }
    }
}

fn needs_a_person(handler: &Handler) -> bool {
    let is_sound = handler.state.is(ModuleState::Ready) || handler.state.is(ModuleState::Loading);
    !is_sound
        || handler.paused.is_some()
        || handler.keeps_settings
        || !handler.held.is_empty()
        || !handler.problems.is_empty()
}
