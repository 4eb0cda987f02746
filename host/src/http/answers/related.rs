//! What is related to a delivery.

use http::StatusCode;

use super::Answers;
use super::preview::made;
use crate::alert::DeliveryId;
use crate::api::{Earlier, Explained, Related, Source, Story};
use crate::http::error::ApiError;
use crate::queue::Filter;

/// How many earlier deliveries of the same alert are returned.
const EARLIER_MAX: u32 = 10;

/// How many members of a storm are returned.
const MEMBERS_MAX: usize = 50;

impl Answers {
    /// Returns what is related to a delivery.
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
        let ids = story.members.iter().flat_map(|members| &members.ids);
        let mut members = Vec::new();
        for id in ids.take(MEMBERS_MAX) {
            members.extend(self.unless_removed(*id).await?.map(|story| story.delivery));
        }
        Ok(Related {
            routes,
            earlier: self.earlier(story).await?,
            members,
        })
    }

    async fn earlier(&self, story: &Story) -> Result<Vec<Earlier>, ApiError> {
        // A refused part of a body has no fingerprint.
        let Ok(fingerprint) = story.delivery.fingerprint.parse() else {
            return Ok(Vec::new());
        };
        let filter = Filter {
            fingerprint: Some(fingerprint),
            // The index that serves the list is on the name.
            alertname: Some(story.delivery.alertname.clone()),
            before: Some(story.delivery.id),
            limit: EARLIER_MAX,
            ..Filter::default()
        };
        let listed = self.deliveries(filter).await?.deliveries;
        let mut earlier = Vec::with_capacity(listed.len());
        for delivery in listed {
            let story = self.unless_removed(delivery.id).await?;
            earlier.extend(story.map(|story| Earlier {
                made: made(&story.journal),
                delivery,
            }));
        }
        Ok(earlier)
    }

    /// Returns the story of a delivery; `None` if retention has removed it.
    async fn unless_removed(&self, id: DeliveryId) -> Result<Option<Story>, ApiError> {
        match self.story(id).await {
            Ok(story) => Ok(Some(story)),
            Err(error) if error.status() == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }
}
