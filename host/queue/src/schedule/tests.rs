//! Permits, priorities and ordering keys, without a store.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::model::{Cause, OtherRoutes, WaitsFor};

const NOW: Ticks = 1_000;

/// A lease of a normal delivery that the schedule does not know.
fn stranger() -> Lease {
    Lease {
        id: DeliveryId::from_raw(0),
        number: 0,
        owner: Owner::default(),
    }
}

fn name(handler: &str) -> HandlerName {
    HandlerName::new(handler)
}

fn scheduler(cap: u32) -> Scheduler {
    bounded(cap, 1_000, 1 << 20)
}

fn bounded(cap: u32, depth_max: usize, alert_bytes_max: usize) -> Scheduler {
    let mut scheduler = Scheduler::new(Caps::all(cap), depth_max, alert_bytes_max);
    scheduler.attach(NOW);
    scheduler
}

fn entrant(id: i64, fingerprint: u64, handler: &str, priority: Priority) -> Entrant {
    Entrant {
        id: DeliveryId::from_raw(id),
        route: "route".into(),
        other_routes: OtherRoutes::None,
        fingerprint: Fingerprint(fingerprint),
        pipeline: [name(handler)].into(),
        handler: name(handler),
        priority,
        due: NOW,
        accepted_at: Timestamp::UNIX_EPOCH,
        since: NOW,
        leases: 0,
        after_crash: false,
        suspected: 0,
        waits_for: Vec::new(),
        alert: None,
        storm: None,
        alert_bytes: 0,
        cause: Cause::Alert,
    }
}

/// Admits a delivery of handler `a` with an ordering key of its own, and commits it.
fn admit(scheduler: &mut Scheduler, id: i64, priority: Priority) -> Option<Grant> {
    admit_to(scheduler, id, id.cast_unsigned(), "a", priority)
}

fn admit_to(
    scheduler: &mut Scheduler,
    id: i64,
    fingerprint: u64,
    handler: &str,
    priority: Priority,
) -> Option<Grant> {
    let grant = scheduler.admit(entrant(id, fingerprint, handler, priority), NOW);
    scheduler.commit(NOW);
    grant
}

fn grant(scheduler: &mut Scheduler, now: Ticks) -> Vec<i64> {
    let grants = scheduler.grant(now);
    scheduler.commit(now);
    grants.iter().map(|g| g.lease.id.as_raw()).collect()
}

/// Ends a lease, and releases its permit.
fn finish(scheduler: &mut Scheduler, grant: &Grant) {
    scheduler.release_permit(&grant.handler);
    scheduler.end(grant.lease, Ended::Settled, NOW);
}

#[test]
fn a_lease_that_was_not_started_because_of_a_cancellation_that_was_rolled_back_waits_again() {
    let mut scheduler = scheduler(1);
    let lease = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    assert_eq!(scheduler.withdraw(lease.lease.id), Withdrawn::Leased);
    assert!(!scheduler.start(lease.lease), "it is about to be given up");
    scheduler.rollback(NOW);
    scheduler.release_permit(&lease.handler);
    let ended = Ended::Waits {
        handler: name("a"),
        due: Ticks::MIN,
        waits_for: Vec::new(),
    };
    scheduler.end(lease.lease, ended, NOW);
    assert_eq!(grant(&mut scheduler, NOW), [1]);
}

#[test]
fn a_new_delivery_is_leased_at_once_if_a_permit_is_free() {
    let mut scheduler = scheduler(1);
    let first = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    assert_eq!(first.lease.number, 1);
    assert!(admit(&mut scheduler, 2, Priority::Critical).is_none());
    assert_eq!(grant(&mut scheduler, NOW), [] as [i64; 0]);
    scheduler.release_permit(&name("a"));
    assert_eq!(
        grant(&mut scheduler, NOW),
        [2],
        "the permit counts, not the settlement"
    );
}

#[test]
fn one_fingerprint_on_one_route_runs_in_order() {
    let mut scheduler = scheduler(8);
    let firing = admit_to(&mut scheduler, 1, 7, "a", Priority::Normal).unwrap();
    assert!(admit_to(&mut scheduler, 2, 7, "a", Priority::Critical).is_none());
    scheduler.release_permit(&firing.handler);
    assert_eq!(
        grant(&mut scheduler, NOW),
        [] as [i64; 0],
        "the settlement is not durable yet"
    );
    scheduler.end(firing.lease, Ended::Settled, NOW);
    assert_eq!(grant(&mut scheduler, NOW), [2]);
}

