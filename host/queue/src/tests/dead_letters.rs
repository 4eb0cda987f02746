//! Each death is reported by what is stored with it, and many are a few notices.

#![allow(clippy::unwrap_used, reason = "tests")]

mod ways;

use super::*;
use alert_manager_core::alert::DEAD_LETTER_ROUTE;

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
                let text = format!("{} {} {handlers}", many.count, many.reason);
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

    fn suffices(&self, route: &str, handlers: &[HandlerName]) -> bool {
        route == DEAD_LETTER_ROUTE && self.0[0].handlers == handlers
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
    assert_eq!(bench.queue.counts().dead, 2, "all but the cancelled one");
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

impl Bench {
    /// Returns how many deliveries are watched: those that were revived, and notices.
    async fn watched(&self) -> (usize, usize) {
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
    assert_eq!(bench.watched().await, (1, 0));
    bench.queue.cancel(id).await.unwrap();
    assert_eq!(bench.watched().await, (0, 0));
}

#[tokio::test]
async fn notices_are_watched_apart_from_what_was_revived_also_after_a_restart() {
    let mut bench = Bench::new().reporting();
    let id = bench.die("A").await;
    bench.flush().await;
    assert_eq!(bench.watched().await, (0, 1));
    bench.queue.retry(id, Force::No).await.unwrap();
    assert_eq!(bench.watched().await, (1, 1));
    let mut bench = bench.crash().reporting();
    assert_eq!(bench.watched().await, (1, 1));
    while bench.queue.counts().depth > 0 {
        bench.run(Next::Done).await;
    }
    assert_eq!(bench.watched().await, (0, 0));
}
