//! Each death is reported by what is stored with it, and many are a few notices.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::alert::DEAD_LETTER_ROUTE;

const WINDOW: Duration = Duration::from_secs(60);

/// Reports by these ways.
#[derive(Debug)]
struct Notices(Vec<Way>);

impl Notices {
    /// One way.
    fn one() -> Self {
        Self(vec![way(DEAD_LETTER_ROUTE, "report")])
    }
}

fn way(route: &str, handler: &str) -> Way {
    Way {
        route: route.into(),
        handlers: vec![name(handler)],
        is_blocked: false,
    }
}

impl DeadLetterNotices for Notices {
    fn notice(&self, about: &DeadLetter<'_>, now: Timestamp) -> Alert {
        let (text, subject, starts_at) = match about {
            DeadLetter::One(dead) => {
                let died_at = dead.first_died_at.or(dead.settled_at);
                let text = format!("one {}", dead.id);
                (text, dead.id.to_string(), died_at.unwrap_or(now))
            }
            DeadLetter::Many(many) => {
                let handlers: Vec<_> = many.handlers.iter().map(|h| h.as_str()).collect();
                let handlers = handlers.join("+");
                let text = format!("{} {} {handlers}", many.count, many.kind.as_str());
                (text, String::new(), now)
            }
        };
        let mut notice = alert(&text, 0);
        let subject = Labels::from_iter([(SUBJECT, subject)]).without_empty_values();
        notice.labels = notice.labels.merged(&subject);
        notice.fingerprint = Fingerprint::of(&notice.labels);
        notice.starts_at = starts_at;
        notice
    }

    fn ways(&self) -> Vec<Way> {
        self.0.clone()
    }

    fn forwarded(&self, alert: Alert, _: &Delivery) -> Alert {
        alert
    }

    fn resolved(&self, mut alert: Alert, now: Timestamp) -> Alert {
        alert.status = Status::Resolved;
        alert.ends_at = Some(now);
        alert
    }
}

async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, waited).await.unwrap();
}

impl Bench {
    fn reporting(self) -> Self {
        self.queue.set_dead_letters(Some(Arc::new(Notices::one())));
        self
    }

    /// Has a delivery run and die.
    async fn die(&mut self, alertname: &str) -> DeliveryId {
        let id = self.accept_new(firing(alertname)).await;
        self.fail(id).await;
        id
    }

    /// Runs everything up to this delivery, which dies.
    async fn fail(&mut self, id: DeliveryId) {
        loop {
            let leased = self.lease().await;
            if leased.id == id {
                self.settle(&leased, Next::Dead("why".into()));
                return;
            }
            self.settle(&leased, Next::Done);
        }
    }

    /// Returns what was reported, in order.
    async fn reported(&self) -> Vec<String> {
        // What is due is stored in the transaction of the first, or in the next.
        self.flush().await;
        self.flush().await;
        let notices = Filter {
            handler: Some("report".into()),
            limit: 1_000,
            ..Filter::default()
        };
        let mut listed = self.queue.list(notices).await.unwrap().deliveries;
        listed.retain(|delivery| delivery.route == DEAD_LETTER_ROUTE);
        listed
            .into_iter()
            .rev()
            .map(|notice| notice.alertname)
            .collect()
    }
}

#[tokio::test]
async fn a_death_and_its_notice_are_stored_together_or_not_at_all() {
    let mut bench = Bench::new().reporting();
    bench
        .sql(
            "CREATE TRIGGER refuses BEFORE INSERT ON deliveries WHEN NEW.route = 'dead-letter'
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .await;
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.settle(&leased, Next::Dead("why".into()));
    eventually(async || bench.queue.unwritable().is_some()).await;
    assert_eq!(
        bench.state(id).await,
        State::Running,
        "no death without its notice"
    );
    let heal = Urgent::SqlFirst("DROP TRIGGER refuses".into());
    bench.queue.inner.shared.inbox.push(heal);
    eventually(async || bench.state(id).await == State::Dead).await;
    let bench = bench.crash();
    assert_eq!(bench.reported().await, [format!("one {id}")]);
}

#[tokio::test]
async fn a_notice_is_made_once_whatever_comes_after_it() {
    let mut bench = Bench::new().reporting();
    let id = bench.die("A").await;
    assert_eq!(bench.reported().await.len(), 1);
    let bench = bench.crash().reporting();
    bench.advance(WINDOW);
    let bench = bench.restart().await.reporting();
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await, [format!("one {id}")]);
}

