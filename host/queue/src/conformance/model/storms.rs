//! Storms in any order of events, ends, crashes and requests. What is to be true of them is checked after each step, and at the
//! end everything that was accepted has to come to an end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use alert_manager_core::gate::{GateAsk, GateName, Pass};

use super::super::gates::post;
use super::super::prelude::*;
use super::{cases, for_sequences};

/// More than so many alerts are a storm: often fewer than wait.
const OVER: u32 = 2;
const PODS: u8 = 7;

#[derive(Clone, Debug)]
enum Op {
    /// Of a pod, its start, whether it is resolved, and whether a second handler runs for it.
    Accept(u8, u8, bool, bool),
    /// The lease at this place, modulo.
    Settle(usize, End),
    /// The lease at this place has an effect.
    Post(usize),
    /// The lease at this place has a message for the one channel: it is done, or parked.
    Gate(usize),
    /// The same with an update of the one message.
    Update(usize),
    /// The one message was updated just now: the next update has to wait.
    CloseMessage(usize),
    Advance(u64),
    /// How many may run.
    Caps(u32),
    Crash,
    Restart,
    Retry(usize),
    Cancel(usize),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Done,
    Dead,
    Expired,
    RetryIn(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        4 => Just(End::Done),
        3 => Just(End::Dead),
        1 => Just(End::Expired),
        2 => (0..200_u64).prop_map(End::RetryIn),
    ];
    prop_oneof![
        14 => (0..PODS, 0..2_u8, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(pod, start, is_resolved, pages)| Op::Accept(pod, start, is_resolved, pages)),
        6 => (any::<usize>(), end).prop_map(|(place, end)| Op::Settle(place, end)),
        1 => any::<usize>().prop_map(Op::Post),
        5 => any::<usize>().prop_map(Op::Gate),
        3 => any::<usize>().prop_map(Op::Update),
        1 => any::<usize>().prop_map(Op::CloseMessage),
        2 => (0..200_u64).prop_map(Op::Advance),
        1 => (600..90_000_u64).prop_map(Op::Advance),
        3 => (0..4_u32).prop_map(Op::Caps),
        1 => Just(Op::Crash),
        1 => Just(Op::Restart),
        2 => any::<usize>().prop_map(Op::Retry),
        2 => any::<usize>().prop_map(Op::Cancel),
    ]
}

/// The gates of an update of the one message.
fn update() -> [GateAsk; 1] {
    [GateAsk::new(GateName::SlackMessage("C1 1.5".into()), None)]
}

fn submission(pod: u8, start: u8, is_resolved: bool, pages: bool) -> Submission {
    let mut submission = started(firing(&format!("Pod{pod}")), u64::from(start));
    if is_resolved {
        submission.alert.status = Status::Resolved;
    }
    if pages {
        submission.plans[0].handlers.push(name("pager"));
    }
    // One alert runs for each.
    let is_one = pod > 0;
    submission.plans[0].storm = is_one.then(|| "storm".into());
    submission
}

/// A queue, and what is known of it.
struct Storms<B: Bench> {
    bench: Harness<B>,
    held: Vec<Leased>,
    /// What each was given about its storm when it was last leased.
    given: BTreeMap<DeliveryId, Option<StormGiven>>,
    /// Those that another has run in the place of: what is sent again meanwhile comes behind them.
    members: BTreeSet<DeliveryId>,
    /// Those that have an effect on record.
    posted: BTreeSet<DeliveryId>,
    /// Those that were parked without one: they may run as one with others, or with more than before.
    parked: BTreeSet<DeliveryId>,
    /// What each of them is about: the pod, and its start.
    accepted: BTreeMap<DeliveryId, (u8, u8)>,
    /// To which storm each firing belonged.
    belonged: BTreeMap<DeliveryId, DeliveryId>,
    /// Storms that a reminder has left of what had fired there before: the storm counts that alert no more.
    left_by_reminders: BTreeSet<DeliveryId>,
}

impl<B: Bench> Storms<B> {
    fn new() -> Self {
        let options = Options {
            storm: StormOptions {
                over: OVER,
                within: Duration::from_secs(60),
            },
            ..Options::default()
        };
        Self {
            bench: Harness::with(options, Caps::all(0)),
            held: Vec::new(),
            given: BTreeMap::new(),
            members: BTreeSet::new(),
            posted: BTreeSet::new(),
            parked: BTreeSet::new(),
            accepted: BTreeMap::new(),
            belonged: BTreeMap::new(),
            left_by_reminders: BTreeSet::new(),
        }
    }

