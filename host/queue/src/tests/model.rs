//! The queue against a model of it: whatever happens in whatever order, both say the same.
//!
//! A thousand random sequences, 20,000 with `ALERT_MANAGER_TEST_LONG=1`, or as many as `PROPTEST_CASES` says.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;

/// Below the number of ordering keys, so that some wait for a slot.
const CAP: u32 = 2;
const ALERTS: u8 = 4;
/// What the store calls a delivery that is leased.
const RUNNING: i64 = 1;
const REPEAT_AFTER_S: u64 = 100;
const DEATHS_MAX: u32 = 3;
const STALE_WITHIN_S: u64 = 300;
const ALONE_FOR_S: u64 = 10;

#[derive(Clone, Debug)]
enum Op {
    /// Of an alert, its start and whether it is resolved.
    Accept(u8, i64, bool),
    /// The lease at this place, modulo.
    Settle(usize, End),
    Advance(u64),
    Crash,
    Restart,
    Retry(usize),
    Cancel(usize),
    /// The route gets another name.
    EditRoute,
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
    prop_oneof![
        10 => (0..ALERTS, 0..2_i64, any::<bool>()).prop_map(|(a, s, r)| Op::Accept(a, s, r)),
        8 => (any::<usize>(), end).prop_map(|(place, end)| Op::Settle(place, end)),
        3 => (0..150_u64).prop_map(Op::Advance),
        1 => Just(Op::Crash),
        1 => Just(Op::Restart),
        2 => any::<usize>().prop_map(Op::Retry),
        1 => any::<usize>().prop_map(Op::Cancel),
        1 => Just(Op::EditRoute),
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
    /// A worker has it.
    Leased,
    Done,
    Dead,
    Cancelled,
}

impl Stage {
    const WAITS: Self = Self::Waits {
        due: 0,
        put_off: false,
    };
}

#[derive(Clone, Debug)]
struct Known {
    event: Event,
    stage: Stage,
    occurrence: u32,
    leases: u32,
    deaths: u32,
    suspected: u32,
    after_crash: bool,
    /// A re-send has revived it since a person last did.
    resent: bool,
    ended_s: u64,
}

impl Known {
    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Waits { .. } | Stage::Leased)
    }
}

/// The current occurrence of one start: the latest delivery of each event, and when its resolved was first accepted.
#[derive(Clone, Copy, Debug)]
struct Current {
    occurrence: u32,
    firing: Option<DeliveryId>,
    resolved: Option<DeliveryId>,
    resolved_s: u64,
}

impl Current {
    const FIRST: Self = Self {
        occurrence: 1,
        firing: None,
        resolved: None,
        resolved_s: 0,
    };
}

#[derive(Default)]
struct Model {
    now_s: u64,
    deliveries: BTreeMap<DeliveryId, Known>,
    /// By alert and start.
    starts: BTreeMap<(u8, i64), Current>,
    /// The start of the firing that a resolved with another start has ended.
    moved: BTreeMap<(u8, i64), i64>,
    /// Only suspects run until then.
    alone_until_s: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    New,
    Revived(DeliveryId),
    Duplicate,
    Stale,
}

impl Model {
    fn current(&self, alert: u8, start: i64) -> Current {
        let known = self.starts.get(&(alert, start));
        known.copied().unwrap_or(Current::FIRST)
    }

    /// Returns the event that an alert belongs to.
    fn event_of(&self, (alert, start, resolved): Event) -> Event {
        let named = self.current(alert, start);
        if !resolved || named.firing.is_some() || named.resolved.is_some() {
            return (alert, start, resolved);
        }
        if let Some(firing) = self.moved.get(&(alert, start)) {
            return (alert, *firing, true);
        }
        let mut open = self.starts.iter().filter(|((other, _), current)| {
            *other == alert && current.firing.is_some() && current.resolved.is_none()
        });
        match (open.next(), open.next()) {
            (Some(((_, firing), _)), None) => (alert, *firing, true),
            _ => (alert, start, true),
        }
    }