#[test]
fn a_delivery_that_retries_holds_its_ordering_key_until_it_is_settled() {
    let mut scheduler = scheduler(8);
    let firing = admit_to(&mut scheduler, 1, 7, "a", Priority::Normal).unwrap();
    admit_to(&mut scheduler, 2, 7, "a", Priority::Normal);
    scheduler.release_permit(&firing.handler);
    let waits = Ended::Waits {
        handler: name("a"),
        due: NOW + 50,
        waits_for: Vec::new(),
    };
    scheduler.end(firing.lease, waits, NOW);
    assert_eq!(grant(&mut scheduler, NOW + 49), [] as [i64; 0]);
    assert_eq!(scheduler.next_due(NOW), Some(NOW + 50));
    let again = scheduler.grant(NOW + 50);
    scheduler.commit(NOW + 50);
    assert_eq!(
        (again[0].lease.id, again[0].lease.number),
        (firing.lease.id, 2)
    );
    finish(&mut scheduler, &again[0]);
    assert_eq!(grant(&mut scheduler, NOW + 50), [2]);
}

#[test]
fn leases_go_to_the_most_urgent_and_every_tenth_of_the_others_to_the_oldest() {
    let mut scheduler = scheduler(1);
    let first = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    admit(&mut scheduler, 2, Priority::Normal);
    admit(&mut scheduler, 3, Priority::Normal);
    for id in 4..24 {
        admit(&mut scheduler, id, Priority::Warning);
    }
    for id in 24..54 {
        admit(&mut scheduler, id, Priority::Critical);
    }
    finish(&mut scheduler, &first);
    let mut order = Vec::new();
    for _ in 0..52 {
        let granted = scheduler.grant(NOW);
        scheduler.commit(NOW);
        order.push(granted[0].lease.id.as_raw());
        finish(&mut scheduler, &granted[0]);
    }
    let critical: Vec<_> = (24..54).collect();
    assert_eq!(
        order[..30],
        critical,
        "nobody has a turn for its age meanwhile"
    );
    let others = [
        4, 5, 6, 7, 8, 9, 10, 11, 12, 2, 13, 14, 15, 16, 17, 18, 19, 20, 21, 3, 22, 23,
    ];
    assert_eq!(order[30..], others);
}

#[test]
fn an_eighth_of_the_permits_is_for_critical_ones() {
    let mut scheduler = scheduler(16);
    for id in 1..=20 {
        let is_leased = admit(&mut scheduler, id, Priority::Warning).is_some();
        assert_eq!(is_leased, id <= 14, "{id}");
    }
    // They are leased at once though others wait.
    let critical = admit(&mut scheduler, 21, Priority::Critical).unwrap();
    assert!(!scheduler.try_take_permit(stranger(), &name("a"), NOW));
    assert!(scheduler.try_take_permit(critical.lease, &name("a"), NOW));
    assert!(!scheduler.try_take_permit(critical.lease, &name("a"), NOW));
    assert!(admit(&mut scheduler, 22, Priority::Critical).is_none());
    scheduler.release_permit(&name("a"));
    assert!(
        !scheduler.try_take_permit(critical.lease, &name("a"), NOW),
        "22 has it first"
    );
    assert_eq!(grant(&mut scheduler, NOW), [22]);
    for _ in 0..2 {
        assert!(!scheduler.release_permit(&name("a")), "it is kept");
        assert_eq!(grant(&mut scheduler, NOW), [] as [i64; 0]);
    }
    assert!(scheduler.release_permit(&name("a")));
    assert_eq!(grant(&mut scheduler, NOW), [15]);
}

