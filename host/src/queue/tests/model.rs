//! The queue against a model of it: whatever happens in whatever order, both say the same.
//!
//! A thousand random sequences, 20,000 with `ALERT_MANAGER_TEST_LONG=1`, or as many as `PROPTEST_CASES` says.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::queue::scheduler::BRIEF_MIN;

/// Below the number of lanes, so that leases are given ahead of slots too.
const CAP: u32 = 2;
const ALERTS: u8 = 4;
/// What the store calls such a lease.
const AHEAD: i64 = -1;
const REPEAT_AFTER_S: u64 = 100;
const DEATHS_MAX: u32 = 3;

#[derive(Clone, Debug)]
enum Op {
    /// Of an alert, its start and whether it is resolved.
    Accept(u8, i64, bool),
    /// The lease at this place, modulo, after an invocation that was brief or not.
    Settle(usize, End, Stay),
    /// The first call that may change something, under the lease at this place.
    Begin(usize),
    /// Many brief invocations went before.
    Warm,
    Advance(u64),
    Crash,
    Restart,
    Retry(usize),
    Cancel(usize),
}

#[derive(Clone, Debug)]
enum End {
    Done,
    Dead,
    RetryIn(u64),
    Yield,
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        3 => Just(End::Done),
        2 => Just(End::Dead),
        2 => (0..60_u64).prop_map(End::RetryIn),
        1 => Just(End::Yield),
    ];
    let stay = prop_oneof![4 => Just(Stay::Brief), 1 => Just(Stay::Long)];
    prop_oneof![
        10 => (0..ALERTS, 0..2_i64, any::<bool>()).prop_map(|(a, s, r)| Op::Accept(a, s, r)),
        8 => (any::<usize>(), end, stay).prop_map(|(p, end, stay)| Op::Settle(p, end, stay)),
        3 => any::<usize>().prop_map(Op::Begin),
        2 => Just(Op::Warm),
        3 => (0..150_u64).prop_map(Op::Advance),
        1 => Just(Op::Crash),
        1 => Just(Op::Restart),
        2 => any::<usize>().prop_map(Op::Retry),
        1 => any::<usize>().prop_map(Op::Cancel),
    ]
}

type Event = (u8, i64, bool);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Until this many seconds after the start; told as retrying where it was put off.
    Waits {
        due: u64,
        put_off: bool,
    },
    /// Its lease waits for a slot.
    Ahead,
    /// A worker has it. Where its lease was given ahead of a slot, nothing may have been changed under it yet.
    Held {
        ahead: bool,
    },
    Done,
    Dead,
    Cancelled,
}

impl Stage {
    const WAITS: Self = Self::Waits {
        due: 0,
        put_off: false,
    };

    fn is_leased(self) -> bool {
        matches!(self, Self::Ahead | Self::Held { .. })
    }
}

#[derive(Clone, Debug)]
struct Known {
    event: Event,
    stage: Stage,
    leases: u32,
    deaths: u32,
    after_crash: bool,
    ended_s: u64,
}

impl Known {
    fn is_open(&self) -> bool {
        self.stage.is_leased() || matches!(self.stage, Stage::Waits { .. })
    }
}

#[derive(Default)]
struct Model {
    now_s: u64,
    /// Brief invocations since the last other one.
    brief: u32,
    deliveries: BTreeMap<DeliveryId, Known>,
    /// The latest delivery of each event.
    events: BTreeMap<Event, DeliveryId>,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    New,
    Revived(DeliveryId),
    Duplicate,
    Stale,
}

impl Model {
    fn expect(&self, event: Event) -> Expected {
        let (alert, start, resolved) = event;
        if !resolved && self.events.contains_key(&(alert, start, true)) {
            return Expected::Stale;
        }
        let Some(id) = self.events.get(&event) else {
            return Expected::New;
        };
        let known = &self.deliveries[id];
        match known.stage {
            Stage::Dead => Expected::Revived(*id),
            Stage::Done if self.now_s - known.ended_s >= REPEAT_AFTER_S => Expected::New,
            _ => Expected::Duplicate,
        }
    }

    fn revive(&mut self, id: DeliveryId) {
        let due = self.now_s;
        let known = self.deliveries.get_mut(&id).unwrap();
        known.stage = Stage::Waits {
            due,
            put_off: false,
        };
        known.deaths = 0;
    }

    fn lane(&self, of: Event) -> impl Iterator<Item = (&DeliveryId, &Known)> {
        self.deliveries
            .iter()
            .filter(move |(_, k)| k.event.0 == of.0)
    }

    fn is_passed(&self, id: DeliveryId) -> bool {
        self.lane(self.deliveries[&id].event).any(|(other, k)| {
            *other > id && (k.stage == Stage::Done || (k.is_open() && k.leases > 0))
        })
    }

