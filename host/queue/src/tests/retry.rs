//! Many dead deliveries are sent again, and nobody suffers for it.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::store::sqlite::{Chosen, RetryJob};
use super::*;
use alert_manager_core::journal::Begun;

impl Bench {
    /// Sends all of `notify` again that come after this one.
    pub(super) async fn retry_all(&self, after: Option<DeliveryId>) -> Retried {
        let selection = Selection {
            handler: Some(name("notify")),
            ..Selection::default()
        };
        self.queue.retry_all(selection, after).await.unwrap()
    }

    /// Returns a queue with so many dead ones, on ordering keys of their own, and nothing else.
    async fn with_dead(count: usize, options: Options) -> (Self, Vec<DeliveryId>) {
        let full = Options {
            queue_depth_max: 2,
            ..Options::default()
        };
        let bench = Self::with(full, Caps::all(0));
        let body = (0..=count).map(|i| firing(&format!("A{i}"))).collect();
        let parcel = Parcel::new(body, Vec::new());
        let receipt = bench.queue.accept(parcel).await.unwrap();
        let mut ids = receipt.verdicts.iter().map(|verdict| match verdict {
            Verdict::Accepted(accepted) => accepted[0].id,
            other => panic!("not accepted: {other:?}"),
        });
        let first = ids.next().unwrap();
        let dead = ids.collect();
        bench
            .sql(&format!(
                "DELETE FROM deliveries WHERE id = {}",
                first.as_raw()
            ))
            .await;
        let Self {
            dir,
            clock,
            caps,
            queue,
            leases,
            ..
        } = bench;
        drop((queue, leases));
        (Self::again(dir, clock, options, caps), dead)
    }
}

#[tokio::test]
async fn many_are_sent_again_in_slices_with_other_work_between_them() {
    let (bench, dead) = Bench::with_dead(2_000, Options::default()).await;
    let before = *bench.queue.commits().borrow();
    let retried = bench.retry_all(None).await;
    assert_eq!((retried.retried, retried.rest), (dead, None));
    let commits = *bench.queue.commits().borrow() - before;
    assert!(commits >= 2_000 / 256, "{commits} transactions");
    let counts = bench.queue.counts();
    assert_eq!((counts.depth, counts.dead), (2_000, 0));
    let bench = bench.crash();
    assert_eq!(bench.queue.counts().depth, 2_000);
}

#[tokio::test]
async fn many_leave_room_for_what_is_new_and_the_rest_is_sent_when_there_is_some() {
    let options = Options {
        queue_depth_max: 16,
        ..Options::default()
    };
    let (mut bench, dead) = Bench::with_dead(10, options).await;
    let first = bench.retry_all(None).await;
    assert_eq!(first.retried, dead[..4], "a quarter of the queue");
    let rest = first.rest.unwrap();
    assert_eq!(
        (rest.after, rest.count, &rest.why),
        (dead[3], 6, &RestReason::Room)
    );
    let left: Vec<_> = first.left.iter().map(|(id, _)| *id).collect();
    assert_eq!(left, dead[4..]);
    assert!(
        first.left[0].1.to_string().contains("queue_depth_max"),
        "{:?}",
        first.left[0]
    );
    assert_eq!(first.left_counts, []);
    for started in 0..4 {
        let id = bench.accept_new(firing(&format!("New{started}"))).await;
        assert_eq!(bench.state(id).await, State::Queued, "no backlog");
    }

    bench.queue.set_caps(Caps::all(8));
    for _ in 0..8 {
        let leased = bench.lease().await;
        bench.settle(&leased, Next::Done);
    }
    bench.flush().await;
    let second = bench.retry_all(Some(rest.after)).await;
    assert_eq!(second.retried[..4], dead[4..8]);
}

#[tokio::test]
async fn those_that_a_later_event_has_passed_are_left_and_counted() {
    let mut bench = Bench::new();
    let mut dead = Vec::new();
    for alert in ["A", "B", "C"] {
        dead.push(bench.accept_new(firing(alert)).await);
        let leased = bench.lease().await;
        bench.settle(&leased, Next::Dead("why".into()));
    }
    // Of A a later one has run, of B one runs.
    bench.accept_new(resolved("A")).await;
    let leased = bench.lease().await;
    bench.settle(&leased, Next::Done);
    bench.accept_new(resolved("B")).await;
    let _running = bench.lease().await;
    let retried = bench.retry_all(None).await;
    assert_eq!(retried.retried, dead[2..]);
    let passed = |id| (id, RetryError::Passed);
    assert_eq!(retried.left, [passed(dead[0]), passed(dead[1])]);
    assert_eq!(retried.left_counts, [(RetryError::Passed, 2)]);
    assert_eq!(retried.rest, None);
}

