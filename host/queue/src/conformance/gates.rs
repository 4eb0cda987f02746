//! Gates: what has to wait for its turn holds nothing meanwhile, has its turn by how urgent it is, and survives whatever happens.
//!
//! The cases are named after the rules.

use alert_manager_core::alert::Priority;
use alert_manager_core::gate::{GateAsk, GateName, GateRate, Parked, Pass};

use super::prelude::*;

pub(super) fn ask(name: GateName, per_second: f64, burst: u32) -> GateAsk {
    GateAsk::new(name, Some(GateRate { per_second, burst }))
}

/// A channel that takes one message a second, in a workspace with room for many.
pub(super) fn post() -> [GateAsk; 2] {
    [
        ask(GateName::SlackChannel("#a".into()), 1.0, 1),
        ask(GateName::SlackWorkspace, 5.0, 25),
    ]
}

const SECOND: Duration = Duration::from_secs(1);

fn urgent(alertname: &str, priority: Priority) -> Submission {
    let mut submission = firing(alertname);
    submission.plans[0].priority = priority;
    submission
}

impl<B: Bench> Harness<B> {
    pub(super) fn pass(&self, leased: &Leased, asks: &[GateAsk]) -> Pass {
        self.ledger(leased, 1).pass(asks).unwrap()
    }

    /// Ends a lease that was parked, as a worker does: no story, no attempt.
    pub(super) fn park(&self, leased: &Leased, parked: Parked, is_clean: bool) {
        self.park_for(leased, parked, is_clean, None);
    }

    fn park_for(
        &self,
        leased: &Leased,
        parked: Parked,
        is_clean: bool,
        expires_in: Option<Duration>,
    ) {
        self.queue.release_permit(&leased.handler);
        self.queue.settle(Settlement {
            lease: leased.lease,
            next: Next::Park {
                handler: leased.handler.clone(),
                parked,
                is_clean,
                expires_in,
            },
            progress: leased.progress.clone(),
            alert: None,
            story: None,
            last_error: None,
        });
    }

    /// Has a leased delivery post: it is done, or parked. Returns whether it is done.
    pub(super) async fn post(&self, leased: &Leased, asks: &[GateAsk]) -> bool {
        let passed = self.pass(leased, asks);
        let is_done = match passed {
            Pass::Parked(parked) => {
                self.park(leased, parked, true);
                false
            }
            Pass::Granted | Pass::Superseded => {
                self.settle(leased, Next::Done);
                true
            }
        };
        self.flush().await;
        is_done
    }

    /// Uses up the gate's token.
    pub(super) async fn fill_gate(&mut self, asks: &[GateAsk]) {
        self.accept_new(firing("Fills")).await;
        let leased = self.lease().await;
        assert!(self.post(&leased, asks).await);
    }

    /// Accepts an alert, and has it wait at a gate that has no token.
    pub(super) async fn parked(&mut self, submission: Submission, asks: &[GateAsk]) -> DeliveryId {
        let id = self.accept_new(submission).await;
        let leased = self.lease().await;
        assert_eq!(leased.id, id);
        assert!(!self.post(&leased, asks).await);
        id
    }

    /// Lets time pass, and returns what is leased then.
    async fn after(&mut self, by: Duration) -> Vec<Leased> {
        self.advance(by);
        self.leased_now().await
    }

    async fn leased_now(&mut self) -> Vec<Leased> {
        self.flush().await;
        self.flush().await;
        self.leased()
    }
}

pub(super) async fn a_parked_delivery_holds_no_slot_no_attempt_and_no_token<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(1));
    let asks = post();
    bench.fill_gate(&asks).await;
    let parked = bench.parked(firing("Parked"), &asks).await;
    let story = bench.story(parked).await;
    assert_eq!(story.delivery.state, State::Queued);
    assert_eq!((story.delivery.attempts, story.attempts.len()), (0, 0));
    assert_eq!(attempts(&story.progress), 0);
    assert!(bench.bench.peek(parked).unwrap().is_parked);
    // Its slot is free, and so is its token, once it is cancelled.
    let other = bench.accept_new(firing("Other")).await;
    let leased = bench.lease().await;
    assert_eq!(leased.id, other);
    bench.advance(SECOND);
    bench.queue.cancel(parked).await.unwrap();
    assert_eq!(bench.pass(&leased, &asks), Pass::Granted);
}

