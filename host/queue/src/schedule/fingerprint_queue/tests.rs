use std::collections::BTreeMap;

use alert_manager_core::alert::HandlerName;
use proptest::prelude::*;

use super::*;

fn id(n: u64) -> DeliveryId {
    DeliveryId::from_raw(n.cast_signed())
}

/// Returns a delivery by its kind, `way`: of an alert that took the routes `a` and `b` together, or one of them alone; on a route
/// that does not wait for others; or of a timer of one handler on `a` or `b`, or of another on `a`.
fn queued(n: u64, way: u8, own: Priority) -> Queued {
    let both: [Arc<str>; 2] = ["a".into(), "b".into()];
    let (route, other_routes) = match way {
        0 => ("a", OtherRoutes::Known(both.into())),
        1 => ("b", OtherRoutes::Known(both.into())),
        2 => ("a", OtherRoutes::None),
        3 => ("b", OtherRoutes::None),
        4 => ("c", OtherRoutes::Any),
        5 | 7 => ("a", OtherRoutes::None),
        _ => ("b", OtherRoutes::None),
    };
    let cause = match way {
        0..5 => Cause::Alert,
        7 => Cause::Timer(HandlerName::new("other")),
        _ => Cause::Timer(HandlerName::new("one")),
    };
    Queued::new(id(n), route.into(), other_routes, cause, own)
}

/// The rank of each by its definition.
fn expected(queue: &FingerprintQueue) -> BTreeMap<DeliveryId, Priority> {
    let mut ranks: BTreeMap<DeliveryId, Priority> = BTreeMap::new();
    for (index, earlier) in queue.queued.iter().enumerate().rev() {
        let later = queue.queued.range(index + 1..);
        let waiting = later.filter(|later| later.waits_for(earlier));
        let rank = waiting.map(|later| ranks[&later.id]).min();
        ranks.insert(
            earlier.id,
            rank.map_or(earlier.own, |rank| rank.min(earlier.own)),
        );
    }
    ranks
}

#[derive(Clone, Debug)]
enum Op {
    Insert { older: bool, way: u8, own: Priority },
    Remove(usize),
    MoveAhead(usize, usize),
    SetOwn(usize, Priority),
}

fn op() -> impl Strategy<Value = Op> {
    let own = || prop::sample::select(Priority::ALL.to_vec());
    prop_oneof![
        4 => (any::<bool>(), 0..8_u8, own()).prop_map(|(older, way, own)| Op::Insert { older, way, own }),
        2 => any::<usize>().prop_map(Op::Remove),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(id, of)| Op::MoveAhead(id, of)),
        2 => (any::<usize>(), own()).prop_map(|(place, own)| Op::SetOwn(place, own)),
    ]
}

proptest! {
    #[test]
    fn each_is_as_urgent_as_the_most_urgent_that_waits_for_it(ops in prop::collection::vec(op(), 1..40)) {
        let mut queue = FingerprintQueue::default();
        let mut known = BTreeMap::new();
        for (n, op) in ops.into_iter().enumerate() {
            let ids: Vec<_> = queue.ids().collect();
            let at = |place: usize| ids.get(place % ids.len().max(1)).copied();
            let ranks = match op {
                Op::Insert { older, way, own } => {
                    let n = n as u64;
                    let new = queued(if older { 1_000 - n } else { 1_000 + n }, way, own);
                    known.insert(new.id, own);
                    queue.insert(new, |_| false).ranks
                }
                Op::Remove(place) => at(place).map_or_else(Vec::new, |id| {
                    known.remove(&id);
                    queue.remove(id).ranks
                }),
                Op::MoveAhead(one, other) => match (at(one), at(other)) {
                    (Some(one), Some(other)) => queue.move_ahead(one, other),
                    _ => Vec::new(),
                },
                Op::SetOwn(place, own) => {
                    at(place).map_or_else(Vec::new, |id| queue.set_own(id, own))
                }
            };
            known.extend(ranks);
            prop_assert_eq!(&known, &expected(&queue));
        }
    }
}

/// Each looks at a few others: twenty thousand that looked at all of them would not end.
#[test]
fn many_of_one_fingerprint_on_two_routes_of_different_priority_are_ranked_at_once() {
    let mut queue = FingerprintQueue::default();
    for n in 0..20_000 {
        let priority = [Priority::Critical, Priority::Normal][n as usize % 2];
        let inserted = queue.insert(queued(n, (n % 2) as u8, priority), |_| false);
        assert_eq!((inserted.is_next, inserted.ranks), (n < 2, Vec::new()));
    }
    // A critical one on the other route raises all that it waits for.
    let last = queued(20_000, 1, Priority::Critical);
    assert_eq!(queue.insert(last, |_| false).ranks.len(), 10_000);
    assert_eq!(queue.remove(id(20_000)).ranks.len(), 10_000);
}