    fn expect(&self, (alert, start, resolved): Event) -> Expected {
        let current = self.current(alert, start);
        let id = match (resolved, current) {
            (true, current) => current.resolved,
            (false, Current { resolved: None, .. }) => current.firing,
            (false, Current { firing: None, .. })
                if self.now_s - current.resolved_s < STALE_WITHIN_S =>
            {
                return Expected::Stale;
            }
            (false, _) => return Expected::New,
        };
        let Some(id) = id else {
            return Expected::New;
        };
        let known = &self.deliveries[&id];
        let is_due = self.now_s - known.ended_s >= REPEAT_AFTER_S;
        match known.stage {
            Stage::Dead if known.deaths >= DEATHS_MAX => Expected::Duplicate,
            Stage::Dead if !known.resent => Expected::Revived(id),
            Stage::Dead | Stage::Done if is_due => Expected::New,
            _ => Expected::Duplicate,
        }
    }

    /// Notes a new delivery of an event, and returns its occurrence.
    fn took(&mut self, (alert, start, resolved): Event, id: DeliveryId) -> u32 {
        let now_s = self.now_s;
        let current = self.starts.entry((alert, start)).or_insert(Current::FIRST);
        if resolved {
            if current.resolved.replace(id).is_none() {
                current.resolved_s = now_s;
            }
        } else {
            if current.resolved.is_some() {
                *current = Current {
                    occurrence: current.occurrence + 1,
                    ..Current::FIRST
                };
            }
            current.firing = Some(id);
        }
        current.occurrence
    }

    fn revive(&mut self, id: DeliveryId, resent: bool) {
        let due = self.now_s;
        let known = self.deliveries.get_mut(&id).unwrap();
        known.stage = Stage::Waits {
            due,
            put_off: false,
        };
        known.deaths = 0;
        known.suspected = 0;
        known.resent = resent;
    }

    fn leased(&self) -> usize {
        let leased = |known: &&Known| known.stage == Stage::Leased;
        self.deliveries.values().filter(leased).count()
    }

    /// Returns true where a suspect could run: it is due, and the first of its lane.
    fn has_ready_suspect(&self) -> bool {
        self.deliveries.iter().any(|(id, known)| {
            known.suspected > 0
                && matches!(known.stage, Stage::Waits { due, .. } if due <= self.now_s)
                && !self
                    .lane(known.event)
                    .any(|(other, k)| other < id && k.is_open())
        })
    }