#[test]
fn an_ordering_key_has_the_highest_priority_that_waits_on_it() {
    let mut scheduler = scheduler(1);
    let busy = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    for id in 2..=4 {
        admit(&mut scheduler, id, Priority::Warning);
    }
    for (id, priority) in [
        (5, Priority::Normal),
        (6, Priority::Normal),
        (7, Priority::Critical),
        (8, Priority::Normal),
    ] {
        admit_to(&mut scheduler, id, 99, "a", priority);
    }
    finish(&mut scheduler, &busy);
    let mut next = || {
        let granted = scheduler.grant(NOW);
        scheduler.commit(NOW);
        assert_eq!(granted.len(), 1);
        finish(&mut scheduler, &granted[0]);
        granted[0].lease.id.as_raw()
    };
    assert_eq!([next(), next(), next(), next()], [5, 6, 7, 2]);

    // What made it urgent is gone.
    admit_to(&mut scheduler, 9, 99, "a", Priority::Critical);
    assert_eq!(
        scheduler.withdraw(DeliveryId::from_raw(9)),
        Withdrawn::Waiting
    );
    scheduler.commit(NOW);
    assert_eq!(grant(&mut scheduler, NOW), [3]);
    assert!(
        scheduler
            .admit(entrant(10, 99, "a", Priority::Critical), NOW)
            .is_none()
    );
    scheduler.rollback(NOW);
    scheduler.release_permit(&name("a"));
    assert_eq!(grant(&mut scheduler, NOW), [4]);
}

#[test]
fn what_waits_for_a_dependency_is_woken_by_the_highest_priority_of_its_ordering_key() {
    let mut scheduler = scheduler(2);
    for id in [1, 2] {
        let lease = admit(&mut scheduler, id, Priority::Normal).unwrap();
        assert!(scheduler.start(lease.lease));
        wait_for(&mut scheduler, &lease, NOW + 50, slack());
    }
    admit_to(&mut scheduler, 3, 2, "a", Priority::Critical);
    assert_eq!(scheduler.wake(&Dependency::Slack, Wake::First, NOW), 1);
    assert_eq!(grant(&mut scheduler, NOW), [2]);
}

#[test]
fn a_hanging_handler_takes_no_permit_and_no_more_than_half_of_the_queue_from_others() {
    let mut scheduler = bounded(1, 8, 1 << 20);
    for id in 0..4 {
        assert!(scheduler.has_room(&[name("hangs")]));
        admit_to(
            &mut scheduler,
            id,
            id.cast_unsigned(),
            "hangs",
            Priority::Normal,
        );
    }
    assert!(!scheduler.has_room(&[name("hangs")]));
    assert!(!scheduler.has_room(&[name("other"), name("hangs")]));
    assert!(scheduler.has_room(&[name("other")]));
    assert!(admit_to(&mut scheduler, 9, 9, "other", Priority::Normal).is_some());
}

#[test]
fn what_moves_on_to_another_handler_counts_there() {
    let mut scheduler = bounded(1, 2, 1 << 20);
    let first = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    scheduler.release_permit(&first.handler);
    let moves = Ended::Waits {
        handler: name("b"),
        due: 0,
        waits_for: Vec::new(),
    };
    scheduler.end(first.lease, moves, NOW);
    assert!(scheduler.has_room(&[name("a")]));
    assert!(!scheduler.has_room(&[name("b")]));
    let moved = scheduler.grant(NOW);
    assert_eq!(moved[0].handler, name("b"));
}

#[test]
fn a_permit_is_taken_out_of_order_only_if_no_delivery_waits_for_it() {
    let mut scheduler = scheduler(1);
    assert!(scheduler.try_take_permit(stranger(), &name("a"), NOW));
    assert!(!scheduler.try_take_permit(stranger(), &name("a"), NOW));
    admit(&mut scheduler, 1, Priority::Normal);
    assert!(scheduler.release_permit(&name("a")));
    assert!(!scheduler.try_take_permit(stranger(), &name("a"), NOW));
    assert_eq!(grant(&mut scheduler, NOW), [1]);
}

#[test]
fn caps_change_under_running_deliveries() {
    let mut scheduler = scheduler(2);
    let running: Vec<_> = (1..=2)
        .filter_map(|id| admit(&mut scheduler, id, Priority::Critical))
        .collect();
    for id in 3..=5 {
        admit(&mut scheduler, id, Priority::Critical);
    }
    scheduler.set_caps(Caps::all(1));
    finish(&mut scheduler, &running[0]);
    assert_eq!(grant(&mut scheduler, NOW), [] as [i64; 0]);
    scheduler.set_caps(Caps::all(3));
    assert_eq!(grant(&mut scheduler, NOW), [3, 4]);
}

