//! Takes deliveries out of the queue, each with a slot and a lease that is already on disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::alert::Alert;

use super::Queue;
use super::clock::Ticks;
use super::sqlite::Handed;
use super::types::{Leased, Next, Progress, Settlement, Stay, StepStatus};

/// The one end at which deliveries come out.
#[derive(Debug)]
pub struct Leases {
    pub(super) handed: mpsc::UnboundedReceiver<Vec<Handed>>,
    /// What came and was not taken out yet, for want of a slot too.
    pub(super) waiting: VecDeque<Handed>,
    /// A slot was freed: one that waits may have it.
    pub(super) slot_freed: Arc<Notify>,
    pub(super) queue: super::WeakQueue,
}

impl Leases {
    /// Waits for the next delivery; returns nothing once the queue is closed.
    ///
    /// Whoever takes it out settles it, and releases its slot when its invocation has ended.
    pub async fn next(&mut self) -> Option<Leased> {
        loop {
            let (queue, handed) = self.with_slot().await?;
            let (id, token) = (handed.grant.id, handed.grant.token);
            let handler = handed.grant.handler.clone();
            let shared = &queue.inner.shared;
            let started = shared.scheduler.lock().start(id, token, &handler);
            let (next, progress) = match read(handed, shared.clock.ticks()) {
                Ok(leased) if started => return Some(leased),
                // Given up on its way here: its lane is held until somebody settles it.
                Ok(leased) => (Next::Done, leased.progress),
                Err(error) => {
                    tracing::error!(delivery = %id, %error, "delivery {id} cannot be read from the store");
                    let why = format!("what is stored of it cannot be read: {error}");
                    (Next::Dead(why), Progress::default())
                }
            };
            if started {
                queue.release_slot(&handler, Stay::Long);
            } else {
                shared.inbox.nudge();
            }
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

    /// Waits for a lease for which there is a slot.
    async fn with_slot(&mut self) -> Option<(Queue, Handed)> {
        loop {
            if !self.waiting.is_empty() {
                let queue = self.queue.upgrade()?;
                let place = {
                    let scheduler = queue.inner.shared.scheduler.lock();
                    let has_slot = |handed: &Handed| scheduler.has_slot(&handed.grant.handler);
                    self.waiting.iter().position(has_slot)
                };
                if let Some(handed) = place.and_then(|place| self.waiting.remove(place)) {
                    return Some((queue, handed));
                }
            }
            tokio::select! {
                group = self.handed.recv() => self.waiting.extend(group?),
                () = self.slot_freed.notified() => {}
            }
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
