//! How a lease ends, as it is stored, and how it ends for the schedule.

use alert_manager_core::alert::{HandlerName, Timestamp};
use alert_manager_core::gate::Parked;
use alert_manager_core::journal::Dependency;

use crate::model::clock::Ticks;
use crate::model::{Parking, Reason, Stands, State};

/// What a worker has decided, in the clocks of the queue.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is done or dead, as the reason says.
    Ended(Reason),
    /// It goes on later.
    Wait {
        /// Whose concurrency permit it needs next.
        handler: HandlerName,
        due: Ticks,
        /// The same by the time of day, in milliseconds; absent if nothing failed.
        not_before: Option<i64>,
        /// What it waits for, besides its time.
        waits_for: Vec<Dependency>,
    },
    /// It waits for its turn at a gate.
    Park {
        /// Whose concurrency permit it then needs.
        handler: HandlerName,
        parked: Parked,
        /// True if another may stand for it meanwhile.
        is_clean: bool,
        /// When another step of it is due, and whose permit that needs.
        due: Option<(Ticks, HandlerName)>,
        /// What other steps of it wait for, besides their time.
        waits_for: Vec<Dependency>,
    },
}

/// Decides how a delivery stands after a lease that ended so.
pub(crate) fn stands(outcome: &Outcome, now: Timestamp) -> Stands<'_> {
    match outcome {
        Outcome::Ended(reason) => Stands {
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
        } => Stands {
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
        Outcome::Park {
            handler, is_clean, ..
        } => Stands {
            state: State::Queued,
            reason: None,
            settled_at: None,
            next_handler: Some(handler),
            not_before: None,
            waits_for: &[],
            yields: true,
            parking: match is_clean {
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
            Outcome::Park {
                handler: HandlerName::new("a"),
                parked: Parked {
                    asks: vec![gate.clone()],
                    gate,
                },
                is_clean,
                due: None,
                waits_for: Vec::new(),
            }
        };
        for (is_clean, parking) in [(true, Parking::Clean), (false, Parking::Begun)] {
            assert_eq!(stands(&park(is_clean), from_millis(1)).parking, parking);
        }
        for (outcome, state, is_settled, yields) in [
            (Outcome::Ended(Reason::Handled), State::Done, true, false),
            (Outcome::Ended(Reason::Outdated), State::Done, true, false),
            (Outcome::Ended(Reason::Failed), State::Dead, true, false),
            (wait(Some(7)), State::Retrying, false, false),
            (wait(None), State::Queued, false, true),
            (park(true), State::Queued, false, true),
        ] {
            let stands = stands(&outcome, from_millis(1));
            assert_eq!(stands.state, state, "{outcome:?}");
            assert_eq!(stands.settled_at.is_some(), is_settled, "{outcome:?}");
            assert_eq!(stands.yields, yields, "{outcome:?}");
        }
    }
}
