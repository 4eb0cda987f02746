//! What a page of a list is, whatever store it is read from.

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::clock::{from_millis, millis_up};
use crate::model::{Delivery, Filter, ID_COUNTER_BITS, Page, Reason, State};

/// The most deliveries of a page.
pub(super) const LIST_MAX: u32 = 1_000;

/// By how much the clock may have been set back: a delivery that was accepted later then has an earlier time.
const SET_BACK_MS_MAX: i64 = 60 * 60 * 1_000;

/// Returns a page after which the next goes on before `next`.
pub(super) fn part(deliveries: Vec<Delivery>, next: Option<DeliveryId>) -> Page {
    Page {
        deliveries,
        next,
        looked_back_to: next.map(|next| from_millis(next.as_raw() >> ID_COUNTER_BITS)),
    }
}

/// Returns the identifiers between which the deliveries are: before the first, and from the second on.
pub(super) fn ids_between(filter: &Filter) -> (i64, i64) {
    let at = |time_ms: i64| time_ms.max(0).saturating_mul(1 << ID_COUNTER_BITS);
    let before = filter.before.map_or(i64::MAX, DeliveryId::as_raw);
    let to = filter.to.map(millis_up);
    let to = to.map_or(i64::MAX, |to| at(to.saturating_add(SET_BACK_MS_MAX)));
    let from = filter.from.map(Timestamp::as_millisecond);
    (before.min(to), from.map_or(i64::MIN, at))
}

/// Returns the state that is asked for, if one is.
pub(super) fn state(filter: &Filter) -> Option<State> {
    filter.state.or(filter.reason.map(Reason::state))
}
