//! What happens now.

use std::sync::Arc;
use std::time::Duration;

use super::Answers;
use super::activity::{Over, Recent};
use super::deliveries::store;
use crate::alert::{DeliveryId, Timestamp};
use crate::api::{self, Activity, Delivery, Handler, Heartbeat, Longest, Now, Waiting};
use crate::http::error::ApiError;
use crate::queue::{self, Filter, Open};
use crate::runtime::ModuleState;
use crate::units::format_duration;

/// How many of the deliveries that have waited longest are named.
pub(super) const LONGEST_MAX: usize = 8;

/// How many of the newest deliveries are listed.
const NEWEST_MAX: u32 = 20;

/// What happens now, and what has happened in the last minutes: both as they were at the same time.
#[derive(Debug)]
pub(super) struct Moment {
    now: Now,
    recent: Recent,
}

impl Answers {
    /// Returns what happens now.
    pub(in crate::http) async fn now(&self) -> Result<Now, ApiError> {
        Ok(self.moment().await?.now.clone())
    }

    /// Returns what happens now, and what has happened over a time until now.
    pub(in crate::http) async fn now_and(&self, over: Over) -> Result<(Now, Activity), ApiError> {
        let moment = self.moment().await?;
        let activity = self.activity_until(&moment.recent, over).await?;
        Ok((moment.now.clone(), activity))
    }

    async fn moment(&self) -> Result<Arc<Moment>, ApiError> {
        let make = async || {
            Ok(Moment {
                now: self.make_now().await?,
                recent: self.recent().await?,
            })
        };
        self.shared.moment.answer(Duration::ZERO, make).await
    }

    async fn make_now(&self) -> Result<Now, ApiError> {
        let overview = self.overview().await;
        let counts = &overview.counts;
        let mut handlers = self.described(counts, |_| true);
        let serving = handlers.iter().filter(|handler| handler.serving).count();
        handlers.retain(needs_a_person);
        let newest = Filter {
            is_own: true,
            limit: NEWEST_MAX,
            ..Filter::default()
        };
        let newest = self.deliveries(newest).await?.deliveries;
        Ok(Now {
            at: Timestamp::now(),
            longest: self.longest(&overview.open).await?,
            open: (&overview.open).into(),
            dead: counts.dead,
            coalesced: counts.losses.storm,
            oldest: counts.oldest,
            channels: self.channels_of(&overview.gates),
            handlers,
            handlers_serving: serving as u64,
            heartbeats: self.heartbeats(),
            store_error: self.queue.unwritable(),
            newest,
        })
    }

    async fn longest(&self, open: &Open) -> Result<Vec<Longest>, ApiError> {
        let ids: Vec<_> = open.longest.iter().map(|(id, _)| *id).collect();
        let found = self.queue.outlines(ids).await.map_err(|e| store(&e))?;
        let waiting = |id: DeliveryId| {
            let mut all = open.longest.iter();
            all.find(|(known, _)| *known == id)
                .map(|(_, waiting)| waiting)
        };
        let longest = found.into_iter().filter_map(|one| {
            let waiting = Waiting::from(waiting(one.delivery.id)?.clone());
            let delivery = Delivery::from(one.delivery);
            Some(Longest { delivery, waiting })
        });
        // It may have ended since.
        let longest = longest.filter(|one| !one.delivery.is_settled());
        Ok(longest.collect())
    }

    fn heartbeats(&self) -> Vec<Heartbeat> {
        let all = self.heartbeats.status().into_iter();
        let heartbeat = all.map(|beat| Heartbeat {
            name: beat.name,
            every: format_duration(beat.every),
            arrived_at: beat.arrived_at,
            missing_since: beat.missing_since,
        });
        heartbeat.collect()
    }
}

impl From<&Open> for api::Open {
    fn from(open: &queue::Open) -> Self {
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
        || handler.only_failures().is_some()
}
