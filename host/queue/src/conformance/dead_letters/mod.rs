//! Dead letters are reported: which notices are stored with a death, and which ways they take.

use super::prelude::*;

pub(crate) mod alarms;
pub(crate) mod ends;
pub(crate) mod reports;
pub(crate) mod ways;

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

/// Returns notices that go one way.
#[cfg(test)]
pub(crate) fn reporting_by_one() -> Arc<dyn DeadLetterNotices> {
    Arc::new(Notices::one())
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
            DeadLetter::One { delivery: dead, .. } => {
                let died_at = dead.first_died_at.or(dead.settled_at);
                let text = format!("one {}", dead.id);
                (text, dead.id.to_string(), died_at.unwrap_or(now))
            }
            DeadLetter::Many(many) => {
                let handlers: Vec<_> = many.handlers.iter().map(|h| h.as_str()).collect();
                let handlers = handlers.join("+");
                let waited_for = many.waited_for.map(|gate| format!(" {gate}"));
                let waited_for = waited_for.unwrap_or_default();
                let text = format!("{} {} {handlers}{waited_for}", many.count, many.reason);
                (text, String::new(), now)
            }
        };
        let mut notice = alert(&text, 0);
        let subject = Labels::from_iter([(SUBJECT, subject)]).without_empty_values();
        notice.labels = notice.labels.merged(&subject);
        notice.fingerprint = Fingerprint::of(&notice.labels);
        notice.starts_at = starts_at;
        if let DeadLetter::One { with, .. } = about {
            notice.annotations = Labels::from_iter([("with", with.to_string())]);
        }
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

impl<B: Bench> Harness<B> {
    pub(crate) fn reporting(self) -> Self {
        self.queue.set_dead_letters(Some(Arc::new(Notices::one())));
        self
    }

    /// Has a delivery run and die.
    pub(crate) async fn die(&mut self, alertname: &str) -> DeliveryId {
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
    pub(crate) async fn reported(&self) -> Vec<String> {
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

impl<B: Bench> Harness<B> {
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
        let act = self.ledger_of(&leased, 1, leased.handler.as_str());
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
        parked: false,
        failed: false,
        request: "post".into(),
        result: "ok".into(),
        reply: "{}".into(),
        at: from_millis(START_MS),
        clock: from_millis(START_MS),
    }
}

fn dead() -> Next {
    Next::Dead("refused".into())
}

fn firing_on(routes: &[&str]) -> Vec<(String, String)> {
    let on = |route: &&str| ("firing".to_owned(), (*route).to_owned());
    routes.iter().map(on).collect()
}

/// The end of a notice on this route.
fn end_on(route: &str) -> (String, String) {
    ("resolved".to_owned(), route.to_owned())
}

/// A queue of which each handler may have two deliveries, and run one.
fn narrow<B: Bench>(notices: Notices) -> Harness<B> {
    let options = Options {
        queue_depth_max: 4,
        ..Options::default()
    };
    Harness::<B>::with(options, Caps::all(1)).by_ways(notices)
}

impl<B: Bench> Harness<B> {
    /// Fills the queue of a handler, and returns the delivery that runs.
    async fn fill(&mut self, handler: &str) -> Leased {
        for waits in ["W1", "W2"] {
            let mut own = firing(&format!("{waits} of {handler}"));
            own.plans = vec![plan("own", &[handler])];
            self.accept_new(own).await;
        }
        self.lease().await
    }

    /// Ends the deliveries that have filled a handler.
    async fn drain(&mut self, first: &Leased) {
        self.settle(first, Next::Done);
        self.run(Next::Done).await;
    }

    /// Settles a notice to wait for Slack for an hour.
    async fn wait_for_slack(&self, leased: &Leased) {
        let until = from_millis(self.clock.now().as_millisecond() + 3_600_000);
        let handler = leased.handler.clone();
        let mut settlement = settlement(leased, Next::Retry { until, handler });
        for step in &mut settlement.progress.steps {
            step.not_before = Some(until);
            step.waits_for = vec![Dependency::Slack];
        }
        self.queue.release_permit(&leased.handler);
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

/// Two ways with handlers of their own.
fn two() -> Notices {
    Notices(vec![
        way("dead-letter@b", "report"),
        way("dead-letter:c", "other"),
    ])
}