    async fn step(mut self, op: Op) -> Self {
        match op {
            Op::Accept(pod, start, is_resolved, pages) => {
                let submission = submission(pod, start, is_resolved, pages);
                if let Verdict::Accepted(accepted) = self.bench.accept(submission).await {
                    self.accepted.insert(accepted[0].id, (pod, start));
                }
            }
            Op::Settle(place, end) => self.settle(place, end),
            Op::Post(place) => self.post(place).await,
            Op::Gate(place) => self.pass(place, &post()),
            Op::Update(place) => self.pass(place, &update()),
            Op::CloseMessage(place) => self.close_message(place),
            Op::Advance(by_s) => self.bench.advance(Duration::from_secs(by_s)),
            Op::Caps(most) => self.bench.set_caps(Caps::all(most)),
            Op::Crash => {
                self.held.clear();
                self.bench = self.bench.crash();
            }
            Op::Restart => {
                self.held.clear();
                self.bench = self.bench.restart().await;
            }
            Op::Retry(place) => {
                if let Some(id) = self.pick(place).await {
                    let _ = self.bench.queue.retry(id, Force::No).await;
                }
            }
            Op::Cancel(place) => self.cancel(place).await,
        }
        self.check().await;
        self
    }

    fn take(&mut self, place: usize) -> Option<Leased> {
        let count = self.held.len();
        (count > 0).then(|| self.held.swap_remove(place % count))
    }

    fn settle(&mut self, place: usize, end: End) {
        let Some(leased) = self.take(place) else {
            return;
        };
        let next = match end {
            End::Done => Next::Done,
            End::Dead => Next::Dead("why".into()),
            End::Expired => Next::Expired("too old".into()),
            End::RetryIn(s) => Next::Retry {
                until: self.bench.clock.now() + Duration::from_secs(s),
                handler: leased.handler.clone(),
            },
        };
        self.bench.settle(&leased, next);
    }

    async fn post(&mut self, place: usize) {
        if self.held.is_empty() {
            return;
        }
        let leased = &self.held[place % self.held.len()];
        self.posted.insert(leased.id);
        let ledger = self.bench.ledger(leased, 1);
        ledger.record(vec![entry(0)]).await.unwrap();
    }

    fn close_message(&self, place: usize) {
        if !self.held.is_empty() {
            let leased = &self.held[place % self.held.len()];
            let ledger = self.bench.ledger(leased, 1);
            ledger.close_gate(&update()[0], Duration::from_secs(5));
        }
    }

    fn pass(&mut self, place: usize, asks: &[GateAsk]) {
        let Some(leased) = self.take(place) else {
            return;
        };
        match self.bench.pass(&leased, asks) {
            Pass::Parked(parked) => {
                let is_clean = !self.posted.contains(&leased.id);
                self.parked.extend(is_clean.then_some(leased.id));
                self.bench.park(&leased, parked, is_clean);
            }
            Pass::Granted | Pass::Superseded => self.bench.settle(&leased, Next::Done),
        }
    }

    async fn pick(&self, place: usize) -> Option<DeliveryId> {
        let all = self.all().await;
        let count = all.len();
        all.into_keys().nth(place % count.max(1))
    }

    async fn cancel(&mut self, place: usize) {
        let Some(id) = self.pick(place).await else {
            return;
        };
        if self.bench.queue.cancel(id).await.is_ok()
            && let Some(held) = self.held.iter().position(|leased| leased.id == id)
        {
            let leased = self.held.swap_remove(held);
            self.bench.settle(&leased, Next::Done);
        }
    }

    async fn all(&self) -> BTreeMap<DeliveryId, Delivery> {
        let all = Filter {
            limit: 1_000,
            ..Filter::default()
        };
        let listed = self.bench.queue.list(all).await.unwrap().deliveries;
        listed.into_iter().map(|one| (one.id, one)).collect()
    }

    async fn check(&mut self) {
        for _ in 0..3 {
            self.bench.flush().await;
        }
        let leased = self.bench.leased();
        let all = self.all().await;
        for leased in leased {
            self.check_lease(&leased, &all);
            self.held.push(leased);
        }
        for delivery in all.values() {
            check_member(delivery, &all);
            if is_open(delivery) && delivery.coalesced_into.is_some() {
                self.members.insert(delivery.id);
            }
        }
        self.check_counts(&all);
        let open = all.values().filter(|one| is_open(one)).count();
        let dead = all.values().filter(|one| is_dead_letter(one)).count();
        let counts = self.bench.queue.counts();
        assert_eq!((counts.depth, counts.dead), (open, dead as u64));
    }

