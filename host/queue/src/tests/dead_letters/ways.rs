//! Ways to report that lead from one to the next.

use super::*;
use alert_manager_core::journal::{CallKind, CallName, Dependency, Entry};

const ROUTES: [&str; 3] = ["dead-letter", "dead-letter@b", "dead-letter:c"];

fn three() -> Notices {
    let handlers = ["report", "report", "other"];
    Notices(
        ROUTES
            .iter()
            .zip(handlers)
            .map(|(r, h)| way(r, h))
            .collect(),
    )
}

impl Bench {
    fn by_ways(self, notices: Notices) -> Self {
        self.queue.set_dead_letters(Some(Arc::new(notices)));
        self
    }

    /// Ends the next delivery, which has to be on this route, and returns it.
    async fn end(&mut self, route: &str, next: Next) -> Leased {
        let leased = self.lease().await;
        assert_eq!(&*leased.route, route);
        self.settle(&leased, next);
        self.flush().await;
        leased
    }

    /// Ends the next delivery after its actor has sent a message.
    async fn end_after_a_message(&mut self, route: &str, next: Next) -> Leased {
        let leased = self.lease().await;
        assert_eq!(&*leased.route, route);
        let act = self
            .queue
            .ledger(leased.id, leased.token, 1, &leased.handler);
        act.record(vec![message()]).await.unwrap();
        self.settle(&leased, next);
        self.flush().await;
        leased
    }

    /// Returns all notices and their ends, oldest first, as status and route.
    async fn notices(&self) -> Vec<(String, String)> {
        let all = Filter {
            limit: 1_000,
            ..Filter::default()
        };
        let mut listed = self.queue.list(all).await.unwrap().deliveries;
        listed.retain(|delivery| alert_manager_core::alert::is_dead_letter_route(&delivery.route));
        let shown = listed.into_iter().rev();
        shown.map(|one| (one.status, one.route)).collect()
    }

    fn unreported(&self) -> u64 {
        self.queue.counts().losses.unreported
    }
}

fn message() -> Entry {
    Entry {
        seq: 0,
        kind: CallKind::Slack,
        name: CallName::Digest("a message".into()),
        effect: true,
        in_doubt: false,
        request: "post".into(),
        result: "ok".into(),
        reply: "{}".into(),
        at: clock::from_millis(START_MS),
        clock: clock::from_millis(START_MS),
    }
}

fn dead() -> Next {
    Next::Dead("refused".into())
}

fn firing_on(routes: &[&str]) -> Vec<(String, String)> {
    let on = |route: &&str| ("firing".to_owned(), (*route).to_owned());
    routes.iter().map(on).collect()
}

#[tokio::test]
async fn a_notice_that_dies_takes_each_other_way_once_and_then_the_log() {
    let mut bench = Bench::new().by_ways(three());
    bench.die("A").await;
    for (place, route) in ROUTES.iter().enumerate() {
        assert_eq!(bench.unreported(), 0);
        let leased = bench.lease().await;
        assert_eq!(&*leased.route, *route);
        let is_last = place == ROUTES.len() - 1;
        assert_eq!(bench.has_another_way(&leased).await, !is_last, "{route}");
        bench.settle(&leased, dead());
        bench.flush().await;
    }
    assert_eq!(bench.unreported(), 1);
    assert_eq!(bench.notices().await, firing_on(&ROUTES));
    // Nothing of it comes again, neither after a crash nor when its time has passed.
    let bench = bench.crash().by_ways(three());
    bench.advance(WINDOW);
    bench.flush().await;
    assert_eq!(bench.notices().await, firing_on(&ROUTES));
}

