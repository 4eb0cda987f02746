//! Gates in the schedule: what passes, what waits, and what is next.

#![allow(clippy::unwrap_used, reason = "tests")]

use alert_manager_core::alert::{Fingerprint, Priority, Timestamp};
use alert_manager_core::gate::GateRate;

use super::*;
use crate::model::{Caps, Cause, Grant, OtherRoutes, WaitsFor};
use crate::schedule::gates::RESERVED_MS;
use crate::schedule::{Ended, Entrant, Withdrawn};

mod property;

const NOW: Ticks = 1_000;

fn name(handler: &str) -> HandlerName {
    HandlerName::new(handler)
}

fn ask(name: GateName, per_second: f64, burst: u32) -> GateAsk {
    GateAsk::new(name, Some(GateRate { per_second, burst }))
}

/// One a second, and one at once.
fn channel() -> GateAsk {
    ask(GateName::SlackChannel("#a".into()), 1.0, 1)
}

fn workspace(burst: u32) -> GateAsk {
    ask(GateName::SlackWorkspace, 1.0, burst)
}

/// A schedule at a time.
struct Bed {
    scheduler: Scheduler,
    now: Ticks,
    held: Vec<Grant>,
}

impl Bed {
    fn new(cap: u32) -> Self {
        let mut scheduler = Scheduler::new(Caps::all(cap), 10_000, 1 << 20);
        scheduler.attach(NOW);
        Self {
            scheduler,
            now: NOW,
            held: Vec::new(),
        }
    }

    /// Returns how each gate stands, counted one delivery at a time.
    fn gates(&self, at: impl Fn(Ticks) -> Timestamp) -> Vec<crate::model::GateStatus> {
        let mut walk = crate::schedule::Walk::new(0);
        while self.scheduler.walk(&mut walk, 1, self.now, &at) {}
        self.scheduler.gates(&walk, self.now, at)
    }

    fn admit(&mut self, id: i64, priority: Priority) {
        self.admit_to(id, "a", priority);
    }

    fn admit_to(&mut self, id: i64, handler: &str, priority: Priority) {
        let entrant = Entrant {
            id: DeliveryId::from_raw(id),
            route: "route".into(),
            other_routes: OtherRoutes::None,
            fingerprint: Fingerprint(id.unsigned_abs()),
            pipeline: [name(handler)].into(),
            handler: name(handler),
            priority,
            due: self.now,
            accepted_at: Timestamp::UNIX_EPOCH,
            since: self.now,
            leases: 0,
            after_crash: false,
            suspected: 0,
            waits_for: Vec::new(),
            alert: None,
            alert_bytes: 0,
            storm: None,
            cause: Cause::Alert,
        };
        let grant = self.scheduler.admit(entrant, self.now);
        self.scheduler.commit(self.now);
        self.take_out(grant);
    }

    fn take_out(&mut self, grants: impl IntoIterator<Item = Grant>) {
        for grant in grants {
            assert!(self.scheduler.start(grant.lease));
            self.held.push(grant);
        }
    }

    /// Leases what can be leased, and returns everything that is leased.
    fn leased(&mut self) -> Vec<i64> {
        assert!(
            self.scheduler
                .next_due(self.now)
                .is_none_or(|at| at > self.now || self.scheduler.can_grant(self.now))
        );
        let can_grant = self.scheduler.can_grant(self.now);
        let grants = self.scheduler.grant(self.now);
        assert!(can_grant || grants.is_empty(), "{grants:?}");
        self.scheduler.commit(self.now);
        self.take_out(grants);
        self.held
            .iter()
            .map(|grant| grant.lease.id.as_raw())
            .collect()
    }

    fn held(&mut self, id: i64) -> Grant {
        let place = self.held.iter().position(|g| g.lease.id.as_raw() == id);
        self.held.remove(place.unwrap())
    }

    fn lease(&self, id: i64) -> Lease {
        let mut held = self.held.iter().map(|grant| grant.lease);
        held.find(|lease| lease.id.as_raw() == id).unwrap()
    }

    fn pass(&mut self, id: i64, asks: &[GateAsk]) -> Pass {
        let lease = self.lease(id);
        self.scheduler.pass(lease, asks, self.now).unwrap()
    }

    /// Has a leased delivery pass, or be parked; returns whether it passed. Its lease ends with that.
    fn run(&mut self, id: i64, asks: &[GateAsk]) -> bool {
        match self.pass(id, asks) {
            Pass::Parked(parked) => {
                self.park(id, parked);
                false
            }
            _ => {
                self.finish(id);
                true
            }
        }
    }

