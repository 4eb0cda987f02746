//! The end of the queue from which a worker takes deliveries, each with a concurrency permit and a lease that is already durable.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use alert_manager_core::alert::Alert;

use super::model::clock::Ticks;
use super::model::{Grant, Leased, Next, Progress, Settlement};

/// The deliveries that are leased to the worker. A queue has one.
#[derive(Debug)]
pub struct Leases {
    pub(super) grants: mpsc::UnboundedReceiver<Grant>,
    /// True once the scheduler grants leases.
    pub(super) attached: bool,
    pub(super) queue: super::WeakQueue,
}

impl Leases {
    /// Waits for the next delivery; returns nothing once the queue is closed. Nothing is leased before this is first polled.
    ///
    /// The caller settles the delivery, and releases its permit when its invocation has ended.
    pub async fn next(&mut self) -> Option<Leased> {
        self.attach();
        loop {
            let grant = self.grants.recv().await?;
            let queue = self.queue.upgrade()?;
            let lease = grant.lease;
            let id = lease.id;
            let handler = grant.handler.clone();
            let shared = &queue.inner.shared;
            let started = shared.scheduler.lock().start(lease);
            let (next, progress) = match decode(grant, shared.clock.ticks()) {
                Ok(leased) if started => {
                    if !leased.progress.updates.is_empty() {
                        let mut scheduler = shared.scheduler.lock();
                        scheduler.recall_updates(id, &leased.progress.updates);
                    }
                    return Some(leased);
                }
                Ok(mut leased) => {
                    if leased.after_crash {
                        leased.progress.interrupt(lease.number.saturating_sub(1));
                    }
                    leased.progress.end_lease(lease.number);
                    let handler = handler.clone();
                    (Next::Yield { handler }, leased.progress)
                }
                Err(error) => {
                    tracing::error!(delivery = %id, %error, "delivery {id} cannot be read from the store");
                    let why = format!("what is stored of it cannot be read: {error}");
                    (Next::Dead(why), Progress::default())
                }
            };
            queue.release_permit(&handler);
            // If it was cancelled before it was taken out, this ends it, and later deliveries of its ordering key can run.
            queue.settle(Settlement {
                lease,
                next,
                progress,
                alert: None,
                story: None,
                last_error: None,
            });
        }
    }

    /// Has the scheduler grant leases from now on. Earlier, a delivery would count as running though no worker had it, and would be
    /// suspected if the server were killed while it starts.
    pub(super) fn attach(&mut self) {
        if self.attached {
            return;
        }
        let Some(queue) = self.queue.upgrade() else {
            return;
        };
        let shared = &queue.inner.shared;
        shared.scheduler.lock().attach(shared.clock.ticks());
        shared.inbox.nudge();
        self.attached = true;
    }
}

/// Parses what was stored of a delivery.
fn decode(grant: Grant, now: Ticks) -> Result<Leased, serde_json::Error> {
    let alert = match (grant.alert, grant.stored.alert) {
        (Some(alert), _) => alert,
        (None, json) => Arc::new(serde_json::from_str::<Alert>(&json.unwrap_or_default())?),
    };
    let progress = match grant.stored.progress {
        Some(json) => serde_json::from_str(&json)?,
        None => Progress::new(&grant.pipeline),
    };
    Ok(Leased {
        id: grant.lease.id,
        lease: grant.lease,
        alert,
        route: grant.route,
        progress,
        handler: grant.handler,
        priority: grant.priority,
        after_crash: grant.after_crash,
        woken: grant.woken,
        age: Duration::from_millis(now.saturating_sub(grant.since).max(0).unsigned_abs()),
    })
}