pub(super) async fn a_rate_that_is_changed_counts_for_what_waits<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(8));
    let slow = [ask(GateName::SlackChannel("#a".into()), 0.001, 1)];
    bench.fill_gate(&slow).await;
    let parked = bench.parked(firing("Parked"), &slow).await;
    assert!(bench.after(SECOND).await.is_empty());
    let rate = Some(GateRate {
        per_second: 1.0,
        burst: 1,
    });
    bench.queue.set_gate_rates(|_| rate);
    assert_eq!(bench.queue.gates()[0].rate, rate);
    let turn = bench.leased_now().await;
    assert_eq!((turn.len(), turn[0].id), (1, parked));
}

pub(super) async fn one_that_becomes_too_old_at_a_gate_is_leased_before_its_turn<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(8));
    let asks = post();
    bench.fill_gate(&asks).await;
    let id = bench.accept_new(firing("Waits")).await;
    let leased = bench.lease().await;
    let Pass::Parked(parked) = bench.pass(&leased, &asks) else {
        panic!("the gate is full");
    };
    bench
        .ledger(&leased, 1)
        .close_gate(&asks[0], Duration::from_secs(600));
    bench.park_for(&leased, parked, true, Some(SECOND * 20));
    assert!(bench.after(SECOND * 19).await.is_empty());
    let aged = bench.after(SECOND).await;
    assert_eq!((aged.len(), aged[0].id), (1, id));
    assert!(matches!(bench.pass(&aged[0], &asks), Pass::Parked(_)));
}

pub(super) async fn a_parked_delivery_gets_its_slot_first_then_all_tokens_together<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(1));
    let workspace = ask(GateName::SlackWorkspace, 1.0, 1);
    let channel = |name: &str| ask(GateName::SlackChannel(name.into()), 1.0, 1);
    let (this, that) = (
        [channel("#a"), workspace.clone()],
        [channel("#b"), workspace],
    );
    bench.fill_gate(&this).await;
    let parked = bench.parked(firing("Parked"), &this).await;
    // The slot is taken when the tokens come: they wait for nobody.
    bench.accept_new(firing("Slow")).await;
    let slow = bench.lease().await;
    let mut other = firing("Other");
    other.plans = vec![plan("other", &["other"])];
    bench.accept_new(other).await;
    let other = bench.lease().await;
    bench.advance(SECOND);
    bench.flush().await;
    assert!(bench.leased().is_empty(), "no slot");
    // Its turn comes first, and it has neither slot nor token: with its slot it has both tokens.
    bench.settle(&slow, Next::Done);
    let turn = bench.leased_now().await;
    assert_eq!(turn[0].id, parked);
    assert!(
        matches!(bench.pass(&other, &that), Pass::Parked(_)),
        "no token of the workspace"
    );
    assert_eq!(bench.pass(&turn[0], &this), Pass::Granted);
}

pub(super) async fn an_unused_token_goes_to_the_next_in_line_after_two_seconds<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let asks = [ask(GateName::SlackChannel("#a".into()), 0.1, 1)];
    bench.fill_gate(&asks).await;
    let first = bench.parked(firing("First"), &asks).await;
    let second = bench.parked(firing("Second"), &asks).await;
    let slow = bench.after(SECOND * 10).await;
    assert_eq!((slow.len(), slow[0].id), (1, first));
    assert!(bench.after(SECOND).await.is_empty());
    let next = bench.after(SECOND).await;
    assert_eq!((next.len(), next[0].id), (1, second));
    assert!(matches!(bench.pass(&slow[0], &asks), Pass::Parked(_)));
    assert_eq!(bench.pass(&next[0], &asks), Pass::Granted);
}

