//! Takes deliveries out of the queue, each with a slot and a lease that is already on disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::alert::Alert;

use super::clock::Ticks;
use super::sqlite::Handed;
use super::types::{Leased, Next, Progress, Settlement, StepStatus};

/// The one end at which deliveries come out.
#[derive(Debug)]
pub struct Leases {
    pub(super) handed: mpsc::UnboundedReceiver<Vec<Handed>>,
    /// What came with the last group and was not taken out yet.
    pub(super) waiting: VecDeque<Handed>,
    pub(super) queue: super::WeakQueue,
}

impl Leases {
    /// Waits for the next delivery; returns nothing once the queue is closed.
    ///
    /// Whoever takes it out settles it, and releases its slot when its invocation has ended.
    pub async fn next(&mut self) -> Option<Leased> {
        loop {
            let handed = loop {
                if let Some(handed) = self.waiting.pop_front() {
                    break handed;
                }
                self.waiting.extend(self.handed.recv().await?);
            };
            let queue = self.queue.upgrade()?;
            let (id, token) = (handed.grant.id, handed.grant.token);
            let handler = handed.grant.handler.clone();
            let ticks = queue.inner.shared.clock.ticks();
            let (next, progress) = match read(handed, ticks) {
                Ok(leased) if queue.inner.shared.scheduler.lock().start(id, token) => {
                    return Some(leased);
                }
                // Given up on its way here: its lane is held until somebody settles it.
                Ok(leased) => (Next::Done, leased.progress),
                Err(error) => {
                    tracing::error!(delivery = %id, %error, "delivery {id} cannot be read from the store");
                    let why = format!("what is stored of it cannot be read: {error}");
                    (Next::Dead(why), Progress::default())
                }
            };
            queue.release_slot(&handler);
            queue.settle(Settlement {
                id,
                token,
                next,
                progress,
                story: None,
                last_error: None,
            });
        }
    }
}

fn read(handed: Handed, now: Ticks) -> Result<Leased, serde_json::Error> {
    let grant = handed.grant;
    let alert = match (grant.alert, handed.json) {
        (Some(alert), _) => alert,
        (None, json) => Arc::new(serde_json::from_str::<Alert>(&json.unwrap_or_default())?),
    };
    let progress = match handed.progress {
        Some(json) => serde_json::from_str(&json)?,
        None => Progress::new(&grant.pipeline),
    };
    let unfinished = |step: u32| {
        let step = usize::try_from(step)
            .ok()
            .and_then(|i| progress.steps.get(i));
        step.is_some_and(|s| s.status == StepStatus::Pending)
    };
    let mut journal = handed.journal;
    journal.retain(|(step, _)| unfinished(*step));
    Ok(Leased {
        id: grant.id,
        token: grant.token,
        alert,
        route: grant.route,
        progress,
        journal,
        handler: grant.handler,
        lease: grant.lease,
        after_crash: grant.after_crash,
        age: Duration::from_millis(now.saturating_sub(grant.since).max(0).unsigned_abs()),
    })
}
