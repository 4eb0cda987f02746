//! The stored fields of a delivery by which the rules and the scheduler decide: not its alert, progress or record.

use std::ops::Deref;
use std::sync::Arc;

use alert_manager_core::alert::{
    Alert, DeliveryId, Event, Fingerprint, HandlerName, Occurrence, Priority, Status, Timestamp,
};
use alert_manager_core::journal::Dependency;

use super::delivery::OtherRoutes;
use super::reason::Reason;
use super::state::State;
use super::timer::{Cause, DueTimer};

/// A stored delivery.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: DeliveryId,
    pub(crate) state: State,
    pub(crate) leases: u32,
    /// How often the server died while this ran alone.
    pub(crate) deaths: u32,
    /// How often the server died while this ran, since one of its leases last ended.
    pub(crate) suspected: u32,
    pub(crate) after_crash: bool,
    /// True if a re-send has revived it since a person last retried it.
    pub(crate) resent: bool,
    pub(crate) priority: Priority,
    /// Absent for a refused part of a body.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// When it was accepted, or retried by a person.
    pub(crate) since: Timestamp,
    /// When it may run again, in milliseconds since 1970; absent if it may run now.
    pub(crate) not_before: Option<i64>,
    pub(crate) route: String,
    pub(crate) other_routes: OtherRoutes,
    /// Dependencies whose recovery makes it due before `not_before`.
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
    /// Absent for what was refused.
    pub(crate) event: Option<Event>,
    pub(crate) cause: Cause,
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
    /// Absent for a refused part of a body.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) starts_at: Option<Timestamp>,
    pub(crate) occurrence: Occurrence,
    /// The `startsAt` that the sender gave, if it differs from that of the event.
    pub(crate) sent_starts_at: Option<Timestamp>,
    pub(crate) accepted_at: Timestamp,
    pub(crate) settled_at: Option<Timestamp>,
    pub(crate) alertname: Text<'m>,
    /// Empty if no route matched.
    pub(crate) route: Arc<str>,
    pub(crate) other_routes: OtherRoutes,
    pub(crate) pipeline: Arc<[HandlerName]>,
    /// Why it has ended; absent if it has not.
    pub(crate) reason: Option<Reason>,
    pub(crate) last_error: Option<Text<'m>>,
    /// The values by which a storm is recognized, if it may be part of one.
    pub(crate) storm_key: Option<Arc<str>>,
    /// The storm that it belongs to, if that is known already.
    pub(crate) storm: Option<DeliveryId>,
    /// Absent for a refused part of a body.
    pub(crate) alert: Option<Arc<Alert>>,
    /// The alert, or the refused part of a body.
    pub(crate) json: Text<'m>,
    /// Present if a timer was due.
    pub(crate) timer: Option<OfTimer>,
}

/// What a new delivery has of its timer.
#[derive(Clone, Debug)]
pub(crate) struct OfTimer {
    pub(crate) due: DueTimer,
    /// Whose timer it is.
    pub(crate) handler: HandlerName,
    /// How far it is, as JSON: it begins with `act`, and with what that is given as found.
    pub(crate) progress: Arc<str>,
}

/// A text to store. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Text<'m> {
    /// Part of a message to the committer.
    Borrowed(&'m str),
    /// Made for the transaction.
    Owned(Arc<String>),
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Owned(Arc::new(text))
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
            Self::Owned(text) => text,
        }
    }
}

/// The outcome of a crash for a delivery that was under lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashOutcome {
    pub(crate) id: DeliveryId,
    /// True if the death counts against it: it ran alone.
    pub(crate) is_blamed: bool,
    /// True if a worker had started it.
    pub(crate) was_started: bool,
    /// When it died because of that, and its `last_error`; absent if it goes on.
    pub(crate) died: Option<(Timestamp, &'static str)>,
}

impl CrashOutcome {
    /// Applies the outcome to the row.
    pub(crate) fn apply(&self, row: &mut Row) {
        row.deaths += u32::from(self.is_blamed);
        row.after_crash |= self.was_started;
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

/// The state of a delivery after a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AfterLease<'o> {
    pub(crate) state: State,
    pub(crate) reason: Option<Reason>,
    pub(crate) settled_at: Option<Timestamp>,
    pub(crate) next_handler: Option<&'o HandlerName>,
    pub(crate) not_before: Option<i64>,
    pub(crate) waits_for: &'o [Dependency],
    /// True if it is due at once, and nothing failed: it only gave up its permit.
    pub(crate) yields: bool,
    /// Whether it waits at a gate.
    pub(crate) parking: Parking,
}
