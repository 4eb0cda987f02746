//! The queue and its model side by side.

use std::collections::BTreeMap;

use alert_manager_core::gate::{GateAsk, GateName, GateRate, Pass};

use super::super::prelude::*;
use super::state::{
    BURST, CAP, Event, Expected, Known, Model, REPEAT_AFTER_S, Stage, TOKEN_EVERY_S, priority,
};
use super::{End, Op};

fn submission((alert, start, resolved): Event, route: u32) -> Submission {
    let mut submission = firing(&format!("A{alert}"));
    submission.plans[0].route = format!("route{route}").into();
    submission.alert.starts_at += Duration::from_secs(start.unsigned_abs());
    if resolved {
        submission.alert.status = Status::Resolved;
    }
    submission.plans[0].repeat_after = Duration::from_secs(REPEAT_AFTER_S);
    submission.plans[0].priority = priority(alert);
    submission
}

/// The one gate.
fn channel() -> GateAsk {
    let rate = GateRate {
        per_second: 1.0 / f64::from(TOKEN_EVERY_S),
        burst: BURST,
    };
    GateAsk::new(GateName::SlackChannel("#a".into()), Some(rate))
}

/// The queue and its model side by side.
pub(super) struct Pair<B: Bench> {
    bench: Harness<B>,
    model: Model,
    held: Vec<Leased>,
    route: u32,
    /// What the queue has to have counted.
    counted: BTreeMap<&'static str, u64>,
}

impl<B: Bench> Pair<B> {
    pub(super) fn new() -> Self {
        Self {
            bench: Harness::small(Caps::all(CAP)),
            model: Model::default(),
            held: Vec::new(),
            route: 0,
            counted: BTreeMap::new(),
        }
    }

    pub(super) async fn step(mut self, op: Op) -> Self {
        match op {
            Op::Accept(alert, start, resolved) => self.accept((alert, start, resolved)).await,
            Op::Settle(place, end) => self.settle(place, &end),
            Op::Post(place) => self.post(place),
            Op::Close(for_s) => self.close(for_s),
            Op::Advance(by_s) => {
                self.model.now_s += by_s;
                self.bench.advance(Duration::from_secs(by_s));
            }
            Op::Crash => {
                self.held.clear();
                self.model.end(true);
                self.bench = self.bench.crash();
            }
            Op::Restart => {
                self.held.clear();
                self.model.end(false);
                self.bench = self.bench.restart().await;
            }
            Op::Retry(place) => self.retry(place).await,
            Op::Cancel(place) => self.cancel(place).await,
            Op::EditRoute => self.route += 1,
        }
        self.compare().await;
        self
    }

