//! Probes what is held or paused: one delivery tries after each pause, and all that wait continue when it succeeds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Breakers, Phase};
use crate::journal::Dependency;
use crate::queue::{Queue, Wake};
use crate::runtime::{SlackBreaker, SlackHold};

/// How long a probe has until another delivery becomes the probe.
const TRY_MIN: Duration = Duration::from_secs(1);

/// How often one of the deliveries that wait for Slack or for a handler tries even if no hold is known: they may have waited
/// since before a start, or have missed the end of a hold.
const SWEEP: Duration = Duration::from_secs(30);

/// Wakes deliveries that wait for Slack or for a handler.
pub(crate) struct Prober {
    pub(crate) queue: Queue,
    pub(crate) slack_breaker: Arc<SlackBreaker>,
    pub(crate) breakers: Arc<Breakers>,
}

/// The state from one round to the next.
#[derive(Debug)]
struct Known {
    held: HashMap<Dependency, SlackHold>,
    next_sweep: Instant,
}

impl Known {
    fn new(now: Instant) -> Self {
        Self {
            held: HashMap::new(),
            next_sweep: now,
        }
    }
}

impl Prober {
    /// Runs until `phase` leaves [`Phase::Serving`].
    pub(crate) async fn run(self, mut phase: watch::Receiver<Phase>) {
        let mut changes = self.slack_breaker.subscribe();
        let mut known = Known::new(Instant::now());
        loop {
            let next = self.round(&mut known, Instant::now());
            tokio::select! {
                _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    /// Wakes probes that are due, and the deliveries that waited for what has recovered; returns when the next round is due.
    fn round(&self, known: &mut Known, now: Instant) -> Instant {
        self.compare(&mut known.held);
        if known.next_sweep <= now {
            known.next_sweep = now + SWEEP;
            for dependency in self.queue.awaited() {
                // Origins are probed by their handlers.
                if !matches!(dependency, Dependency::Origin(_))
                    && !known.held.contains_key(&dependency)
                {
                    self.queue.wake(&dependency, Wake::First);
                }
            }
        }
        let mut next = known.next_sweep;
        let paused = self.breakers.probes().into_iter();
        let paused = paused.map(|(name, due)| (Dependency::Handler(name.to_string()), due));
        for (dependency, due) in self.slack_breaker.probes().into_iter().chain(paused) {
            if due <= now {
                self.queue.wake(&dependency, Wake::First);
            }
            next = next.min(due.max(now + TRY_MIN));
        }
        next
    }

    /// Logs new holds and holds that have ended, and wakes the deliveries that waited for the latter.
    fn compare(&self, known: &mut HashMap<Dependency, SlackHold>) {
        let current = self.slack_breaker.holds();
        let held: HashSet<Dependency> = current.iter().map(SlackHold::dependency).collect();
        known.retain(|dependency, hold| {
            let is_held = held.contains(dependency);
            if !is_held {
                let what = named(hold);
                tracing::info!("{what} is no longer held: deliveries that wait for it continue");
                self.queue.wake(dependency, Wake::All);
            }
            is_held
        });
        for hold in current {
            let dependency = hold.dependency();
            if known
                .get(&dependency)
                .is_none_or(|known| known.code != hold.code)
            {
                let what = named(&hold);
                tracing::error!(
                    code = hold.code,
                    "{what} is held: deliveries wait for it and are not lost, and one of them tries every 30 s: {hold}"
                );
            }
            known.insert(dependency, hold);
        }
    }
}

fn named(hold: &SlackHold) -> String {
    match &hold.channel {
        Some(channel) => format!("the Slack channel {channel}"),
        None => "all of Slack".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::alert::{
        Alert, DeliveryId, Fingerprint, HandlerName, Labels, Origin, Priority, Status, Timestamp,
    };
    use crate::plan::Plan;
    use crate::queue::{
        Caps, Leased, Leases, Options, Parcel, Settlement, State, StepStatus, StoreUrl, Submission,
        Verdict, Woken,
    };
    use crate::runtime::StepFailure;
    use crate::worker::Retry;
    use crate::worker::outcome::{self, Circumstances, Met};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A queue of which one delivery runs at a time, while Slack does not answer.
    struct Outage {
        prober: Prober,
        leases: Leases,
        _dir: tempfile::TempDir,
    }

    impl Outage {
        fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = StoreUrl::Sqlite(dir.path().join("store.db"));
            let (queue, leases) = Queue::open(&store, Options::default(), Caps::all(1)).unwrap();
            let prober = Prober {
                queue,
                slack_breaker: Arc::default(),
                breakers: Arc::default(),
            };
            Self {
                prober,
                leases,
                _dir: dir,
            }
        }

        async fn accept(&self, name: &str, priority: Priority) -> DeliveryId {
            let labels = Labels::from_iter([("alertname".to_owned(), name.to_owned())]);
            let alert = Alert {
                fingerprint: Fingerprint::of(&labels),
                status: Status::Firing,
                labels,
                annotations: Labels::default(),
                starts_at: Timestamp::UNIX_EPOCH,
                ends_at: None,
                generator_url: None,
                received_at: Timestamp::now(),
                origin: Origin::default(),
            };
            let plan = Plan {
                route: "route".into(),
                handlers: vec![HandlerName::new("notify")],
                priority,
                repeat_after: Duration::from_secs(3_600),
                storm: None,
            };
            let submission = Submission {
                alert,
                starts_at_missing: false,
                plans: vec![plan],
            };
            let parcel = Parcel::new(vec![submission], Vec::new());
            let receipt = self.prober.queue.accept(parcel).await.unwrap();
            match &receipt.verdicts[0] {
                Verdict::Accepted(accepted) => accepted[0].id,
                other => panic!("not accepted: {other:?}"),
            }
        }

        /// Takes the next delivery, lets it find that Slack does not answer, and waits until that is stored.
        async fn fail(&mut self) -> (DeliveryId, Vec<Woken>) {
            let leased = self.next().await;
            let (id, woken) = (leased.id, leased.woken.clone());
            let Leased {
                lease,
                alert,
                mut progress,
                handler,
                ..
            } = leased;
            let woken_steps = progress.wake(&woken);
            progress.steps[0].status = StepStatus::Done;
            let met = Met {
                hold: None,
                unanswered: Some(Dependency::Slack),
                woken: woken_steps.into_iter().flat_map(|(_, back)| back).collect(),
            };
            let failure = StepFailure::Unavailable {
                message: "no answer".to_owned(),
                after: None,
            };
            // By its own time it would run after an hour, so a delivery that comes earlier was woken.
            let hour = Duration::from_secs(3_600);
            let policy = Retry {
                attempts_max: 10,
                backoff_min: hour,
                backoff_max: hour,
                age_max: hour * 4,
            };
            let at = Circumstances {
                now: Timestamp::now(),
                age: Duration::ZERO,
                jitter: 1.0,
            };
            let act = &mut progress.steps[1];
            act.waits_for.clear();
            outcome::actor_ended(act, &failure, &met, &policy, at);
            let queue = &self.prober.queue;
            let mut commits = queue.commits();
            queue.release_permit(&handler);
            queue.settle(Settlement {
                lease,
                next: outcome::next(&progress),
                progress,
                alert: Some(alert),
                story: None,
                last_error: None,
            });
            while queue.story(id).await.unwrap().unwrap().delivery.state != State::Retrying {
                commits.changed().await.unwrap();
            }
            (id, woken)
        }

        async fn next(&mut self) -> Leased {
            let next = tokio::time::timeout(PATIENCE, self.leases.next());
            next.await.expect("something goes on").unwrap()
        }
    }

    #[tokio::test]
    async fn after_an_outage_of_two_sweeps_the_most_urgent_go_first() {
        use Priority::{Critical, Normal};
        let mut outage = Outage::start();
        let mut ids = Vec::new();
        for (name, priority) in [
            ("A", Normal),
            ("B", Critical),
            ("C", Normal),
            ("D", Critical),
        ] {
            ids.push(outage.accept(name, priority).await);
            outage.fail().await;
        }
        let start = Instant::now();
        let mut known = Known::new(start);
        for sweep in 0..2 {
            let next = outage.prober.round(&mut known, start + SWEEP * sweep);
            assert_eq!(next, start + SWEEP * (sweep + 1));
            let (probe, woken) = outage.fail().await;
            assert_eq!(probe, ids[1], "the most urgent finds out");
            assert_eq!(woken, [(Dependency::Slack, Wake::First)]);
        }
        outage.prober.queue.wake(&Dependency::Slack, Wake::All);
        let mut order = Vec::new();
        for _ in &ids {
            let leased = outage.next().await;
            order.push(leased.id);
            outage.prober.queue.release_permit(&leased.handler);
        }
        assert_eq!(order, [ids[1], ids[3], ids[0], ids[2]]);
    }
}
