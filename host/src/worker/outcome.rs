//! Decides the outcome of a step after an attempt. Makes no I/O.

use std::time::Duration;

use jiff::SignedDuration;

use super::settings::{EnrichBudget, Retry};
use crate::alert::{StepKind, Timestamp};
use crate::journal::Dependency;
use crate::queue::{Next, Progress, Step, StepStatus, Wake, Woken};
use crate::runtime::{Hold, StepFailure};

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

/// The circumstances outside the server that a step met.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    /// Slack rejects the channel or the token until the operator fixes that.
    pub(super) hold: Option<Hold>,
    /// The last dependency that did not answer.
    pub(super) needs: Option<Dependency>,
    /// The recovered dependencies for which the step was woken.
    pub(super) woken: Vec<Woken>,
}

impl Met {
    /// Returns true if the step was woken because this dependency answered again, and failed for it nevertheless: it then waits
    /// until its own time, because a dependency that answers only some requests must not wake all steps each time. A step that
    /// was the probe keeps waiting with the others.
    fn in_vain(&self, dependency: &Dependency) -> bool {
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
    let other = met.needs.as_ref();
    let other = other.filter(|needs| matches!(needs, Dependency::Origin(_)));
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

/// Lets an actor wait for the operator, up to the age limit of its alert. The wait does not count as an attempt, and a probe
/// ends it.
fn actor_held(step: &mut Step, hold: &Hold, policy: &Retry, at: Circumstances) {
    step.last_error = Some(hold.to_string());
    wait_or_age(step, policy.age_max, policy, at);
    if step.status == StepStatus::Pending {
        step.waits_for = vec![hold.dependency()];
    }
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
        | StepFailure::Host(_) => false,
    }
}

/// Lets a step wait, at most until the age limit, which ends it.
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
        StepFailure::Permanent(_) | StepFailure::Timeout(_) => false,
    };
    if !worth_another || step.attempts >= policy.attempts_max || used_by_all >= policy.within {
        step.status = StepStatus::Failed;
    }
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
mod tests {
    use super::*;
    use crate::alert::HandlerName;

    fn actor() -> Step {
        Progress::new(&[HandlerName::new("a")])
            .steps
            .pop()
            .expect("a pipeline of one handler ends with its actor")
    }

    fn at(now_seconds: i64) -> Circumstances {
        Circumstances {
            now: Timestamp::from_second(now_seconds).expect("in range"),
            age: Duration::from_secs(now_seconds.unsigned_abs()),
            jitter: 1.0,
        }
    }

    fn policy() -> Retry {
        Retry {
            attempts_max: 3,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(3),
            age_max: Duration::from_secs(100),
        }
    }

    fn wait_seconds(step: &Step, now: i64) -> Option<i64> {
        step.not_before.map(|t| t.as_second() - now)
    }

    fn retryable(after: Option<u64>) -> StepFailure {
        StepFailure::Retryable {
            message: "no".into(),
            after: after.map(Duration::from_secs),
        }
    }

