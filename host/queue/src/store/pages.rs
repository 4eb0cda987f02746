//! What a page of a list is, whatever store it is read from.

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::clock::millis_up;
use crate::model::{Delivery, Filter, ID_COUNTER_BITS, Page, Reason, State, time_of};

/// The most deliveries of a page.
pub(super) const LIST_MAX: u32 = 1_000;

/// By how much the clock may have been set back: a delivery that was accepted later then has an earlier time.
const SET_BACK_MS_MAX: i64 = 60 * 60 * 1_000;

/// The identifiers that a list has still to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The smallest.
    pub(super) low: i64,
    /// The one after the largest.
    pub(super) high: i64,
    way: Way,
}

/// From which end a list goes through its identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToOlder,
    ToNewer,
}

impl Span {
    /// Returns the identifiers between which all deliveries are that a filter selects.
    pub(super) fn of(filter: &Filter) -> Self {
        let at = |time_ms: i64| time_ms.max(0).saturating_mul(1 << ID_COUNTER_BITS);
        let before = filter.before.map_or(i64::MAX, DeliveryId::as_raw);
        let to = filter.to.map(millis_up);
        let to = to.map_or(i64::MAX, |to| at(to.saturating_add(SET_BACK_MS_MAX)));
        let from = filter.from.map(Timestamp::as_millisecond);
        let after = filter.after.map(|after| next_to(after).as_raw());
        Self {
            low: from.map_or(i64::MIN, at).max(after.unwrap_or(i64::MIN)),
            high: before.min(to),
            way: match filter.after {
                Some(_) => Way::ToNewer,
                None => Way::ToOlder,
            },
        }
    }

    /// Returns the order of the identifiers in SQL.
    pub(super) fn order(self) -> &'static str {
        match self.way {
            Way::ToOlder => "DESC",
            Way::ToNewer => "ASC",
        }
    }

    /// Splits off the slice that ends with `end`, which is all if there is none. Returns it and the rest, if there is one.
    pub(super) fn split(self, end: Option<i64>) -> (Self, Option<Self>) {
        let Some(end) = end else {
            return (self, None);
        };
        let (slice, rest) = match self.way {
            Way::ToOlder => (Self { low: end, ..self }, Self { high: end, ..self }),
            Way::ToNewer => {
                let after = end.saturating_add(1);
                (
                    Self {
                        high: after,
                        ..self
                    },
                    Self { low: after, ..self },
                )
            }
        };
        (slice, Some(rest).filter(|rest| rest.low < rest.high))
    }

    /// Returns the identifier beside it, at the end from which it goes on.
    pub(super) fn edge(self) -> DeliveryId {
        DeliveryId::from_raw(match self.way {
            Way::ToOlder => self.high,
            Way::ToNewer => self.low.saturating_sub(1),
        })
    }
}

/// Returns a page of what was found, in the order in which it was. If that is not all, `seen` is the last identifier that was looked
/// at.
pub(super) fn page(filter: &Filter, mut found: Vec<Delivery>, seen: Option<DeliveryId>) -> Page {
    let (next, previous) = match filter.after {
        None => {
            let previous = filter
                .before
                .map(|before| DeliveryId::from_raw(before.as_raw().saturating_sub(1).max(0)));
            (seen, previous)
        }
        Some(after) => {
            found.reverse();
            (Some(next_to(after)), seen)
        }
    };
    Page {
        deliveries: found,
        next,
        previous,
        looked_back_to: next.map(time_of),
    }
}

fn next_to(id: DeliveryId) -> DeliveryId {
    DeliveryId::from_raw(id.as_raw().saturating_add(1))
}

/// Returns the state that is asked for, if one is.
pub(super) fn state(filter: &Filter) -> Option<State> {
    filter.state.or(filter.reason.map(Reason::state))
}