pub(super) async fn retry_after_closes_a_gate_for_all_and_survives_a_restart<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let asks = post();
    // Each has a message of its own.
    let message = |of: &str| GateAsk::new(GateName::SlackMessage(of.into()), None);
    let refused = bench.accept_new(firing("Refused")).await;
    let leased = bench.lease().await;
    let ledger = bench.ledger(&leased, 1);
    ledger.close_gate(&asks[0], SECOND * 30);
    ledger.close_gate(&asks[0], SECOND * 10);
    for of in ["Refused", "Other"] {
        ledger.close_gate(&message(of), SECOND * 30);
    }
    drop(ledger);
    assert!(!bench.post(&leased, &asks).await);
    let other = bench
        .parked(urgent("Other", Priority::Critical), &asks)
        .await;
    assert!(bench.after(SECOND * 10).await.is_empty());
    let mut bench = bench.restart().await;
    for round in 0..2 {
        // What was parked runs again, and waits for what is left of that time.
        for leased in bench.leased_now().await {
            let of_message = bench.pass(&leased, &[message(leased.alert.name())]);
            assert_eq!(of_message, Pass::Granted, "that of a message is not stored");
            assert!(!bench.post(&leased, &asks).await);
        }
        let closed = bench.queue.gates();
        let closed = closed
            .iter()
            .find(|gate| gate.name == asks[0].name)
            .unwrap();
        assert_eq!(closed.closed_until, Some(from_millis(START_MS + 30_000)));
        if round == 0 {
            bench = bench.crash();
        }
    }
    assert!(bench.after(Duration::from_millis(19_999)).await.is_empty());
    let turn = bench.after(Duration::from_millis(1)).await;
    assert_eq!(
        (turn.len(), turn[0].id),
        (1, other),
        "one at a time, the critical one first"
    );
    assert!(bench.post(&turn[0], &asks).await);
    assert_eq!(bench.after(SECOND).await[0].id, refused);
}

pub(super) async fn a_gate_is_closed_for_an_hour_at_most<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let asks = post();
    bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.ledger(&leased, 1).close_gate(&asks[0], Duration::MAX);
    assert!(!bench.post(&leased, &asks).await);
    // Somebody sets the clock back by a day.
    let yesterday = bench.clock.now() - SECOND * 86_400;
    bench.clock.set_time_of_day(yesterday);
    let mut bench = bench.crash();
    let leased = bench.lease().await;
    assert!(!bench.post(&leased, &asks).await);
    assert!(bench.after(SECOND * 3_599).await.is_empty());
    assert_eq!(bench.after(SECOND).await.len(), 1);
}

pub(super) async fn a_kill_at_each_step_loses_nothing_and_blames_no_parked_delivery<B: Bench>() {
    let asks = post();
    for step in 0..5 {
        let mut bench = Harness::<B>::new();
        bench.fill_gate(&asks).await;
        let id = bench.accept_new(firing("A")).await;
        let leased = bench.lease().await;
        let Pass::Parked(parked) = bench.pass(&leased, &asks) else {
            panic!("it has no token");
        };
        if step > 0 {
            bench.park(&leased, parked, true);
            bench.flush().await;
        }
        if step > 1 {
            // Its turn has come.
            bench.advance(SECOND);
            bench.flush().await;
        }
        if step > 2 {
            let leased = bench.lease().await;
            if step > 3 {
                assert_eq!(bench.pass(&leased, &asks), Pass::Granted);
                let posted = bench.ledger(&leased, 1).record(vec![entry(0)]).await;
                assert_eq!(posted, Ok(()));
            }
        }
        let was_leased = step != 1;
        let mut bench = bench.crash();
        let again = bench.lease().await;
        assert_eq!(again.id, id, "step {step}");
        assert_eq!(again.after_crash, was_leased, "step {step}");
        let peek = bench.bench.peek(id).unwrap();
        assert_eq!(peek.deaths, u32::from(was_leased), "step {step}");
        let recorded = bench.recorded(id, 1).await.len();
        assert_eq!(recorded, usize::from(step == 4));
        // Gates start empty.
        assert!(bench.post(&again, &asks).await, "step {step}");
        assert_eq!(bench.state(id).await, State::Done);
    }
}

