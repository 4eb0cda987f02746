//! What a worker asks for while it holds deliveries.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use alert_manager_core::alert::{DeliveryId, HandlerName, Timestamp};
use alert_manager_core::journal::{Dependency, Ledger, Recorded};

use super::Queue;
use super::commit::inbox::{Settle, Urgent};
use super::failpoint::Failpoint;
use super::ledger::StepLedger;
use super::model::clock::{self, Ticks};
use super::model::{
    Clock, Lease, Leased, NOT_SENT, Next, Progress, ReadError, Reason, Settlement, Step, StepStatus,
    Wake,
};
use super::rules::settle::Outcome;

/// The longest error text that is kept with a delivery, in bytes. The whole of it is in the story.
const ERROR_BYTES_MAX: usize = 4_096;

impl Queue {
    /// Returns where the calls of one step of a leased delivery are recorded.
    #[must_use]
    pub fn ledger(&self, lease: Lease, step: u32, handler: &HandlerName) -> Arc<dyn Ledger> {
        Arc::new(StepLedger {
            inner: Arc::clone(&self.inner),
            lease,
            step,
            handler: handler.clone(),
        })
    }

    /// Returns what earlier attempts of a step recorded. Read only when the step has its permit: what waits for one holds
    /// no record in memory.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn recorded(&self, id: DeliveryId, step: u32) -> Result<Recorded, ReadError> {
        self.inner
            .read(move |inner| inner.reader.recorded(id, step))
            .await
    }

    /// Returns a step's own random seed: the same on every attempt, unknown outside of this store.
    #[must_use]
    pub fn seed(&self, id: DeliveryId, step: u32) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.inner.shared.secret)
            .chain_update(id.as_raw().to_be_bytes())
            .chain_update(step.to_be_bytes())
            .finalize()
            .into()
    }

    /// Frees a permit of `handler`: to be called once for every permit taken, as soon as the invocation ends.
    pub fn release_permit(&self, handler: &HandlerName) {
        let shared = &self.inner.shared;
        let is_awaited = shared.scheduler.lock().release_permit(handler);
        if is_awaited {
            shared.inbox.nudge();
        }
    }

    /// Takes a permit of `handler` for a delivery that is leased already; false if none is free for it or
    /// others have one first: settle with [`Next::Yield`] then. What cannot run now, since a suspect runs alone, does not wait.
    #[must_use]
    pub fn try_take_permit(&self, lease: Lease, handler: &HandlerName) -> bool {
        let shared = &self.inner.shared;
        let now = shared.clock.ticks();
        let mut scheduler = shared.scheduler.lock();
        scheduler.try_take_permit(lease, handler, now)
    }

    /// Stores how far a leased delivery is, without waiting.
    pub fn progress(&self, lease: Lease, progress: &Progress) {
        self.inner.shared.inbox.push(Urgent::Progress {
            lease,
            progress: to_json(progress),
        });
    }

    /// Ends a lease, without waiting: it is stored in the order of calls, and tried again until it is.
    pub fn settle(&self, settlement: Settlement) {
        if Failpoint::DiesBeforeSettling.is_set() {
            std::process::abort();
        }
        self.settle_for(settlement, Reason::Handled);
    }

    /// Ends a lease; `done` is why, if the delivery is done with it.
    fn settle_for(&self, settlement: Settlement, done: Reason) {
        let shared = &self.inner.shared;
        let mut last_error = settlement.last_error;
        let outcome = match settlement.next {
            Next::Done => Outcome::Ended(done),
            Next::Dead(reason) => {
                last_error = Some(reason).filter(|r| !r.is_empty()).or(last_error);
                Outcome::Ended(Reason::Failed)
            }
            Next::Expired(reason) => {
                last_error = Some(reason).filter(|r| !r.is_empty()).or(last_error);
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
            } => Outcome::Park {
                handler,
                parked,
                is_clean,
                due: next_due(&settlement.progress, &shared.clock),
                waits_for: settlement.progress.waits_for(),
            },
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
        }));
    }

    /// Ends a notice that is not to be sent, since it is out of date.
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

    /// Makes due what waits for `dependency`, which is back; or one of those, which finds out whether it is.
    pub fn wake(&self, dependency: &Dependency, which: Wake) {
        let shared = &self.inner.shared;
        let now = shared.clock.ticks();
        if shared.scheduler.lock().wake(dependency, which, now) > 0 {
            shared.inbox.nudge();
        }
    }

    /// Returns what deliveries wait for, besides their time.
    #[must_use]
    pub fn awaited(&self) -> Vec<Dependency> {
        self.inner.shared.scheduler.lock().awaited()
    }
}

/// Returns when the next step is due that waits for its time, and whose permit it needs.
fn next_due(progress: &Progress, clock: &Clock) -> Option<(Ticks, HandlerName)> {
    let now = clock.now();
    let later = |step: &Step| Some((step.not_before.filter(|at| *at > now)?, step.handler.clone()));
    let pending = progress.steps.iter();
    let pending = pending.filter(|step| step.status == StepStatus::Pending);
    let (at, handler) = pending.filter_map(later).min_by_key(|(at, _)| *at)?;
    Some((clock.ticks_after(wait(now, at)), handler))
}

fn wait(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

fn to_json(progress: &Progress) -> String {
    // Strings, numbers and lists: there is nothing in it that JSON cannot hold.
    serde_json::to_string(progress).unwrap_or_else(|_| r#"{"steps":[]}"#.into())
}

/// Shortens a text at a character's boundary.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}