    /// A lease was given: was it this one's turn?
    fn lease(&mut self, id: DeliveryId, to: Stage) {
        let known = &self.deliveries[&id];
        assert!(
            matches!(known.stage, Stage::Waits { due, .. } if due <= self.now_s),
            "{known:?}"
        );
        for (other_id, other) in self.lane(known.event) {
            assert!(!other.stage.is_leased(), "two of one lane run");
            // One that has begun keeps its lane, also where an older one was sent again since.
            assert!(
                !other.is_open() || *other_id >= id || known.leases > 0,
                "an older one of its lane waits"
            );
        }
        let known = self.deliveries.get_mut(&id).unwrap();
        known.stage = to;
        known.leases += 1;
    }

    /// A worker took a lease out.
    fn start(&mut self, leased: &Leased) {
        let known = self.deliveries.get_mut(&leased.id).unwrap();
        match known.stage {
            Stage::Ahead => known.stage = Stage::Held { ahead: true },
            _ => self.lease(leased.id, Stage::Held { ahead: false }),
        }
        let known = &self.deliveries[&leased.id];
        assert_eq!(
            (leased.lease, leased.after_crash),
            (known.leases, known.after_crash)
        );
    }

    /// What the store says of a delivery that no worker has.
    fn see(&mut self, id: DeliveryId, state: i64, leases: u32) {
        let known = &self.deliveries[&id];
        match known.stage {
            Stage::Ahead => assert_eq!(state, AHEAD, "{known:?}"),
            _ if state == AHEAD => {
                assert!(self.brief >= BRIEF_MIN, "ahead of a slot, and not brief");
                self.lease(id, Stage::Ahead);
            }
            _ => {}
        }
        assert_eq!(leases, self.deliveries[&id].leases);
    }

    /// Nothing waits that could run.
    fn check_idle(&self, held: usize) {
        assert!(held <= CAP as usize);
        let count =
            |stage: fn(Stage) -> bool| self.deliveries.values().filter(|k| stage(k.stage)).count();
        let ahead = count(|stage| stage == Stage::Ahead);
        assert!(
            ahead == 0 || held == CAP as usize,
            "a slot is free for what is ahead of one"
        );
        if held + ahead >= CAP as usize && self.brief < BRIEF_MIN {
            return;
        }
        for known in self.deliveries.values().filter(|k| k.is_open()) {
            let open: Vec<_> = self
                .lane(known.event)
                .filter(|(_, k)| k.is_open())
                .collect();
            let mut heads = open
                .iter()
                .enumerate()
                .filter(|(place, (_, k))| *place == 0 || k.leases > 0);
            let blocked = heads.any(|(_, (_, head))| match head.stage {
                Stage::Waits { due, .. } => due > self.now_s,
                _ => true,
            });
            assert!(blocked, "a lane is free and does not move: {open:?}");
        }
    }

    /// The process has ended: what was under way waits again, and has died where it was killed.
    fn end(&mut self, killed: bool) {
        self.brief = 0;
        for known in self.deliveries.values_mut() {
            if known.stage == (Stage::Held { ahead: false }) {
                known.after_crash = true;
                known.deaths += u32::from(killed);
                known.ended_s = self.now_s;
                known.stage = if known.deaths >= DEATHS_MAX {
                    Stage::Dead
                } else {
                    Stage::WAITS
                };
            } else if known.stage.is_leased() {
                // A lease that no worker had is given back in order, as if there had been none.
                known.leases -= u32::from(!killed && known.stage == Stage::Ahead);
                known.stage = Stage::WAITS;
            }
        }
    }

    fn depth(&self) -> usize {
        self.deliveries.values().filter(|k| k.is_open()).count()
    }

    fn dead(&self) -> u64 {
        let dead = |k: &&Known| matches!(k.stage, Stage::Dead | Stage::Cancelled);
        self.deliveries.values().filter(dead).count() as u64
    }
}

fn submission((alert, start, resolved): Event) -> Submission {
    let mut submission = firing(&format!("A{alert}"));
    submission.alert.starts_at += Duration::from_secs(start.unsigned_abs());
    if resolved {
        submission.alert.status = Status::Resolved;
    }
    submission.plans[0].repeat_after = Duration::from_secs(REPEAT_AFTER_S);
    submission
}

/// The queue and its model side by side.
struct Pair {
    bench: Bench,
    model: Model,
    held: Vec<Leased>,
}

