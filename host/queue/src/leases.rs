//! Takes deliveries out of the queue, each with a permit and a lease that is already on disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use alert_manager_core::alert::Alert;

use super::commit::Handed;
use super::model::clock::Ticks;
use super::model::{Leased, Next, Progress, Settlement};

/// The one end at which deliveries come out.
#[derive(Debug)]
pub struct Leases {
    pub(super) handed: mpsc::UnboundedReceiver<Handed>,
    /// The scheduler knows that somebody takes deliveries out.
    pub(super) attached: bool,
    pub(super) queue: super::WeakQueue,
}

impl Leases {
    /// Waits for the next delivery; returns nothing once the queue is closed. Nothing is leased before this is first polled.
    ///
    /// Whoever takes it out settles it, and releases its permit when its invocation has ended.
    pub async fn next(&mut self) -> Option<Leased> {
        self.attach();
        loop {
            let handed = self.handed.recv().await?;
            let queue = self.queue.upgrade()?;
            let lease = handed.grant.lease;
            let id = lease.id;
            let handler = handed.grant.handler.clone();
            let shared = &queue.inner.shared;
            let started = shared.scheduler.lock().start(lease);
            let (next, progress) = match read(handed, shared.clock.ticks()) {
                Ok(leased) if started => return Some(leased),
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
            // If it was cancelled on its way here, this ends it: its ordering key is held until somebody does.
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

    /// Lets leases be given from now on. Before that a delivery would count as running, though nobody ran it: a server that
    /// is killed while it starts would then blame it.
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

fn read(handed: Handed, now: Ticks) -> Result<Leased, serde_json::Error> {
    let grant = handed.grant;
    let alert = match (grant.alert, handed.contents.alert) {
        (Some(alert), _) => alert,
        (None, json) => Arc::new(serde_json::from_str::<Alert>(&json.unwrap_or_default())?),
    };
    let progress = match handed.contents.progress {
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
