//! Storms: what is alike and waits at the same time runs as one.

use super::prelude::*;

pub(crate) mod deaths;
pub(crate) mod forming;
pub(crate) mod gates;
pub(crate) mod members;
pub(crate) mod people;
pub(crate) mod resolves;
pub(crate) mod restarts;

/// More than so many within a minute are a storm.
const OVER: usize = 3;

fn options() -> Options {
    Options {
        storm: StormOptions {
            over: OVER as u32,
            within: Duration::from_secs(60),
        },
        ..Options::default()
    }
}

/// A firing of `Down` for one pod, which one message may stand for.
fn down(pod: usize) -> Submission {
    of("Down", pod)
}

/// The same of another alert.
fn of(alertname: &str, pod: usize) -> Submission {
    let mut submission = firing(alertname);
    let pod = format!("p{pod}");
    let pod = Labels::from_iter([("pod", pod.as_str()), ("cluster", "main")]);
    submission.alert.labels = submission.alert.labels.merged(&pod);
    submission.alert.fingerprint = Fingerprint::of(&submission.alert.labels);
    submission.plans[0].storm = Some(alertname.into());
    submission
}

/// The end of it.
fn up(pod: usize) -> Submission {
    let mut submission = down(pod);
    submission.alert.status = Status::Resolved;
    submission
}

/// A queue in which nothing runs yet.
fn still<B: Bench>() -> Harness<B> {
    Harness::with(options(), Caps::all(0))
}

/// The value of a fact that a delivery was given about its storm.
fn fact<'a>(leased: &'a Leased, name: &str) -> &'a str {
    let given = leased.progress.storm.as_ref();
    given.map_or("", |given| given.facts.get(name).unwrap_or_default())
}

fn retry_in_a_minute<B: Bench>(bench: &Harness<B>) -> Next {
    Next::Retry {
        until: bench.clock.now() + Duration::from_secs(60),
        handler: name("notify"),
    }
}

impl<B: Bench> Harness<B> {
    /// Accepts alerts of these pods, one after the other.
    async fn all_down(&self, pods: std::ops::Range<usize>) -> Vec<DeliveryId> {
        let mut ids = Vec::new();
        for pod in pods {
            ids.push(self.accept_new(down(pod)).await);
        }
        ids
    }

    /// The same of their ends.
    async fn all_up(&self, pods: std::ops::Range<usize>) -> Vec<DeliveryId> {
        let mut ids = Vec::new();
        for pod in pods {
            ids.push(self.accept_new(up(pod)).await);
        }
        ids
    }

    /// Has everything run that can.
    fn go(&mut self) {
        self.set_caps(Caps::all(8));
    }

    /// Accepts a storm, and returns its deliveries and the only one of them that is leased.
    async fn storm(&mut self, pods: std::ops::Range<usize>) -> (Vec<DeliveryId>, Leased) {
        let ids = self.all_down(pods).await;
        self.go();
        let leased = self.only_lease().await;
        assert_eq!(leased.id, ids[0]);
        (ids, leased)
    }

    /// Returns what is leased; nothing else can be.
    async fn only_lease(&mut self) -> Leased {
        let leased = self.lease().await;
        self.flush().await;
        self.flush().await;
        let others: Vec<_> = self.leased().iter().map(|leased| leased.id).collect();
        assert_eq!(others, [], "nothing runs beside {}", leased.id);
        leased
    }

    /// Returns what is leased now, and nothing else can be.
    async fn all_leased(&mut self) -> Vec<Leased> {
        for _ in 0..3 {
            self.flush().await;
        }
        self.leased()
    }

    async fn is_idle(&mut self) -> bool {
        self.all_leased().await.is_empty()
    }

    /// Returns into what a delivery is coalesced.
    async fn coalesced_into(&self, id: DeliveryId) -> Option<DeliveryId> {
        self.story(id).await.delivery.coalesced_into
    }

    /// Records a message of a delivery.
    async fn record_post(&self, leased: &Leased) {
        let ledger = self.ledger(leased, 1);
        ledger.record(vec![entry(0)]).await.unwrap();
    }

    /// Ends what is leased, and returns once that is stored.
    async fn settled(&self, leased: &Leased, next: Next) {
        self.settle(leased, next);
        self.flush().await;
    }

    /// Checks how these deliveries stand.
    async fn are(&self, ids: &[DeliveryId], state: State, reason: Option<Reason>) {
        for id in ids {
            let delivery = self.story(*id).await.delivery;
            assert_eq!((delivery.state, delivery.reason), (state, reason), "{id}");
        }
    }
}