#[test]
fn what_was_not_committed_has_not_happened() {
    let mut scheduler = scheduler(1);
    let lost = scheduler.admit(entrant(1, 7, "a", Priority::Normal), NOW);
    assert!(lost.is_some());
    assert!(
        scheduler
            .admit(entrant(2, 7, "a", Priority::Normal), NOW)
            .is_none()
    );
    scheduler.rollback(NOW);
    assert_eq!(scheduler.depth(), 0);
    let first = admit(&mut scheduler, 3, Priority::Normal).unwrap();
    admit(&mut scheduler, 4, Priority::Normal);
    finish(&mut scheduler, &first);
    assert_eq!(scheduler.grant(NOW).len(), 1);
    scheduler.rollback(NOW);
    let again = scheduler.grant(NOW);
    assert_eq!((again[0].lease.id.as_raw(), again[0].lease.number), (4, 1));
}

#[test]
fn a_retried_delivery_runs_before_those_that_wait_on_its_ordering_key() {
    let mut scheduler = scheduler(1);
    let busy = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    admit_to(&mut scheduler, 5, 7, "a", Priority::Normal);
    admit_to(&mut scheduler, 3, 7, "a", Priority::Normal);
    finish(&mut scheduler, &busy);
    let older = scheduler.grant(NOW);
    scheduler.commit(NOW);
    assert_eq!(older[0].lease.id.as_raw(), 3);
    finish(&mut scheduler, &older[0]);
    assert_eq!(grant(&mut scheduler, NOW), [5]);
}

#[test]
fn one_sent_again_goes_before_what_came_in_the_same_transaction() {
    let mut scheduler = scheduler(1);
    let busy = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    for id in [5, 3] {
        let entrant = entrant(id, 7, "a", Priority::Normal);
        assert!(scheduler.admit(entrant, NOW).is_none());
    }
    scheduler.commit(NOW);
    finish(&mut scheduler, &busy);
    assert_eq!(grant(&mut scheduler, NOW), [3]);
}

#[test]
fn a_revoked_lease_holds_its_ordering_key_until_its_worker_ends_it() {
    let mut scheduler = scheduler(2);
    let given_up = admit_to(&mut scheduler, 1, 7, "a", Priority::Normal).unwrap();
    admit_to(&mut scheduler, 2, 7, "a", Priority::Normal);
    assert_eq!(scheduler.withdraw(given_up.lease.id), Withdrawn::Leased);
    scheduler.commit(NOW);
    assert!(!scheduler.holds(given_up.lease));
    assert_eq!(grant(&mut scheduler, NOW), [] as [i64; 0]);
    finish(&mut scheduler, &given_up);
    assert_eq!(grant(&mut scheduler, NOW), [2]);
}

#[test]
fn a_delivery_that_is_cancelled_while_it_waits_frees_its_ordering_key() {
    let mut scheduler = scheduler(1);
    let busy = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    admit_to(&mut scheduler, 2, 7, "a", Priority::Normal);
    admit_to(&mut scheduler, 3, 7, "a", Priority::Normal);
    assert_eq!(
        scheduler.withdraw(DeliveryId::from_raw(2)),
        Withdrawn::Waiting
    );
    scheduler.commit(NOW);
    finish(&mut scheduler, &busy);
    assert_eq!(grant(&mut scheduler, NOW), [3]);
    assert_eq!(scheduler.depth(), 1);
}

#[test]
fn alerts_are_kept_in_memory_only_up_to_their_bound() {
    let mut scheduler = bounded(1, 1_000, 100);
    let alert = Arc::new(crate::conformance::prelude::alert("Large", 1));
    let large = |id: i64| Entrant {
        alert: Some(Arc::clone(&alert)),
        alert_bytes: 60,
        ..entrant(id, id.cast_unsigned(), "a", Priority::Normal)
    };
    let entrants = [large(1), large(2), large(3)];
    let mut grants: Vec<Grant> = entrants
        .into_iter()
        .filter_map(|entrant| {
            let grant = scheduler.admit(entrant, NOW);
            scheduler.commit(NOW);
            grant
        })
        .collect();
    while let Some(last) = grants.last().filter(|_| grants.len() < 3) {
        finish(&mut scheduler, &last.clone());
        grants.extend(scheduler.grant(NOW));
        scheduler.commit(NOW);
    }
    let kept: Vec<bool> = grants.iter().map(|g| g.alert.is_some()).collect();
    assert_eq!(kept, [true, true, false]);
}