pub(super) async fn an_orderly_end_keeps_what_is_parked_as_it_is<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let asks = post();
    bench.fill_gate(&asks).await;
    let parked = bench.parked(firing("Parked"), &asks).await;
    let turn = bench.parked(firing("Turn"), &asks).await;
    bench.queue.cancel(parked).await.unwrap();
    bench.advance(SECOND);
    bench.flush().await;
    let waits = bench.accept_new(firing("Waits")).await;
    let leased = bench.leased_now().await;
    let waiting = leased.iter().find(|leased| leased.id == waits).unwrap();
    assert!(!bench.post(waiting, &asks).await);
    let mut bench = bench.restart().await;
    let recovered = bench.queue.recovered();
    assert_eq!((recovered.queued, recovered.retrying), (2, 0));
    let leased = bench.leased_now().await;
    let again = |id| leased.iter().find(|leased| leased.id == id).unwrap();
    assert!(again(turn).after_crash, "a worker had it");
    assert!(!again(waits).after_crash);
    assert!(bench.post(again(turn), &asks).await);
    assert!(!bench.post(again(waits), &asks).await);
}

pub(super) async fn a_critical_one_on_a_busy_channel_is_the_next_that_is_posted<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(4));
    let asks = post();
    bench.fill_gate(&asks).await;
    for n in 0..100 {
        let priority = [Priority::Warning, Priority::Normal][n % 2];
        bench
            .parked(urgent(&format!("A{n}"), priority), &asks)
            .await;
    }
    for n in 0..100 {
        // It comes at any moment of the second between two tokens, also while the slots are taken by others.
        let after = Duration::from_millis(n * 10);
        assert!(bench.after(after).await.is_empty());
        let critical = bench
            .accept_new(urgent(&format!("Critical{n}"), Priority::Critical))
            .await;
        let leased = bench.leased_now().await;
        assert_eq!((leased.len(), leased[0].id), (1, critical));
        assert!(!bench.post(&leased[0], &asks).await);
        let turn = bench.after(SECOND - after).await;
        assert_eq!((turn.len(), turn[0].id), (1, critical), "the {n}th");
        assert!(bench.post(&turn[0], &asks).await);
        // It leaves the next token to the others.
        let turn = bench.after(SECOND).await;
        assert_eq!(turn.len(), 1);
        assert!(turn[0].alert.name().starts_with('A'));
        assert!(bench.post(&turn[0], &asks).await);
    }
    assert_eq!(bench.queue.counts().depth, 0);
}

pub(super) async fn an_ordering_key_has_the_highest_priority_that_waits_on_it<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let asks = post();
    bench.fill_gate(&asks).await;
    let warning = bench
        .parked(urgent("Warning", Priority::Warning), &asks)
        .await;
    let firing = bench.parked(firing("A"), &asks).await;
    let mut ends = resolved("A");
    ends.plans[0].priority = Priority::Critical;
    let ends = bench.accept_new(ends).await;
    assert_eq!(
        bench.queue.waiting(firing).unwrap().priority,
        Priority::Critical
    );
    let behind = bench.queue.waiting(ends).unwrap();
    assert_eq!(behind.what, WaitsFor::Earlier(firing));
    let turn = bench.after(SECOND).await;
    assert_eq!((turn.len(), turn[0].id), (1, firing));
    assert_eq!(turn[0].priority, Priority::Normal, "its own");
    assert!(bench.post(&turn[0], &asks).await);
    let next = bench.lease().await;
    assert_eq!((next.id, next.priority), (ends, Priority::Critical));
    assert!(!bench.post(&next, &asks).await);
    for expected in [ends, warning] {
        let turn = bench.after(SECOND).await;
        assert_eq!((turn.len(), turn[0].id), (1, expected));
        assert!(bench.post(&turn[0], &asks).await);
    }
}

