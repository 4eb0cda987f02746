//! Decides the outcome of a step after an attempt. Makes no I/O.

use std::time::Duration;

use jiff::SignedDuration;

use super::settings::{EnrichBudget, Retry};
use crate::alert::{StepKind, Timestamp};
use crate::journal::Dependency;
use crate::queue::{Next, Progress, Step, StepStatus, Wake, Woken};
use crate::runtime::{SlackHold, StepFailure};

/// How many traps, exits and exceeded limits end a step: a second one shows that the first was no accident.
const TRAPS_MAX: u32 = 2;

/// How many failures of the host itself (a shutdown, a store that cannot be read) end an enrichment. They do not count as
/// attempts, but an enrichment is retried at once and must not be retried for ever.
const HOST_FAILURES_MAX: u32 = 10;

/// How long after a failure of the host itself (a store that cannot record) a step is retried.
const HOST_RETRY: Duration = Duration::from_secs(1);

/// The greatest minimum for a wait that a handler asks for, however often it has asked: a handler that is held by Slack's rate
/// limiter asks for exactly the right time.
const AFTER_FLOOR_MAX: Duration = Duration::from_secs(30);

/// How long a notice about a dead letter is tried on one way while another is free, and how long at most if it was asked to
/// wait.
const WAY_AGE_MAX: Duration = Duration::from_secs(2 * 60);
const WAY_ASKED_AGE_MAX: Duration = WAY_AGE_MAX.saturating_mul(3);

/// What a decision depends on besides the failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// The current time.
    pub(super) now: Timestamp,
    /// The time since the alert was accepted, which `max_age` limits.
    pub(super) age: Duration,
    /// Between 0 and 1: the position of a backoff in its range.
    pub(super) jitter: f64,
}

/// Updates an actor's step after a failure: it is retried later, or ends.
fn actor_failed(step: &mut Step, failure: &StepFailure, policy: &Retry, at: Circumstances) {
    step.last_error = Some(failure.to_string());
    let wait = match failure {
        StepFailure::Permanent(_) => {
            step.attempts += 1;
            None
        }
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
        // A wait that was asked for, such as for Slack's rate limiter, does not grow with the attempts. But a handler that
        // asks for very short waits must be bounded by something.
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
        StepFailure::Host(_) | StepFailure::Parked(_) => Some(HOST_RETRY),
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

/// The circumstances outside the server that a step met.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    /// Slack rejects the channel or the token until the operator fixes that.
    pub(super) hold: Option<SlackHold>,
    /// The last dependency that did not answer.
    pub(super) unanswered: Option<Dependency>,
    /// The recovered dependencies for which the step was woken.
    pub(super) woken: Vec<Woken>,
}

impl Met {
    /// Returns true if the step was woken because this dependency answered again, and failed for it nevertheless: it then waits
    /// until its own time, because a dependency that answers only some requests must not wake all steps each time. A step that
    /// was the probe keeps waiting with the others.
    fn was_woken_by(&self, dependency: &Dependency) -> bool {
        let mut woken = self.woken.iter();
        woken.any(|(back, wake)| back == dependency && *wake == Wake::All)
    }
}

/// Updates an actor's step after a failure, given the circumstances, whatever the handler made of them.
pub(super) fn actor_ended(
    step: &mut Step,
    failure: &StepFailure,
    met: &Met,
    policy: &Retry,
    at: Circumstances,
) {
    let other = met.unanswered.as_ref();
    let other = other.filter(|dependency| matches!(dependency, Dependency::Origin(_)));
    let waits_for = match (&met.hold, other) {
        (Some(hold), None) => {
            actor_held(step, hold, policy, at);
            return;
        }
        (Some(hold), Some(other)) => {
            // It continued after the hold, and then this did not answer: neither is a mistake of its own. A trap is.
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
            // One that has become too old is reported with what did not answer, whether or not a wait was asked for.
            let is_due_to_others =
                may_be_due_to_others(failure) || (step.expired && asked_wait(failure).is_some());
            let unanswered = met.unanswered.iter().filter(|_| is_due_to_others);
            unanswered.cloned().collect()
        }
    };
    if step.expired {
        step.waits_for = waits_for;
    } else if step.not_before.is_some() {
        step.waits_for = waits_for;
        step.waits_for.retain(|d| !met.was_woken_by(d));
    }
}

/// Lets an actor wait for the operator, up to the age limit of its alert. The wait does not count as an attempt, and a probe
/// ends it.
fn actor_held(step: &mut Step, hold: &SlackHold, policy: &Retry, at: Circumstances) {
    step.last_error = Some(hold.to_string());
    wait_for(step, hold.dependency(), policy.age_max, policy, at);
}

/// Lets an actor wait for a dependency, or for so long. If it is too old, the dependency is what it waited for in vain.
pub(super) fn wait_for(
    step: &mut Step,
    dependency: Dependency,
    wait: Duration,
    policy: &Retry,
    at: Circumstances,
) {
    wait_or_age(step, wait, policy, at);
    step.waits_for = vec![dependency];
}

/// Returns the wait that was asked for, if any.
fn asked_wait(failure: &StepFailure) -> Option<Duration> {
    match failure {
        StepFailure::Retryable { after, .. } | StepFailure::Unavailable { after, .. } => *after,
        _ => None,
    }
}

/// Returns true if a notice of this age should be moved to another free way. If it was asked to wait, it has a reserved time,
/// so it stays longer, but not for ever.
pub(super) fn should_leave_way(failure: &StepFailure, age: Duration) -> bool {
    match asked_wait(failure) {
        None => age >= WAY_AGE_MAX,
        Some(wait) => age.saturating_add(wait) > WAY_ASKED_AGE_MAX,
    }
}

/// Returns whether a failure may be caused by a dependency that did not answer: not if a wait was asked for.
fn may_be_due_to_others(failure: &StepFailure) -> bool {
    match failure {
        StepFailure::Retryable { .. } | StepFailure::Unavailable { .. } => {
            asked_wait(failure).is_none()
        }
        StepFailure::Timeout(_) => true,
        StepFailure::Permanent(_)
        | StepFailure::Trap(_)
        | StepFailure::Limit(_)
        | StepFailure::Host(_)
        | StepFailure::Parked(_) => false,
    }
}

/// Lets a step wait, at most until the age limit, which ends it.
fn wait_or_age(step: &mut Step, wait: Duration, policy: &Retry, at: Circumstances) {
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
        step.expired = true;
        return;
    };
    step.not_before = Some(later(at.now, wait.min(left)));
}