    fn end(&mut self, id: i64, ended: Ended) {
        let grant = self.held(id);
        self.scheduler.release_permit(&grant.handler);
        self.scheduler.end(grant.lease, ended, self.now);
    }

    fn finish(&mut self, id: i64) {
        self.end(id, Ended::Settled);
    }

    fn park(&mut self, id: i64, parked: Parked) {
        let handler = self.held.iter().find(|g| g.lease.id.as_raw() == id);
        let ended = Ended::Parked {
            handler: handler.unwrap().handler.clone(),
            parked,
            is_clean: true,
            due: None,
            waits_for: Vec::new(),
        };
        self.end(id, ended);
    }

    /// Has deliveries of handler `a` wait at gates of which nobody has a token now.
    fn park_all(&mut self, asks: &[GateAsk], waiting: &[(i64, Priority)]) {
        for (id, priority) in waiting {
            self.admit(*id, *priority);
            self.leased();
            assert!(!self.run(*id, asks), "{id}");
        }
    }

    /// Runs what is leased at each of so many seconds; returns who passed, second by second.
    fn seconds(&mut self, count: usize, asks: &[GateAsk]) -> Vec<Vec<i64>> {
        let mut all = Vec::new();
        for _ in 0..count {
            self.now += 1_000;
            let mut passed = Vec::new();
            for id in self.leased() {
                if self.run(id, asks) {
                    passed.push(id);
                }
            }
            assert_eq!(self.leased(), [] as [i64; 0]);
            all.push(passed);
        }
        all
    }
}

#[test]
fn a_gate_with_tokens_lets_pass_and_one_without_has_them_wait_without_a_permit() {
    let mut bed = Bed::new(1);
    let asks = [channel()];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks));
    bed.admit(2, Priority::Normal);
    let Pass::Parked(parked) = bed.pass(2, &asks) else {
        panic!("it has no token");
    };
    assert_eq!((&parked.gate, &parked.asks[..]), (&asks[0], &asks[..]));
    bed.park(2, parked);
    assert_eq!(bed.leased(), [] as [i64; 0]);
    assert_eq!(bed.scheduler.next_due(bed.now), Some(NOW + 1_000));
    bed.admit(3, Priority::Normal);
    assert_eq!(bed.leased(), [3], "the permit is free");
    bed.finish(3);
    bed.now += 1_000;
    assert_eq!(bed.leased(), [2]);
    assert_eq!(bed.held[0].lease.number, 2);
    assert_eq!(bed.pass(2, &asks), Pass::Granted);
    bed.finish(2);
    assert_eq!(bed.scheduler.depth(), 0);
    assert_eq!(bed.scheduler.next_due(bed.now), None);
}

#[test]
fn the_most_urgent_passes_first_then_the_oldest_and_every_tenth_of_the_others_the_oldest() {
    use Priority::{Critical, Normal, Warning};
    let mut bed = Bed::new(2);
    let asks = [channel()];
    bed.admit(1, Normal);
    assert!(bed.run(1, &asks));
    let mut waiting = vec![(2, Normal), (3, Normal)];
    waiting.extend((4..24).map(|id| (id, Warning)));
    waiting.extend([(50, Critical), (51, Critical)]);
    bed.park_all(&asks, &waiting);
    let passed: Vec<_> = bed.seconds(24, &asks).into_iter().flatten().collect();
    let expected = [
        50, 51, 4, 5, 6, 7, 8, 9, 10, 11, 2, 12, 13, 14, 15, 16, 17, 18, 19, 20, 3, 21, 22, 23,
    ];
    assert_eq!(passed, expected, "the first turn was that of 1");
}

#[test]
fn all_tokens_are_taken_together_or_none() {
    let mut bed = Bed::new(8);
    let other = ask(GateName::SlackChannel("#b".into()), 1.0, 1);
    let (busy, free) = ([channel(), workspace(3)], [other, workspace(3)]);
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &busy));
    for id in [2, 3] {
        bed.admit(id, Priority::Normal);
        assert!(!bed.run(id, &busy), "its channel has none");
    }
    bed.admit(4, Priority::Normal);
    assert!(
        bed.run(4, &free),
        "what waits for its channel does not hold the workspace"
    );
    bed.admit(5, Priority::Normal);
    let Pass::Parked(parked) = bed.pass(5, &[workspace(3)]) else {
        return bed.finish(5);
    };
    panic!("two of three were taken: {parked:?}");
}

