//! What the API and the page answer, as the types of [`crate::api`]: each answer is made by one function, which both call.
//!
//! Nothing here knows HTML, JSON or an endpoint.

mod activity;
mod audit;
mod changes;
mod channels;
mod deliveries;
mod handlers;
mod now;
mod of_handler;
mod person;
mod preview;
mod related;
mod routes;
mod timeline;
mod together;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use tokio::sync::watch;

use crate::alarms::Heartbeats;
use crate::api::{self, HandlerDetail, Reloaded, Timeline, What};
use crate::description::Description;
use crate::findings::{Findings, Problems};
use crate::http::error::ApiError;
use crate::journal::BoxFuture;
use crate::queue::{Overview, Queue};
use crate::router::Router;
use crate::runtime::{GrantUses, ModuleInfo, Registry, SlackBreaker, SlackSettings};
use crate::telemetry::Metrics;
use crate::worker::{self, Breakers};

use activity::Lately;
pub(super) use activity::Over;
pub(super) use changes::Change;
pub(crate) use changes::Changes;
pub(super) use deliveries::{WAITS, bad, parse_id, parse_retry_query};
use now::{LONGEST_MAX, Moment};
pub(crate) use person::Person;
pub(super) use preview::check_selected;
use together::{ByQuestion, Together};

/// What answers are made from.
pub(crate) struct Answers {
    pub(crate) queue: Queue,
    pub(crate) registry: Arc<Registry>,
    pub(crate) slack_breaker: Arc<SlackBreaker>,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) grant_uses: Arc<GrantUses>,
    pub(crate) heartbeats: Arc<Heartbeats>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) usage: Arc<worker::Usage>,
    pub(crate) handlers: Arc<ArcSwap<worker::Settings>>,
    pub(crate) slack: Arc<ArcSwap<SlackSettings>>,
    /// True once the modules of the first scan are routed.
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) router: Arc<ArcSwap<Router>>,
    pub(crate) changes: Changes,
    pub(crate) shared: Shared,
    pub(crate) server: Arc<dyn Server>,
}

/// The answers that those share who ask at the same time.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    overview: Together<Overview>,
    moment: Together<Moment>,
    lately: Lately,
    lists: ByQuestion<api::Deliveries>,
    handlers: ByQuestion<HandlerDetail>,
    timelines: ByQuestion<Timeline>,
}

impl Answers {
    /// Returns how everything stands.
    pub(super) async fn overview(&self) -> Arc<Overview> {
        let make = async || {
            let queue = self.queue.clone();
            // With many open deliveries this takes some milliseconds.
            let walked = tokio::task::spawn_blocking(move || queue.overview(LONGEST_MAX));
            walked.await
        };
        let overview = self.shared.overview.answer(Duration::ZERO, make).await;
        // Only if the server is ending.
        overview.unwrap_or_default()
    }

    pub(super) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Reads configuration and folder again, and returns what has changed.
    pub(super) async fn reload(self: &Arc<Self>, person: &Person) -> Result<Reloaded, ApiError> {
        let (answers, person) = (Arc::clone(self), person.clone());
        to_its_end(async move {
            tracing::info!(%person, "reload requested");
            let reloaded = answers.server.reload().await.map_err(|problems| {
                deliveries::bad(format!("refused, the old configuration stays: {problems}"))
            })?;
            let changed = match reloaded.changed.is_empty() {
                true => "nothing has changed".to_owned(),
                false => reloaded.changed.join(", "),
            };
            answers.note(&person, What::Reloaded, String::new(), &changed);
            Ok(reloaded)
        })
        .await
    }
}

/// Does something to its end, even if whoever asked for it goes away: what a person has done is always noted.
///
/// # Errors
/// Its own, and 503 if the server is ending.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await.unwrap_or_else(|_| {
        let message = "the server has ended before it was done";
        Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message))
    })
}

/// The functions of the server as a whole that answers need.
pub(crate) trait Server: Send + Sync {
    /// Returns every file of the folder, including refused ones. Once the server is ready, a module that serves is routed
    /// already.
    fn files(&self) -> Arc<Vec<ModuleInfo>>;

    /// Returns the lines of configuration that grant what a module imports and is not granted; with its description, also what
    /// its settings name.
    fn missing_grants(
        &self,
        module: &ModuleInfo,
        description: Option<&Description>,
    ) -> Option<String>;

    /// Returns the findings about the configuration and the modules.
    fn findings(&self) -> Arc<Findings>;

    /// Reads configuration and folder again, and returns what has changed.
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, Problems>>;
}