    /// A storm counts each alert once whose firing belongs to it, and of those that have resolved not more.
    fn check_counts(&mut self, all: &BTreeMap<DeliveryId, Delivery>) {
        let event = |id: &DeliveryId| {
            let occurrence = self.bench.bench.peek(*id).unwrap().occurrence;
            (self.accepted[id], occurrence)
        };
        let firings = all.values().filter(|one| one.status == "firing");
        let belongs: BTreeMap<_, _> = firings
            .filter_map(|one| Some((one.id, one.storm?)))
            .collect();
        let mut events: BTreeMap<DeliveryId, BTreeSet<_>> = BTreeMap::new();
        for (id, storm) in &belongs {
            events.entry(*storm).or_default().insert(event(id));
        }
        for (id, storm) in &self.belonged {
            let has_left = belongs.get(id) != Some(storm);
            let others = events.get(storm);
            if has_left && others.is_some_and(|others| others.contains(&event(id))) {
                self.left_by_reminders.insert(*storm);
            }
        }
        for storm in self.bench.bench.peek_storms() {
            let count = events.get(&storm.id).map_or(0, BTreeSet::len) as u64;
            assert!(storm.resolved <= storm.count, "{storm:?}");
            if !self.left_by_reminders.contains(&storm.id) {
                assert_eq!(storm.count, count, "{storm:?}: {events:?}");
            }
        }
        self.belonged = belongs;
    }

    /// A lease is that of a delivery that runs for itself or for others, and overtakes nothing.
    fn check_lease(&mut self, leased: &Leased, all: &BTreeMap<DeliveryId, Delivery>) {
        let own = &all[&leased.id];
        assert_eq!(own.coalesced_into, None, "a member does not run");
        let earlier = all.values().filter(|other| {
            let is_earlier = other.id < own.id && other.fingerprint == own.fingerprint;
            // A firing may run with its resolved, behind that.
            is_earlier && is_open(other) && other.coalesced_into != Some(own.id)
        });
        let is_first = earlier.count() == 0;
        // What is sent again comes behind a firing that is to run with its resolved, and so behind that.
        let is_own = |other: &Delivery| other.fingerprint == own.fingerprint;
        let has_firing = all
            .values()
            .any(|other| other.coalesced_into == Some(own.id) && is_own(other));
        let has_begun = leased.lease.number > 1 || has_firing || self.members.contains(&own.id);
        assert!(is_first || has_begun, "it overtakes: {own:?}");
        let given = leased.progress.storm.clone();
        if own.alertname == "Pod0" {
            assert_eq!(given, None, "it runs for each alert");
        }
        // One that goes on is given the same, unless it became a representative meanwhile.
        let before = self.given.insert(leased.id, given.clone()).flatten();
        match own.storm {
            None => assert_eq!(given, None, "it has left its storm: {own:?}"),
            Some(_) => {
                let is_new = before.is_none() || self.parked.remove(&own.id);
                assert!(is_new || given == before, "{own:?}");
            }
        }
    }

    /// Everything ends once nothing else happens.
    async fn drain(mut self) {
        self.bench.set_caps(Caps::all(8));
        for _ in 0..60 {
            self.check().await;
            while let Some(leased) = self.take(0) {
                self.bench.settle(&leased, Next::Done);
            }
            self.bench.advance(Duration::from_secs(300));
        }
        self.check().await;
        let all = self.all().await;
        let open: Vec<_> = all.values().filter(|one| is_open(one)).collect();
        assert!(open.is_empty(), "it never ends: {open:#?}");
    }
}

fn is_open(delivery: &Delivery) -> bool {
    !matches!(delivery.state, State::Done | State::Dead)
}

fn is_dead_letter(delivery: &Delivery) -> bool {
    delivery.reason.is_some_and(Reason::is_dead_letter)
}

/// What was to run as one with others stands as the one that ran does.
fn check_member(member: &Delivery, all: &BTreeMap<DeliveryId, Delivery>) {
    let Some(of) = member.coalesced_into else {
        assert_ne!(member.reason, Some(Reason::Coalesced), "{member:?}");
        return;
    };
    let of = &all[&of];
    assert_eq!(of.coalesced_into, None, "a member stands for none");
    assert_eq!(member.handlers, of.handlers, "they run for it too");
    let is_told = match member.state {
        State::Done => {
            member.reason == Some(Reason::Coalesced)
                && matches!(of.reason, Some(Reason::Handled | Reason::Cancelled))
        }
        State::Dead => of.reason == member.reason,
        _ => is_open(of),
    };
    assert!(is_told, "{member:?} of {of:?}");
    let runs_with_its_end = of.status == "resolved" && of.fingerprint == member.fingerprint;
    assert!(of.status == member.status || runs_with_its_end);
}

pub(super) fn check<B: Bench>() {
    for_sequences(cases::<B>() / 2, op(), async |ops| {
        let mut storms = Storms::<B>::new();
        for op in ops {
            storms = storms.step(op).await;
        }
        storms.drain().await;
    });
}