#[test]
fn a_delivery_has_its_permit_first_and_tokens_wait_for_nobody_without_one() {
    let mut bed = Bed::new(1);
    let asks = [channel()];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks));
    bed.park_all(&asks, &[(2, Priority::Critical)]);
    bed.admit(3, Priority::Normal);
    bed.admit_to(4, "b", Priority::Normal);
    bed.now += 1_000;
    assert_eq!(bed.leased(), [3, 4], "3 has the permit");
    // Who waits for a permit alone is first at the gate; but it has no token in its hands.
    assert!(!bed.run(4, &asks));
    assert_eq!(bed.leased(), [3, 4], "b has a permit for its own");
    assert_eq!(bed.pass(4, &asks), Pass::Granted);
    bed.finish(3);
    assert_eq!(bed.leased(), [4]);
    bed.now += 1_000;
    assert_eq!(bed.leased(), [4, 2]);
}

#[test]
fn a_token_that_is_not_used_for_two_seconds_goes_to_the_next_in_line() {
    let mut bed = Bed::new(8);
    let asks = [ask(GateName::SlackChannel("#a".into()), 0.1, 1)];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks));
    bed.park_all(&asks, &[(2, Priority::Warning), (3, Priority::Normal)]);
    bed.now += 10_000;
    assert_eq!(bed.leased(), [2]);
    assert_eq!(bed.scheduler.next_due(bed.now), Some(bed.now + RESERVED_MS));
    bed.now += RESERVED_MS - 1;
    assert_eq!(bed.leased(), [2]);
    bed.now += 1;
    assert_eq!(bed.leased(), [2, 3]);
    assert!(!bed.run(2, &asks), "it is too late");
    assert!(bed.run(3, &asks));
    // A lease that ends without a call gives its token back at once.
    bed.now += 10_000;
    assert_eq!(bed.leased(), [2]);
    bed.finish(2);
    bed.admit(4, Priority::Normal);
    assert!(bed.run(4, &asks));
}

#[test]
fn another_call_before_the_one_whose_turn_it_is_leaves_the_token_reserved() {
    let mut bed = Bed::new(8);
    let asks = [channel()];
    let updates = [ask(GateName::SlackUpdates, 0.001, 1)];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks));
    bed.park_all(&asks, &[(2, Priority::Normal)]);
    bed.now += 1_000;
    assert_eq!(bed.leased(), [2]);
    bed.park_all(&asks, &[(3, Priority::Critical)]);
    assert_eq!(bed.pass(2, &updates), Pass::Granted);
    assert!(matches!(bed.pass(2, &updates), Pass::Parked(_)));
    assert_eq!(bed.pass(2, &asks), Pass::Granted, "3 is not before it");
    assert!(matches!(bed.pass(2, &asks), Pass::Parked(_)), "it was one");
    // It is given back with the lease.
    bed.finish(2);
    bed.now += 1_000;
    assert_eq!(bed.leased(), [3]);
    assert!(matches!(bed.pass(3, &updates), Pass::Parked(_)));
    bed.finish(3);
    bed.admit(4, Priority::Normal);
    assert!(bed.run(4, &asks));
}

#[test]
fn a_turn_that_is_not_stored_is_given_back() {
    let mut bed = Bed::new(8);
    let asks = [channel(), workspace(9)];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks));
    bed.park_all(&asks, &[(2, Priority::Normal)]);
    bed.now += 1_000;
    for _ in 0..3 {
        let grants = bed.scheduler.grant(bed.now);
        assert_eq!((grants.len(), grants[0].lease.number), (1, 2));
        bed.scheduler.rollback(bed.now);
    }
    assert_eq!(bed.leased(), [2]);
    assert!(bed.run(2, &asks));
}