impl Pair {
    async fn step(mut self, op: Op) -> Self {
        // What waits ahead of a slot does so until it has one: no clock of the machine's is in the model.
        self.bench.leases.ahead_for = Duration::from_secs(3_600);
        match op {
            Op::Accept(alert, start, resolved) => self.accept((alert, start, resolved)).await,
            Op::Settle(place, end, stay) => self.settle(place, &end, stay),
            Op::Advance(by_s) => {
                self.model.now_s += by_s;
                self.bench.advance(Duration::from_secs(by_s));
            }
            Op::Begin(place) => self.begin(place).await,
            Op::Warm => {
                self.model.brief = BRIEF_MIN;
                let shared = &self.bench.queue.inner.shared;
                shared.scheduler.lock().expect_brief(&name("notify"));
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
        }
        self.compare().await;
        self
    }

    async fn accept(&mut self, event: Event) {
        let expected = self.model.expect(event);
        let newest = self.model.deliveries.last_key_value().map(|(id, _)| *id);
        match self.bench.accept(submission(event)).await {
            Verdict::Duplicate => assert_eq!(expected, Expected::Duplicate),
            Verdict::Stale => assert_eq!(expected, Expected::Stale),
            Verdict::Accepted(accepted) => {
                let id = accepted[0].id;
                if expected == Expected::Revived(id) {
                    return self.model.revive(id);
                }
                assert_eq!(expected, Expected::New);
                assert!(newest < Some(id));
                let known = Known {
                    event,
                    stage: Stage::WAITS,
                    leases: 0,
                    deaths: 0,
                    after_crash: false,
                    ended_s: 0,
                };
                self.model.deliveries.insert(id, known);
                self.model.events.insert(event, id);
            }
        }
    }

    fn settle(&mut self, place: usize, end: &End, stay: Stay) {
        if self.held.is_empty() {
            return;
        }
        let leased = self.held.swap_remove(place % self.held.len());
        let known = self.model.deliveries.get_mut(&leased.id).unwrap();
        known.after_crash = false;
        known.ended_s = self.model.now_s;
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
        self.let_go(&leased, stay, next);
    }

    fn let_go(&mut self, leased: &Leased, stay: Stay, next: Next) {
        self.model.brief = match stay {
            Stay::Brief => self.model.brief.saturating_add(1),
            Stay::Long => 0,
        };
        self.bench.settle_after(stay, leased, next);
    }

    async fn begin(&mut self, place: usize) {
        if self.held.is_empty() {
            return;
        }
        let leased = &self.held[place % self.held.len()];
        assert_eq!(self.bench.ledger(leased).ready().await, Ok(()));
        let known = self.model.deliveries.get_mut(&leased.id).unwrap();
        known.stage = Stage::Held { ahead: false };
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
        let expected = match (dead, self.model.is_passed(id)) {
            (false, _) => Err(RetryError::NotDead),
            (true, true) => Err(RetryError::Passed),
            (true, false) => Ok(()),
        };
        assert_eq!(answer, expected);
        if answer.is_ok() {
            self.model.revive(id);
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
        if known.stage == Stage::Ahead {
            // Its lease is given back without having had its slot.
            self.model.brief = 0;
        }
        known.stage = Stage::Cancelled;
        if let Some(held) = self.held.iter().position(|leased| leased.id == id) {
            let leased = self.held.swap_remove(held);
            self.let_go(&leased, Stay::Long, Next::Done);
        }
    }

    async fn compare(&mut self) {
        // What ends in one transaction makes way for what is leased in the next; a lease that is given back ends in one.
        for _ in 0..2 {
            self.bench.flush().await;
            self.bench.flush().await;
            while let Some(Some(leased)) = self.bench.leases.next().now_or_never() {
                self.model.start(&leased);
                self.held.push(leased);
            }
        }
        self.see();
        self.model.check_idle(self.held.len());
        let counts = self.bench.queue.counts();
        assert_eq!(
            (counts.depth, counts.dead),
            (self.model.depth(), self.model.dead())
        );
    }

    /// Reads in the store what is leased and has no slot yet.
    fn see(&mut self) {
        let store = Connection::open(self.bench.path()).unwrap();
        let sql = "SELECT id, state, leases, deaths FROM deliveries WHERE state < 3";
        let mut open = store.prepare(sql).unwrap();
        let rows = open.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        for row in rows.unwrap() {
            let (id, state, leases, deaths): (i64, i64, u32, u32) = row.unwrap();
            let id = DeliveryId::from_raw(id);
            assert_eq!(deaths, self.model.deliveries[&id].deaths);
            match self.held.iter().find(|leased| leased.id == id) {
                Some(_) => {
                    let known = &self.model.deliveries[&id];
                    let ahead = Stage::Held {
                        ahead: state == AHEAD,
                    };
                    assert_eq!(known.stage, ahead, "{known:?}");
                }
                None => self.model.see(id, state, leases),
            }
        }
    }

    async fn compare_all(&self) {
        let all = Filter {
            limit: 1_000,
            ..Filter::default()
        };
        let listed = self.bench.queue.list(all).await.unwrap().deliveries;
        assert_eq!(listed.len(), self.model.deliveries.len());
        for delivery in listed {
            let expected = match self.model.deliveries[&delivery.id].stage {
                Stage::Waits { put_off: false, .. } => State::Queued,
                Stage::Waits { put_off: true, .. } => State::Retrying,
                Stage::Ahead | Stage::Held { .. } => State::Running,
                Stage::Done => State::Done,
                Stage::Dead | Stage::Cancelled => State::Dead,
            };
            assert_eq!(delivery.state, expected, "{delivery:?}");
        }
    }
}

fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let is_long = std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some();
    asked
        .and_then(|n| n.parse().ok())
        .unwrap_or(if is_long { 20_000 } else { 1_000 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_queue_does_what_its_model_does(ops in prop::collection::vec(op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair {
                bench: Bench::in_memory(Options::default(), Caps::all(CAP)),
                model: Model::default(),
                held: Vec::new(),
            };
            for op in ops {
                pair = pair.step(op).await;
            }
            pair.compare_all().await;
        });
    }
}