#[test]
fn a_delivery_that_waits_too_long_for_a_permit_waits_for_the_next_handler_of_its_pipeline() {
    let mut scheduler = scheduler(1);
    let hanging = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    let two = Entrant {
        pipeline: [name("a"), name("b")].into(),
        ..entrant(2, 2, "a", Priority::Normal)
    };
    assert!(scheduler.admit(two, NOW).is_none(), "a has no permit");
    scheduler.commit(NOW);
    assert_eq!(grant(&mut scheduler, NOW + PATIENCE_MS - 1), [] as [i64; 0]);
    let grants = scheduler.grant(NOW + PATIENCE_MS);
    scheduler.commit(NOW + PATIENCE_MS);
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].handler, name("b"));
    finish(&mut scheduler, &grants[0]);
    finish(&mut scheduler, &hanging);
    assert_eq!(scheduler.depth(), 0);
    assert!(scheduler.next_due(NOW).is_none(), "no timer is left behind");
}

fn routed(id: i64, route: &str, other_routes: &[&str]) -> Entrant {
    Entrant {
        route: route.into(),
        other_routes: OtherRoutes::of(other_routes.iter().map(|route| Arc::from(*route))),
        ..entrant(id, 7, "a", Priority::Normal)
    }
}

fn admit_routed(scheduler: &mut Scheduler, entrant: Entrant) -> Option<Grant> {
    let grant = scheduler.admit(entrant, NOW);
    scheduler.commit(NOW);
    grant
}

#[test]
fn one_on_a_new_route_waits_for_all_on_routes_that_are_gone_and_not_for_its_siblings() {
    let mut scheduler = scheduler(9);
    let old = ["old", "other old"].map(|route| {
        let id = if route == "old" { 1 } else { 2 };
        admit_routed(&mut scheduler, routed(id, route, &["old", "other old"])).unwrap()
    });
    assert!(admit_routed(&mut scheduler, routed(3, "new", &["new", "second"])).is_none());
    assert!(admit_routed(&mut scheduler, routed(4, "second", &["new", "second"])).is_none());
    assert!(admit_routed(&mut scheduler, routed(5, "new", &["new", "second"])).is_none());
    finish(&mut scheduler, &old[0]);
    assert_eq!(grant(&mut scheduler, NOW), [] as [i64; 0]);
    finish(&mut scheduler, &old[1]);
    assert_eq!(grant(&mut scheduler, NOW), [3, 4], "each route by itself");
    // A retried delivery on a route that the configuration no longer has comes first, but behind one that runs.
    assert!(admit_routed(&mut scheduler, routed(1, "old", &["old", "other old"])).is_none());
    let ended = |scheduler: &mut Scheduler, id: i64| {
        let id = DeliveryId::from_raw(id);
        let lease = Lease {
            id,
            number: scheduler.items[&id].leases,
            owner: Owner::default(),
        };
        assert!(scheduler.holds(lease));
        scheduler.release_permit(&name("a"));
        scheduler.end(lease, Ended::Settled, NOW);
    };
    ended(&mut scheduler, 3);
    assert_eq!(
        grant(&mut scheduler, NOW),
        [] as [i64; 0],
        "4 runs beside it"
    );
    ended(&mut scheduler, 4);
    assert_eq!(grant(&mut scheduler, NOW), [1]);
    ended(&mut scheduler, 1);
    assert_eq!(grant(&mut scheduler, NOW), [5]);
    ended(&mut scheduler, 5);
    assert!(scheduler.fingerprints.is_empty());
}

#[test]
fn one_of_an_earlier_version_waits_for_its_own_route_alone() {
    let mut scheduler = scheduler(9);
    assert!(admit_routed(&mut scheduler, routed(1, "a", &[])).is_some());
    let unknown = Entrant {
        other_routes: OtherRoutes::Any,
        ..routed(2, "b", &[])
    };
    assert!(admit_routed(&mut scheduler, unknown).is_some());
}

fn restore_suspect(scheduler: &mut Scheduler, id: i64, suspected: u32) {
    let entrant = Entrant {
        suspected,
        ..entrant(id, id.cast_unsigned(), "a", Priority::Normal)
    };
    scheduler.restore(entrant, NOW);
}

