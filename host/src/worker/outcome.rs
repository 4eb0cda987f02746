//! What becomes of a step after one try: pure decisions, so that their tests are tables.

use std::time::Duration;

use jiff::SignedDuration;

use super::settings::{EnrichBudget, Retry};
use crate::alert::{StepKind, Timestamp};
use crate::journal::Dependency;
use crate::queue::{Next, Progress, Step, StepStatus, Wake, Woken};
use crate::runtime::{Hold, StepFailure};

/// Traps, exits and limits met that end a step: the second shows that it was no accident.
const TRAPS_MAX: u32 = 2;

/// Failures of the host itself (a shutdown, a store that cannot be read) that end an enrichment: they use up no attempt, but
/// an enrichment is tried again at once, and must not be for ever.
const HOST_FAILURES_MAX: u32 = 10;

/// How long after a failure of the host itself (a store that cannot record) a step is tried again.
const HOST_RETRY: Duration = Duration::from_secs(1);

/// However often a step has ended, what it asks to wait is not raised above this: a handler that waits for its turn at
/// Slack says exactly when that is.
const AFTER_FLOOR_MAX: Duration = Duration::from_secs(30);

/// How long a notice about a dead letter is tried on one way while another is free, and until when at the latest if it was
/// asked to wait.
const WAY_AGE_MAX: Duration = Duration::from_secs(2 * 60);
const WAY_ASKED_AGE_MAX: Duration = WAY_AGE_MAX.saturating_mul(3);

/// What a decision depends on besides the failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// The time.
    pub(super) now: Timestamp,
    /// How long ago the alert was accepted: `max_age` counts from there.
    pub(super) age: Duration,
    /// Between 0 and 1: where in its range a backoff falls.
    pub(super) jitter: f64,
}

/// Writes what an actor's failure means into its step: another try later, or the end.
fn actor_failed(step: &mut Step, failure: &StepFailure, policy: &Retry, at: Circumstances) {
    step.last_error = Some(failure.to_string());
    let wait = match failure {
        StepFailure::Permanent(_) => None,
        StepFailure::Retryable { after, .. } => {
            step.attempts += 1;
            let asked = after.map_or(Duration::ZERO, |after| {
                after.max(after_floor(policy, step.attempts))
            });
            (step.attempts < policy.attempts_max)
                .then(|| backoff(policy, step.attempts, at.jitter).max(asked))
        }
        StepFailure::Trap(_) | StepFailure::Limit(_) => {
            step.attempts += 1;
            step.traps += 1;
            (step.traps < TRAPS_MAX && step.attempts < policy.attempts_max)
                .then(|| backoff(policy, step.attempts, at.jitter))
        }
        // What it waits for has said how long: a place in Slack's queue is no reason to wait ever longer. But nothing
        // else bounds how often a handler is told to wait next to no time.
        StepFailure::Unavailable {
            after: Some(after), ..
        } => {
            step.unavailable += 1;
            let asked = *after + policy.backoff_min.mul_f64(at.jitter.clamp(0.0, 1.0));
            Some(asked.max(after_floor(policy, step.unavailable)))
        }
        StepFailure::Unavailable { after: None, .. } | StepFailure::Timeout(_) => {
            step.unavailable += 1;
            Some(backoff(policy, step.unavailable, at.jitter))
        }
        StepFailure::Host(_) => Some(HOST_RETRY),
    };
    let reason = match failure {
        StepFailure::Permanent(_) => failure.to_string(),
        _ => format!("gave up after {} attempts: {failure}", step.attempts),
    };
    match wait {
        Some(wait) => wait_or_age(step, wait, policy, at),
        None => give_up(step, &reason),
    }
}

/// What a step met outside of the server, if it failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    /// Slack refuses it until the operator mends that.
    pub(super) hold: Option<Hold>,
    /// What did not answer last.
    pub(super) needs: Option<Dependency>,
    /// What it was woken for: that was back.
    pub(super) woken: Vec<Woken>,
}

impl Met {
    /// Returns true if this was back for all that waited for it, and the step failed for it nevertheless: it then waits for
    /// its time. A dependency that answers some and not others is not to have all of them back at each answer. One that was
    /// to find out waits on with the others.
    fn in_vain(&self, dependency: &Dependency) -> bool {
        let mut woken = self.woken.iter();
        woken.any(|(back, wake)| back == dependency && *wake == Wake::All)
    }
}

/// Writes what an actor's failure means into its step, given what it met: whatever the handler made of that.
pub(super) fn actor_ended(
    step: &mut Step,
    failure: &StepFailure,
    met: &Met,
    policy: &Retry,
    at: Circumstances,
) {
    let other = met.needs.as_ref();
    let other = other.filter(|needs| matches!(needs, Dependency::Origin(_)));
    let waits_for = match (&met.hold, other) {
        (Some(hold), None) => {
            actor_held(step, hold, policy, at);
            return;
        }
        (Some(hold), Some(other)) => {
            // It went on after the hold, and then this did not answer: neither is its own mistake. A trap is.
            let excused = StepFailure::Unavailable {
                message: failure.to_string(),
                after: None,
            };
            let is_its_own = matches!(failure, StepFailure::Trap(_) | StepFailure::Limit(_));
            let failure = if is_its_own { failure } else { &excused };
            actor_failed(step, failure, policy, at);
            vec![hold.dependency(), other.clone()]
        }
        (None, _) => {
            actor_failed(step, failure, policy, at);
            let is_due_to_others = may_be_due_to_others(failure);
            let needs = met.needs.iter().filter(|_| is_due_to_others);
            needs.cloned().collect()
        }
    };
    if step.not_before.is_some() {
        step.waits_for = waits_for;
        step.waits_for.retain(|d| !met.in_vain(d));
    }
}

