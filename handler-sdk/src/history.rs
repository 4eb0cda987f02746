//! What the server knows about earlier alerts.

use std::time::Duration;

use crate::Failure;
use crate::bindings::alert_manager::handler::history;
use crate::imports::Imports;
use crate::time::whole_seconds;

pub use history::{Error, Occurrence, Past};

impl Past {
    /// Returns the latest occurrence.
    pub fn latest(&self) -> Option<&Occurrence> {
        self.occurrences.first()
    }
}

/// What the server knows about earlier alerts. It keeps them for 90 days. Needs no grant.
///
/// ```
/// # use handler_sdk::prelude::*;
/// use handler_sdk::time::DAY;
///
/// # fn enrich(cx: &Cx, _: &Alert) -> Result<Enrichment, Failure> {
/// let past = cx.history().earlier(&["namespace", "pod"], 7 * DAY)?;
/// # let _ =
/// Enrichment::new().with_fact("times_this_week", past.count + 1)
/// # ; Ok(Enrichment::new()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    imports: &'a Imports,
}

impl<'a> History<'a> {
    pub(crate) const fn new(imports: &'a Imports) -> Self {
        Self { imports }
    }

    /// Returns the earlier occurrences of alerts that have the name of this alert and the same values of the labels named in
    /// `same`, on routes that this handler serves, and that began to fire within the last `within`, rounded up to whole seconds.
    ///
    /// # Errors
    /// Returns an error if more than 16 labels are named or the time is longer than 90 days, the store fails, or a limit of the
    /// step is used up.
    pub fn earlier(&self, same: &[&str], within: Duration) -> Result<Past, Error> {
        let same: Vec<String> = same.iter().map(|&name| name.to_owned()).collect();
        self.imports.history_earlier(&same, whole_seconds(within))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(why) => Self::permanent(format!("history: {why}")),
            Error::Unavailable(why) => Self::unavailable(format!("history: {why}")),
            Error::BudgetExhausted(limit) => {
                Self::permanent(format!("history: the step's limit is used up: {limit}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::mock::Host;
    use crate::time::{DAY, HOUR};
    use crate::{Alert, Timestamp};

    #[test]
    fn what_the_mock_was_given_is_found_by_labels_and_time() {
        let now = Timestamp::from_seconds(1_000_000);
        let pod = |name: &str| {
            Alert::new("Crash")
                .with_label("ns", "shop")
                .with_label("pod", name)
        };
        let host = Host::new()
            .now(now)
            .earlier(&pod("a"), now.minus(HOUR), Some(now.minus(HOUR / 2)))
            .earlier(&pod("b"), now.minus(2 * HOUR), None)
            .earlier(&pod("a"), now.minus(3 * DAY), None)
            .earlier(&Alert::new("Other").with_label("ns", "shop"), now, None);
        let cx = host.cx_for(&pod("a"));
        let past = cx.history().earlier(&["pod"], DAY).unwrap();
        assert_eq!(past.count, 1);
        assert_eq!(past.latest().unwrap().ends_at, Some(now.minus(HOUR / 2)));
        assert_eq!(cx.history().earlier(&["ns"], DAY).unwrap().count, 2);
        assert_eq!(
            cx.history()
                .earlier(&["ns", "node"], 7 * DAY)
                .unwrap()
                .count,
            3
        );
    }

    #[test]
    fn errors_become_the_failure_that_fits() {
        let cx = Host::new().cx();
        let error = cx.history().earlier(&[], 91 * DAY).unwrap_err();
        assert!(Failure::from(error).is_permanent());
        let error = cx.history().earlier(&["l"; 17], DAY).unwrap_err();
        assert!(Failure::from(error).is_permanent());
        let host = Host::new().history_error(Error::Unavailable("disk full".to_owned()));
        let error = host.cx().history().earlier(&[], DAY).unwrap_err();
        assert_eq!(
            Failure::from(error),
            Failure::unavailable("history: disk full")
        );
    }
}