#[test]
fn suspects_run_one_at_a_time_and_everything_else_after_them() {
    let mut scheduler = scheduler(9);
    for (id, suspected) in [(1, 1), (2, 2), (3, 0), (4, 1)] {
        restore_suspect(&mut scheduler, id, suspected);
    }
    scheduler.attach(NOW);
    for expected in [2, 1, 4] {
        assert!(scheduler.can_grant(NOW));
        let grants = scheduler.grant(NOW);
        scheduler.commit(NOW);
        assert_eq!(grants.len(), 1);
        assert_eq!(grants[0].lease.id.as_raw(), expected);
        assert!(!scheduler.can_grant(NOW), "alone");
        assert_eq!(grant(&mut scheduler, NOW), [] as [i64; 0]);
        assert!(admit(&mut scheduler, 100 + expected, Priority::Critical).is_none());
        assert!(scheduler.start(grants[0].lease));
        let ended = match expected {
            2 => Ended::Settled,
            // It has failed and waits, and is no longer a suspect.
            _ => Ended::Waits {
                handler: name("a"),
                due: NOW,
                waits_for: Vec::new(),
            },
        };
        scheduler.release_permit(&name("a"));
        scheduler.end(grants[0].lease, ended, NOW);
    }
    assert!(scheduler.can_grant(NOW));
    assert_eq!(
        grant(&mut scheduler, NOW),
        [] as [i64; 0],
        "no suspect is left"
    );
    assert_eq!(grant(&mut scheduler, NOW).len(), 6);
    assert!(!scheduler.can_grant(NOW));
}

#[test]
fn a_slow_suspect_holds_the_others_back_for_a_while_only() {
    let mut scheduler = scheduler(9);
    for (id, suspected) in [(1, 1), (2, 0), (3, 1)] {
        restore_suspect(&mut scheduler, id, suspected);
    }
    scheduler.attach(NOW);
    assert_eq!(grant(&mut scheduler, NOW), [1]);
    assert_eq!(scheduler.next_due(NOW), Some(NOW + alone::ALONE_FOR));
    assert!(!scheduler.can_grant(NOW + alone::ALONE_FOR - 1));
    assert!(scheduler.can_grant(NOW + alone::ALONE_FOR));
    assert_eq!(grant(&mut scheduler, NOW + alone::ALONE_FOR), [2, 3]);
}

#[test]
fn nothing_is_leased_before_somebody_takes_deliveries_out() {
    let mut scheduler = Scheduler::new(Caps::all(9), 1_000, 1 << 20);
    for (id, suspected) in [(1, 1), (2, 0)] {
        restore_suspect(&mut scheduler, id, suspected);
    }
    let two = Entrant {
        pipeline: [name("a"), name("b")].into(),
        ..entrant(3, 3, "a", Priority::Normal)
    };
    scheduler.restore(two, NOW);
    assert!(admit(&mut scheduler, 4, Priority::Critical).is_none());
    let late = NOW + 60_000;
    assert!(!scheduler.can_grant(late));
    assert_eq!(scheduler.next_due(late), None);
    assert_eq!(grant(&mut scheduler, late), [] as [i64; 0]);

    scheduler.attach(late);
    assert!(scheduler.can_grant(late));
    assert_eq!(grant(&mut scheduler, late), [1], "alone");
    let ends = late + alone::ALONE_FOR;
    assert_eq!(scheduler.next_due(late), Some(ends));
    assert_eq!(grant(&mut scheduler, ends - 1), [] as [i64; 0]);
    let a = &scheduler.handler_keys[&name("a")];
    assert_eq!(scheduler.items[&DeliveryId::from_raw(3)].handler, *a);
}

#[test]
fn a_suspect_that_runs_alone_has_the_slots_that_the_others_wait_for() {
    let mut scheduler = scheduler(1);
    restore_suspect(&mut scheduler, 1, 1);
    scheduler.restore(entrant(2, 2, "b", Priority::Critical), NOW);
    scheduler.attach(NOW);
    assert_eq!(grant(&mut scheduler, NOW), [1]);
    let ends = NOW + alone::ALONE_FOR;
    assert!(
        !scheduler.try_take_permit(stranger(), &name("b"), ends),
        "2 has it next"
    );
    assert!(scheduler.try_take_permit(stranger(), &name("b"), ends - 1));
    assert!(
        !scheduler.try_take_permit(stranger(), &name("b"), ends - 1),
        "it is taken"
    );
}