    /// While suspects run alone, a lease is one of theirs and the only one; another says that no suspect could run.
    fn check_alone(&mut self, id: DeliveryId) {
        if self.now_s >= self.alone_until_s {
            return;
        }
        if self.deliveries[&id].suspected == 0 || self.leased() > 0 {
            assert!(!self.has_ready_suspect(), "a suspect is to run alone");
            self.alone_until_s = 0;
        }
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

    /// A lease was handed out: was it this one's turn?
    fn lease(&mut self, leased: &Leased) {
        let id = leased.id;
        self.check_alone(id);
        let known = &self.deliveries[&id];
        assert!(
            matches!(known.stage, Stage::Waits { due, .. } if due <= self.now_s),
            "{known:?}"
        );
        for (other_id, other) in self.lane(known.event) {
            assert!(other.stage != Stage::Leased, "two of one lane run");
            // One that has begun keeps its lane, also where an older one was sent again since.
            assert!(
                !other.is_open() || *other_id >= id || known.leases > 0,
                "an older one of its lane waits"
            );
        }
        let known = self.deliveries.get_mut(&id).unwrap();
        known.stage = Stage::Leased;
        known.leases += 1;
        assert_eq!(
            (leased.lease, leased.after_crash),
            (known.leases, known.after_crash)
        );
    }

    /// Nothing waits that could run.
    fn check_idle(&mut self, held: usize) {
        assert!(held <= CAP as usize);
        if held == CAP as usize {
            return;
        }
        if self.now_s < self.alone_until_s {
            if held > 0 {
                return;
            }
            self.alone_until_s = 0;
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

    /// The process has ended: what was under way waits again, and has died where it was killed alone.
    fn end(&mut self, killed: bool) {
        let alone = self.leased() == 1;
        for known in self.deliveries.values_mut() {
            if known.stage != Stage::Leased {
                continue;
            }
            known.suspected += u32::from(killed);
            known.after_crash = true;
            known.deaths += u32::from(killed && alone);
            known.ended_s = self.now_s;
            known.stage = if known.deaths >= DEATHS_MAX {
                Stage::Dead
            } else {
                Stage::WAITS
            };
        }
        let suspected = self.deliveries.values().filter(|known| known.is_open());
        let most = suspected.map(|known| known.suspected).max().unwrap_or(0);
        self.alone_until_s = match most {
            0 => 0,
            most => self.now_s + (ALONE_FOR_S << (most - 1)),
        };
    }

    fn depth(&self) -> usize {
        self.deliveries.values().filter(|k| k.is_open()).count()
    }

    fn dead(&self) -> u64 {
        let dead = |k: &&Known| k.stage == Stage::Dead;
        self.deliveries.values().filter(dead).count() as u64
    }
}

fn submission((alert, start, resolved): Event, route: u32) -> Submission {
    let mut submission = firing(&format!("A{alert}"));
    submission.plans[0].route = format!("route{route}").into();
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
    route: u32,
}

impl Pair {
    async fn step(mut self, op: Op) -> Self {
        match op {
            Op::Accept(alert, start, resolved) => self.accept((alert, start, resolved)).await,
            Op::Settle(place, end) => self.settle(place, &end),
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
            Verdict::Duplicate(_) => assert_eq!(expected, Expected::Duplicate),
            Verdict::Stale => assert_eq!(expected, Expected::Stale),
            Verdict::Accepted(accepted) => {
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
        let expected = match (dead, self.model.is_passed(id)) {
            (false, _) => Err(RetryError::NotDead),
            (true, true) => Err(RetryError::Passed),
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
        if let Some(held) = self.held.iter().position(|leased| leased.id == id) {
            let leased = self.held.swap_remove(held);
            self.bench.settle(&leased, Next::Done);
        }
    }

    async fn compare(&mut self) {
        // What ends in one transaction makes way for what is leased in the next, or, after the last suspect, in the one
        // after that.
        for _ in 0..3 {
            self.bench.flush().await;
        }
        while let Some(Some(leased)) = self.bench.leases.next().now_or_never() {
            self.model.lease(&leased);
            self.held.push(leased);
        }
        self.compare_open();
        self.model.check_idle(self.held.len());
        let counts = self.bench.queue.counts();
        assert_eq!(
            (counts.depth, counts.dead),
            (self.model.depth(), self.model.dead())
        );
    }

    /// Compares what the store has of each delivery that is not settled; under each that is held a call may begin.
    fn compare_open(&self) {
        let store = Connection::open(self.bench.path()).unwrap();
        let sql = "SELECT id, state, leases, deaths, suspected FROM deliveries WHERE state < 3";
        let mut open = store.prepare(sql).unwrap();
        let rows = open.query_map([], |row| {
            let counts = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((row.get(0)?, row.get(1)?, counts))
        });
        for row in rows.unwrap() {
            let (id, state, counts): (i64, i64, (u32, u32, u32)) = row.unwrap();
            let id = DeliveryId::from_raw(id);
            let (leases, deaths, suspected) = counts;
            let known = &self.model.deliveries[&id];
            assert_eq!((deaths, suspected), (known.deaths, known.suspected));
            assert_eq!(leases, known.leases);
            assert_eq!(state == RUNNING, known.stage == Stage::Leased, "{known:?}");
        }
        for leased in &self.held {
            assert_eq!(self.bench.ledger(leased).ready(), Ok(()));
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
                Stage::Leased => State::Running,
                Stage::Done => State::Done,
                Stage::Dead | Stage::Cancelled => State::Dead,
            };
            assert_eq!(delivery.state, expected, "{delivery:?}");
        }
        let store = Connection::open(self.bench.path()).unwrap();
        for (id, known) in &self.model.deliveries {
            let sql = "SELECT occurrence FROM deliveries WHERE id = ?1";
            let occurrence = store.query_one(sql, [id.as_raw()], |row| row.get::<_, u32>(0));
            assert_eq!(occurrence.unwrap(), known.occurrence);
            let alert = self.bench.story(*id).await.alert;
            let alert: Alert = serde_json::from_value(alert).unwrap();
            assert_eq!(alert.occurrence().as_raw(), known.occurrence);
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
                route: 0,
            };
            for op in ops {
                pair = pair.step(op).await;
            }
            pair.compare_all().await;
        });
    }
}