#[test]
fn what_a_service_has_said_closes_a_gate_for_all_and_not_all_come_at_once_after_it() {
    let mut bed = Bed::new(8);
    let asks = [ask(GateName::SlackChannel("#a".into()), 1.0, 5)];
    for id in 1..=3 {
        bed.admit(id, Priority::Normal);
    }
    assert_eq!(bed.pass(1, &asks), Pass::Granted);
    bed.scheduler.close_gate(&asks[0], 30_000, bed.now);
    // It knew better before.
    bed.scheduler.close_gate(&asks[0], 10_000, bed.now);
    for id in 1..=3 {
        assert!(!bed.run(id, &asks));
    }
    assert_eq!(bed.scheduler.next_due(bed.now), Some(NOW + 30_000));
    bed.now += 30_000;
    assert_eq!(bed.leased(), [1]);
    assert!(bed.run(1, &asks));
    assert_eq!(bed.seconds(2, &asks), [[2], [3]]);
    // Closed between its turn and its call.
    bed.now += 10_000;
    for id in 11..=15 {
        bed.admit(id, Priority::Normal);
        assert!(bed.run(id, &asks));
    }
    bed.park_all(&asks, &[(16, Priority::Critical)]);
    bed.now += 1_000;
    assert_eq!(bed.leased(), [16]);
    bed.scheduler.close_gate(&asks[0], 5_000, bed.now);
    assert!(!bed.run(16, &asks));
    bed.now += 5_000;
    assert_eq!(bed.leased(), [16]);
    assert!(bed.run(16, &asks));
}

#[test]
fn without_a_rate_only_what_the_service_said_counts() {
    let mut bed = Bed::new(100);
    let asks = [GateAsk::new(GateName::SlackWorkspace, None)];
    for id in 1..=50 {
        bed.admit(id, Priority::Normal);
        assert!(bed.run(id, &asks));
    }
    bed.scheduler
        .restore_gate(&GateName::SlackWorkspace, bed.now + 7_000);
    bed.park_all(&asks, &[(60, Priority::Normal), (61, Priority::Normal)]);
    bed.now += 6_999;
    assert_eq!(bed.leased(), [] as [i64; 0]);
    bed.now += 1;
    assert_eq!(bed.leased(), [60, 61]);
}

#[test]
fn a_gate_that_was_closed_before_the_start_is_closed_at_whatever_rate_is_asked_for() {
    let mut bed = Bed::new(8);
    let asks = [channel()];
    bed.scheduler.restore_gate(&asks[0].name, bed.now + 5_000);
    bed.admit(1, Priority::Critical);
    assert!(!bed.run(1, &asks));
    assert_eq!(
        bed.seconds(5, &asks),
        [vec![], vec![], vec![], vec![], vec![1]]
    );
}

#[test]
fn a_token_is_kept_for_a_critical_one_whose_lease_has_not_ended_yet() {
    let mut bed = Bed::new(8);
    let asks = [channel()];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks));
    bed.park_all(&asks, &[(2, Priority::Warning)]);
    bed.admit(3, Priority::Critical);
    bed.admit(4, Priority::Normal);
    let Pass::Parked(parked) = bed.pass(3, &asks) else {
        panic!("it has no token");
    };
    bed.now += 1_000;
    assert_eq!(bed.leased(), [3, 4], "2 has no turn before it");
    let due = bed.scheduler.next_due(bed.now);
    assert_eq!(due, Some(NOW + RESERVED_MS), "it is not kept for long");
    assert!(matches!(bed.pass(4, &asks), Pass::Parked(_)));
    bed.park(3, parked);
    assert_eq!(bed.leased(), [4, 3]);
    assert!(bed.run(3, &asks));
    // One that takes longer than that loses it.
    bed.admit(5, Priority::Critical);
    assert!(matches!(bed.pass(5, &asks), Pass::Parked(_)));
    bed.now += RESERVED_MS;
    assert_eq!(bed.leased(), [4, 5, 2]);
}

#[test]
fn a_later_update_of_a_message_wins_over_those_that_wait() {
    let mut bed = Bed::new(8);
    let message = GateAsk::new(GateName::SlackMessage("C1 1.5".into()), None);
    let other = GateAsk::new(GateName::SlackMessage("C1 2.5".into()), None);
    let updates = ask(GateName::SlackUpdates, 1.0, 1);
    let (this, that) = ([updates.clone(), message.clone()], [updates, other]);
    for id in 1..=5 {
        bed.admit(id, Priority::Normal);
    }
    assert!(bed.run(1, &that));
    bed.scheduler.close_gate(&message, 5_000, bed.now);
    assert!(!bed.run(2, &this));
    assert!(!bed.run(3, &that), "another message");
    assert!(!bed.run(4, &this));
    // 2 need not make its call: it needs a permit for that, and no token.
    bed.finish(5);
    assert_eq!(bed.leased(), [2]);
    assert_eq!(bed.pass(2, &this), Pass::Superseded);
    bed.finish(2);
    assert_eq!(bed.seconds(1, &that), [[3]]);
    bed.now += 4_000;
    assert_eq!(bed.leased(), [4]);
    assert!(bed.run(4, &this));
}

