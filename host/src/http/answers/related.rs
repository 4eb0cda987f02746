//! What is related to a delivery.

use super::Answers;
use super::deliveries::store;
use super::preview::made_of;
use crate::alert::{DeliveryId, Fingerprint};
use crate::api::{Deliveries, Delivery, Earlier, Explained, Related, Source, Story};
use crate::http::error::ApiError;
use crate::queue::Filter;

/// How many earlier deliveries of the same alert are returned.
const EARLIER_MAX: u32 = 10;

/// How many later ones are.
const LATER_MAX: u32 = 5;

/// How many members of a storm are returned.
const MEMBERS_MAX: usize = 50;

impl Answers {
    /// Returns what is related to a delivery. Of other deliveries, only what is returned is read.
    ///
    /// # Errors
    /// 503 if the store does not answer.
    pub(in crate::http) async fn related(&self, story: &Story) -> Result<Related, ApiError> {
        let routes = match &story.alert {
            Source::Alert(alert) => {
                Explained::of(&self.router.load(), alert.labels.clone()).verdicts
            }
            Source::Refused(_) | Source::Unknown(_) => Vec::new(),
        };
        let members = story.members.iter().flat_map(|members| &members.ids);
        let members = self.outlines(members.take(MEMBERS_MAX).copied().collect());
        let members = members.await?.into_iter().map(|one| one.delivery).collect();
        // A refused part of a body has no fingerprint.
        let Ok(fingerprint) = story.delivery.fingerprint.parse() else {
            return Ok(Related {
                routes,
                earlier: Vec::new(),
                earlier_looked_back_to: None,
                later: Vec::new(),
                members,
            });
        };
        let of_alert = self.of_same_alert(&story.delivery, fingerprint);
        let (before, after) = of_alert.await?;
        let is_full = before.deliveries.len() >= EARLIER_MAX as usize;
        let ids = before.deliveries.iter().map(|one| one.id).collect();
        Ok(Related {
            routes,
            earlier: self.outlines(ids).await?,
            earlier_looked_back_to: before.looked_back_to.filter(|_| !is_full),
            later: after.deliveries,
            members,
        })
    }

    /// Returns the last deliveries of an alert before one, and the first ones after it.
    async fn of_same_alert(
        &self,
        delivery: &Delivery,
        fingerprint: Fingerprint,
    ) -> Result<(Deliveries, Deliveries), ApiError> {
        let of_alert = Filter {
            fingerprint: Some(fingerprint),
            // The index that serves the list is on the name.
            alertname: Some(delivery.alertname.clone()),
            ..Filter::default()
        };
        let before = Filter {
            before: Some(delivery.id),
            limit: EARLIER_MAX,
            ..of_alert.clone()
        };
        let after = Filter {
            after: Some(delivery.id),
            limit: LATER_MAX,
            ..of_alert
        };
        Ok((
            self.deliveries(before).await?,
            self.deliveries(after).await?,
        ))
    }

    /// Returns deliveries with what they did; those that retention has removed are left out.
    async fn outlines(&self, ids: Vec<DeliveryId>) -> Result<Vec<Earlier>, ApiError> {
        let found = self.queue.outlines(ids).await.map_err(|e| store(&e))?;
        let earlier = found.into_iter().map(|one| Earlier {
            made: made_of(one.effects),
            delivery: one.delivery.into(),
        });
        Ok(earlier.collect())
    }
}