/// Counts everything, one delivery at a time.
fn walk(scheduler: &Scheduler, longest_max: usize) -> Walk {
    let mut walk = Walk::new(longest_max);
    while scheduler.walk(&mut walk, 1, NOW, |_| Timestamp::UNIX_EPOCH) {}
    walk
}

#[test]
fn the_oldest_delivery_is_found_by_its_time_and_not_by_its_identifier() {
    let mut scheduler = scheduler(0);
    let at = |second| Timestamp::from_second(second).unwrap();
    // The first was retried just now; the last was accepted when the time of day was right again.
    for (id, second) in [(1, 900), (2, 5_000), (3, 100)] {
        let entrant = Entrant {
            accepted_at: at(second),
            ..entrant(id, id.cast_unsigned(), "a", Priority::Critical)
        };
        scheduler.admit(entrant, NOW);
        scheduler.commit(NOW);
    }
    let walked = walk(&scheduler, 0);
    assert_eq!(walked.oldest, Some(at(100)));
    assert_eq!(walked.oldest_critical, Some(at(100)));
}

fn slack() -> Vec<Dependency> {
    vec![Dependency::Slack]
}

fn waits(due: Ticks, waits_for: Vec<Dependency>) -> Ended {
    Ended::Waits {
        handler: name("a"),
        due,
        waits_for,
    }
}

/// Ends a lease to wait for dependencies, and releases its permit.
fn wait_for(scheduler: &mut Scheduler, grant: &Grant, due: Ticks, waits_for: Vec<Dependency>) {
    scheduler.release_permit(&grant.handler);
    scheduler.end(grant.lease, waits(due, waits_for), NOW);
}

#[test]
fn what_is_due_by_itself_is_not_looked_at_by_each_wake() {
    let mut scheduler = scheduler(1);
    for id in 1..=100 {
        let mut entrant = entrant(id, id.cast_unsigned(), "a", Priority::Normal);
        (entrant.due, entrant.waits_for) = (NOW + 50, slack());
        scheduler.restore(entrant, NOW);
    }
    assert_eq!(scheduler.waiters[&Dependency::Slack].len(), 100);
    scheduler.grant(NOW + 50);
    scheduler.commit(NOW + 50);
    assert_eq!(scheduler.awaited(), []);
    assert_eq!(scheduler.wake(&Dependency::Slack, Wake::All, NOW + 50), 0);
}

#[test]
fn what_is_back_before_a_lease_has_ended_is_not_missed() {
    let mut scheduler = scheduler(1);
    let before = Dependency::Origin("https://before.example.com".into());
    scheduler.wake(&before, Wake::All, NOW);
    let lease = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    assert!(scheduler.start(lease.lease));
    assert_eq!(
        scheduler.wake(&Dependency::Slack, Wake::All, NOW),
        0,
        "nobody waits yet"
    );
    wait_for(
        &mut scheduler,
        &lease,
        NOW + 50,
        vec![before.clone(), Dependency::Slack],
    );
    let again = scheduler.grant(NOW);
    scheduler.commit(NOW);
    assert_eq!(again[0].woken, [(Dependency::Slack, Wake::All)]);
    // No dependency recovered during this lease.
    assert!(scheduler.start(again[0].lease));
    wait_for(
        &mut scheduler,
        &again[0],
        NOW + 50,
        vec![before, Dependency::Slack],
    );
    assert_eq!(grant(&mut scheduler, NOW), [] as [i64; 0]);
}

#[test]
fn what_is_back_before_a_delivery_that_yielded_waits_is_not_missed() {
    let mut scheduler = scheduler(1);
    let lease = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    assert!(scheduler.start(lease.lease));
    scheduler.wake(&Dependency::Slack, Wake::All, NOW);
    wait_for(&mut scheduler, &lease, Ticks::MIN, Vec::new());
    let again = scheduler.grant(NOW);
    scheduler.commit(NOW);
    assert!(scheduler.start(again[0].lease));
    wait_for(&mut scheduler, &again[0], NOW + 50, slack());
    assert_eq!(grant(&mut scheduler, NOW), [1]);
}