pub(super) async fn of_updates_of_one_message_one_waits_and_the_latest_wins<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let asks = [
        ask(GateName::SlackUpdates, 1.0, 10),
        GateAsk::new(GateName::SlackMessage("C1 1.5".into()), None),
    ];
    bench.accept_new(firing("Posts")).await;
    let posts = bench.lease().await;
    bench.ledger(&posts, 1).close_gate(&asks[1], SECOND * 5);
    bench.settle(&posts, Next::Done);
    let first = bench.parked(firing("First"), &asks).await;
    let second = bench.parked(firing("Second"), &asks).await;
    let superseded = bench.leased_now().await;
    assert_eq!(
        (superseded.len(), superseded[0].id),
        (1, first),
        "its call is answered at once"
    );
    assert_eq!(bench.pass(&superseded[0], &asks), Pass::Superseded);
    bench.settle(&superseded[0], Next::Done);
    bench.flush().await;
    let turn = bench.after(SECOND * 5).await;
    assert_eq!(
        (turn.len(), turn[0].id),
        (1, second),
        "the last one always goes"
    );
    assert!(bench.post(&turn[0], &asks).await);
}

/// The gates of an update of one message.
fn update() -> [GateAsk; 2] {
    [
        ask(GateName::SlackUpdates, 1.0, 10),
        GateAsk::new(GateName::SlackMessage("C1 1.5".into()), None),
    ]
}

impl<B: Bench> Harness<B> {
    /// Closes the gate of the message, as after a post.
    async fn close_message(&mut self) {
        self.accept_new(firing("Posts")).await;
        let posts = self.lease().await;
        self.ledger(&posts, 1).close_gate(&update()[1], SECOND * 5);
        self.settled_post(&posts).await;
    }

    async fn settled_post(&self, leased: &Leased) {
        self.settle(leased, Next::Done);
        self.flush().await;
    }

    /// Kills the server, and returns what is leased once nothing is suspected any more. Gates of messages are open again.
    async fn killed(self) -> (Self, Vec<Leased>) {
        let mut bench = self.crash();
        let mut leased = bench.leased_now().await;
        leased.extend(bench.after(SECOND * 10).await);
        leased.sort_by_key(|leased| leased.id);
        (bench, leased)
    }
}

pub(super) async fn after_a_kill_the_latest_update_of_a_message_wins_whoever_asks_first<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    bench.close_message().await;
    bench.set_caps(Caps::all(1));
    let first = bench.parked(firing("First"), &update()).await;
    // It has no permit to hear that it need not make its call.
    bench.accept_new(firing("Busy")).await;
    bench.lease().await;
    let mut later = urgent("Second", Priority::Critical);
    later.plans[0].handlers = vec![name("other")];
    let second = bench.parked(later, &update()).await;
    bench.set_next_caps(Caps::all(8));
    let (bench, mut leased) = bench.killed().await;
    leased.retain(|leased| [first, second].contains(&leased.id));
    assert_eq!([leased[0].id, leased[1].id], [first, second]);
    assert_eq!(bench.pass(&leased[1], &update()), Pass::Granted);
    bench.settled_post(&leased[1]).await;
    assert_eq!(bench.pass(&leased[0], &update()), Pass::Superseded);
}

pub(super) async fn an_update_that_was_sent_is_not_overwritten_after_a_kill_by_an_earlier_one<
    B: Bench,
