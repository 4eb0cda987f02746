//! What is stored of a delivery besides its alert, its progress and its record: what the rules and the schedule go by.

use std::ops::Deref;
use std::sync::Arc;

use alert_manager_core::alert::{
    DeliveryId, Fingerprint, HandlerName, Occurrence, Priority, Status, Timestamp,
};
use alert_manager_core::journal::Dependency;

use super::delivery::Beside;
use super::reason::Reason;
use super::state::State;

/// A stored delivery.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: DeliveryId,
    pub(crate) state: State,
    pub(crate) leases: u32,
    /// How often the server died while this ran alone.
    pub(crate) deaths: u32,
    /// How often it died while this ran, since a lease of it last ended.
    pub(crate) suspected: u32,
    pub(crate) after_crash: bool,
    /// True if a re-send has revived it since a person last sent it again.
    pub(crate) resent: bool,
    pub(crate) priority: Priority,
    /// Absent for what was refused.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// When it was accepted, or sent again since.
    pub(crate) since: Timestamp,
    /// Not before this, in milliseconds since 1970.
    pub(crate) not_before: Option<i64>,
    pub(crate) route: String,
    pub(crate) beside: Beside,
    /// What it waits for, besides its time.
    pub(crate) waits_for: Vec<Dependency>,
    pub(crate) pipeline: Vec<HandlerName>,
    pub(crate) next_handler: Option<HandlerName>,
    /// Why it has ended; absent if it has not.
    pub(crate) reason: Option<Reason>,
    pub(crate) settled_at: Option<Timestamp>,
    /// How the last lease that ended left it. It stays so while it is leased again.
    pub(crate) parking: Parking,
    /// The values by which a storm is recognized, if it may be part of one.
    pub(crate) storm_key: Option<Arc<str>>,
    /// The storm that it belongs to: the first representative of that.
    pub(crate) storm: Option<DeliveryId>,
    /// The delivery that runs in its place.
    pub(crate) representative: Option<DeliveryId>,
}

/// Whether a delivery waits for its turn at a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Parking {
    /// It does not.
    #[default]
    No,
    /// It does, with no effect on record and nothing in doubt: another may stand for it.
    Clean,
    /// It does, and has done something.
    Begun,
}

impl Row {
    /// Returns true if it is neither done nor dead.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state, State::Done | State::Dead)
    }
}

/// A delivery that is stored for the first time.
#[derive(Clone, Debug)]
pub(crate) struct NewDelivery<'m> {
    pub(crate) id: DeliveryId,
    pub(crate) state: State,
    pub(crate) leases: u32,
    pub(crate) priority: Priority,
    pub(crate) status: Option<Status>,
    /// Absent for what was refused.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) starts_at: Option<Timestamp>,
    pub(crate) occurrence: Occurrence,
    /// The start that the sender gave, if that of the event is another.
    pub(crate) sent_starts_at: Option<Timestamp>,
    pub(crate) accepted_at: Timestamp,
    pub(crate) settled_at: Option<Timestamp>,
    pub(crate) alertname: Text<'m>,
    /// Empty if no route matched.
    pub(crate) route: Arc<str>,
    pub(crate) beside: Beside,
    pub(crate) pipeline: Arc<[HandlerName]>,
    /// Why it has ended; absent if it has not.
    pub(crate) reason: Option<Reason>,
    pub(crate) last_error: Option<Text<'m>>,
    /// The values by which a storm is recognized, if it may be part of one.
    pub(crate) storm_key: Option<Arc<str>>,
    /// The storm that it belongs to, if that is known already.
    pub(crate) storm: Option<DeliveryId>,
    /// The alert, or what was refused.
    pub(crate) json: Text<'m>,
}

/// A text of a message, or one that was made for the transaction. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Text<'m> {
    /// Of a message.
    Borrowed(&'m str),
    /// Made for the transaction.
    Made(Arc<String>),
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Made(Arc::new(text))
    }
}

impl<'m> From<&'m str> for Text<'m> {
    fn from(text: &'m str) -> Self {
        Self::Borrowed(text)
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

/// What becomes of a delivery under whose lease the server died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutOff {
    pub(crate) id: DeliveryId,
    /// True if it was the only one: then the death counts against it.
    pub(crate) is_blamed: bool,
    /// True if a worker had begun it.
    pub(crate) had_begun: bool,
    /// When it is dead for that, and what is said of it.
    pub(crate) died: Option<(Timestamp, &'static str)>,
}

impl CutOff {
    /// Makes the row say so.
    pub(crate) fn apply(&self, row: &mut Row) {
        row.deaths += u32::from(self.is_blamed);
        row.after_crash |= self.had_begun;
        row.parking = Parking::No;
        match self.died {
            Some((at, _)) => {
                row.state = State::Dead;
                row.reason = Some(Reason::Died);
                row.settled_at = Some(at);
            }
            None => {
                row.state = State::Queued;
                row.suspected += 1;
            }
        }
    }
}

/// How a delivery stands after a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stands<'o> {
    pub(crate) state: State,
    pub(crate) reason: Option<Reason>,
    pub(crate) settled_at: Option<Timestamp>,
    pub(crate) next_handler: Option<&'o HandlerName>,
    pub(crate) not_before: Option<i64>,
    pub(crate) waits_for: &'o [Dependency],
    /// True if it has more to run, and nothing failed.
    pub(crate) yields: bool,
    /// Whether it waits at a gate.
    pub(crate) parking: Parking,
}