/// Updates an enrichment's step after a failure: it is retried at once, or becomes a fact for the actors.
pub(super) fn enrichment_failed(
    step: &mut Step,
    failure: &StepFailure,
    policy: &EnrichBudget,
    used_by_all: Duration,
) {
    step.last_error = Some(failure.to_string());
    // What the server caused, such as a shutdown, does not count as an attempt.
    match failure {
        StepFailure::Host(_) => step.unavailable += 1,
        _ => step.attempts += 1,
    }
    let worth_another = match failure {
        StepFailure::Retryable { after, .. } | StepFailure::Unavailable { after, .. } => {
            // A wait would hold the notification back, so only a retry without one is made.
            after.is_none_or(|wait| wait.is_zero())
        }
        StepFailure::Trap(_) | StepFailure::Limit(_) => true,
        StepFailure::Host(_) => step.unavailable < HOST_FAILURES_MAX,
        StepFailure::Permanent(_) | StepFailure::Timeout(_) | StepFailure::Parked(_) => false,
    };
    if !worth_another || step.attempts >= policy.attempts_max || used_by_all >= policy.within {
        step.status = StepStatus::Failed;
    }
}

/// Ends a step whose alert has become too old while it waited at a gate; returns false if it has not.
pub(super) fn expired_in_turn(step: &mut Step, policy: &Retry, age: Duration) -> bool {
    let Some((_, gate)) = step.parked.as_ref().filter(|_| age >= policy.age_max) else {
        return false;
    };
    let max = crate::units::format_duration(policy.age_max);
    let why = format!("not done within {max} (retry.max_age): it waited for a rate limit ({gate})");
    give_up(step, &why);
    step.expired = true;
    true
}

/// Ends a step that is not retried.
pub(super) fn give_up(step: &mut Step, reason: &str) {
    step.status = StepStatus::Failed;
    step.not_before = None;
    step.waits_for.clear();
    step.last_error = Some(reason.to_owned());
}

/// Returns a backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): between zero and the doubled
/// wait, so that deliveries that failed together are not retried together.
fn backoff(policy: &Retry, tries: u32, jitter: f64) -> Duration {
    policy
        .backoff_min
        .saturating_mul(2u32.saturating_pow(tries.saturating_sub(1)))
        .min(policy.backoff_max)
        .mul_f64(jitter.clamp(0.0, 1.0))
}

/// Returns the minimum for the wait that a handler asks for, after so many earlier ones. It doubles each time, so that a
/// handler that always asks for a very short wait costs less and less.
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

/// Returns the state of a delivery at the end of a lease, from its steps.
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
    let is_dead = |step: &&Step| step.kind == StepKind::Act && step.status == StepStatus::Failed;
    let mut dead = progress.steps.iter().filter(is_dead);
    let Some(first) = dead.next() else {
        return Next::Done;
    };
    // A failure of its own says more than an age.
    let told = dead
        .find(|step| first.expired && !step.expired)
        .unwrap_or(first);
    let why = told.last_error.as_deref().unwrap_or("failed");
    let why = format!("{}: {why}", told.handler);
    match told.expired {
        true => Next::Expired(why),
        false => Next::Dead(why),
    }
}

#[cfg(test)]
mod tests;
