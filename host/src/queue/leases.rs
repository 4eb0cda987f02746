//! Takes deliveries out of the queue, each with a slot and a lease that is already on disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::alert::Alert;

use super::Queue;
use super::clock::Ticks;
use super::sqlite::Handed;
use super::types::{Leased, Next, Progress, Settlement, Stay};

/// How long a lease waits for its slot, where it was given ahead of one: past that the handler's invocations are not brief
/// any more, and the delivery waits in the queue, where urgency and patience count.
pub(super) const AHEAD_FOR: Duration = Duration::from_millis(100);

/// The one end at which deliveries come out.
#[derive(Debug)]
pub struct Leases {
    pub(super) handed: mpsc::UnboundedReceiver<Vec<Handed>>,
    /// What came and was not taken out yet, for want of a slot too, and when it came.
    pub(super) waiting: VecDeque<(Instant, Handed)>,
    /// One that waits may have become startable.
    pub(super) startable: Arc<Notify>,
    /// How long one waits for its slot at most.
    pub(super) ahead_for: Duration,
    /// The scheduler knows that somebody takes deliveries out.
    pub(super) attached: bool,
    pub(super) queue: super::WeakQueue,
}

impl Leases {
    /// Waits for the next delivery; returns nothing once the queue is closed. Nothing is leased before this is first polled.
    ///
    /// Whoever takes it out settles it, and releases its slot when its invocation has ended.
    pub async fn next(&mut self) -> Option<Leased> {
        self.attach();
        loop {
            let (queue, handed) = self.take().await?;
            let (id, token) = (handed.grant.id, handed.grant.token);
            let handler = handed.grant.handler.clone();
            let shared = &queue.inner.shared;
            let started = shared.scheduler.lock().start(&handed.grant);
            let (next, progress) = match read(handed, shared.clock.ticks()) {
                Ok(leased) if started => return Some(leased),
                Ok(mut leased) => {
                    if leased.after_crash {
                        leased.progress.interrupt(leased.lease.saturating_sub(1));
                    }
                    leased.progress.end_lease(leased.lease);
                    let handler = handler.clone();
                    (Next::Yield { handler }, leased.progress)
                }
                Err(error) => {
                    tracing::error!(delivery = %id, %error, "delivery {id} cannot be read from the store");
                    let why = format!("what is stored of it cannot be read: {error}");
                    (Next::Dead(why), Progress::default())
                }
            };
            if started {
                queue.release_slot(&handler, Stay::Long);
            }
            // Where it was given up on its way here, this ends it: its lane is held until somebody does.
            queue.settle(Settlement {
                id,
                token,
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

    /// Waits for a lease that can be started, or has waited for too long.
    async fn take(&mut self) -> Option<(Queue, Handed)> {
        loop {
            if !self.waiting.is_empty() {
                let queue = self.queue.upgrade()?;
                if let Some(handed) = self.pick(&queue) {
                    return Some((queue, handed));
                }
            }
            let oldest = self
                .waiting
                .front()
                .map(|(since, _)| *since + self.ahead_for);
            let too_long = async {
                match oldest {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                group = self.handed.recv() => {
                    let now = Instant::now();
                    self.waiting.extend(group?.into_iter().map(|handed| (now, handed)));
                }
                () = self.startable.notified() => {}
                () = too_long => {}
            }
        }
    }

    /// Takes out the most urgent of those that can be started, else one that has waited for too long.
    fn pick(&mut self, queue: &Queue) -> Option<Handed> {
        let startable = {
            let scheduler = queue.inner.shared.scheduler.lock();
            let waiting = self.waiting.iter().enumerate();
            waiting
                .filter(|(_, (_, handed))| scheduler.is_startable(&handed.grant))
                .min_by_key(|(place, (_, handed))| (handed.grant.priority, *place))
                .map(|(place, _)| place)
        };
        let place = startable.or_else(|| {
            let (since, _) = self.waiting.front()?;
            (since.elapsed() >= self.ahead_for).then_some(0)
        })?;
        self.waiting.remove(place).map(|(_, handed)| handed)
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
    Ok(Leased {
        id: grant.id,
        token: grant.token,
        alert,
        route: grant.route,
        progress,
        handler: grant.handler,
        lease: grant.lease,
        after_crash: grant.after_crash,
        woken: grant.woken,
        age: Duration::from_millis(now.saturating_sub(grant.since).max(0).unsigned_abs()),
    })
}
