//! Timers: set and cancelled together with their record, and each a delivery of its own when it is due.

use super::prelude::*;

const QUOTA: TimerQuota = TimerQuota {
    open_max: 3,
    bytes_max: 1 << 20,
};

fn timer_entry(seq: u32) -> Entry {
    Entry {
        kind: CallKind::Timer,
        name: CallName::Key(format!("timer {seq}")),
        ..entry(seq)
    }
}

/// What `act` is given as found when the timer is due.
fn found(fact: &str) -> String {
    let facts = [("timer.key", "t"), ("given", fact)];
    let found = Enrichment {
        facts: facts.into_iter().collect(),
        ..Enrichment::default()
    };
    serde_json::to_string(&found).unwrap()
}

fn after(seconds: u32, fact: &str) -> TimerChange {
    TimerChange::Set {
        delay_seconds: seconds,
        found: found(fact),
    }
}

impl<B: Bench> Harness<B> {
    /// Changes a timer of `notify` under this lease.
    async fn change_timer(
        &self,
        leased: &Leased,
        key: &str,
        change: TimerChange,
    ) -> Result<TimerReply, LedgerError> {
        let step = u32::try_from(leased.progress.steps.len() - 1).unwrap();
        let ledger = self.ledger(leased, step);
        ledger
            .timer_change(key.into(), change, QUOTA, Vec::new(), timer_entry(7))
            .await
    }

    async fn set_timer(&self, leased: &Leased, key: &str, seconds: u32) {
        let set = self.change_timer(leased, key, after(seconds, key)).await;
        assert_eq!(set, Ok(TimerReply::Done));
    }

    /// Accepts an alert whose `act` sets a timer, and ends it. Returns its delivery.
    async fn accept_with_timer(&mut self, alertname: &str, seconds: u32) -> DeliveryId {
        let id = self.accept_new(firing(alertname)).await;
        let leased = self.lease().await;
        self.set_timer(&leased, "t", seconds).await;
        self.settle(&leased, Next::Done);
        self.flush().await;
        id
    }

    async fn open_timers(&self, id: DeliveryId) -> Vec<String> {
        let open = self.story(id).await.timers.into_iter();
        open.map(|timer| timer.key).collect()
    }

    /// Waits for the delivery of a timer, and returns its lease.
    async fn lease_of_timer(&mut self, set_by: DeliveryId) -> Leased {
        let leased = self.lease().await;
        let timer = self.story(leased.id).await.delivery.timer;
        assert_eq!(timer.map(|timer| timer.set_by), Some(set_by));
        leased
    }
}

pub(super) async fn a_timer_calls_act_alone_with_what_was_found_when_it_was_set<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let mut submission = firing("A");
    submission.plans = vec![plan("route", &["other", "notify"])];
    let id = bench.accept_new(submission).await;
    let leased = bench.lease().await;
    bench.set_timer(&leased, "escalate", 60).await;
    assert_eq!(bench.open_timers(id).await, ["escalate"]);
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    bench.advance(Duration::from_millis(59_999));
    bench.flush().await;
    assert_eq!(bench.leased().len(), 0);
    bench.advance(Duration::from_millis(1));
    let leased = bench.lease_of_timer(id).await;
    assert_ne!(leased.id, id);
    assert_eq!(&*leased.route, "route");
    assert_eq!(leased.alert.name(), "A");
    let [step] = &leased.progress.steps[..] else {
        panic!("one step: {:?}", leased.progress.steps);
    };
    assert_eq!(
        (step.handler.as_str(), step.kind),
        ("notify", StepKind::Act)
    );
    let given = leased.progress.found.clone().unwrap().facts;
    assert_eq!(given.get("given"), Some("escalate"));
    assert_eq!(leased.age, Duration::ZERO, "its age begins when it is due");
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    let story = bench.story(leased.id).await.delivery;
    assert_eq!(
        (story.state, story.handlers),
        (State::Done, vec![name("notify")])
    );
    assert_eq!(story.timer.unwrap().key, "escalate");
    assert_eq!(bench.open_timers(id).await, Vec::<String>::new());
    bench.advance(Duration::from_secs(3_600));
    bench.flush().await;
    assert_eq!(bench.leased().len(), 0, "it runs once");
}