#[tokio::test]
async fn a_notice_dies_and_takes_its_next_way_in_one_transaction() {
    let mut bench = Bench::new().by_ways(three());
    bench
        .sql(
            "CREATE TRIGGER refuses BEFORE INSERT ON deliveries WHEN NEW.route = 'dead-letter@b'
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .await;
    bench.die("A").await;
    let notice = bench.lease().await;
    bench.settle(&notice, dead());
    eventually(async || bench.queue.unwritable().is_some()).await;
    assert_eq!(bench.state(notice.id).await, State::Running);
    let heal = Urgent::SqlFirst("DROP TRIGGER refuses".into());
    bench.queue.inner.shared.inbox.push(heal);
    eventually(async || bench.state(notice.id).await == State::Dead).await;
    let mut bench = bench.crash().by_ways(three());
    assert_eq!(bench.notices().await, firing_on(&ROUTES[..2]));
    bench.end(ROUTES[1], Next::Done).await;
}

#[tokio::test]
async fn a_notice_under_which_the_server_died_takes_its_next_way() {
    let mut bench = Bench::new().by_ways(three());
    bench.die("A").await;
    bench.flush().await;
    for _ in 0..3 {
        assert_eq!(&*bench.lease().await.route, ROUTES[0]);
        bench = bench.crash();
    }
    let mut bench = bench.by_ways(three());
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&ROUTES[..2]));
}

#[tokio::test]
async fn a_blocked_way_is_left_out_unless_all_are_blocked() {
    let mut blocked = three();
    blocked.0[0].is_blocked = true;
    let mut bench = Bench::new().by_ways(blocked);
    bench.die("A").await;
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    let mut all = three();
    for way in &mut all.0 {
        way.is_blocked = true;
    }
    let mut bench = bench.by_ways(all);
    bench.die("B").await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&[ROUTES[1], ROUTES[0]]));
}

#[tokio::test]
async fn who_was_notified_by_one_of_two_handlers_is_not_notified_again() {
    let mut bench = Bench::new().by_ways(three());
    bench.die("A").await;
    bench.end_after_a_message(ROUTES[0], dead()).await;
    assert_eq!(bench.notices().await, firing_on(&ROUTES[..1]));
    assert_eq!(bench.unreported(), 0);
}

#[tokio::test]
async fn a_handler_that_does_nothing_on_another_way_has_notified_nobody() {
    let mut bench = Bench::new().by_ways(three());
    bench.die("A").await;
    bench.end(ROUTES[0], dead()).await;
    bench.end(ROUTES[1], Next::Done).await;
    bench.end(ROUTES[2], Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&ROUTES));
    assert_eq!(bench.unreported(), 1);
}

#[tokio::test]
async fn nothing_is_forwarded_that_a_person_cancelled_or_has_retried_in_vain() {
    let mut bench = Bench::new().by_ways(three());
    bench.die("A").await;
    let first = bench.end(ROUTES[0], dead()).await;
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    // Somebody was notified by another way: the first one may die as often as it likes.
    bench.queue.retry(first.id, Force::Yes).await.unwrap();
    bench.end(ROUTES[0], dead()).await;
    bench.die("B").await;
    let waits = bench.lease().await;
    bench.queue.cancel(waits.id).await.unwrap();
    bench.settle(&waits, dead());
    bench.flush().await;
    let expected = firing_on(&[ROUTES[0], ROUTES[1], ROUTES[0]]);
    assert_eq!(bench.notices().await, expected);
    assert_eq!(bench.unreported(), 0);
}

#[tokio::test]
async fn what_was_reported_and_is_done_after_all_is_resolved_where_it_was_reported() {
    let mut bench = Bench::new().by_ways(three());
    let id = bench.die("A").await;
    bench.end(ROUTES[0], dead()).await;
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    bench.clock.advance(Duration::from_secs(1));
    bench.queue.retry(id, Force::No).await.unwrap();
    // What is revived is known after a crash, too.
    let mut bench = bench.crash().by_ways(three());
    bench.fail(id).await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    assert_eq!(
        bench.notices().await,
        firing_on(&[ROUTES[0], ROUTES[1], ROUTES[0]])
    );
    bench.clock.advance(Duration::from_secs(1));
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.run(Next::Done).await, id);
    let mut ends = bench.notices().await.split_off(3);
    ends.sort();
    let resolved = |route: &str| ("resolved".to_owned(), route.to_owned());
    assert_eq!(ends, [resolved(ROUTES[0]), resolved(ROUTES[1])]);
    for _ in 0..2 {
        let end = bench.lease().await;
        assert_eq!(end.alert.status, Status::Resolved);
        bench.settle(&end, dead());
    }
    bench.flush().await;
    assert_eq!(bench.notices().await.len(), 5, "an end takes no other way");
}

