//! Workers run the steps of leased deliveries and settle them.

mod breaker;
mod lease;
mod outcome;
mod prober;
mod settings;
mod story;
mod threads;
mod usage;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::queue::{Leases, Queue};
use crate::router::Router;
use crate::runtime::{Registry, Runtime};
use crate::telemetry::Metrics;

pub(crate) use breaker::{Breakers, Pause};
pub(crate) use prober::Prober;
pub(crate) use settings::{EnrichBudget, HandlerSettings, KeptSettings, Retry, Settings};
pub(crate) use threads::GuestThreads;
pub(crate) use usage::Usage;

/// A worker: handles that it shares with other parts of the server.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) queue: Queue,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) registry: Arc<Registry>,
    /// Loaded for each step.
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    /// The drop folder, for messages.
    pub(crate) handlers_dir: Arc<Path>,
    pub(crate) router: Arc<ArcSwap<Router>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) usage: Arc<Usage>,
    /// When the server started: what is older was accepted before.
    pub(crate) started: Instant,
}

/// The phase of the server, as far as workers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Leases are taken.
    Serving,
    /// The server shuts down: no more leases are taken, and running deliveries may finish.
    Draining,
}

impl Worker {
    /// Runs until `phase` leaves [`Phase::Serving`], then lets running deliveries finish within `drain_max` and interrupts the
    /// rest. When it returns, every lease is settled.
    pub(crate) async fn run(
        self,
        mut leases: Leases,
        phase: watch::Receiver<Phase>,
        drain_max: Duration,
    ) {
        let mut running = JoinSet::new();
        // True once running deliveries are interrupted.
        let (interrupt, interrupted) = watch::channel(false);
        let mut stop = phase;
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|phase| *phase != Phase::Serving) => break,
                leased = leases.next() => match leased {
                    Some(leased) => {
                        let delivery = lease::Lease::new(&self, leased, interrupted.clone());
                        running.spawn(delivery.run());
                    }
                    None => break,
                },
                Some(ended) = running.join_next() => report(ended),
            }
        }
        let drained = tokio::time::timeout(drain_max, async {
            while let Some(ended) = running.join_next().await {
                report(ended);
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                deliveries = running.len(),
                "deliveries did not finish within {drain_max:?} of the shutdown; they continue after the next start"
            );
            // Each task settles its delivery before it ends.
            let _ = interrupt.send(true);
            while let Some(ended) = running.join_next().await {
                report(ended);
            }
        }
    }
}

/// Reports a panic, which is a mistake in the server: the lease stays held, and the next start runs the delivery again.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a worker ended unexpectedly; its delivery continues after the next start");
    }
}
