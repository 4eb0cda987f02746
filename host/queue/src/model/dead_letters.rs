//! What the queue asks for when a delivery was dead-lettered: an alert about it, for the handlers that report it.

use std::fmt;
use std::sync::Arc;

use alert_manager_core::alert::{Alert, HandlerName, Timestamp};

use super::delivery::Delivery;
use super::reason::Reason;

/// The label of a notice that names the delivery it is about; a notice about many has none.
pub const SUBJECT: &str = "delivery";

/// Notices about single deliveries of one class in one window. The rest of the class is reported together.
pub(crate) const NOTICES_A_WINDOW_MAX: u32 = 5;

/// What is said of a notice that is done and was not sent ([`Reason::Outdated`]).
pub(crate) const NOT_SENT: &str = "not sent: the delivery that it is about is no longer dead";

/// What is to be reported.
#[derive(Clone, Copy, Debug)]
pub enum DeadLetter<'a> {
    /// One delivery.
    One(&'a Delivery),
    /// Many of a kind, in one notice: each alone would flood whoever reads them.
    Many(DeadLetters<'a>),
}

/// Deliveries that were dead-lettered for the same reason, with the same handlers.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetters<'a> {
    /// Why.
    pub reason: Reason,
    /// The gate or the dependency that they waited for, if they were not done in time.
    pub waited_for: Option<&'a str>,
    /// The handlers of their pipeline; none for parts of bodies.
    pub handlers: &'a [HandlerName],
    /// How many.
    pub count: u64,
    /// When the first of them was.
    pub since: Timestamp,
}

/// A way to report: handlers, and the route that they run on. An alert that has run on its route with all of its handlers has
/// taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// One for each way.
    pub route: Arc<str>,
    /// In the order in which they run.
    pub handlers: Vec<HandlerName>,
    /// True if it is known that nothing gets through this way now.
    pub is_blocked: bool,
}

/// Makes the alerts about dead letters, and knows the ways to report them. The queue stores them in the transaction of the
/// death itself, so this must neither wait nor do I/O.
pub trait DeadLetterNotices: fmt::Debug + Send + Sync {
    /// Returns the alert about a dead letter.
    fn notice(&self, about: &DeadLetter<'_>, now: Timestamp) -> Alert;

    /// Returns all ways, the best first.
    fn ways(&self) -> Vec<Way>;

    /// Returns true if somebody was notified once these handlers are done on `route`, whether or not they had an effect outside:
    /// the operator named them for dead letters, and none was left out.
    fn suffices(&self, route: &str, handlers: &[HandlerName]) -> bool;

    /// Returns an alert for its next way, after it died on that of `failed`.
    fn forwarded(&self, alert: Alert, failed: &Delivery) -> Alert;

    /// Returns the end of an alert: what it is about is no longer so.
    fn resolved(&self, alert: Alert, now: Timestamp) -> Alert;
}