#[test]
fn a_later_update_that_passes_at_once_wins_over_an_earlier_one_that_waits() {
    let mut bed = Bed::new(8);
    let asks = [GateAsk::new(GateName::SlackMessage("C1 1.5".into()), None)];
    bed.scheduler.close_gate(&asks[0], 1_000, bed.now);
    bed.park_all(&asks, &[(1, Priority::Normal)]);
    bed.admit(2, Priority::Normal);
    bed.now += 1_000;
    assert!(bed.run(2, &asks));
    assert_eq!(bed.leased(), [1]);
    assert_eq!(bed.pass(1, &asks), Pass::Superseded);
    bed.finish(1);
    // The message is forgotten with the last that had an update of it.
    let gates = bed.gates(|_| Timestamp::UNIX_EPOCH);
    assert_eq!(gates, []);
}

/// The gate of updates of one message.
fn message() -> GateAsk {
    GateAsk::new(GateName::SlackMessage("C1 1.5".into()), None)
}

#[test]
fn a_later_update_that_was_cancelled_does_not_win() {
    let mut bed = Bed::new(8);
    let asks = [message()];
    bed.scheduler.close_gate(&asks[0], 1_000, bed.now);
    let waiting = [(1, Priority::Normal), (2, Priority::Normal)];
    bed.park_all(&asks, &waiting);
    assert_eq!(bed.leased(), [1], "it would be told that 2 has a later one");
    let second = DeliveryId::from_raw(2);
    assert_eq!(bed.scheduler.withdraw(second), Withdrawn::Waiting);
    bed.scheduler.commit(bed.now);
    assert!(!bed.run(1, &asks));
    bed.now += 1_000;
    assert_eq!(bed.leased(), [1]);
    assert_eq!(bed.pass(1, &asks), Pass::Granted);
}

#[test]
fn each_update_of_a_delivery_is_as_late_as_it_was_asked_for() {
    let mut bed = Bed::new(8);
    let asks = [message()];
    for id in 1..=3 {
        bed.admit(id, Priority::Normal);
        assert_eq!(bed.pass(id, &asks), Pass::Granted);
    }
    // Another call, and another before which a later one waits.
    assert_eq!(bed.pass(1, &asks), Pass::Granted);
    bed.scheduler.close_gate(&asks[0], 1_000, bed.now);
    assert!(matches!(bed.pass(2, &asks), Pass::Parked(_)));
    assert!(!bed.run(3, &asks));
    assert_eq!(bed.pass(2, &asks), Pass::Superseded);
}

#[test]
fn an_update_that_slack_did_not_take_is_no_later_when_it_is_made_again() {
    let mut bed = Bed::new(8);
    let asks = [message()];
    for id in [1, 2] {
        bed.admit(id, Priority::Normal);
    }
    assert_eq!(bed.pass(1, &asks), Pass::Granted);
    bed.scheduler.close_gate(&asks[0], 1_000, bed.now);
    assert!(!bed.run(2, &asks), "it waits with a later one");
    let (gate, asks) = (asks[0].clone(), asks.to_vec());
    let parked = Parked {
        gate,
        asks: asks.clone(),
    };
    bed.park(1, parked);
    bed.now += 1_000;
    assert_eq!(bed.leased(), [1, 2]);
    assert_eq!(bed.pass(1, &asks), Pass::Superseded);
    assert_eq!(bed.pass(2, &asks), Pass::Granted);
}

#[test]
fn an_update_of_an_earlier_process_is_earlier_than_all_that_are_asked_for_since() {
    let mut bed = Bed::new(8);
    let asks = [message()];
    bed.scheduler.number_updates_from(50);
    for id in 1..=3 {
        bed.admit(id, Priority::Normal);
    }
    let recall = |bed: &mut Bed, id, number, is_outdated| {
        let stored = UpdateOrder {
            message: asks[0].name.clone(),
            number,
            is_outdated,
        };
        let id = DeliveryId::from_raw(id);
        bed.scheduler.recall_updates(id, &[stored]);
    };
    recall(&mut bed, 1, 40, false);
    recall(&mut bed, 3, 50, true);
    assert_eq!(bed.pass(3, &asks), Pass::Superseded);
    assert_eq!(bed.pass(2, &asks), Pass::Granted);
    assert_eq!(bed.scheduler.take_outdated(), [DeliveryId::from_raw(1)]);
    assert_eq!(bed.pass(1, &asks), Pass::Superseded);
    // What is known here is newer than what is stored.
    recall(&mut bed, 2, 1, true);
    assert_eq!(bed.pass(2, &asks), Pass::Granted, "another call");
}

