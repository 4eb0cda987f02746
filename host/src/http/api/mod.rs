//! The API for people and programs: deliveries, handlers, health.

mod channels;
mod deliveries;
mod handlers;
mod health;
mod settings;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router as Endpoints;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;

use crate::alarms::Heartbeats;
use crate::api::Reloaded;
use crate::description::Description;
use crate::findings::{Findings, Problems};
use crate::http::auth::authorize;
use crate::http::origin::OriginCheck;
use crate::http::server::Standing;
use crate::journal::BoxFuture;
use crate::queue::Queue;
use crate::runtime::{GrantUses, ModuleInfo, Registry, SlackBreaker, SlackSettings};
use crate::telemetry::Metrics;
use crate::worker::{self, Breakers};

pub(crate) use settings::Settings;

/// The dependencies of the API's endpoints.
pub(crate) struct Api {
    pub(crate) queue: Queue,
    pub(crate) registry: Arc<Registry>,
    pub(crate) slack_breaker: Arc<SlackBreaker>,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) grant_uses: Arc<GrantUses>,
    pub(crate) heartbeats: Arc<Heartbeats>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) handlers: Arc<ArcSwap<worker::Settings>>,
    pub(crate) slack: Arc<ArcSwap<SlackSettings>>,
    pub(crate) origin: OriginCheck,
    /// True once the modules of the first scan are routed.
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) server: Arc<dyn Server>,
}

impl Api {
    fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }
}

/// The functions of the server that the API needs.
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

/// Returns the routes of the API, and those for probes and for Prometheus.
pub(super) fn endpoints(api: Api) -> Endpoints {
    let api = Arc::new(api);
    let guarded = Endpoints::new()
        .route("/", get(health::index))
        .route("/api/v1/deliveries", get(deliveries::list))
        .route("/api/v1/deliveries/retry", post(deliveries::retry_all))
        .route("/api/v1/deliveries/{id}", get(deliveries::story))
        .route("/api/v1/deliveries/{id}/retry", post(deliveries::retry))
        .route("/api/v1/deliveries/{id}/cancel", post(deliveries::cancel))
        .route("/api/v1/handlers", get(handlers::list))
        .route("/api/v1/channels", get(channels::list))
        .route("/-/reload", post(health::reload).put(health::reload))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&api), guard));
    let metrics = get(health::metrics);
    let metrics = metrics.layer(middleware::from_fn_with_state(Arc::clone(&api), guard_open));
    Endpoints::new()
        .route("/healthz", get(health::live))
        .route("/-/healthy", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/-/ready", get(health::ready))
        .route("/metrics", metrics)
        .merge(guarded)
        .with_state(api)
}

/// Checks the origin of a request and its credentials for `api.authorization`.
async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let settings = api.settings.load_full();
    let wanted = settings.authorization.as_ref();
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let judged = api.origin.judge(wanted.is_some(), method, uri, headers);
    if let Err(error) = judged.and_then(|()| authorize(wanted, headers)) {
        return error.into_response();
    }
    if wanted.is_some()
        && let Some(standing) = request.extensions().get::<Standing>()
    {
        standing.authenticate();
    }
    next.run(request).await
}

/// Refuses web pages access to endpoints that need no credentials and return names.
async fn guard_open(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let is_closed = api.settings.load().authorization.is_some();
    let judged = api
        .origin
        .judge_reader(is_closed, request.uri(), request.headers());
    match judged {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}