#[tokio::test]
async fn a_death_and_the_end_of_its_notice_are_one_transaction_with_what_ends_it() {
    let mut bench = Bench::new().by_ways(three());
    let id = bench.die("A").await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    bench.queue.retry(id, Force::No).await.unwrap();
    bench
        .sql(
            "CREATE TRIGGER refuses BEFORE INSERT ON deliveries WHEN NEW.status = 1
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .await;
    let leased = bench.lease().await;
    bench.settle(&leased, Next::Done);
    eventually(async || bench.queue.unwritable().is_some()).await;
    assert_eq!(bench.state(id).await, State::Running);
    let heal = Urgent::SqlFirst("DROP TRIGGER refuses".into());
    bench.queue.inner.shared.inbox.push(heal);
    eventually(async || bench.state(id).await == State::Done).await;
    let bench = bench.crash();
    assert_eq!(bench.notices().await.len(), 2);
}

#[tokio::test]
async fn what_is_cancelled_after_a_retry_is_resolved_too() {
    let mut bench = Bench::new().by_ways(three());
    let id = bench.die("A").await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    bench.queue.retry(id, Force::No).await.unwrap();
    bench.queue.cancel(id).await.unwrap();
    let resolved = ("resolved".to_owned(), ROUTES[0].to_owned());
    assert_eq!(bench.notices().await[1..], [resolved]);
}

#[tokio::test]
async fn a_notice_that_waits_is_out_of_date_once_its_delivery_was_sent_again() {
    let mut bench = Bench::new().by_ways(three());
    let id = bench.die("A").await;
    let notice = bench.lease().await;
    let is_out_of_date = async |bench: &Bench| {
        let answer = bench.queue.is_out_of_date(&notice.alert).await;
        answer.unwrap()
    };
    assert!(!is_out_of_date(&bench).await);
    bench.clock.advance(Duration::from_secs(1));
    bench.queue.retry(id, Force::No).await.unwrap();
    assert!(is_out_of_date(&bench).await, "it may be done soon");
    bench.fail(id).await;
    bench.flush().await;
    assert!(is_out_of_date(&bench).await, "another notice says so");
    bench.queue.release_slot(&notice.handler);
    let left_out = notice.id;
    bench.queue.leave_out(notice);
    bench.flush().await;
    let left_out = bench.story(left_out).await.delivery;
    assert_eq!(left_out.reason, Some(Reason::Outdated));
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&[ROUTES[0], ROUTES[0]]));
    bench.queue.retry(id, Force::No).await.unwrap();
    bench.run(Next::Done).await;
    assert_eq!(
        bench.notices().await.len(),
        3,
        "only what was sent is resolved"
    );
}

#[tokio::test]
async fn a_re_send_leaves_a_notice_in_force_until_it_is_done() {
    let mut bench = Bench::new().by_ways(three());
    let id = bench.die("A").await;
    let notice = bench.lease().await;
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.accept_new(firing("A")).await, id);
    let answer = bench.queue.is_out_of_date(&notice.alert).await;
    assert!(!answer.unwrap(), "another death would not be reported");
    assert_eq!(bench.run(Next::Done).await, id);
    // It was under way then: its end is stored when it has been sent.
    assert_eq!(bench.notices().await.len(), 1);
    bench.settle(&notice, Next::Done);
    bench.queue.release_slot(&notice.handler);
    bench.flush().await;
    let resolved = ("resolved".to_owned(), ROUTES[0].to_owned());
    assert_eq!(bench.notices().await[1..], [resolved]);
}

#[tokio::test]
async fn an_alarm_is_raised_once_over_restarts_and_ends() {
    let alarm = || {
        let mut alarm = alert("Held", 0);
        alarm.labels = alarm
            .labels
            .merged(&Labels::from_iter([("channel", "alerts")]));
        alarm.fingerprint = Fingerprint::of(&alarm.labels);
        alarm
    };
    let bench = Bench::new();
    assert_eq!(
        bench.queue.raise(alarm(), IfBlocked::Leave).await.unwrap(),
        Raised::Nowhere
    );
    let mut blocked = three();
    for way in &mut blocked.0 {
        way.is_blocked = true;
    }
    let bench = bench.by_ways(blocked);
    assert_eq!(
        bench.queue.raise(alarm(), IfBlocked::Leave).await.unwrap(),
        Raised::Nowhere
    );
    let mut bench = bench.by_ways(three());
    assert_eq!(
        bench.queue.raise(alarm(), IfBlocked::Leave).await.unwrap(),
        Raised::Stored
    );
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    let mut bench = bench.restart().await.by_ways(three());
    let mut later = alarm();
    later.starts_at = bench.clock.now();
    assert_eq!(
        bench.queue.raise(later, IfBlocked::Leave).await.unwrap(),
        Raised::Known
    );
    bench.queue.end(alarm().fingerprint).await.unwrap();
    let end = bench.end(ROUTES[0], Next::Done).await;
    assert_eq!(end.alert.status, Status::Resolved);
    bench.queue.end(alarm().fingerprint).await.unwrap();
    assert_eq!(bench.notices().await.len(), 2);
}