#[tokio::test]
async fn one_that_fails_to_be_stored_is_left_with_the_reason() {
    let (bench, dead) = Bench::with_dead(3, Options::default()).await;
    bench
        .sql(
            "CREATE TRIGGER refuses BEFORE UPDATE OF revived_at ON deliveries
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .await;
    let answer = bench.retry_all(None).await;
    assert_eq!(answer.retried, []);
    let rest = answer.rest.unwrap();
    assert_eq!(rest.count, 3);
    assert!(
        matches!(&rest.why, RestReason::Store(why) if why.contains("refused")),
        "{rest:?}"
    );
    assert_eq!(bench.state(dead[0]).await, State::Dead);
}

#[tokio::test]
async fn what_a_person_has_cancelled_is_not_among_the_many() {
    let mut bench = Bench::new();
    let cancelled = bench.accept_new(firing("A")).await;
    bench.queue.cancel(cancelled).await.unwrap();
    let dead = bench.accept_new(firing("B")).await;
    bench.run(Next::Dead("why".into())).await;
    let all = bench
        .queue
        .retry_all(Selection::default(), None)
        .await
        .unwrap();
    assert_eq!(all.retried, [dead]);
    assert!(all.left.is_empty(), "{:?}", all.left);
    bench.queue.retry(cancelled, Force::No).await.unwrap();
}

impl Bench {
    /// Sends messages that the writer takes in one transaction.
    fn push_together(&self, messages: Vec<Urgent>) {
        let inbox = &self.queue.inner.shared.inbox;
        inbox.put_back(messages);
        inbox.nudge();
    }
}

/// A request to send one again, and its answer.
fn retry(id: DeliveryId) -> (Urgent, oneshot::Receiver<Result<Selected, RetryError>>) {
    let (reply, answer) = oneshot::channel();
    let later = commit::inbox::Later::default();
    let force = false;
    let message = Urgent::Retry {
        id,
        force,
        later,
        reply,
    };
    (message, answer)
}

#[tokio::test]
async fn a_resolved_that_is_sent_again_together_with_its_firing_runs_after_it() {
    let mut bench = Bench::with(Options::default(), Caps::all(0));
    let first = bench.accept_new(firing("A")).await;
    let second = bench.accept_new(resolved("A")).await;
    for id in [first, second] {
        bench.queue.cancel(id).await.unwrap();
    }
    let ((retry_second, answer_second), (retry_first, answer_first)) =
        (retry(second), retry(first));
    bench.push_together(vec![retry_second, retry_first]);
    assert_eq!(answer_second.await.unwrap(), Ok(Selected::Dead));
    assert_eq!(answer_first.await.unwrap(), Ok(Selected::Dead));
    bench.queue.set_caps(Caps::all(8));
    for id in [first, second] {
        assert_eq!(bench.run(Next::Done).await, id);
    }
}

#[tokio::test]
async fn what_is_sent_again_this_very_moment_cannot_be_cancelled_yet() {
    let bench = Bench::with(Options::default(), Caps::all(0));
    let id = bench.accept_new(firing("A")).await;
    bench.queue.cancel(id).await.unwrap();
    let (retry, retried) = retry(id);
    let (reply, cancelled) = oneshot::channel();
    bench.push_together(vec![retry, Urgent::Cancel { id, reply }]);
    assert_eq!(retried.await.unwrap(), Ok(Selected::Dead));
    let cancelled = cancelled.await.unwrap();
    assert!(
        matches!(cancelled, Err(CancelError::Unavailable(_))),
        "{cancelled:?}"
    );
    assert_eq!(bench.state(id).await, State::Queued);
    assert_eq!(bench.queue.cancel(id).await, Ok(()));
}

impl Bench {
    /// Ends what is leased next with a wait of ten minutes.
    async fn run_to_a_wait(&mut self) -> DeliveryId {
        let until = clock::from_millis(START_MS + 600_000);
        let handler = name("notify");
        self.run(Next::Retry { until, handler }).await
    }

    /// Selects as a request does that looks at so many.
    fn select(&self, selection: &Selection, after: Option<DeliveryId>, max: u32) -> Chosen {
        let reader = &self.queue.inner.reader;
        reader.selected(selection, after, max).unwrap()
    }

    /// Sends again what was selected.
    async fn retry_chosen(&self, chosen: Chosen, after: Option<DeliveryId>) -> Retried {
        let (reply, answer) = oneshot::channel();
        let job = RetryJob::new(chosen, after, reply);
        self.queue.inner.shared.inbox.retry_many(job);
        answer.await.unwrap()
    }
}

#[tokio::test]
async fn what_waited_when_it_was_selected_and_has_died_since_is_left() {
    let mut bench = Bench::new();
    let first = bench.accept_new(firing("A")).await;
    assert_eq!(bench.run_to_a_wait().await, first);
    let waiting = Selection {
        state: Selected::Retrying,
        ..Selection::default()
    };
    let chosen = bench.select(&waiting, None, 10);
    bench.advance(Duration::from_secs(600));
    assert_eq!(bench.run(Next::Dead("why".into())).await, first);
    bench.accept_new(resolved("A")).await;
    bench.run(Next::Done).await;

    let answer = bench.retry_chosen(chosen, None).await;
    assert_eq!(answer.retried, []);
    assert_eq!(answer.left, [(first, RetryError::NotDead)]);
    assert_eq!(
        bench.state(first).await,
        State::Dead,
        "its resolved has run"
    );
}

#[tokio::test]
async fn many_of_which_few_have_the_labels_are_looked_at_to_the_end() {
    let mut bench = Bench::new();
    let mut ids = Vec::new();
    for n in 0..9 {
        ids.push(bench.accept_new(firing(&format!("A{n}"))).await);
        bench.run(Next::Dead("why".into())).await;
    }
    let wanted = |labels: &Labels| matches!(labels.get("alertname"), Some("A3" | "A8"));
    let selection = Selection {
        labels: Some(LabelTest::new(wanted)),
        ..Selection::default()
    };
    let (mut after, mut retried) = (None, Vec::new());
    loop {
        let chosen = bench.select(&selection, after, 2);
        let answer = bench.retry_chosen(chosen, after).await;
        retried.extend(answer.retried);
        let Some(rest) = answer.rest else {
            break;
        };
        assert!(Some(rest.after) > after, "it gets on");
        after = Some(rest.after);
    }
    assert_eq!(retried, [ids[3], ids[8]]);
}

#[tokio::test]
async fn what_a_newer_version_waited_for_is_no_reason_to_die() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run_to_a_wait().await;
    bench
        .sql(
            r#"UPDATE runs SET progress = replace(progress, '"traps"', '"waits_for":"pager x\nslack","traps"')"#,
        )
        .await;
    let story = bench.story(id).await;
    assert_eq!(story.progress.waits_for(), [Dependency::Slack]);
    bench
        .sql("UPDATE deliveries SET waits_for = 'pager x'")
        .await;
    bench.advance(Duration::from_secs(600));
    let leased = bench.lease().await;
    assert_eq!(leased.id, id);
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    assert_eq!(bench.state(id).await, State::Done);
}

