//! What is related to a delivery.

use std::collections::BTreeSet;

use super::Answers;
use super::deliveries::store;
use super::preview::made_of;
use crate::alert::{DeliveryId, Fingerprint};
use crate::api::{Deliveries, Delivery, Earlier, Explained, Related, Source, Story};
use crate::http::error::ApiError;
use crate::queue::Filter;

/// How many earlier deliveries of the same alert are returned.
const EARLIER_MAX: usize = 10;

/// How many later ones are.
const LATER_MAX: usize = 5;

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
        let (Ok(fingerprint), Source::Alert(alert)) =
            (story.delivery.fingerprint.parse(), &story.alert)
        else {
            return Ok(Related {
                routes,
                earlier: Vec::new(),
                earlier_looked_back_to: None,
                later: Vec::new(),
                members,
            });
        };
        let id = story.delivery.id;
        // The list has all of the newest, and the memory of events the last ones of each among any number of others.
        let (listed, remembered) = tokio::join!(
            self.listed(&story.delivery, fingerprint),
            self.queue.same_alert(alert.event())
        );
        let ((before, after), remembered) = (listed?, remembered.map_err(|e| store(&e))?);
        let ids = |list: &Deliveries| list.deliveries.iter().map(|one| one.id).collect::<Vec<_>>();
        let (earlier, later): (Vec<_>, Vec<_>) = remembered
            .into_iter()
            .filter(|known| *known != id)
            .partition(|known| *known < id);
        let mut earlier: BTreeSet<_> = earlier.into_iter().chain(ids(&before)).collect();
        let later: BTreeSet<_> = later.into_iter().chain(ids(&after)).collect();
        // Some of those that are remembered are not stored any more.
        let mut found = Vec::new();
        while found.len() < EARLIER_MAX && !earlier.is_empty() {
            let next: Vec<_> = std::iter::from_fn(|| earlier.pop_last())
                .take(EARLIER_MAX)
                .collect();
            found.extend(self.outlines(next).await?);
        }
        found.truncate(EARLIER_MAX);
        let mut later = self
            .outlines(later.into_iter().take(4 * LATER_MAX).collect())
            .await?;
        later.truncate(LATER_MAX);
        let is_full = found.len() == EARLIER_MAX;
        Ok(Related {
            routes,
            earlier: found,
            earlier_looked_back_to: before.looked_back_to.filter(|_| !is_full),
            later: later.into_iter().rev().map(|one| one.delivery).collect(),
            members,
        })
    }

    /// Returns the last deliveries of an alert before one, and the first ones after it, as far as a list finds them in its time.
    async fn listed(
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
            limit: EARLIER_MAX as u32,
            ..of_alert.clone()
        };
        let after = Filter {
            after: Some(delivery.id),
            limit: LATER_MAX as u32,
            ..of_alert
        };
        tokio::try_join!(self.deliveries(before), self.deliveries(after))
    }

    /// Returns deliveries with what they did; those that retention has removed are left out.
    ///
    /// # Errors
    /// 503 if the store does not answer.
    pub(in crate::http) async fn outlines(
        &self,
        ids: Vec<DeliveryId>,
    ) -> Result<Vec<Earlier>, ApiError> {
        let found = self.queue.outlines(ids).await.map_err(|e| store(&e))?;
        let earlier = found.into_iter().map(|one| Earlier {
            made: made_of(one.effects),
            delivery: one.delivery.into(),
        });
        Ok(earlier.collect())
    }
}
