//! What becomes of a step after one try, as tables.

use super::*;
use crate::alert::{HandlerName, Priority};

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

fn hold() -> SlackHold {
    SlackHold {
        channel: Some("alerts".into()),
        code: "not_in_channel".into(),
        advice: "/invite".into(),
        since: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn a_hold_that_a_handler_ignores_does_not_take_over_what_it_fails_for() {
    let channel = hold().dependency();
    let met = |unanswered| Met {
        hold: Some(hold()),
        unanswered,
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
        unanswered: Some(origin()),
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
            unanswered: Some(origin()),
            woken: vec![(origin(), wake)],
        };
        let mut step = actor();
        actor_ended(&mut step, &unavailable(None), &met, &policy(), at(0));
        assert_eq!(wait_seconds(&step, 0), Some(1));
        assert_eq!(step.waits_for, waits_for, "{wake:?}");
    }
}

#[test]
fn what_becomes_too_old_keeps_what_it_waited_for() {
    let expired = |end: &dyn Fn(&mut Step)| {
        let mut step = actor();
        end(&mut step);
        assert!(step.expired && step.not_before.is_none(), "{step:?}");
        let progress = Progress {
            steps: vec![step],
            ..Progress::default()
        };
        progress.waited_for()
    };
    let old = at(1_000_000);
    let met = |hold, wake: Option<Wake>| Met {
        hold,
        unanswered: Some(origin()),
        woken: wake.map(|wake| (origin(), wake)).into_iter().collect(),
    };
    for (failure, met, waited_for) in [
        (unavailable(None), met(None, None), origin()),
        (unavailable(None), met(None, Some(Wake::All)), origin()),
        (unavailable(Some(30)), met(None, None), origin()),
        (
            unavailable(None),
            met(Some(hold()), None),
            hold().dependency(),
        ),
    ] {
        let end = |step: &mut Step| actor_ended(step, &failure, &met, &policy(), old);
        assert_eq!(expired(&end), Some(waited_for.to_string()), "{failure:?}");
    }
    let handler = Dependency::Handler("notify".into());
    let paused = |step: &mut Step| {
        wait_for(
            step,
            handler.clone(),
            Duration::from_secs(9),
            &policy(),
            old,
        );
    };
    assert_eq!(expired(&paused), Some(handler.to_string()));
    let gate = "slack channel alerts".to_owned();
    let in_turn = |step: &mut Step| {
        step.parked = Some((old.now, gate.clone()));
        assert!(expired_in_turn(step, &policy(), old.age));
    };
    assert_eq!(expired(&in_turn), Some(gate.clone()));
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
    let interrupted = StepFailure::Host("the server was shut down meanwhile".into());
    let mut step = actor();
    let mut failures = 0;
    while step.status == StepStatus::Pending {
        enrichment_failed(&mut step, &interrupted, &policy, Duration::from_secs(1));
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

#[test]
fn what_waited_for_its_turn_for_too_long_ends_and_what_waits_for_less_does_not() {
    let gate = || Some((at(0).now, "slack channel alerts".to_owned()));
    let age = policy().age_max;
    let mut step = actor();
    assert!(
        !expired_in_turn(&mut step, &policy(), age),
        "it did not wait"
    );
    step.parked = gate();
    let sooner = age.saturating_sub(Duration::from_millis(1));
    assert!(!expired_in_turn(&mut step, &policy(), sooner));
    assert_eq!(step.status, StepStatus::Pending);
    assert!(expired_in_turn(&mut step, &policy(), age));
    assert!(step.expired && step.status == StepStatus::Failed);
}

#[test]
fn a_delivery_expires_only_if_none_of_its_actors_failed_for_another_reason() {
    let failed = |expired| Step {
        status: StepStatus::Failed,
        expired,
        last_error: Some("why".to_owned()),
        ..actor()
    };
    for (first, second, expires) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
    ] {
        let progress = Progress {
            steps: vec![failed(first), failed(second)],
            ..Progress::default()
        };
        let ended = next(&progress);
        assert_eq!(matches!(ended, Next::Expired(_)), expires, "{ended:?}");
        assert!(expires || matches!(ended, Next::Dead(_)), "{ended:?}");
    }
}

#[test]
fn a_critical_alert_is_enriched_in_half_of_the_time() {
    let budget = EnrichBudget::default();
    for (priority, part) in [
        (Priority::Critical, 2),
        (Priority::Warning, 1),
        (Priority::Normal, 1),
    ] {
        assert_eq!(budget.of(priority).within * part, budget.within);
    }
}