/// A queue of which each handler may have two deliveries, and run one.
fn narrow(notices: Notices) -> Bench {
    let options = Options {
        queue_depth_max: 4,
        ..Options::default()
    };
    Bench::with(options, Caps::all(1)).by_ways(notices)
}

impl Bench {
    /// Has a handler take no more, and returns what runs.
    async fn fill(&mut self, handler: &str) -> Leased {
        for waits in ["W1", "W2"] {
            let mut own = firing(&format!("{waits} of {handler}"));
            own.plans = vec![plan("own", &[handler])];
            self.accept_new(own).await;
        }
        self.lease().await
    }

    /// Ends what has filled a handler.
    async fn drain(&mut self, first: &Leased) {
        self.settle(first, Next::Done);
        self.run(Next::Done).await;
    }

    /// Lets a notice wait for Slack for an hour.
    async fn wait_for_slack(&self, leased: &Leased) {
        let until = clock::from_millis(self.clock.now().as_millisecond() + 3_600_000);
        let handler = leased.handler.clone();
        let mut settlement = settlement(leased, Next::Retry { until, handler });
        for step in &mut settlement.progress.steps {
            step.not_before = Some(until);
            step.waits_for = vec![Dependency::Slack];
        }
        self.queue.release_slot(&leased.handler);
        self.queue.settle(settlement);
        self.flush().await;
    }

    async fn has_another_way(&self, leased: &Leased) -> bool {
        self.queue.has_another_way(&leased.alert).await.unwrap()
    }

    async fn raise(&self, alarm: &Alert) -> Raised {
        let raised = self.queue.raise(alarm.clone(), IfBlocked::Leave);
        raised.await.unwrap()
    }
}

/// The end of a notice on this route.
fn end_on(route: &str) -> (String, String) {
    ("resolved".to_owned(), route.to_owned())
}

#[tokio::test]
async fn what_is_done_without_an_effect_counts_only_if_all_that_were_named_are() {
    let mut left_out = three();
    left_out.0[0].handlers = vec![name("enriches")];
    let mut bench = Bench::new().by_ways(left_out);
    bench.die("A").await;
    let notice = bench.lease().await;
    assert_eq!(notice.handler, name("enriches"));
    // Meanwhile the one who notifies is back.
    let mut bench = bench.by_ways(three());
    bench.settle(&notice, Next::Done);
    bench.flush().await;
    // It was left out, so its pipeline is another way.
    let whole = bench.end(ROUTES[0], Next::Done).await;
    assert_eq!(whole.handler, name("report"));
    assert_eq!(
        bench.notices().await,
        firing_on(&[ROUTES[0], ROUTES[0]]),
        "all that were named are done"
    );
}

#[tokio::test]
async fn of_ways_that_are_all_blocked_one_is_taken_until_another_is_free() {
    let blocked = || {
        let mut ways = three();
        for way in &mut ways.0 {
            way.is_blocked = true;
        }
        ways
    };
    let mut bench = Bench::new().by_ways(blocked());
    bench.die("A").await;
    let notice = bench.lease().await;
    assert!(!bench.has_another_way(&notice).await, "it waits here");
    bench.wait_for_slack(&notice).await;
    bench.queue.look_again();
    bench.flush().await;
    assert_eq!(bench.state(notice.id).await, State::Retrying);

    let mut free = blocked();
    free.0[2].is_blocked = false;
    let mut bench = bench.by_ways(free);
    let notice = bench.lease().await;
    assert_eq!(notice.lease, 2, "it was woken");
    assert!(bench.has_another_way(&notice).await);
    bench.settle(&notice, dead());
    bench.flush().await;
    bench.end_after_a_message(ROUTES[2], Next::Done).await;
    assert_eq!(
        bench.notices().await,
        firing_on(&[ROUTES[0], ROUTES[2]]),
        "no death on what is blocked"
    );
}

