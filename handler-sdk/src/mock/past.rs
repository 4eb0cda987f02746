//! Earlier occurrences and timers on the mock host.

use super::checks;
use super::host::Host;
use super::sent::OpenTimer;
use super::state::{Given, Set, State, Step};
use crate::bindings::alert_manager::handler::{history, timer};
use crate::handler::run_act;
use crate::{Alert, Cx, Enrichment, Facts, Failure, Handler, Timestamp};

impl State {
    /// Answers `history.earlier`.
    pub(super) fn earlier(&self, same: &[String], within_seconds: u32) -> history::Past {
        let (alert, _) = &self.about;
        let since = self
            .now
            .minus(std::time::Duration::from_secs(within_seconds.into()));
        let is_like = |given: &&Given| {
            given.alert.name == alert.name
                && given.starts_at >= since
                && same
                    .iter()
                    .all(|name| given.alert.label(name) == alert.label(name))
        };
        let mut found: Vec<_> = self.past.iter().filter(is_like).collect();
        found.sort_by_key(|given| std::cmp::Reverse(given.starts_at));
        let occurrences = found.iter().take(checks::PAST_LISTED_MAX);
        history::Past {
            count: u32::try_from(found.len()).unwrap_or(u32::MAX),
            occurrences: occurrences
                .enumerate()
                .map(|(n, given)| history::Occurrence {
                    delivery_id: format!("d-earlier-{n}"),
                    starts_at: given.starts_at,
                    ends_at: given.ends_at,
                    state: "done".to_owned(),
                })
                .collect(),
        }
    }

    /// Answers `timer.after`.
    pub(super) fn set_timer(
        &mut self,
        key: &str,
        delay_seconds: u32,
        facts: &[(String, String)],
    ) -> Result<(), timer::Error> {
        let (alert, found) = self.about.clone();
        let mine = |set: &Set| set.alert.fingerprint == alert.fingerprint;
        let is_replaced = |set: &Set| mine(set) && set.open.key == key;
        let open = self
            .timers
            .iter()
            .filter(|set| mine(set) && !is_replaced(set));
        if open.count() >= checks::TIMERS_OPEN_MAX {
            return Err(timer::Error::BudgetExhausted(format!(
                "timers: {} are open for this alert",
                checks::TIMERS_OPEN_MAX
            )));
        }
        let given = facts
            .iter()
            .fold(found, |found, (name, value)| found.with_fact(name, value));
        let delay = std::time::Duration::from_secs(delay_seconds.max(1).into());
        self.timers.retain(|set| !is_replaced(set));
        self.timers.push(Set {
            open: OpenTimer {
                key: key.to_owned(),
                due_at: self.now.plus(delay),
            },
            found: given.with_fact(crate::timer::KEY_FACT, key),
            alert,
        });
        Ok(())
    }

    /// Answers `timer.cancel`; returns whether there was one.
    pub(super) fn cancel_timer(&mut self, key: &str) -> bool {
        let fingerprint = self.about.0.fingerprint.clone();
        let before = self.timers.len();
        self.timers
            .retain(|set| set.open.key != key || set.alert.fingerprint != fingerprint);
        self.timers.len() < before
    }
}

impl Host {
    /// Sets an earlier occurrence: an alert that began to fire at `starts_at`, and resolved at `ends_at`.
    /// [`Cx::history`](crate::Cx::history) finds it for an alert with the same name, if the labels that it asks for are the same.
    #[must_use]
    pub fn earlier(self, alert: &Alert, starts_at: Timestamp, ends_at: Option<Timestamp>) -> Self {
        self.state().past.push(Given {
            alert: alert.clone(),
            starts_at,
            ends_at,
        });
        self
    }

    /// Makes the next call of history fail; repeated calls script the calls after it, in order.
    #[must_use]
    pub fn history_error(self, error: crate::history::Error) -> Self {
        self.state().history_errors.push_back(error);
        self
    }

    /// Makes the next call of timer fail; repeated calls script the calls after it, in order.
    #[must_use]
    pub fn timer_error(self, error: crate::timer::Error) -> Self {
        self.state().timer_errors.push_back(error);
        self
    }

    /// Returns the timers that are set, the next one first.
    pub fn timers(&self) -> Vec<OpenTimer> {
        let mut open: Vec<_> = self
            .state()
            .timers
            .iter()
            .map(|set| set.open.clone())
            .collect();
        open.sort_by_key(|timer| timer.due_at);
        open
    }

    /// Runs `act` for the timer with this key, as a delivery of its own. The time is then the one at which it was due, unless it was
    /// later already.
    ///
    /// # Errors
    /// The handler's failure.
    ///
    /// # Panics
    /// Panics if no timer has the key.
    #[track_caller]
    pub fn run_timer<H: Handler>(&self, key: &str) -> Result<Facts, Failure> {
        let mut state = self.state();
        let place = state.timers.iter().position(|set| set.open.key == key);
        let Some(place) = place else {
            let keys: Vec<_> = state
                .timers
                .iter()
                .map(|set| set.open.key.clone())
                .collect();
            panic!("no timer has the key {key:?}; these are set: {keys:?}");
        };
        let Set { open, alert, found } = state.timers.remove(place);
        state.now = state.now.max(open.due_at);
        state.timers_run += 1;
        let id = format!("{}-timer-{}", state.call.delivery_id, state.timers_run);
        state.call.delivery_id = id;
        state.call.attempt = 1;
        drop(state);
        self.begin::<H>(Step::Act, &alert, &found);
        run_act::<H>(&self.cx_of(Step::Act), &alert, &found)
    }

    /// Returns the context of an `act` for this alert, to test a function that takes one.
    pub fn cx_for(&self, alert: &Alert) -> Cx {
        self.begin_for(Step::Act, alert, &Enrichment::new());
        self.cx_of(Step::Act)
    }
}