pub(super) async fn a_timer_is_set_together_with_its_record_and_runs_once_over_kills<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.set_timer(&leased, "t", 60).await;
    let mut bench = bench.crash();
    let recorded = bench.recorded(id, 1).await;
    assert_eq!(recorded, [timer_entry(7)], "a retry does not set it again");
    assert_eq!(bench.open_timers(id).await, ["t"]);
    let again = bench.lease().await;
    bench.settle(&again, Next::Done);
    bench.flush().await;
    let bench = bench.crash();
    // What the server was down counts.
    bench.clock.advance(Duration::from_secs(60));
    let mut bench = bench.crash();
    let leased = bench.lease_of_timer(id).await;
    let timer = leased.id;
    let mut bench = bench.crash();
    let leased = bench.lease_of_timer(id).await;
    assert_eq!((leased.id, leased.after_crash), (timer, true));
    assert_eq!(leased.progress.steps.len(), 1);
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    let mut bench = bench.crash();
    bench.flush().await;
    assert_eq!(bench.leased().len(), 0);
    assert_eq!(bench.queue.counts().depth, 0);
}

pub(super) async fn the_same_key_replaces_and_cancelling_what_is_not_there_changes_nothing<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.set_timer(&leased, "a", 60).await;
    bench.set_timer(&leased, "b", 90).await;
    bench.set_timer(&leased, "a", 120).await;
    assert_eq!(bench.open_timers(id).await, ["b", "a"]);
    let cancel = |key| bench.change_timer(&leased, key, TimerChange::Cancel);
    assert_eq!(cancel("b").await, Ok(TimerReply::Done));
    assert_eq!(cancel("b").await, Ok(TimerReply::Absent));
    assert_eq!(cancel("none").await, Ok(TimerReply::Absent));
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    bench.advance(Duration::from_secs(119));
    bench.flush().await;
    assert_eq!(bench.leased().len(), 0);
    bench.advance(Duration::from_secs(1));
    let leased = bench.lease_of_timer(id).await;
    assert_eq!(
        bench.story(leased.id).await.delivery.timer.unwrap().key,
        "a"
    );
}

pub(super) async fn a_later_delivery_of_the_alert_cancels_it_and_other_handlers_have_their_own<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let first = bench.accept_with_timer("A", 60).await;
    bench.accept_new(resolved("A")).await;
    let leased = bench.lease().await;
    let other = bench.ledger_of(&leased, 1, "other");
    let cancelled = other.timer_change("t".into(), TimerChange::Cancel, QUOTA, vec![], entry(0));
    assert_eq!(cancelled.await, Ok(TimerReply::Absent));
    assert_eq!(bench.open_timers(first).await, ["t"]);
    let cancelled = bench.change_timer(&leased, "t", TimerChange::Cancel).await;
    assert_eq!(cancelled, Ok(TimerReply::Done));
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    bench.advance(Duration::from_secs(60));
    bench.flush().await;
    assert_eq!(bench.leased().len(), 0);
}

pub(super) async fn open_timers_are_limited_by_count_and_by_bytes<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    for key in ["a", "b", "c"] {
        bench.set_timer(&leased, key, 60).await;
    }
    let fourth = bench.change_timer(&leased, "d", after(60, "d")).await;
    assert_eq!(fourth, Ok(TimerReply::TooMany));
    bench.set_timer(&leased, "c", 90).await;
    assert_eq!(bench.open_timers(id).await, ["a", "b", "c"]);
    // Another alert has its own number, and all share their bytes.
    bench.accept_new(firing("B")).await;
    let other = bench.lease().await;
    bench.set_timer(&other, "d", 60).await;
    let ledger = bench.ledger(&other, 1);
    let small = TimerQuota {
        bytes_max: 100,
        ..QUOTA
    };
    let change = ledger.timer_change("e".into(), after(60, "e"), small, vec![], timer_entry(8));
    assert_eq!(change.await, Ok(TimerReply::TooLarge));
    assert_eq!(bench.recorded(other.id, 1).await, [timer_entry(7)]);
}