#[tokio::test]
async fn neither_a_cancelled_one_nor_a_dead_notice_is_reported() {
    let mut bench = Bench::new().reporting();
    let cancelled = bench.accept_new(firing("A")).await;
    bench.queue.cancel(cancelled).await.unwrap();
    let id = bench.die("B").await;
    let notice = bench.lease().await;
    assert_eq!(&*notice.route, DEAD_LETTER_ROUTE);
    bench.settle(&notice, Next::Dead("why".into()));
    bench.flush().await;
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await, [format!("one {id}")]);
    assert_eq!(bench.queue.counts().dead, 3);
    assert_eq!(
        bench.queue.counts().losses.unreported,
        1,
        "there is no other way"
    );
}

#[tokio::test]
async fn a_storm_of_deaths_is_a_few_notices_and_all_are_counted() {
    let options = Options {
        queue_depth_max: 200,
        ..Options::default()
    };
    let bench = Bench::with(options, Caps::all(0)).reporting();
    let body: Vec<_> = (0..1_100).map(|i| firing(&format!("A{i}"))).collect();
    let refused = Refused {
        error: "no alert".into(),
        json: "1".into(),
        alertname: String::new(),
        digest: [7; 32],
    };
    let parcel = Parcel::new(body, vec![refused]);
    bench.queue.accept(parcel).await.unwrap();
    assert_eq!(bench.queue.counts().dead, 1_001);
    assert_eq!(
        bench.reported().await.len(),
        5 + 1,
        "the first of each kind"
    );
    // What was not reported survives a crash.
    let bench = bench.crash().reporting();
    bench.advance(WINDOW);
    let reported = bench.reported().await;
    assert_eq!(reported[6..], ["995 backlog notify"]);
    assert_eq!(bench.queue.counts().losses.reported_together, 995);
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await.len(), 7);
}

#[tokio::test]
async fn what_died_while_nobody_was_to_be_notified_is_reported_once_somebody_is() {
    let mut bench = Bench::new();
    let failed = bench.die("A").await;
    // Three deaths of the server, the last of which nobody can be notified of before the start has ended.
    let under = bench.accept_new(firing("B")).await;
    for _ in 0..3 {
        assert_eq!(bench.lease().await.id, under);
        bench = bench.crash();
    }
    assert_eq!(bench.state(under).await, State::Dead);
    assert_eq!(bench.reported().await, [""; 0]);
    let bench = bench.reporting();
    let mut reported = bench.reported().await;
    reported.sort_unstable();
    assert_eq!(reported, [format!("one {failed}"), format!("one {under}")]);
}

#[tokio::test]
async fn a_notice_waits_until_there_is_room_for_it() {
    let options = Options {
        queue_depth_max: 4,
        ..Options::default()
    };
    let mut bench = Bench::with(options, Caps::all(1)).reporting();
    for waits in ["R1", "R2"] {
        let mut own = firing(waits);
        own.plans = vec![plan("own", &["report"])];
        bench.accept_new(own).await;
    }
    let holder = bench.lease().await;
    let id = bench.die("A").await;
    assert_eq!(bench.reported().await, [""; 0], "nor is it dead by backlog");
    assert_eq!(bench.queue.counts().dead, 1);
    bench.settle(&holder, Next::Done);
    bench.flush().await;
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await, [format!("one {id}")]);
}

#[tokio::test]
async fn deaths_of_the_time_before_are_reported_unless_they_were() {
    let mut bench = Bench::new().reporting();
    let known = bench.die("Known").await;
    bench.flush().await;
    bench.queue.set_dead_letters(None);
    let unknown = bench.die("Unknown").await;
    bench.flush().await;
    // As a store of the second layout comes out of its upgrade.
    let until = bench.clock.now().as_millisecond();
    bench.sql("DELETE FROM unreported").await;
    bench
        .sql(&format!(
            "INSERT INTO meta VALUES ('earlier_deaths_until', {until})"
        ))
        .await;
    let bench = bench.crash().reporting();
    eventually(async || bench.reported().await.len() == 2).await;
    assert_eq!(
        bench.reported().await,
        [format!("one {known}"), format!("one {unknown}")]
    );
}