#[test]
fn what_a_delivery_asks_for_after_an_update_on_record_is_another() {
    for is_on_record in [true, false] {
        let mut bed = Bed::new(8);
        let (asks, posts) = ([message()], [channel()]);
        for id in [1, 2] {
            bed.admit(id, Priority::Normal);
        }
        assert_eq!(bed.pass(1, &asks), Pass::Granted);
        if is_on_record {
            let lease = bed.lease(1);
            bed.scheduler.update_made(lease, &asks[0].name);
        }
        assert_eq!(bed.pass(2, &asks), Pass::Granted);
        // It has to wait elsewhere, and goes on under another lease.
        bed.scheduler.close_gate(&posts[0], 1_000, bed.now);
        assert!(!bed.run(1, &posts));
        bed.now += 1_000;
        assert_eq!(bed.leased(), [2, 1]);
        let expected = match is_on_record {
            true => Pass::Granted,
            // It failed, and is made again.
            false => Pass::Superseded,
        };
        assert_eq!(bed.pass(1, &asks), expected);
    }
}

#[test]
fn what_is_cancelled_while_it_waits_at_a_gate_leaves_nothing_behind() {
    let mut bed = Bed::new(8);
    let asks = [channel()];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks));
    bed.park_all(&asks, &[(2, Priority::Critical), (3, Priority::Normal)]);
    let id = DeliveryId::from_raw(2);
    assert_eq!(bed.scheduler.withdraw(id), Withdrawn::Waiting);
    bed.scheduler.rollback(bed.now);
    assert!(
        bed.scheduler
            .waiting(id, bed.now, |_| Timestamp::UNIX_EPOCH)
            .is_some()
    );
    assert_eq!(bed.scheduler.withdraw(id), Withdrawn::Waiting);
    bed.scheduler.commit(bed.now);
    assert_eq!(bed.seconds(1, &asks), [[3]]);
    assert_eq!(bed.scheduler.depth(), 0);
}

#[test]
fn another_step_of_a_parked_delivery_runs_when_it_is_due() {
    let mut bed = Bed::new(8);
    let asks = [channel()];
    bed.scheduler.close_gate(&asks[0], 60_000, bed.now);
    bed.admit(1, Priority::Normal);
    let Pass::Parked(parked) = bed.pass(1, &asks) else {
        panic!("it is closed");
    };
    let ended = Ended::Parked {
        handler: name("a"),
        parked,
        is_clean: true,
        due: Some((bed.now + 5_000, name("b"))),
        waits_for: Vec::new(),
    };
    bed.end(1, ended);
    assert_eq!(bed.leased(), [] as [i64; 0]);
    assert_eq!(bed.scheduler.next_due(bed.now), Some(bed.now + 5_000));
    bed.now += 5_000;
    assert_eq!(bed.leased(), [1]);
    assert_eq!(bed.held[0].handler, name("b"));
}

#[test]
fn a_lease_that_is_lost_passes_nothing() {
    let mut bed = Bed::new(8);
    bed.admit(1, Priority::Normal);
    let lease = bed.lease(1);
    assert_eq!(bed.scheduler.withdraw(lease.id), Withdrawn::Leased);
    bed.scheduler.commit(bed.now);
    assert_eq!(bed.scheduler.pass(lease, &[channel()], bed.now), None);
}

