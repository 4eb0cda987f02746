//! Timers, which call this handler's `act` again later.

use std::time::Duration;

use crate::bindings::alert_manager::handler::timer;
use crate::imports::Imports;
use crate::time::whole_seconds;
use crate::{Enrichment, Facts, Failure};

pub use timer::Error;

/// The fact by which `act` recognizes the timer that calls it.
pub(crate) const KEY_FACT: &str = "timer.key";

/// Calls this handler's `act` again later. Needs no grant. Denied during `enrich`.
///
/// When a timer is due, the server calls `act` of this handler alone, for the same alert, as a delivery of its own. `found` has
/// what it has now, the given facts, and the timer's key, which [`Enrichment::timer`] returns. A timer runs even if the alert has
/// resolved meanwhile: cancel it in [`Handler::resolved`](crate::Handler::resolved) if it should not.
///
/// ```
/// # use handler_sdk::prelude::*;
/// use handler_sdk::time::MINUTE;
///
/// struct Escalate;
///
/// impl Handler for Escalate {
///     fn describe() -> Description {
///         Description::new("escalate", "1.0.0", "Posts again if nobody has fixed it.").act_only()
///     }
///
///     fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
///         if found.timer() == Some("escalate") {
///             cx.slack().post(Message::new("oncall", format!("{} still fires", alert.name)))?;
///             return Ok(Facts::new());
///         }
///         cx.slack().post(Message::new("alerts", alert.name.clone()))?;
///         cx.timer().after("escalate", 15 * MINUTE, Facts::new())?;
///         Ok(Facts::new())
///     }
///
///     fn resolved(cx: &Cx, _: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
///         cx.timer().cancel("escalate")?;
///         Ok(Facts::new())
///     }
/// }
///
/// let host = handler_sdk::mock::Host::new();
/// let alert = Alert::new("Down");
/// host.run::<Escalate>(&alert);
/// host.run_timer::<Escalate>("escalate").unwrap();
/// assert_eq!(host.posts()[1].channel, "oncall");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timer<'a> {
    imports: &'a Imports,
}

impl<'a> Timer<'a> {
    pub(crate) const fn new(imports: &'a Imports) -> Self {
        Self { imports }
    }

    /// Calls `act` of this handler for this alert after `delay`, rounded up to whole seconds: a second at least, 30 days at most.
    /// A timer of this handler for this alert that has the same key is replaced. At most 100 are open for one alert.
    ///
    /// # Errors
    /// Returns an error during `enrich`, if the key, the delay or the facts are over their limit, if the store fails, or if a limit
    /// of the step or of open timers is used up.
    pub fn after(&self, key: &str, delay: Duration, facts: Facts) -> Result<(), Error> {
        let facts: Vec<(String, String)> = facts
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self.imports.timer_after(key, whole_seconds(delay), &facts)
    }

    /// Cancels the timer of this handler for this alert that has this key. Cancelling one that does not exist is not an error.
    ///
    /// # Errors
    /// See [`after`](Self::after).
    pub fn cancel(&self, key: &str) -> Result<(), Error> {
        self.imports.timer_cancel(key)
    }
}

impl Enrichment {
    /// Returns the key of the timer that this `act` was called for; `None` if it was called for an alert.
    pub fn timer(&self) -> Option<&str> {
        self.fact(KEY_FACT)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(why) => Self::permanent(format!("timer: denied: {why}")),
            Error::Invalid(why) => Self::permanent(format!("timer: {why}")),
            Error::Unavailable(why) => Self::unavailable(format!("timer: {why}")),
            Error::BudgetExhausted(limit) => {
                Self::permanent(format!("timer: a limit is used up: {limit}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::mock::Host;
    use crate::prelude::*;
    use crate::time::{DAY, MINUTE};

    /// Sets a timer, and says what it was called for.
    struct Waits;

    impl Handler for Waits {
        fn describe() -> Description {
            Description::new("waits", "0.1.0", "Waits.")
        }

        fn enrich(_: &Cx, _: &Alert, _: &Enrichment) -> Result<Enrichment, Failure> {
            Ok(Enrichment::new().with_fact("owner", "shop"))
        }

        fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
            let Some(key) = found.timer() else {
                cx.timer()
                    .after("later", 5 * MINUTE, Facts::new().with("round", 1))?;
                return Ok(Facts::new());
            };
            Ok(Facts::new()
                .with("key", key)
                .with("alert", &alert.name)
                .with("owner", found.fact("owner").unwrap_or("none"))
                .with("round", found.fact("round").unwrap_or("none")))
        }

        fn resolved(cx: &Cx, _: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
            cx.timer().cancel("later")?;
            Ok(Facts::new())
        }
    }

    #[test]
    fn a_timer_is_given_what_was_found_then_and_runs_once() {
        let start = Timestamp::from_seconds(1_000_000);
        let host = Host::new().now(start);
        host.run::<Waits>(&Alert::new("Down"));
        let timers = host.timers();
        assert_eq!((timers.len(), timers[0].key.as_str()), (1, "later"));
        assert_eq!(timers[0].due_at, start.plus(5 * MINUTE));
        let facts = host.run_timer::<Waits>("later").unwrap();
        for (name, value) in [
            ("key", "later"),
            ("alert", "Down"),
            ("owner", "shop"),
            ("round", "1"),
        ] {
            assert_eq!(facts.get(name), Some(value), "{name}");
        }
        assert_eq!(host.cx().now(), start.plus(5 * MINUTE), "the time has come");
        assert_eq!(host.timers().len(), 0);
    }

    #[test]
    fn a_resolved_alert_cancels_and_a_retry_sets_nothing_twice() {
        let host = Host::new();
        let alert = Alert::new("Down");
        host.run::<Waits>(&alert);
        host.clone().attempt(2).run::<Waits>(&alert);
        assert_eq!(host.timers().len(), 1);
        host.clone()
            .delivery("d-2")
            .run::<Waits>(&alert.into_resolved(Timestamp::from_seconds(2_000_000)));
        assert_eq!(host.timers().len(), 0);
    }

    #[test]
    fn limits_are_those_of_the_real_host() {
        let cx = Host::new().cx();
        let set = |key: &str, delay| cx.timer().after(key, delay, Facts::new());
        for (key, delay) in [("", MINUTE), (&*"k".repeat(257), MINUTE), ("k", 31 * DAY)] {
            assert!(
                matches!(set(key, delay), Err(Error::Invalid(_))),
                "{key:.9} {delay:?}"
            );
        }
        let own = Facts::new().with("timer.key", "x");
        assert!(matches!(
            cx.timer().after("k", MINUTE, own),
            Err(Error::Invalid(_))
        ));
        let host = Host::new().timer_error(Error::Unavailable("disk full".to_owned()));
        let error = host.cx().timer().cancel("k").unwrap_err();
        assert_eq!(
            Failure::from(error),
            Failure::unavailable("timer: disk full")
        );
        let host = Host::new();
        let set = |key: &str| {
            let cx = host.cx_for(&Alert::new("Down"));
            cx.timer().after(key, MINUTE, Facts::new())
        };
        for n in 0..100 {
            set(&n.to_string()).unwrap();
        }
        let Err(Error::BudgetExhausted(why)) = set("more") else {
            panic!("it is set");
        };
        assert!(why.starts_with("timers:"), "{why}");
        set("7").unwrap();
        assert_eq!(host.timers().len(), 100);
    }
}