pub(super) async fn timers_wait_for_each_other_and_not_for_the_alert_nor_it_for_them<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.set_timer(&leased, "a", 60).await;
    bench.set_timer(&leased, "b", 60).await;
    // Its own delivery goes on, and its resolved waits for that.
    bench.accept_new(resolved("A")).await;
    bench.advance(Duration::from_secs(60));
    let first = bench.lease_of_timer(id).await;
    bench.flush().await;
    assert_eq!(bench.leased().len(), 0, "the second waits for the first");
    bench.settle(&first, Next::Done);
    let second = bench.lease_of_timer(id).await;
    assert_ne!(second.id, first.id);
    // The alert does not wait for the timer that runs.
    bench.settle(&leased, Next::Done);
    let resolved = bench.lease().await;
    assert_eq!(resolved.alert.status, Status::Resolved);
    let mut bench = bench.restart().await;
    let mut leased = [bench.lease().await.id, bench.lease().await.id];
    leased.sort_unstable();
    let mut expected = [second.id, resolved.id];
    expected.sort_unstable();
    assert_eq!(
        leased, expected,
        "neither waits for the other after a restart"
    );
}

pub(super) async fn timers_of_other_handlers_on_the_same_route_do_not_wait<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let mut submission = firing("A");
    submission.plans = vec![plan("route", &["other", "notify"])];
    let id = bench.accept_new(submission).await;
    let leased = bench.lease().await;
    bench.set_timer(&leased, "t", 60).await;
    let of_other = bench.ledger_of(&leased, 0, "other");
    let set = of_other.timer_change("t".into(), after(60, "t"), QUOTA, vec![], timer_entry(8));
    assert_eq!(set.await, Ok(TimerReply::Done));
    drop(of_other);
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    assert_eq!(
        bench.queue.counts().timers,
        [(name("notify"), 1), (name("other"), 1)].into()
    );
    bench.advance(Duration::from_secs(60));
    let (one, another) = (
        bench.lease_of_timer(id).await,
        bench.lease_of_timer(id).await,
    );
    assert_ne!(one.handler, another.handler);
    // Neither do they after a restart.
    let mut bench = bench.restart().await;
    let (one, another) = (
        bench.lease_of_timer(id).await,
        bench.lease_of_timer(id).await,
    );
    assert_ne!(one.handler, another.handler);
    // One that has died can be sent again though the other has run.
    bench.settle(&one, Next::Dead("why".into()));
    bench.settle(&another, Next::Done);
    bench.flush().await;
    let retried = bench.queue.retry(one.id, Force::No).await;
    assert_eq!(retried, Ok(Selected::Dead));
}

pub(super) async fn timers_that_are_due_beyond_half_of_the_queue_wait_and_none_of_them_dies<
    B: Bench,
>() {
    let options = Options {
        queue_depth_max: 6,
        ..Options::default()
    };
    let mut bench = Harness::<B>::with(options, Caps::all(8));
    let mut set_by = Vec::new();
    for n in 0..8 {
        set_by.push(bench.accept_with_timer(&format!("A{n}"), 60).await);
    }
    // The server was down while they became due.
    bench.clock.advance(Duration::from_secs(3_600));
    let mut bench = bench.crash();
    let mut left = set_by.len();
    while !set_by.is_empty() {
        bench.flush().await;
        let leased = bench.leased();
        assert!(
            (1..=3).contains(&leased.len()),
            "half of the queue: {}",
            leased.len()
        );
        left -= leased.len();
        assert_eq!(bench.queue.counts().timers.values().sum::<usize>(), left);
        for leased in leased {
            let timer = bench.story(leased.id).await.delivery.timer.unwrap();
            set_by.retain(|id| *id != timer.set_by);
            bench.settle(&leased, Next::Done);
        }
        bench.flush().await;
        bench.advance(Duration::from_secs(1));
    }
    assert_eq!(bench.queue.counts().dead, 0);
    assert!(bench.queue.counts().timers.is_empty());
}

