//! The API for people and programs: deliveries, handlers, health.

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
use crate::runtime::{Holds, ModuleInfo, Registry, SlackSettings};
use crate::telemetry::Metrics;
use crate::worker::{self, Breakers};

pub(crate) use settings::Settings;

/// What the endpoints of the API need.
pub(crate) struct Api {
    pub(crate) queue: Queue,
    pub(crate) registry: Arc<Registry>,
    pub(crate) holds: Arc<Holds>,
    pub(crate) breakers: Arc<Breakers>,
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

/// The server as a whole, as far as the API needs it.
pub(crate) trait Server: Send + Sync {
    /// Returns every file of the folder, refused ones too: one that serves is routed already, once the server is ready.
    fn files(&self) -> Arc<Vec<ModuleInfo>>;

    /// Returns the lines of configuration that a module lacks for what it imports; with its description, for what its settings
    /// name as well.
    fn missing_grants(
        &self,
        module: &ModuleInfo,
        description: Option<&Description>,
    ) -> Option<String>;

    /// Returns what is wrong with the configuration and the modules together.
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

/// Lets a request pass that is no foreign page's and has the credentials of `api.authorization`.
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
        standing.prove();
    }
    next.run(request).await
}

/// Keeps web pages away from what needs no credentials and has names in it.
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
