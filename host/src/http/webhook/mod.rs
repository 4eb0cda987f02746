//! The webhook: the bodies of all senders are parsed into alerts, and stored.

mod body_budget;
mod body_reader;
mod endpoint;
mod intake;
mod payload;
mod rate;
mod settings;
mod signature;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use crate::alarms::Heartbeats;
use crate::http::origin::OriginCheck;
use crate::http::server;
use crate::queue::Queue;
use crate::router::Router;
use crate::telemetry::Metrics;

use body_budget::BodyBudget;
pub(crate) use endpoint::{PATHS, endpoints};
pub use payload::{Bad, BadAlert, Parsed, ParsedAlert, PayloadError, parse};
use rate::SenderRates;
pub(crate) use settings::{Hmac, SenderRate, Settings};

/// What the webhook needs.
pub(crate) struct Webhook {
    pub(crate) queue: Queue,
    pub(crate) router: Arc<ArcSwap<Router>>,
    pub(crate) heartbeats: Arc<Heartbeats>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) server: Arc<ArcSwap<server::Settings>>,
    pub(crate) origin: OriginCheck,
    /// True once the modules of the first scan are routed: before, an alert would find no route.
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) load: Load,
}

impl Webhook {
    fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }
}

/// What senders use now: requests, memory, processors.
pub(crate) struct Load {
    senders: SenderRates,
    bodies: BodyBudget,
    /// Permits to parse large bodies, so that not all of them are parsed at once.
    large_bodies: Semaphore,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            senders: SenderRates::default(),
            bodies: BodyBudget::default(),
            large_bodies: Semaphore::new(server::half_of_the_processors()),
        }
    }
}
