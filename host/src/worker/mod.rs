//! Takes leased deliveries through their steps and settles them.

mod breaker;
mod outcome;
mod pipeline;
mod prober;
mod settings;
mod story;
mod threads;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::queue::{Leases, Queue};
use crate::router::Router;
use crate::runtime::{Registry, Runtime};
use crate::telemetry::Metrics;

pub(crate) use breaker::{Breakers, Pause};
pub(crate) use prober::Prober;
pub(crate) use settings::{EnrichBudget, HandlerSettings, Retry, Settings};
pub(crate) use threads::GuestThreads;

/// What a worker needs: handles that it shares with the rest of the server.
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
}

/// How far a shutdown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Takes leases.
    Serving,
    /// Takes no more; what runs may finish.
    Draining,
    /// What still runs is cut off and given back.
    CutOff,
}

impl Worker {
    /// Runs until `phase` leaves [`Phase::Serving`]; then lets what runs finish within `drain_max`, and cuts
    /// off the rest. Every lease is settled when this returns.
    pub(crate) async fn run(
        self,
        mut leases: Leases,
        phase: watch::Receiver<Phase>,
        drain_max: Duration,
    ) {
        let mut running = JoinSet::new();
        let (cut_off, cut_off_seen) = watch::channel(Phase::Serving);
        let mut stop = phase;
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|phase| *phase != Phase::Serving) => break,
                leased = leases.next() => match leased {
                    Some(leased) => {
                        let delivery = pipeline::Run::new(&self, leased, cut_off_seen.clone());
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
            // Each task settles what it holds before it ends.
            let _ = cut_off.send(Phase::CutOff);
            while let Some(ended) = running.join_next().await {
                report(ended);
            }
        }
    }
}

/// A panic here is our own mistake: the lease stays held, and the next start takes it up.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a worker ended unexpectedly; its delivery continues after the next start");
    }
}