#[tokio::test]
async fn what_is_reported_together_survives_a_transaction_that_fails() {
    let mut bench = Bench::new();
    let refuse = "CREATE TRIGGER refuses BEFORE INSERT ON deliveries WHEN NEW.route = 'dead-letter'
                  BEGIN SELECT RAISE(ABORT, 'refused'); END";
    for n in 0..7 {
        bench.die(&format!("A{n}")).await;
    }
    bench.sql(refuse).await;
    let bench = bench.reporting();
    bench.advance(WINDOW);
    eventually(async || bench.queue.unwritable().is_some()).await;
    let heal = Urgent::SqlFirst("DROP TRIGGER refuses".into());
    bench.queue.inner.shared.inbox.push(heal);
    eventually(async || bench.queue.unwritable().is_none()).await;
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await, ["7 failed notify"]);
}

#[tokio::test]
async fn one_that_is_sent_again_before_its_report_is_reported_when_it_dies_again() {
    let mut bench = Bench::new().reporting();
    for n in 0..5 {
        bench.die(&format!("A{n}")).await;
    }
    let id = bench.die("A5").await;
    bench.flush().await;
    assert_eq!(bench.accept_new(firing("A5")).await, id);
    bench.advance(WINDOW);
    assert_eq!(bench.reported().await.len(), 5, "it is not dead now");
    bench.fail(id).await;
    assert_eq!(bench.reported().await[5..], [format!("one {id}")]);
}

#[tokio::test]
async fn a_failure_after_a_death_by_backlog_is_reported_and_may_be_sent_again() {
    let options = Options {
        queue_depth_max: 4,
        ..Options::default()
    };
    let mut bench = Bench::with(options, Caps::all(0)).reporting();
    for waits in ["A", "B"] {
        bench.accept_new(firing(waits)).await;
    }
    let id = bench.accept_new(firing("C")).await;
    assert_eq!(bench.state(id).await, State::Dead);
    bench.queue.set_caps(Caps::all(8));
    for _ in 0..3 {
        bench.run(Next::Done).await;
    }
    let one = format!("one {id}");
    assert_eq!(bench.reported().await, [one.as_str()]);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.accept_new(firing("C")).await, id);
    bench.fail(id).await;
    assert_eq!(bench.reported().await, [one.as_str(), &one]);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.accept_new(firing("C")).await, id, "it ran only once");
    bench.fail(id).await;
    assert_eq!(bench.reported().await, [one.as_str(), &one]);
    assert_eq!(bench.accept(firing("C")).await, DUPLICATE);
}

/// Ways that lead from one to the next.
mod ways {
    use super::*;
    use crate::journal::{CallKind, CallName, Entry};

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
            listed.retain(|delivery| crate::alert::is_dead_letter_route(&delivery.route));
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
            let leased = bench.end(route, dead()).await;
            let is_last = place == ROUTES.len() - 1;
            assert_eq!(has_another_way(&leased.alert), !is_last, "{route}");
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
        bench.queue.release_slot(&notice.handler, Stay::Long);
        bench.queue.leave_out(notice);
        bench.flush().await;
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
        bench.queue.release_slot(&notice.handler, Stay::Long);
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
}

impl Bench {
    /// Returns how many deliveries' ends may end a notice.
    async fn watched(&self) -> usize {
        let (reply, watched) = oneshot::channel();
        let inbox = &self.queue.inner.shared.inbox;
        inbox.push(Urgent::Watched(reply));
        watched.await.unwrap()
    }
}

#[tokio::test]
async fn what_is_cancelled_while_it_waits_is_watched_no_longer() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run(Next::Dead("why".into())).await;
    bench.queue.set_caps(Caps::all(0));
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.watched().await, 1);
    bench.queue.cancel(id).await.unwrap();
    assert_eq!(bench.watched().await, 0);
}