#[test]
fn no_more_than_so_many_dependencies_are_remembered_and_the_latest_are() {
    let mut scheduler = scheduler(1);
    let lease = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    assert!(scheduler.start(lease.lease));
    let origin = |n: usize| Dependency::Origin(format!("https://{n}.example.com"));
    for n in 0..10_000 {
        scheduler.wake(&origin(n), Wake::All, NOW);
        assert!(scheduler.recoveries.len() <= 1_024);
    }
    wait_for(&mut scheduler, &lease, NOW + 50, vec![origin(9_999)]);
    assert_eq!(grant(&mut scheduler, NOW), [1]);
}

#[test]
fn the_timers_of_one_handler_wait_for_each_other_and_for_no_alert() {
    let mut scheduler = scheduler(8);
    let timer = |id| Entrant {
        cause: Cause::Timer(name("a")),
        ..entrant(id, 1, "a", Priority::Normal)
    };
    let mut admit = |entrant| {
        let grant = scheduler.admit(entrant, NOW);
        scheduler.commit(NOW);
        grant
    };
    let alert = admit(entrant(1, 1, "a", Priority::Normal));
    assert!(admit(entrant(2, 1, "a", Priority::Normal)).is_none());
    let first = admit(timer(3)).unwrap();
    assert!(admit(timer(4)).is_none(), "it waits for the first");
    let of_another = Entrant {
        cause: Cause::Timer(name("b")),
        ..entrant(5, 1, "b", Priority::Normal)
    };
    assert!(admit(of_another).is_some(), "another handler's does not");
    scheduler.end(first.lease, Ended::Settled, NOW);
    let next: Vec<_> = scheduler
        .grant(NOW)
        .iter()
        .map(|g| g.lease.id.as_raw())
        .collect();
    assert_eq!(next, [4]);
    scheduler.commit(NOW);
    scheduler.end(alert.unwrap().lease, Ended::Settled, NOW);
    let next: Vec<_> = scheduler
        .grant(NOW)
        .iter()
        .map(|g| g.lease.id.as_raw())
        .collect();
    assert_eq!(next, [2], "it does not wait for the timer that runs");
}

#[test]
fn a_critical_timer_does_not_hurry_the_alert_before_it() {
    let mut scheduler = scheduler(1);
    let blocker = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    admit_to(&mut scheduler, 2, 7, "a", Priority::Normal);
    admit_to(&mut scheduler, 3, 8, "a", Priority::Warning);
    let timer = Entrant {
        cause: Cause::Timer(name("a")),
        ..entrant(4, 7, "a", Priority::Critical)
    };
    assert!(scheduler.admit(timer, NOW).is_none());
    scheduler.commit(NOW);
    scheduler.release_permit(&name("a"));
    scheduler.end(blocker.lease, Ended::Settled, NOW);
    let mut order = Vec::new();
    for _ in 0..3 {
        let grants = scheduler.grant(NOW);
        scheduler.commit(NOW);
        for grant in grants {
            order.push(grant.lease.id.as_raw());
            scheduler.release_permit(&name("a"));
            scheduler.end(grant.lease, Ended::Settled, NOW);
        }
    }
    assert_eq!(order, [4, 3, 2]);
}

#[test]
fn what_is_open_is_counted_once_by_what_it_waits_for() {
    let mut scheduler = scheduler(1);
    let first = admit(&mut scheduler, 1, Priority::Normal).unwrap();
    assert!(admit(&mut scheduler, 2, Priority::Normal).is_none());
    // Behind the second one of its ordering key.
    assert!(admit_to(&mut scheduler, 3, 2, "a", Priority::Normal).is_none());
    let later = Entrant {
        due: NOW + 1_000,
        ..entrant(4, 4, "b", Priority::Normal)
    };
    scheduler.restore(later, NOW);
    let open = walk(&scheduler, 2).open;
    let counts = [
        open.running,
        open.for_permits,
        open.behind_others,
        open.for_time,
    ];
    assert_eq!(counts, [1, 1, 1, 1]);
    assert_eq!((open.at_gates, open.members), (0, 0));
    let longest: Vec<_> = open
        .longest
        .iter()
        .map(|(id, waiting)| (id.as_raw(), &waiting.what))
        .collect();
    assert_eq!(
        longest,
        [
            (2, &WaitsFor::Permit(name("a"))),
            (3, &WaitsFor::Earlier(DeliveryId::from_raw(2)))
        ]
    );
    finish(&mut scheduler, &first);
    assert_eq!(walk(&scheduler, 0).open.running, 0);
}