#[tokio::test]
async fn other_handlers_are_another_way_also_under_the_same_route() {
    let one = |handler: &str| Notices(vec![way(DEAD_LETTER_ROUTE, handler)]);
    let mut bench = Bench::new().by_ways(one("report"));
    bench.die("A").await;
    let notice = bench.lease().await;
    bench.wait_for_slack(&notice).await;
    let mut bench = bench.by_ways(one("pager"));
    bench.end(DEAD_LETTER_ROUTE, dead()).await;
    let paged = bench
        .end_after_a_message(DEAD_LETTER_ROUTE, Next::Done)
        .await;
    assert_eq!(paged.handler, name("pager"));
    assert_eq!(bench.unreported(), 0);
}

#[tokio::test]
async fn a_notice_that_did_nothing_waits_for_room_on_its_next_way() {
    let mut bench = narrow(Notices(vec![
        way("dead-letter@b", "report"),
        way("dead-letter:c", "other"),
    ]));
    let busy = bench.fill("other").await;
    bench.die("A").await;
    bench.end("dead-letter@b", Next::Done).await;
    assert_eq!(bench.notices().await, firing_on(&["dead-letter@b"]));
    bench.drain(&busy).await;
    bench.advance(WINDOW);
    bench.flush().await;
    bench.end_after_a_message("dead-letter:c", Next::Done).await;
}

#[tokio::test]
async fn the_end_of_a_notice_waits_for_room() {
    let mut bench = narrow(three());
    let id = bench.die("A").await;
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    bench.queue.retry(id, Force::No).await.unwrap();
    let subject = bench.lease().await;
    let busy = bench.fill("report").await;
    bench.settle(&subject, Next::Done);
    bench.flush().await;
    assert_eq!(
        bench.notices().await,
        firing_on(&ROUTES[..1]),
        "it is not dead by backlog"
    );
    bench.drain(&busy).await;
    bench.advance(WINDOW);
    bench.flush().await;
    let end = bench.end(ROUTES[0], Next::Done).await;
    assert_eq!(end.alert.status, Status::Resolved);
    bench.advance(WINDOW);
    bench.flush().await;
    assert_eq!(bench.notices().await.len(), 2, "once");
}

#[tokio::test]
async fn the_end_of_an_alarm_waits_for_room() {
    let mut bench = narrow(three());
    let alarm = alert("Held", 0);
    assert_eq!(bench.raise(&alarm).await, Raised::Stored);
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    let busy = bench.fill("report").await;
    let end = async |bench: &Bench| bench.queue.end(alarm.fingerprint).await.unwrap();
    assert!(!end(&bench).await);
    assert_eq!(bench.notices().await.len(), 1);
    bench.drain(&busy).await;
    assert!(end(&bench).await);
    assert_eq!(bench.notices().await[1..], [end_on(ROUTES[0])]);
}

/// Two ways with handlers of their own.
fn two() -> Notices {
    Notices(vec![
        way("dead-letter@b", "report"),
        way("dead-letter:c", "other"),
    ])
}

#[tokio::test]
async fn an_alarm_that_ends_while_its_next_way_has_no_room_does_not_take_it() {
    let mut bench = narrow(two());
    let alarm = alert("Held", 0);
    let busy = bench.fill("other").await;
    assert_eq!(bench.raise(&alarm).await, Raised::Stored);
    bench.end("dead-letter@b", dead()).await;
    assert!(bench.queue.end(alarm.fingerprint).await.unwrap());
    bench.drain(&busy).await;
    bench.advance(WINDOW);
    bench.flush().await;
    assert_eq!(bench.notices().await, firing_on(&["dead-letter@b"]));
}