pub(super) async fn what_a_handler_has_open_is_counted_anew_after_each_end<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let timer_bytes = async |bench: &Harness<B>, leased: &Leased, key: &str, quota: TimerQuota| {
        let ledger = bench.ledger(leased, 1);
        let set = ledger.timer_change(key.into(), after(60, key), quota, vec![], timer_entry(9));
        set.await.unwrap()
    };
    let fits = TimerQuota {
        bytes_max: alert_bytes(&bench.story(id).await) + 200,
        ..QUOTA
    };
    assert_eq!(
        timer_bytes(&bench, &leased, "a", fits).await,
        TimerReply::Done
    );
    assert_eq!(
        timer_bytes(&bench, &leased, "b", fits).await,
        TimerReply::TooLarge
    );
    assert_eq!(
        timer_bytes(&bench, &leased, "a", fits).await,
        TimerReply::Done,
        "it replaces"
    );
    let cancel = bench.change_timer(&leased, "a", TimerChange::Cancel).await;
    assert_eq!(cancel, Ok(TimerReply::Done));
    assert_eq!(
        timer_bytes(&bench, &leased, "b", fits).await,
        TimerReply::Done
    );
    let mut bench = bench.crash();
    let leased = bench.lease().await;
    assert_eq!(
        timer_bytes(&bench, &leased, "c", fits).await,
        TimerReply::TooLarge
    );
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    bench.advance(Duration::from_secs(60));
    let due = bench.lease_of_timer(id).await;
    assert_eq!(timer_bytes(&bench, &due, "c", fits).await, TimerReply::Done);
}

/// The size of a delivery's alert as it is stored, about.
fn alert_bytes(story: &Story) -> u64 {
    story.alert.to_string().len() as u64
}

pub(super) async fn timers_on_other_routes_of_the_alert_do_not_wait<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let mut both = firing("A");
    both.plans.push(plan("other", &["pager"]));
    assert!(matches!(bench.accept(both).await, Verdict::Accepted(two) if two.len() == 2));
    for _ in 0..2 {
        let leased = bench.lease().await;
        bench.set_timer(&leased, "t", 60).await;
        bench.settle(&leased, Next::Done);
    }
    bench.flush().await;
    bench.advance(Duration::from_secs(60));
    let (one, other) = (bench.lease().await, bench.lease().await);
    assert_ne!(one.route, other.route);
}

pub(super) async fn a_timer_outlives_the_delivery_that_has_set_it_and_what_became_of_it<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let removed = bench.accept_with_timer("A", 60).await;
    bench.remove(removed).await;
    let dead = bench.accept_new(firing("B")).await;
    let leased = bench.lease().await;
    bench.set_timer(&leased, "t", 60).await;
    bench.settle(&leased, Next::Dead("why".into()));
    bench.flush().await;
    bench.advance(Duration::from_secs(60));
    for set_by in [removed, dead] {
        let leased = bench.lease_of_timer(set_by).await;
        bench.settle(&leased, Next::Done);
    }
    bench.flush().await;
    // It has not passed the dead one, which can be sent again.
    assert_eq!(bench.queue.retry(dead, Force::No).await, Ok(Selected::Dead));
}