#[tokio::test]
async fn one_that_cannot_be_read_is_its_own_error_and_not_everybodys() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run_to_a_wait().await;
    let broken = "UPDATE runs SET progress = '{'";
    bench.sql(broken).await;
    let (retry, answer) = retry(id);
    let (reply, stored) = oneshot::channel();
    bench.push_together(vec![retry, Urgent::Sql("SELECT 1".into(), reply)]);
    let refused = answer.await.unwrap();
    assert!(
        matches!(&refused, Err(RetryError::Unavailable(why)) if why.contains("cannot be read")),
        "{refused:?}"
    );
    stored.await.unwrap();
    let waiting = Selection {
        state: Selected::Retrying,
        ..Selection::default()
    };
    let answer = bench.queue.retry_all(waiting, None).await.unwrap();
    assert_eq!((answer.retried, answer.left.len()), (vec![], 1));

    let other = bench.accept_new(firing("B")).await;
    let leased = bench.lease().await;
    assert_eq!(leased.id, other);
    let ledger = bench.ledger(&leased);
    bench
        .sql(&format!(
            "INSERT OR REPLACE INTO runs VALUES ({}, 1, '{{', NULL)",
            other.as_raw()
        ))
        .await;
    let begun = Begun {
        attempt: 1,
        call: alert_manager_core::journal::NamedCall {
            kind: alert_manager_core::journal::CallKind::Http,
            name: alert_manager_core::journal::CallName::Key("k".into()),
            request: "POST".into(),
        },
        since_seq: 0,
    };
    let note = alert_manager_core::journal::Note {
        doubts: alert_manager_core::journal::Doubts::default(),
        begun,
    };
    let noted = ledger.note(note).await;
    assert!(
        matches!(&noted, Err(alert_manager_core::journal::LedgerError::Unavailable(why)) if why.contains("cannot be read")),
        "{noted:?}"
    );
    bench.accept_new(firing("C")).await;
}
