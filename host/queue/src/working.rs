//! What a worker requests while it has deliveries under lease.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use alert_manager_core::alert::{DeliveryId, HandlerName, Timestamp};
use alert_manager_core::journal::{Dependency, Ledger, Recorded};

use super::Queue;
use super::commit::inbox::{Settle, Urgent};
use super::failpoint::Failpoint;
use super::ledger::StepLedger;
use super::model::clock::{self, Ticks};
use super::model::{
    Clock, Lease, Leased, NOT_SENT, Next, Progress, ReadError, Reason, Settlement, Step,
    StepStatus, Wake,
};
use super::rules::settle::{Outcome, Park};

/// The longest `last_error` of a delivery, in bytes. The story has the whole text.
const ERROR_BYTES_MAX: usize = 4_096;

impl Queue {
    /// Returns the ledger that records the calls of one step of a leased delivery.
    #[must_use]
    pub fn ledger(&self, lease: Lease, step: u32, handler: &HandlerName) -> Arc<dyn Ledger> {
        Arc::new(StepLedger {
            inner: Arc::clone(&self.inner),
            lease,
            step,
            handler: handler.clone(),
            updates: Mutex::new(None),
        })
    }

    /// Returns what earlier attempts of a step have recorded. To be called once the step has its permit, so that waiting deliveries
    /// keep no records in memory.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn recorded(&self, id: DeliveryId, step: u32) -> Result<Recorded, ReadError> {
        self.inner
            .read(move |inner| inner.reader.recorded(id, step))
            .await
    }

    /// Returns the random seed of a step. It is derived from the store's secret, and is the same on every attempt.
    #[must_use]
    pub fn seed(&self, id: DeliveryId, step: u32) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.inner.shared.secret)
            .chain_update(id.as_raw().to_be_bytes())
            .chain_update(step.to_be_bytes())
            .finalize()
            .into()
    }

    /// Releases a permit of `handler`. To be called once for every permit, as soon as the invocation has ended.
    pub fn release_permit(&self, handler: &HandlerName) {
        let shared = &self.inner.shared;
        let can_lease = shared.scheduler.lock().release_permit(handler);
        if can_lease {
            shared.inbox.nudge();
        }
    }

    /// Takes a permit of `handler` for a delivery that is leased already. Returns false if none is free for it, or if other
    /// deliveries have one before it: then settle with [`Next::Yield`]. While a suspect runs alone, other deliveries do not count.
    #[must_use]
    pub fn try_take_permit(&self, lease: Lease, handler: &HandlerName) -> bool {
        let shared = &self.inner.shared;
        let now = shared.clock.ticks();
        let mut scheduler = shared.scheduler.lock();
        scheduler.try_take_permit(lease, handler, now)
    }

    /// Stores the progress of a leased delivery. Does not wait for it.
    pub fn progress(&self, lease: Lease, progress: &Progress) {
        self.inner.shared.inbox.push(Urgent::Progress {
            lease,
            progress: to_json(progress),
        });
    }

    /// Ends a lease. Does not wait: the settlement is stored in the order of calls, and retried until it is.
    pub fn settle(&self, settlement: Settlement) {
        if Failpoint::DiesBeforeSettling.is_set() {
            std::process::abort();
        }
        self.settle_for(settlement, Reason::Handled);
    }

    /// Ends a lease; `if_done` is the reason if the delivery is done.
    fn settle_for(&self, settlement: Settlement, if_done: Reason) {
        let shared = &self.inner.shared;
        let mut last_error = settlement.last_error;
        let mut waited_for = None;
        let outcome = match settlement.next {
            Next::Done => Outcome::Ended(if_done),
            Next::Dead(reason) => {
                last_error = Some(reason).filter(|r| !r.is_empty()).or(last_error);
                Outcome::Ended(Reason::Failed)
            }
            Next::Expired(reason) => {
                last_error = Some(reason).filter(|r| !r.is_empty()).or(last_error);
                waited_for = settlement.progress.waited_for();
                Outcome::Ended(Reason::Expired)
            }
            Next::Retry { until, handler } => Outcome::Wait {
                handler,
                due: shared.clock.ticks_after(wait(shared.clock.now(), until)),
                not_before: Some(clock::millis_up(until)),
                waits_for: settlement.progress.waits_for(),
            },
            Next::Park {
                handler,
                parked,
                is_clean,
                expires_in,
            } => Outcome::Park(Box::new(Park {
                due: next_due(&settlement.progress, &shared.clock)
                    .into_iter()
                    .chain(expires_in.map(|age| (shared.clock.ticks_after(age), handler.clone())))
                    .min_by_key(|(at, _)| *at),
                handler,
                parked,
                is_clean,
                waits_for: settlement.progress.waits_for(),
            })),
            Next::Yield { handler } => Outcome::Wait {
                handler,
                due: Ticks::MIN,
                not_before: None,
                waits_for: Vec::new(),
            },
        };
        shared.inbox.push(Urgent::Settle(Settle {
            lease: settlement.lease,
            outcome,
            progress: to_json(&settlement.progress),
            alert: settlement.alert,
            story: settlement.story,
            last_error: last_error.map(|text| cut(text, ERROR_BYTES_MAX)),
            waited_for,
        }));
    }

    /// Ends a notice without sending it, because it is out of date.
    pub fn leave_out(&self, leased: Leased) {
        let settlement = Settlement {
            lease: leased.lease,
            next: Next::Done,
            progress: leased.progress,
            alert: Some(leased.alert),
            story: None,
            last_error: Some(NOT_SENT.to_owned()),
        };
        self.settle_for(settlement, Reason::Outdated);
    }

    /// Wakes the deliveries that wait for `dependency`: all of them if it has recovered, or one as a probe.
    pub fn wake(&self, dependency: &Dependency, which: Wake) {
        let shared = &self.inner.shared;
        let now = shared.clock.ticks();
        if shared.scheduler.lock().wake(dependency, which, now) > 0 {
            shared.inbox.nudge();
        }
    }

    /// Returns the dependencies that deliveries wait for.
    #[must_use]
    pub fn awaited(&self) -> Vec<Dependency> {
        self.inner.shared.scheduler.lock().awaited()
    }
}

/// Returns when the next step is due that waits for its time, and whose permit it needs.
fn next_due(progress: &Progress, clock: &Clock) -> Option<(Ticks, HandlerName)> {
    let now = clock.now();
    let later = |step: &Step| {
        Some((
            step.not_before.filter(|at| *at > now)?,
            step.handler.clone(),
        ))
    };
    let pending = progress.steps.iter();
    let pending = pending.filter(|step| step.status == StepStatus::Pending);
    let (at, handler) = pending.filter_map(later).min_by_key(|(at, _)| *at)?;
    Some((clock.ticks_after(wait(now, at)), handler))
}

fn wait(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

fn to_json(progress: &Progress) -> String {
    // Progress has only strings, numbers and lists, so this cannot fail.
    serde_json::to_string(progress).unwrap_or_else(|_| r#"{"steps":[]}"#.into())
}

/// Truncates a text at a character's boundary, with an ellipsis.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}