#[tokio::test]
async fn an_alarm_that_was_reported_on_two_ways_ends_on_both_when_there_is_room() {
    let mut bench = narrow(two());
    let alarm = alert("Held", 0);
    assert_eq!(bench.raise(&alarm).await, Raised::Stored);
    let first = bench.end("dead-letter@b", dead()).await;
    bench.end_after_a_message("dead-letter:c", Next::Done).await;
    bench.queue.retry(first.id, Force::Yes).await.unwrap();
    bench.end_after_a_message("dead-letter@b", Next::Done).await;
    let busy = bench.fill("other").await;
    assert!(!bench.queue.end(alarm.fingerprint).await.unwrap());
    bench.end("dead-letter@b", Next::Done).await;
    assert!(bench.queue.end(alarm.fingerprint).await.unwrap());
    bench.drain(&busy).await;
    bench.advance(WINDOW);
    bench.flush().await;
    let end = bench.end("dead-letter:c", Next::Done).await;
    assert_eq!(end.alert.status, Status::Resolved);
    bench.advance(WINDOW);
    bench.flush().await;
    let ends = bench.notices().await.split_off(2);
    assert_eq!(ends, [end_on("dead-letter@b"), end_on("dead-letter:c")]);
}

#[tokio::test]
async fn each_of_many_notices_about_one_delivery_is_resolved() {
    let mut bench = Bench::new().by_ways(three());
    let id = bench.die("A").await;
    for _ in 0..3 {
        bench.end_after_a_message(ROUTES[0], Next::Done).await;
        bench.clock.advance(Duration::from_secs(1));
        bench.queue.retry(id, Force::No).await.unwrap();
        bench.fail(id).await;
    }
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.run(Next::Done).await, id);
    let ends = bench.notices().await.split_off(4);
    assert_eq!(ends, vec![end_on(ROUTES[0]); 4]);
}

#[tokio::test]
async fn a_retry_of_many_leaves_notices_out() {
    let mut bench = Bench::new().by_ways(three());
    let id = bench.die("A").await;
    let notice = bench.end(ROUTES[0], dead()).await;
    bench.end_after_a_message(ROUTES[1], Next::Done).await;
    let selection = Selection {
        handler: Some(name("report")),
        ..Selection::default()
    };
    let retried = bench.queue.retry_all(selection, None).await.unwrap();
    assert_eq!(retried.retried, []);
    let all = bench.queue.retry_all(Selection::default(), None).await;
    assert_eq!(all.unwrap().retried, [id]);
    bench.queue.retry(notice.id, Force::Yes).await.unwrap();
}

#[tokio::test]
async fn an_alarm_that_has_ended_may_fire_again_under_the_same_start() {
    let mut bench = Bench::new().by_ways(three());
    let alarm = alert("Held", 0);
    for _ in 0..3 {
        assert_eq!(bench.raise(&alarm).await, Raised::Stored);
        assert_eq!(bench.raise(&alarm).await, Raised::Known);
        bench.end_after_a_message(ROUTES[0], Next::Done).await;
        assert!(bench.queue.end(alarm.fingerprint).await.unwrap());
        let end = bench.end(ROUTES[0], Next::Done).await;
        assert_eq!(end.alert.status, Status::Resolved);
    }
    assert_eq!(bench.notices().await.len(), 6);
}

#[tokio::test]
async fn the_alarms_that_fire_are_known_after_a_restart_whatever_senders_send() {
    let mut bench = Bench::new().by_ways(three());
    let alarm = alert("Held", 1);
    bench.accept_new(firing("Held")).await;
    bench.run(Next::Done).await;
    let alarms = async |bench: &Bench| bench.queue.alarms().await.unwrap();
    assert_eq!(alarms(&bench).await, []);
    assert_eq!(bench.raise(&alarm).await, Raised::Stored, "it is another");
    bench.end_after_a_message(ROUTES[0], Next::Done).await;
    // Another one comes and goes.
    for n in 0..120 {
        let other = alert("Other", n);
        assert_eq!(bench.raise(&other).await, Raised::Stored);
        bench.queue.end(other.fingerprint).await.unwrap();
        while bench.queue.counts().depth > 0 {
            bench.run(Next::Done).await;
        }
    }
    let mut bench = bench.crash().by_ways(three());
    assert_eq!(alarms(&bench).await, std::slice::from_ref(&alarm));
    bench.queue.end(alarm.fingerprint).await.unwrap();
    bench.end(ROUTES[0], Next::Done).await;
    assert_eq!(alarms(&bench).await, []);
}