    async fn accept(&mut self, sent: Event) {
        let event = self.model.event_of(sent);
        let expected = self.model.expect(event);
        let newest = self.model.deliveries.last_key_value().map(|(id, _)| *id);
        match self.bench.accept(submission(sent, self.route)).await {
            Verdict::Duplicate(_) => {
                self.count("duplicate");
                assert_eq!(expected, Expected::Duplicate);
            }
            Verdict::Stale => {
                self.count("stale");
                assert_eq!(expected, Expected::Stale);
            }
            Verdict::Accepted(accepted) => {
                self.count("accepted");
                let id = accepted[0].id;
                if expected == Expected::Revived(id) {
                    return self.model.revive(id, true);
                }
                assert_eq!(expected, Expected::New);
                assert!(newest < Some(id));
                let known = Known {
                    event,
                    stage: Stage::WAITS,
                    occurrence: self.model.took(event, id),
                    leases: 0,
                    deaths: 0,
                    suspected: 0,
                    after_crash: false,
                    has_turn_until_s: 0,
                    resent: false,
                    ended_s: 0,
                };
                self.model.deliveries.insert(id, known);
                if event != sent {
                    self.model.moved.insert((sent.0, sent.1), event.1);
                }
            }
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counted.entry(what).or_default() += 1;
    }

    /// Compares what the queue has counted. Deaths of the server are not among it.
    async fn compare_counts(&self) {
        let mut counted = BTreeMap::new();
        let to = self.bench.clock.now() + Duration::from_secs(60);
        for kind in [ActivityKind::Received, ActivityKind::Settled] {
            let activity = self.bench.queue.activity(kind, Timestamp::UNIX_EPOCH, to);
            for one in activity.await.unwrap() {
                let what = match one.of {
                    ActivityOf::Received(received) => received.as_str(),
                    ActivityOf::Settled(reason) => reason.as_str(),
                    other => panic!("another kind: {other:?}"),
                };
                *counted.entry(what).or_default() += one.amount.count;
            }
        }
        counted.remove(Reason::Died.as_str());
        assert_eq!(counted, self.counted);
    }

    /// A worker that has a message for the channel.
    fn post(&mut self, place: usize) {
        if self.held.is_empty() {
            return;
        }
        let place = place % self.held.len();
        let leased = &self.held[place];
        match self.bench.ledger(leased, 1).pass(&[channel()]).unwrap() {
            Pass::Granted => {
                self.model.passes(leased.id);
                self.settle(place, &End::Done);
            }
            Pass::Parked(parked) => {
                let leased = self.held.swap_remove(place);
                self.model.parks(leased.id);
                let handler = name("notify");
                let next = Next::Park {
                    handler,
                    parked,
                    is_clean: true,
                    expires_in: None,
                };
                self.bench.settle(&leased, next);
            }
            Pass::Superseded => panic!("it is no update"),
        }
    }

    fn close(&mut self, for_s: u64) {
        let Some(leased) = self.held.first() else {
            return;
        };
        let wait = Duration::from_secs(for_s);
        self.bench.ledger(leased, 1).close_gate(&channel(), wait);
        let until_s = self.model.now_s + for_s;
        self.model.closed_until_s = self.model.closed_until_s.max(until_s);
    }

    fn settle(&mut self, place: usize, end: &End) {
        if self.held.is_empty() {
            return;
        }
        let leased = self.held.swap_remove(place % self.held.len());
        let known = self.model.deliveries.get_mut(&leased.id).unwrap();
        known.after_crash = false;
        known.ended_s = self.model.now_s;
        if !matches!(end, End::Yield) {
            known.suspected = 0;
        }
        let now_s = self.model.now_s;
        let handler = name("notify");
        let (stage, next) = match end {
            End::Done => (Stage::Done, Next::Done),
            End::Dead => (Stage::Dead, Next::Dead("why".into())),
            End::RetryIn(s) => {
                let until = self.bench.clock.now() + Duration::from_secs(*s);
                let due = now_s + s;
                (
                    Stage::Waits { due, put_off: true },
                    Next::Retry { until, handler },
                )
            }
            End::Yield => (Stage::WAITS, Next::Yield { handler }),
        };
        known.stage = stage;
        match end {
            End::Done => self.count("handled"),
            End::Dead => self.count("failed"),
            End::RetryIn(_) | End::Yield => {}
        }
        self.bench.settle(&leased, next);
    }

    fn pick(&self, place: usize) -> Option<DeliveryId> {
        let count = self.model.deliveries.len();
        self.model
            .deliveries
            .keys()
            .nth(place % count.max(1))
            .copied()
    }

    async fn retry(&mut self, place: usize) {
        let Some(id) = self.pick(place) else {
            return;
        };
        let answer = self.bench.queue.retry(id, Force::No).await;
        let dead = matches!(
            self.model.deliveries[&id].stage,
            Stage::Dead | Stage::Cancelled
        );
        let now_s = self.model.now_s;
        let known = self.model.deliveries.get_mut(&id).unwrap();
        if let Stage::Waits { put_off: true, due } = known.stage {
            assert_eq!(answer, Ok(Selected::Retrying), "what waits is due now");
            known.stage = Stage::Waits {
                due: due.min(now_s),
                put_off: false,
            };
            return;
        }
        let expected = match (dead, self.model.is_overtaken(id)) {
            (false, _) => Err(RetryError::NotDead),
            (true, true) => Err(RetryError::Overtaken),
            (true, false) => Ok(Selected::Dead),
        };
        assert_eq!(answer, expected);
        if answer.is_ok() {
            self.model.revive(id, false);
        }
    }

    async fn cancel(&mut self, place: usize) {
        let Some(id) = self.pick(place) else {
            return;
        };
        let answer = self.bench.queue.cancel(id).await;
        let known = self.model.deliveries.get_mut(&id).unwrap();
        if !known.is_open() {
            return assert_eq!(answer, Err(CancelError::Settled));
        }
        assert_eq!(answer, Ok(()));
        known.stage = Stage::Cancelled;
        self.count("cancelled");
        if let Some(held) = self.held.iter().position(|leased| leased.id == id) {
            let leased = self.held.swap_remove(held);
            self.bench.settle(&leased, Next::Done);
        }
    }

    async fn compare(&mut self) {
        // After a lease ends in one transaction, the next is granted in the following one, or in the one after that if it was the
        // last suspect's.
        for _ in 0..3 {
            self.bench.flush().await;
        }
        for leased in self.bench.leased() {
            self.model.lease(&leased);
            self.held.push(leased);
        }
        self.compare_open();
        self.model.check_idle(self.held.len());
        self.model.end_step();
        let counts = self.bench.queue.counts();
        assert_eq!(
            (counts.depth, counts.dead),
            (self.model.depth(), self.model.dead())
        );
    }

    /// Compares the unsettled deliveries in the store with the model, and checks that a call may begin under each lease.
    fn compare_open(&self) {
        for stored in self.bench.bench.peek_open() {
            let known = &self.model.deliveries[&stored.id];
            assert_eq!(
                (stored.deaths, stored.suspected),
                (known.deaths, known.suspected)
            );
            assert_eq!(stored.leases, known.leases);
            let is_running = stored.state == State::Running;
            assert_eq!(is_running, known.stage == Stage::Leased, "{known:?}");
        }
        for leased in &self.held {
            assert_eq!(self.bench.ledger(leased, 0).ready(), Ok(()));
        }
    }

    pub(super) async fn compare_all(&self) {
        self.compare_counts().await;
        let all = Filter {
            limit: 1_000,
            ..Filter::default()
        };
        let listed = self.bench.queue.list(all).await.unwrap().deliveries;
        assert_eq!(listed.len(), self.model.deliveries.len());
        for delivery in listed {
            let expected = match self.model.deliveries[&delivery.id].stage {
                Stage::Waits { put_off: false, .. } | Stage::Parked => State::Queued,
                Stage::Waits { put_off: true, .. } => State::Retrying,
                Stage::Leased => State::Running,
                Stage::Done => State::Done,
                Stage::Dead | Stage::Cancelled => State::Dead,
            };
            assert_eq!(delivery.state, expected, "{delivery:?}");
        }
        for (id, known) in &self.model.deliveries {
            let stored = self.bench.bench.peek(*id).unwrap();
            assert_eq!(stored.occurrence, known.occurrence);
            let alert = self.bench.story(*id).await.alert;
            let alert: Alert = serde_json::from_value(alert).unwrap();
            assert_eq!(alert.occurrence().as_raw(), known.occurrence);
        }
    }
}
