//! Whatever happens at gates, in whatever order.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;

/// What happens at a gate.
#[derive(Clone, Debug)]
enum Op {
    /// A delivery of this priority is accepted, whose handler is one of two.
    Accept(u8, bool),
    /// What is leased at this place asks for its gates: a channel of two, and the workspace.
    Run(usize),
    /// What is leased at this place ends without a call.
    Drop(usize),
    Close(bool, i64),
    Advance(i64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..10_u8, any::<bool>()).prop_map(|(p, h)| Op::Accept(p, h)),
        8 => any::<usize>().prop_map(Op::Run),
        1 => any::<usize>().prop_map(Op::Drop),
        1 => (any::<bool>(), 0..4_000_i64).prop_map(|(channel, wait)| Op::Close(channel, wait)),
        5 => (1..1_500_i64).prop_map(Op::Advance),
    ]
}

fn asks_of(id: i64) -> [GateAsk; 2] {
    let channel = if id % 2 == 0 { "#a" } else { "#b" };
    [
        ask(GateName::SlackChannel(channel.into()), 1.0, 2),
        ask(GateName::SlackWorkspace, 1.5, 3),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, what passes keeps each gate's rate, and a critical one behind a full gate is the next that passes it.
    #[test]
    fn a_critical_one_behind_a_full_gate_is_the_next_that_passes(ops in prop::collection::vec(op(), 1..150)) {
        let mut bed = Bed::new(4);
        let mut next = 0;
        let mut priorities = HashMap::new();
        // The moments at which anybody passed, by channel and in all.
        let mut passed: [Vec<Ticks>; 3] = Default::default();
        // Who waits at a gate, and is critical.
        let mut waiting = BTreeSet::new();
        for op in ops {
            match op {
                Op::Accept(priority, handler) => {
                    next += 1;
                    let priority = match priority {
                        0 => Priority::Critical,
                        1..4 => Priority::Warning,
                        _ => Priority::Normal,
                    };
                    priorities.insert(next, priority);
                    bed.admit_to(next, if handler { "a" } else { "b" }, priority);
                }
                Op::Run(_) | Op::Drop(_) if bed.held.is_empty() => {}
                Op::Drop(place) => {
                    let id = bed.held[place % bed.held.len()].lease.id.as_raw();
                    bed.finish(id);
                }
                Op::Run(place) => {
                    let id = bed.held[place % bed.held.len()].lease.id.as_raw();
                    let is_critical = priorities[&id] == Priority::Critical;
                    let had_turn = bed.scheduler.gates.has_reserved(DeliveryId::from_raw(id));
                    if bed.run(id, &asks_of(id)) {
                        let rivals = waiting.iter().filter(|other| *other % 2 == id % 2);
                        prop_assert!(
                            is_critical || had_turn || rivals.count() == 0,
                            "{id} passed before {waiting:?}"
                        );
                        passed[usize::from(id % 2 == 0)].push(bed.now);
                        passed[2].push(bed.now);
                    } else if is_critical {
                        waiting.insert(id);
                    }
                }
                Op::Close(channel, wait) => {
                    let [gate, _] = asks_of(i64::from(channel));
                    bed.scheduler.close_gate(&gate, wait, bed.now);
                }
                Op::Advance(by) => bed.now += by,
            }
            let before: Vec<_> = bed.held.iter().map(|grant| grant.lease.id).collect();
            bed.leased();
            let mut turns = Vec::new();
            for grant in &bed.held {
                let id = grant.lease.id;
                if !before.contains(&id) && grant.lease.number > 1 {
                    turns.push(id.as_raw());
                }
            }
            // Of those that have their turn now, no other has it before a critical one of the same gate whose handler has a
            // permit.
            for id in &turns {
                waiting.remove(id);
            }
            for id in turns {
                if priorities[&id] == Priority::Critical {
                    continue;
                }
                for other in waiting.iter().filter(|other| *other % 2 == id % 2) {
                    let item = &bed.scheduler.items[&DeliveryId::from_raw(*other)];
                    let permits = &bed.scheduler.handlers[item.handler];
                    prop_assert!(!permits.has_permit(Priority::Critical), "{id} before {other}");
                }
            }
        }
        for (gate, (rate, burst)) in [(1.0, 2.0), (1.0, 2.0), (1.5, 3.0)].into_iter().enumerate() {
            for (from, start) in passed[gate].iter().enumerate() {
                for (to, end) in passed[gate].iter().enumerate().skip(from) {
                    #[allow(clippy::cast_precision_loss, reason = "small")]
                    let (count, span) = ((to - from + 1) as f64, (end - start) as f64);
                    // A token may have been reserved for a while before it was used.
                    let tokens = burst + rate * (span + RESERVED_MS as f64) / 1_000.0;
                    prop_assert!(count <= tokens + 0.01, "{count} within {span} ms");
                }
            }
        }
    }
}