>() {
    for kills in 1..3 {
        let mut bench = Harness::<B>::new();
        bench.close_message().await;
        let first = bench.parked(firing("First"), &update()).await;
        bench.accept_new(firing("Second")).await;
        let second = bench.lease().await;
        assert_eq!(bench.after(SECOND * 5).await[0].id, first);
        assert_eq!(bench.pass(&second, &update()), Pass::Granted);
        let posted = bench.ledger(&second, 1).record(vec![entry(0)]).await;
        assert_eq!(posted, Ok(()));
        bench.settled_post(&second).await;
        let mut leased = Vec::new();
        for _ in 0..kills {
            (bench, leased) = bench.killed().await;
        }
        assert_eq!((leased.len(), leased[0].id), (1, first));
        assert_eq!(bench.pass(&leased[0], &update()), Pass::Superseded);
    }
}

pub(super) async fn an_update_is_as_late_as_what_it_was_made_of_though_the_server_dies_before_it_waits<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    bench.close_message().await;
    let first = bench.accept_new(firing("First")).await;
    let leased = bench.lease().await;
    assert!(matches!(bench.pass(&leased, &update()), Pass::Parked(_)));
    let read = Entry {
        effect: false,
        parked: true,
        ..entry(0)
    };
    let recorded = bench.ledger(&leased, 1).record(vec![read]).await;
    assert_eq!(recorded, Ok(()));
    let second = bench.parked(firing("Second"), &update()).await;
    let (bench, leased) = bench.killed().await;
    assert_eq!([leased[0].id, leased[1].id], [first, second]);
    assert_eq!(bench.pass(&leased[1], &update()), Pass::Granted);
    assert_eq!(bench.pass(&leased[0], &update()), Pass::Superseded);
}

pub(super) async fn a_parked_delivery_can_be_cancelled_and_needs_no_retry<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let asks = post();
    bench.fill_gate(&asks).await;
    let firing_id = bench.parked(firing("A"), &asks).await;
    let ends = bench.accept_new(resolved("A")).await;
    let refused = bench.queue.retry(firing_id, Force::No).await;
    assert_eq!(refused, Err(RetryError::NotDead));
    bench.queue.cancel(firing_id).await.unwrap();
    let leased = bench.lease().await;
    assert_eq!(leased.id, ends, "its ordering key is free");
    let peek = bench.bench.peek(firing_id).unwrap();
    assert_eq!((peek.state, peek.is_parked), (State::Dead, false));
    // A person sends it again: it waits like any other.
    bench.settle(&leased, Next::Done);
    bench.queue.retry(firing_id, Force::Yes).await.unwrap();
    let leased = bench.lease().await;
    assert!(!bench.post(&leased, &asks).await);
    assert_eq!(bench.after(SECOND).await[0].id, firing_id);
}

pub(super) async fn another_step_of_a_parked_delivery_runs_when_it_is_due_or_its_dependency_is_back<
    B: Bench,
>() {
    let mut bench = Harness::<B>::new();
    let asks = post();
    let mut two = firing("A");
    two.plans = vec![plan("route", &["notify", "page"])];
    bench.fill_gate(&asks).await;
    bench.accept_new(two).await;
    let mut leased = bench.lease().await;
    bench.ledger(&leased, 2).close_gate(&asks[0], SECOND * 600);
    for is_back in [false, true] {
        let Pass::Parked(parked) = bench.pass(&leased, &asks) else {
            panic!("it is closed");
        };
        for step in &mut leased.progress.steps[..2] {
            step.status = StepStatus::Done;
        }
        leased.progress.steps[3].not_before = Some(bench.clock.now() + SECOND * 60);
        leased.progress.steps[3].waits_for = vec![Dependency::Slack];
        bench.park(&leased, parked, false);
        bench.flush().await;
        assert!(bench.leased().is_empty());
        leased = if is_back {
            bench.queue.wake(&Dependency::Slack, Wake::All);
            bench.lease().await
        } else {
            assert!(bench.after(SECOND * 59).await.is_empty());
            bench.after(SECOND).await.remove(0)
        };
        assert_eq!(leased.handler, name("page"));
    }
    assert_eq!(leased.woken, [(Dependency::Slack, Wake::All)]);
}

