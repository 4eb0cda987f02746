//! One handler: its versions, what it has used, and what its deliveries have become.

use std::sync::Arc;

use http::StatusCode;

use super::Answers;
use super::activity::Over;
use super::deliveries::store;
use crate::alert::HandlerName;
use crate::api::{Deliveries, Delivery, Failures, HandlerDetail, KvUse, Version, What};
use crate::http::error::ApiError;
use crate::queue::{AuditFilter, Audited, Filter, State};
use crate::runtime::ModuleInfo;

/// How many dead deliveries are looked at for the reasons of failures.
const FAILURES_MAX: u32 = 200;

/// How many of the newest deliveries are listed.
const NEWEST_MAX: u32 = 20;

/// How many versions are listed.
const VERSIONS_MAX: u32 = 20;

impl Answers {
    /// Returns everything about one handler.
    ///
    /// # Errors
    /// 404 if no file has this name, 503 if the store does not answer.
    pub(in crate::http) async fn handler(
        &self,
        name: &str,
        over: Over,
    ) -> Result<HandlerDetail, ApiError> {
        let question = format!("{} {name}", over.as_str());
        let make = async || self.make_handler(name, over).await;
        let detail = self.shared.handlers.answer(&question, make).await?;
        Ok(Arc::unwrap_or_clone(detail))
    }

    async fn make_handler(&self, name: &str, over: Over) -> Result<HandlerDetail, ApiError> {
        let overview = self.overview().await;
        let is_it = |module: &ModuleInfo| {
            let known = module.name.as_ref();
            known.is_some_and(|known| known.as_str() == name)
        };
        let files = self.described(&overview.counts, is_it);
        let Some(name) = files.first().and_then(|file| file.name.clone()) else {
            return Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "no handler of this name serves: its file was removed or refused, or the name is wrong",
            ));
        };
        let (keys, bytes) = self
            .queue
            .kv_used(name.clone())
            .await
            .map_err(|e| store(&e))?;
        let dead = self
            .deliveries_of(&name, Some(State::Dead), FAILURES_MAX)
            .await?;
        let newest = self.deliveries_of(&name, None, NEWEST_MAX).await?;
        Ok(HandlerDetail {
            files,
            versions: self.versions(&name).await?,
            used: self.usage.of(&name),
            kv: KvUse { keys, bytes },
            activity: self.activity_of(&name, over).await?,
            failures_looked_back_to: dead
                .looked_back_to
                .filter(|_| !is_full(&dead, FAILURES_MAX)),
            failures: grouped(dead.deliveries),
            newest_looked_back_to: newest
                .looked_back_to
                .filter(|_| !is_full(&newest, NEWEST_MAX)),
            newest: newest.deliveries,
        })
    }

    /// Returns the newest deliveries with a handler in their pipeline.
    async fn deliveries_of(
        &self,
        handler: &HandlerName,
        state: Option<State>,
        limit: u32,
    ) -> Result<Deliveries, ApiError> {
        let filter = Filter {
            handler: Some(handler.to_string()),
            state,
            limit,
            ..Filter::default()
        };
        self.deliveries(filter).await
    }

    /// Returns the versions of a handler that have served, the newest first.
    async fn versions(&self, handler: &HandlerName) -> Result<Vec<Version>, ApiError> {
        let filter = AuditFilter {
            what: Some(What::Swapped.as_str().to_owned()),
            subject: Some(handler.to_string()),
            limit: VERSIONS_MAX,
            ..AuditFilter::default()
        };
        let found = self.queue.audited(filter).await.map_err(|e| store(&e))?;
        let version = |one: &Audited| {
            let (sha256, version) = one.detail.split_once(' ').unwrap_or((&one.detail, ""));
            Version {
                since: one.at,
                version: version.to_owned(),
                sha256: sha256.to_owned(),
            }
        };
        Ok(found.iter().map(version).collect())
    }
}

/// Returns whether a list has as many as it may have: then it does not matter how far back was looked.
fn is_full(list: &Deliveries, limit: u32) -> bool {
    list.deliveries.len() >= limit as usize
}

/// Groups deliveries, newest first, by their reason and the first line of their error.
fn grouped(dead: Vec<Delivery>) -> Vec<Failures> {
    let mut groups: Vec<Failures> = Vec::new();
    for delivery in dead {
        let error = delivery.last_error.as_deref().unwrap_or_default();
        let error = error.lines().next().unwrap_or_default();
        let is_same =
            |group: &&mut Failures| group.error == error && group.reason == delivery.reason;
        match groups.iter_mut().find(is_same) {
            Some(group) => group.count += 1,
            None => groups.push(Failures {
                error: error.to_owned(),
                reason: delivery.reason,
                count: 1,
                newest: delivery.id,
                at: delivery.received_at,
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}