    fn unavailable(after: Option<u64>) -> StepFailure {
        StepFailure::Unavailable {
            message: "away".into(),
            after: after.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_retryable_failure_waits_twice_as_long_each_time_and_ends_with_its_attempts() {
        let mut step = actor();
        actor_failed(&mut step, &retryable(None), &policy(), at(10));
        assert_eq!(wait_seconds(&step, 10), Some(1));
        actor_failed(&mut step, &retryable(None), &policy(), at(20));
        assert_eq!(wait_seconds(&step, 20), Some(2));
        actor_failed(&mut step, &retryable(None), &policy(), at(30));
        assert_eq!(step.status, StepStatus::Failed);
        assert_eq!(
            step.last_error.as_deref(),
            Some("gave up after 3 attempts: no")
        );
    }

    #[test]
    fn what_was_asked_for_is_a_floor_even_above_the_longest_backoff() {
        let mut step = actor();
        actor_failed(&mut step, &retryable(Some(60)), &policy(), at(0));
        assert_eq!(wait_seconds(&step, 0), Some(60));
    }

    #[test]
    fn an_unavailable_dependency_uses_up_no_attempt_until_its_age_ends_it() {
        let mut step = actor();
        for second in 0..100 {
            actor_failed(&mut step, &unavailable(None), &policy(), at(second));
            assert_eq!(step.status, StepStatus::Pending);
        }
        assert_eq!(step.attempts, 0);
        actor_failed(&mut step, &unavailable(None), &policy(), at(100));
        assert_eq!(step.status, StepStatus::Failed);
        assert!(step.last_error.expect("a reason").contains("max_age"));
    }

    #[test]
    fn no_wait_goes_past_the_age_that_ends_it() {
        let mut step = actor();
        actor_failed(&mut step, &unavailable(Some(86_400)), &policy(), at(40));
        assert_eq!(wait_seconds(&step, 40), Some(60));
        let mut step = actor();
        actor_failed(&mut step, &retryable(Some(86_400)), &policy(), at(40));
        assert_eq!(wait_seconds(&step, 40), Some(60));
        let mut step = actor();
        let host = StepFailure::Host("the record cannot be read".into());
        actor_failed(&mut step, &host, &policy(), at(100));
        assert_eq!(step.status, StepStatus::Failed, "not even the host's own");
    }

    #[test]
    fn a_place_in_a_queue_does_not_wait_ever_longer() {
        let mut step = actor();
        for second in 0..50 {
            actor_failed(&mut step, &unavailable(Some(2)), &policy(), at(second));
            assert_eq!(
                wait_seconds(&step, second),
                Some(3),
                "what was asked, and the jitter"
            );
        }
    }

    #[test]
    fn a_handler_that_asks_for_next_to_nothing_waits_longer_each_time_and_uses_up_no_attempt() {
        let policy = Retry {
            attempts_max: 20,
            backoff_max: Duration::from_secs(300),
            age_max: Duration::from_secs(1_000_000),
            ..policy()
        };
        let unjittered = Circumstances {
            jitter: 0.0,
            ..at(0)
        };
        let waits = |failure: StepFailure| {
            let mut step = actor();
            let waits: Vec<_> = (0..8)
                .map(|_| {
                    actor_failed(&mut step, &failure, &policy, unjittered);
                    wait_seconds(&step, 0)
                })
                .collect();
            (waits, step.attempts)
        };
        let floor = [1, 2, 4, 8, 16, 30, 30, 30].map(Some).to_vec();
        assert_eq!(waits(unavailable(Some(0))), (floor.clone(), 0));
        assert_eq!(waits(retryable(Some(0))), (floor, 8));
        let asked = waits(unavailable(Some(60))).0;
        assert_eq!(asked, vec![Some(60); 8], "what is asked for stays");
    }

    #[test]
    fn a_second_trap_is_the_last() {
        let mut step = actor();
        let trap = StepFailure::Trap("unreachable".into());
        actor_failed(&mut step, &trap, &policy(), at(0));
        assert_eq!(step.status, StepStatus::Pending);
        actor_failed(&mut step, &trap, &policy(), at(1));
        assert_eq!(step.status, StepStatus::Failed);
    }

    #[test]
    fn a_permanent_failure_is_the_end() {
        let mut step = actor();
        actor_failed(
            &mut step,
            &StepFailure::Permanent("no such channel".into()),
            &policy(),
            at(0),
        );
        assert_eq!(step.status, StepStatus::Failed);
        assert_eq!(step.last_error.as_deref(), Some("no such channel"));
    }

    fn origin() -> Dependency {
        Dependency::Origin("https://pager.example.com".into())
    }

    fn hold() -> Hold {
        Hold {
            channel: Some("alerts".into()),
            code: "not_in_channel".into(),
            advice: "/invite".into(),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_hold_that_a_handler_ignores_does_not_take_over_what_it_fails_for() {
        let channel = hold().dependency();
        let met = |needs| Met {
            hold: Some(hold()),
            needs,
            woken: Vec::new(),
        };
        let failures = [
            unavailable(None),
            retryable(None),
            StepFailure::Permanent("503".into()),
        ];
        for failure in failures {
            let mut step = actor();
            actor_ended(&mut step, &failure, &met(None), &policy(), at(0));
            assert_eq!(wait_seconds(&step, 0), Some(100), "until it is mended");
            assert_eq!(step.waits_for, std::slice::from_ref(&channel));
            let mut step = actor();
            actor_ended(&mut step, &failure, &met(Some(origin())), &policy(), at(0));
            assert_eq!(wait_seconds(&step, 0), Some(1), "its own backoff");
            assert_eq!(step.attempts, 0);
            assert_eq!(step.waits_for, [channel.clone(), origin()], "either");
        }
    }

    #[test]
    fn a_trap_under_a_hold_stays_a_trap() {
        let met = Met {
            hold: Some(hold()),
            needs: Some(origin()),
            woken: Vec::new(),
        };
        let trap = StepFailure::Trap("unreachable".into());
        let mut step = actor();
        actor_ended(&mut step, &trap, &met, &policy(), at(0));
        assert_eq!((step.status, step.traps), (StepStatus::Pending, 1));
        actor_ended(&mut step, &trap, &met, &policy(), at(1));
        assert_eq!(step.status, StepStatus::Failed);
    }

    #[test]
    fn a_notice_leaves_its_way_after_two_minutes_or_after_six_if_it_was_asked_to_wait() {
        for (failure, age, leaves) in [
            (retryable(None), 119, false),
            (retryable(None), 120, true),
            (StepFailure::Permanent("no".into()), 120, true),
            (retryable(Some(60)), 300, false),
            (retryable(Some(60)), 301, true),
            (unavailable(Some(30)), 330, false),
            (unavailable(Some(30)), 331, true),
            (unavailable(Some(3_600)), 0, true),
            (unavailable(Some(u64::MAX)), 1, true),
        ] {
            let age = Duration::from_secs(age);
            assert_eq!(should_leave_way(&failure, age), leaves, "{failure:?}");
        }
    }

    #[test]
    fn what_was_woken_in_vain_waits_for_its_time_and_a_probe_waits_on_with_the_others() {
        for (wake, waits_for) in [(Wake::First, vec![origin()]), (Wake::All, Vec::new())] {
            let met = Met {
                hold: None,
                needs: Some(origin()),
                woken: vec![(origin(), wake)],
            };
            let mut step = actor();
            actor_ended(&mut step, &unavailable(None), &met, &policy(), at(0));
            assert_eq!(wait_seconds(&step, 0), Some(1));
            assert_eq!(step.waits_for, waits_for, "{wake:?}");
        }
    }

    #[test]
    fn an_enrichment_that_would_have_to_wait_is_not_waited_for() {
        let policy = EnrichBudget {
            attempts_max: 2,
            within: Duration::from_secs(10),
        };
        for (failure, status) in [
            (unavailable(Some(5)), StepStatus::Failed),
            (unavailable(None), StepStatus::Pending),
            (StepFailure::Trap("x".into()), StepStatus::Pending),
            (StepFailure::Timeout("x".into()), StepStatus::Failed),
            (StepFailure::Permanent("x".into()), StepStatus::Failed),
        ] {
            let mut step = actor();
            enrichment_failed(&mut step, &failure, &policy, Duration::from_secs(1));
            assert_eq!(step.status, status, "{failure:?}");
        }
        let mut step = actor();
        enrichment_failed(
            &mut step,
            &unavailable(None),
            &policy,
            Duration::from_secs(10),
        );
        assert_eq!(step.status, StepStatus::Failed, "its time is used up");
    }

    #[test]
    fn a_shutdown_uses_up_no_attempt_of_an_enrichment_and_host_failures_are_bounded() {
        let policy = EnrichBudget {
            attempts_max: 2,
            within: Duration::from_secs(10),
        };
        let cut_off = StepFailure::Host("the server was shut down meanwhile".into());
        let mut step = actor();
        let mut failures = 0;
        while step.status == StepStatus::Pending {
            enrichment_failed(&mut step, &cut_off, &policy, Duration::from_secs(1));
            assert_eq!(step.attempts, 0);
            failures += 1;
        }
        assert_eq!(failures, HOST_FAILURES_MAX);
    }

    #[test]
    fn a_delivery_waits_for_the_actor_that_is_due_first_and_is_dead_if_any_is() {
        let names = [HandlerName::new("a"), HandlerName::new("b")];
        let mut progress = Progress::new(&names);
        for step in &mut progress.steps {
            step.status = StepStatus::Done;
        }
        assert_eq!(next(&progress), Next::Done);
        progress.steps[2].status = StepStatus::Failed;
        progress.steps[2].last_error = Some("gone".into());
        assert_eq!(next(&progress), Next::Dead("a: gone".into()));
        progress.steps[3].status = StepStatus::Pending;
        progress.steps[3].not_before = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(
            next(&progress),
            Next::Retry {
                until: Timestamp::UNIX_EPOCH,
                handler: names[1].clone()
            }
        );
        progress.steps[0].status = StepStatus::Failed;
        progress.steps[2].status = StepStatus::Done;
        progress.steps[3].status = StepStatus::Done;
        assert_eq!(
            next(&progress),
            Next::Done,
            "an enrichment's failure only informs"
        );
    }
}