pub(super) async fn what_a_person_cancels_has_its_timers_cancelled<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.set_timer(&leased, "t", 60).await;
    bench.queue.cancel(id).await.unwrap();
    assert_eq!(bench.open_timers(id).await, Vec::<String>::new());
    let lost = bench.change_timer(&leased, "u", after(60, "u")).await;
    assert_eq!(lost, Err(LedgerError::LeaseLost));
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    bench.advance(Duration::from_secs(60));
    bench.flush().await;
    assert_eq!(bench.leased().len(), 0);
    // Of one that is settled, only the timers are left to cancel.
    let settled = bench.accept_with_timer("B", 60).await;
    assert_eq!(bench.queue.cancel(settled).await, Ok(()));
    assert_eq!(bench.open_timers(settled).await, Vec::<String>::new());
    assert_eq!(bench.state(settled).await, State::Done);
    assert_eq!(bench.queue.cancel(settled).await, Err(CancelError::Settled));
}

pub(super) async fn a_timer_that_dies_is_a_dead_letter_that_a_person_can_send_again<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_with_timer("A", 60).await;
    bench.advance(Duration::from_secs(60));
    let leased = bench.lease_of_timer(id).await;
    bench.settle(&leased, Next::Dead("why".into()));
    bench.flush().await;
    assert_eq!(bench.queue.counts().dead, 1);
    // A re-send of the alert is one of the alert, and does not revive it.
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    assert_eq!(bench.state(leased.id).await, State::Dead);
    bench.queue.retry(leased.id, Force::No).await.unwrap();
    let again = bench.lease_of_timer(id).await;
    assert_eq!(again.id, leased.id);
    assert_eq!(again.progress.found, leased.progress.found);
    bench.settle(&again, Next::Done);
    bench.flush().await;
    assert_eq!(bench.queue.counts().dead, 0);
    // What is remembered of the alert is what the alert's own deliveries say, also after a crash.
    let bench = bench.crash();
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    let before = if B::FORGETS_DUPLICATES { 0 } else { 1 };
    assert_eq!(bench.story(id).await.duplicates, before + 1);
}

pub(super) async fn timers_are_not_coalesced_in_a_storm<B: Bench>() {
    let options = Options {
        storm: StormOptions {
            over: 1,
            within: Duration::from_secs(60),
        },
        ..Options::default()
    };
    let mut bench = Harness::<B>::with(options, Caps::all(8));
    let mut set_by = Vec::new();
    for n in 0..5 {
        let mut alike = firing(&format!("A{n}"));
        alike.plans[0].storm = Some("alike".into());
        set_by.push(bench.accept_new(alike).await);
        let leased = bench.lease().await;
        bench.set_timer(&leased, "t", 60).await;
        bench.settle(&leased, Next::Done);
        bench.flush().await;
    }
    bench.set_caps(Caps::all(1));
    bench.advance(Duration::from_secs(60));
    for _ in 0..5 {
        let leased = bench.lease().await;
        assert_eq!(leased.progress.storm, None);
        let timer = bench.story(leased.id).await.delivery.timer.unwrap();
        set_by.retain(|id| *id != timer.set_by);
        bench.settle(&leased, Next::Done);
        bench.flush().await;
    }
    assert_eq!(set_by, []);
}

pub(super) async fn a_timer_waits_no_longer_because_the_time_of_day_was_set<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_with_timer("A", 60).await;
    bench
        .clock
        .set_time_of_day(from_millis(START_MS - 86_400_000));
    bench.advance(Duration::from_secs(59));
    bench.flush().await;
    assert_eq!(bench.leased().len(), 0);
    bench.advance(Duration::from_secs(1));
    bench.lease_of_timer(id).await;
}

pub(super) async fn a_timer_that_cannot_be_stored_as_a_delivery_stays_due<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_with_timer("A", 60).await;
    bench.fail_writes(true);
    let failures = bench.bench.failures();
    bench.advance(Duration::from_secs(60));
    eventually(async || bench.bench.failures() > failures).await;
    bench.fail_writes(false);
    bench.lease_of_timer(id).await;
}