#[test]
fn what_waits_is_seen_with_what_is_ahead_of_it() {
    let mut bed = Bed::new(1);
    let asks = [channel(), workspace(9)];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks));
    bed.park_all(
        &asks,
        &[
            (2, Priority::Normal),
            (3, Priority::Normal),
            (4, Priority::Critical),
        ],
    );
    bed.admit(5, Priority::Normal);
    bed.admit(6, Priority::Normal);
    let at = |ticks| Timestamp::from_millisecond(ticks).unwrap();
    let waiting = |id| bed.scheduler.waiting(DeliveryId::from_raw(id), bed.now, at);
    let third = waiting(3).unwrap();
    let WaitsFor::Gate { name, label } = third.what else {
        panic!("{third:?}");
    };
    assert_eq!((&name, &*label), (&asks[0].name, "slack channel #a"));
    assert_eq!((third.ahead, third.since), (2, at(NOW)));
    assert_eq!(waiting(4).unwrap().ahead, 0);
    assert_eq!(waiting(5), None, "it runs");
    let sixth = waiting(6).unwrap();
    assert_eq!(sixth.what, WaitsFor::Permit(self::name("a")));
    let gates = bed.gates(at);
    assert_eq!(
        (&gates[0].name, &gates[1].name),
        (&asks[0].name, &asks[1].name)
    );
    assert_eq!((gates[0].waiting.critical, gates[0].waiting.normal), (1, 2));
    assert_eq!(gates[0].waiting_since, Some(at(NOW)));
    assert_eq!(gates[0].next_token_at, Some(at(NOW + 1_000)));
    assert_eq!(
        (gates[1].next_token_at, gates[0].closed_until),
        (None, None)
    );
}

/// Has so many deliveries wait to update a message each, and returns how many lines and groups are looked at for ten tokens.
fn looks_for_ten_tokens(waiting: i64) -> u64 {
    let mut bed = Bed::new(4);
    let updates = ask(GateName::SlackUpdates, 1.0, 1);
    let message = |id: i64| GateAsk::new(GateName::SlackMessage(format!("C1 {id}")), None);
    let asks = |id| [updates.clone(), message(id)];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks(1)));
    for id in 2..waiting + 2 {
        bed.admit(
            id,
            [Priority::Normal, Priority::Warning][usize::from(id % 2 == 0)],
        );
        assert!(!bed.run(id, &asks(id)));
        if id % 3 == 0 {
            bed.scheduler.close_gate(&message(id), 60_000, bed.now);
        }
    }
    let before = bed.scheduler.gates.looks();
    for _ in 0..10 {
        bed.now += 1_000;
        let leased = bed.leased();
        assert_eq!(leased.len(), 1, "one token");
        assert!(bed.run(leased[0], &asks(leased[0])));
        assert_eq!(bed.leased(), [] as [i64; 0]);
    }
    bed.scheduler.gates.looks() - before
}

#[test]
fn a_token_costs_the_same_however_many_messages_wait_for_their_updates() {
    let few = looks_for_ten_tokens(100);
    assert_eq!(looks_for_ten_tokens(2_000), few);
    assert!(few < 300, "{few} for ten tokens");
}

#[test]
fn groups_whose_message_is_closed_wake_when_it_opens_and_not_before() {
    let mut bed = Bed::new(8);
    let updates = ask(GateName::SlackUpdates, 1.0, 1);
    let message = |name: &str| GateAsk::new(GateName::SlackMessage(name.into()), None);
    let (this, that) = (
        [updates.clone(), message("C1 1.5")],
        [updates, message("C1 2.5")],
    );
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &that));
    for (id, asks) in [(2, &this), (3, &that)] {
        bed.admit(id, Priority::Normal);
        assert!(!bed.run(id, asks));
    }
    // Closed while it waits: what is behind it goes before it.
    bed.scheduler.close_gate(&this[1], 5_000, bed.now);
    bed.now += 1_000;
    assert_eq!(bed.leased(), [3]);
    assert!(bed.run(3, &that));
    bed.now += 3_999;
    assert_eq!(bed.leased(), [] as [i64; 0]);
    assert_eq!(bed.scheduler.next_due(bed.now), Some(bed.now + 1));
    bed.now += 1;
    assert_eq!(bed.leased(), [2]);
    assert!(bed.run(2, &this));
    assert_eq!(bed.scheduler.next_due(bed.now), None);
}

#[test]
fn nobody_has_a_turn_while_suspects_run_alone() {
    let mut bed = Bed::new(8);
    let asks = [channel()];
    bed.admit(1, Priority::Normal);
    assert!(bed.run(1, &asks));
    bed.park_all(&asks, &[(2, Priority::Critical)]);
    bed.scheduler.alone.suspect(DeliveryId::from_raw(9), 1);
    bed.scheduler.attach(bed.now);
    let ends = bed.scheduler.alone.ends_at(bed.now);
    bed.now += 1_000;
    assert_eq!(bed.scheduler.next_due(bed.now), ends);
}
