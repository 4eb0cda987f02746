//! Notices: the alerts about dead letters, which handlers report to people.

use std::fmt;
use std::sync::Arc;

use alert_manager_core::alert::{Alert, HandlerName, Priority, Timestamp};

use super::delivery::Delivery;
use super::reason::Reason;

/// The label of a notice that has the identity of its delivery. A notice about many deliveries has none.
pub const SUBJECT: &str = "delivery";

/// How many deaths of one class have a notice of their own in one window. The others share one notice.
pub(crate) const NOTICES_A_WINDOW_MAX: u32 = 5;

/// The `last_error` of a notice that was not sent, whose reason is [`Reason::Outdated`].
pub(crate) const NOT_SENT: &str = "not sent: the delivery that it is about is no longer dead";

/// What a notice is about.
#[derive(Clone, Copy, Debug)]
pub enum DeadLetter<'a> {
    /// One delivery.
    One {
        /// The delivery.
        delivery: &'a Delivery,
        /// How many others it stood for, which are dead with it.
        with: u64,
    },
    /// Many deliveries of one class, so that people are not flooded with notices.
    Many(DeadLetters<'a>),
}

/// Deliveries that were dead-lettered for the same reason, with the same handlers.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetters<'a> {
    /// Why they are dead.
    pub reason: Reason,
    /// The gate or the dependency that they waited for, if they were not done in time.
    pub waited_for: Option<&'a str>,
    /// The handlers of their pipeline; none for parts of bodies.
    pub handlers: &'a [HandlerName],
    /// Names of some of their alerts, none twice.
    pub alertnames: &'a [String],
    /// The highest priority among them.
    pub priority: Priority,
    /// How many there are.
    pub count: u64,
    /// When the first of them died.
    pub since: Timestamp,
}

/// A way to report: the handlers that do it, and their route. An alert has taken it if it has run on that route with all of these
/// handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The name of the route, which no other way has.
    pub route: Arc<str>,
    /// The handlers, in the order in which they run.
    pub handlers: Vec<HandlerName>,
    /// True if a report by this way would fail now.
    pub is_blocked: bool,
}

/// Makes notices about dead letters, and has the ways to report them. The queue calls it within the transaction of the death, so
/// it must not block.
pub trait DeadLetterNotices: fmt::Debug + Send + Sync {
    /// Returns the notice about a dead letter.
    fn notice(&self, about: &DeadLetter<'_>, now: Timestamp) -> Alert;

    /// Returns all ways, the best first.
    fn ways(&self) -> Vec<Way>;

    /// Returns true if a person counts as notified once these handlers are done on `route`, even without an effect outside the
    /// server: the operator named them for dead letters, and none is missing.
    fn suffices(&self, route: &str, handlers: &[HandlerName]) -> bool;

    /// Returns a notice for its next way, after it died on that of `failed`.
    fn forwarded(&self, alert: Alert, failed: &Delivery) -> Alert;

    /// Returns the resolved of a notice or alarm that fires.
    fn resolved(&self, alert: Alert, now: Timestamp) -> Alert;
}
