//! Decides the state of a delivery when its lease ends.

use alert_manager_core::alert::{HandlerName, Timestamp};
use alert_manager_core::gate::Parked;
use alert_manager_core::journal::Dependency;

use crate::model::clock::Ticks;
use crate::model::{AfterLease, Parking, Reason, State};

/// What the worker has decided about a delivery.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is done or dead, as the reason says.
    Ended(Reason),
    /// It continues later.
    Wait {
        /// The handler whose concurrency permit it needs next.
        handler: HandlerName,
        /// When, on the monotonic clock.
        due: Ticks,
        /// The same in milliseconds since 1970, by the time of day; absent if nothing failed.
        not_before: Option<i64>,
        /// Dependencies whose recovery makes it due before that.
        waits_for: Vec<Dependency>,
    },
    /// It waits for its turn at a gate.
    Park(Box<Park>),
}

/// How a delivery waits at a gate.
#[derive(Debug)]
pub(crate) struct Park {
    /// The handler whose permit it then needs.
    pub(crate) handler: HandlerName,
    pub(crate) parked: Parked,
    /// True if another may stand for it meanwhile.
    pub(crate) is_clean: bool,
    /// When another step of it is due, and whose permit that needs.
    pub(crate) due: Option<(Ticks, HandlerName)>,
    /// The dependencies that other steps of it wait for.
    pub(crate) waits_for: Vec<Dependency>,
}

/// Returns the state of a delivery after a lease with this outcome.
pub(crate) fn after_lease(outcome: &Outcome, now: Timestamp) -> AfterLease<'_> {
    match outcome {
        Outcome::Ended(reason) => AfterLease {
            state: reason.state(),
            reason: Some(*reason),
            settled_at: Some(now),
            next_handler: None,
            not_before: None,
            waits_for: &[],
            yields: false,
            parking: Parking::No,
        },
        Outcome::Wait {
            handler,
            not_before,
            waits_for,
            ..
        } => AfterLease {
            state: match not_before {
                Some(_) => State::Retrying,
                None => State::Queued,
            },
            reason: None,
            settled_at: None,
            next_handler: Some(handler),
            not_before: *not_before,
            waits_for,
            yields: not_before.is_none(),
            parking: Parking::No,
        },
        Outcome::Park(park) => AfterLease {
            state: State::Queued,
            reason: None,
            settled_at: None,
            next_handler: Some(&park.handler),
            not_before: None,
            waits_for: &[],
            yields: true,
            parking: match park.is_clean {
                true => Parking::Clean,
                false => Parking::Begun,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use alert_manager_core::gate::{GateAsk, GateName};

    use super::*;
    use crate::model::clock::from_millis;

    #[test]
    fn what_failed_retries_and_what_yields_or_is_parked_is_queued() {
        let wait = |not_before| Outcome::Wait {
            handler: HandlerName::new("a"),
            due: 0,
            not_before,
            waits_for: Vec::new(),
        };
        let park = |is_clean| {
            let gate = GateAsk::new(GateName::SlackWorkspace, None);
            Outcome::Park(Box::new(Park {
                handler: HandlerName::new("a"),
                parked: Parked {
                    asks: vec![gate.clone()],
                    gate,
                },
                is_clean,
                due: None,
                waits_for: Vec::new(),
            }))
        };
        for (is_clean, parking) in [(true, Parking::Clean), (false, Parking::Begun)] {
            assert_eq!(
                after_lease(&park(is_clean), from_millis(1)).parking,
                parking
            );
        }
        for (outcome, state, is_settled, yields) in [
            (Outcome::Ended(Reason::Handled), State::Done, true, false),
            (Outcome::Ended(Reason::Outdated), State::Done, true, false),
            (Outcome::Ended(Reason::Failed), State::Dead, true, false),
            (wait(Some(7)), State::Retrying, false, false),
            (wait(None), State::Queued, false, true),
            (park(true), State::Queued, false, true),
        ] {
            let after = after_lease(&outcome, from_millis(1));
            assert_eq!(after.state, state, "{outcome:?}");
            assert_eq!(after.settled_at.is_some(), is_settled, "{outcome:?}");
            assert_eq!(after.yields, yields, "{outcome:?}");
        }
    }
}