pub(super) async fn what_was_read_before_it_was_parked_is_on_record<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let asks = post();
    bench.fill_gate(&asks).await;
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let read = |seq| Entry {
        effect: false,
        ..entry(seq)
    };
    let failed = |seq| Entry {
        failed: true,
        ..read(seq)
    };
    let last = Entry {
        parked: true,
        ..failed(2)
    };
    let ledger = bench.ledger(&leased, 1);
    let reads = vec![read(0), failed(1), last.clone(), failed(3)];
    assert_eq!(ledger.record(reads).await, Ok(()));
    assert!(!bench.post(&leased, &asks).await);
    assert_eq!(
        bench.recorded(id, 1).await,
        [read(0), failed(1), last.clone()]
    );
    // It is no effect.
    drop(ledger);
    let journal = bench.story(id).await.journal;
    assert_eq!(
        journal[2],
        (
            1,
            Entry {
                reply: String::new(),
                ..last
            }
        )
    );
    let bench = bench.crash();
    assert_eq!(bench.recorded(id, 1).await.len(), 3);
}

pub(super) async fn a_turn_that_cannot_be_stored_comes_again<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let asks = post();
    bench.fill_gate(&asks).await;
    let parked = bench.parked(firing("Parked"), &asks).await;
    bench.fail_writes(true);
    let failures = bench.bench.failures();
    bench.advance(SECOND);
    eventually(async || bench.bench.failures() > failures).await;
    assert!(bench.leased().is_empty());
    bench.fail_writes(false);
    let leased = bench.lease().await;
    assert_eq!((leased.id, leased.lease.number), (parked, 2));
    assert_eq!(bench.pass(&leased, &asks), Pass::Granted);
}

pub(super) async fn what_waits_is_seen_by_priority_and_since_when<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let mut asks = post();
    asks[0].label = "alerts".into();
    bench.fill_gate(&asks).await;
    let normal = bench.parked(firing("Normal"), &asks).await;
    bench.advance(Duration::from_millis(500));
    bench
        .parked(urgent("Critical", Priority::Critical), &asks)
        .await;
    let gates = bench.queue.gates();
    let [channel, workspace] = &gates[..] else {
        panic!("{gates:?}");
    };
    assert_eq!((&channel.name, &*channel.label), (&asks[0].name, "alerts"));
    assert_eq!(channel.rate, asks[0].rate);
    let waiting = ByPriority {
        critical: 1,
        warning: 0,
        normal: 1,
    };
    assert_eq!((channel.waiting, workspace.waiting), (waiting, waiting));
    assert_eq!(channel.waiting_since, Some(from_millis(START_MS)));
    assert_eq!(channel.next_token_at, Some(from_millis(START_MS + 1_000)));
    assert_eq!(
        (channel.closed_until, workspace.next_token_at),
        (None, None)
    );
    let seen = bench.queue.waiting(normal).unwrap();
    let gate = WaitsFor::Gate {
        name: asks[0].name.clone(),
        label: "alerts".into(),
        closed_until: None,
    };
    assert_eq!(
        (seen.what, seen.ahead, seen.priority),
        (gate, 1, Priority::Normal)
    );
    assert_eq!(seen.since, from_millis(START_MS));
    let counts = bench.queue.counts().handlers;
    assert_eq!((counts[0].by_priority, counts[0].waiting), (waiting, 2));
    assert_eq!(counts[0].oldest, Some(from_millis(START_MS)));
}

pub(super) async fn an_eighth_of_the_slots_is_for_critical_ones<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(16));
    for n in 0..20 {
        bench
            .accept_new(urgent(&format!("A{n}"), Priority::Warning))
            .await;
    }
    assert_eq!(bench.leased_now().await.len(), 14);
    for n in 0..3 {
        bench
            .accept_new(urgent(&format!("B{n}"), Priority::Critical))
            .await;
    }
    let critical = bench.leased_now().await;
    assert_eq!(critical.len(), 2);
    for leased in critical {
        assert_eq!(leased.priority, Priority::Critical);
    }
}