/// Lets an actor wait for what only the operator can mend, for as long as its alert may get old. It uses no attempt: a probe
/// finds out when it goes on.
fn actor_held(step: &mut Step, hold: &Hold, policy: &Retry, at: Circumstances) {
    step.last_error = Some(hold.to_string());
    wait_or_age(step, policy.age_max, policy, at);
    if step.status == StepStatus::Pending {
        step.waits_for = vec![hold.dependency()];
    }
}

/// Returns how long somebody has said to wait.
fn asked_wait(failure: &StepFailure) -> Option<Duration> {
    match failure {
        StepFailure::Retryable { after, .. } | StepFailure::Unavailable { after, .. } => *after,
        _ => None,
    }
}

/// Returns true if a notice of this age is to leave its way for another one that is free. One that was asked to wait has a
/// place in a queue and is let through at that time, so it stays for longer, but not for ever.
pub(super) fn should_leave_way(failure: &StepFailure, age: Duration) -> bool {
    match asked_wait(failure) {
        None => age >= WAY_AGE_MAX,
        Some(wait) => age.saturating_add(wait) > WAY_ASKED_AGE_MAX,
    }
}

/// Returns true if a failure may be due to what did not answer: not if somebody has said how long to wait.
fn may_be_due_to_others(failure: &StepFailure) -> bool {
    match failure {
        StepFailure::Retryable { .. } | StepFailure::Unavailable { .. } => {
            asked_wait(failure).is_none()
        }
        StepFailure::Timeout(_) => true,
        StepFailure::Permanent(_)
        | StepFailure::Trap(_)
        | StepFailure::Limit(_)
        | StepFailure::Host(_) => false,
    }
}

/// Lets a step wait, but not past the age that ends it: then it is given up.
pub(super) fn wait_or_age(step: &mut Step, wait: Duration, policy: &Retry, at: Circumstances) {
    let Some(left) = policy
        .age_max
        .checked_sub(at.age)
        .filter(|left| !left.is_zero())
    else {
        let reason = format!(
            "not done within {} (retry.max_age): {}",
            crate::units::format_duration(policy.age_max),
            step.last_error.as_deref().unwrap_or("no reason given")
        );
        give_up(step, &reason);
        return;
    };
    step.not_before = Some(later(at.now, wait.min(left)));
}

/// Writes what an enrichment's failure means into its step: another try at once, or a fact for the actors.
pub(super) fn enrichment_failed(
    step: &mut Step,
    failure: &StepFailure,
    policy: &EnrichBudget,
    used_by_all: Duration,
) {
    step.last_error = Some(failure.to_string());
    // What the server did to it, such as a shutdown, uses up no attempt.
    match failure {
        StepFailure::Host(_) => step.unavailable += 1,
        _ => step.attempts += 1,
    }
    let worth_another = match failure {
        StepFailure::Retryable { after, .. } | StepFailure::Unavailable { after, .. } => {
            // A wait would hold the notification back: only what may be tried at once is.
            after.is_none_or(|wait| wait.is_zero())
        }
        StepFailure::Trap(_) | StepFailure::Limit(_) => true,
        StepFailure::Host(_) => step.unavailable < HOST_FAILURES_MAX,
        StepFailure::Permanent(_) | StepFailure::Timeout(_) => false,
    };
    if !worth_another || step.attempts >= policy.attempts_max || used_by_all >= policy.within {
        step.status = StepStatus::Failed;
    }
}

/// Ends a step that is not to be tried again.
pub(super) fn give_up(step: &mut Step, reason: &str) {
    step.status = StepStatus::Failed;
    step.not_before = None;
    step.waits_for.clear();
    step.last_error = Some(reason.to_owned());
}

/// Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): anywhere between nothing and the
/// doubled wait, so that what failed together does not come back together.
fn backoff(policy: &Retry, tries: u32, jitter: f64) -> Duration {
    policy
        .backoff_min
        .saturating_mul(2u32.saturating_pow(tries.saturating_sub(1)))
        .min(policy.backoff_max)
        .mul_f64(jitter.clamp(0.0, 1.0))
}

/// Returns the least that a handler waits which has asked to wait for the so manieth time: it doubles each time, so that
/// one that always asks for next to nothing costs less and less.
fn after_floor(policy: &Retry, ends: u32) -> Duration {
    backoff(policy, ends, 1.0).min(AFTER_FLOOR_MAX)
}

/// Returns the moment `wait` after `now`.
pub(super) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| now.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}

/// Returns how a delivery stands at the end of a lease, by its steps.
pub(super) fn next(progress: &Progress) -> Next {
    let waiting = progress
        .steps
        .iter()
        .filter(|step| step.status == StepStatus::Pending)
        .min_by_key(|step| step.not_before);
    if let Some(step) = waiting {
        let handler = step.handler.clone();
        return match step.not_before {
            Some(until) => Next::Retry { until, handler },
            None => Next::Yield { handler },
        };
    }
    let dead = progress
        .steps
        .iter()
        .find(|step| step.kind == StepKind::Act && step.status == StepStatus::Failed);
    match dead {
        Some(step) => Next::Dead(format!(
            "{}: {}",
            step.handler,
            step.last_error.as_deref().unwrap_or("failed")
        )),
        None => Next::Done,
    }
}

#[cfg(test)]
mod tests;
