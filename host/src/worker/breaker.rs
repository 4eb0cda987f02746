//! The handlers' circuit breakers: a handler that fails several times in a row is paused, then one delivery tries it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::alert::{HandlerName, StepKind};
use crate::breaker::{Breaker, Open};

/// What an attempt shows about the handler's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The handler ran, whatever it returned.
    Sound,
    /// The handler trapped, exited or hit a limit.
    Broken(String),
}

/// Whether a handler may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// It may run.
    Open,
    /// It is paused for so long, for this reason.
    Paused(Duration, String),
}

/// One breaker for each hook of each handler: an enrichment that traps does not stop the actor.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<HashMap<(HandlerName, StepKind), Breaker>>);

/// Returns the reason, for people.
fn reason(open: Open<'_>) -> String {
    format!("failed {} times in a row: {}", open.failures, open.last)
}

impl Breakers {
    /// Asks for permission to run. While a breaker is open, it admits one caller after each pause.
    pub(super) fn ask(&self, handler: &HandlerName, step: StepKind, now: Instant) -> Gate {
        let mut breakers = self.0.lock();
        let Some(breaker) = breakers.get_mut(&(handler.clone(), step)) else {
            return Gate::Open;
        };
        match breaker.admit(now) {
            Ok(()) => Gate::Open,
            Err(open) => Gate::Paused(open.until - now, reason(open)),
        }
    }

    /// Records an attempt; returns how it changed the breaker's state, if it did.
    pub(super) fn tell(
        &self,
        handler: &HandlerName,
        step: StepKind,
        health: Health,
        now: Instant,
    ) -> Option<Change> {
        let mut breakers = self.0.lock();
        let key = (handler.clone(), step);
        match health {
            Health::Sound => {
                let breaker = breakers.remove(&key)?;
                breaker.is_open().map(|_| Change::Closed)
            }
            Health::Broken(why) => {
                let breaker = breakers.entry(key).or_default();
                let has_opened = breaker.failed(&why, now);
                let open = breaker.is_open().filter(|_| has_opened)?;
                Some(Change::Opened(reason(open)))
            }
        }
    }

    /// Returns the pause of a handler, if it is paused: the actor's before the enrichment's.
    pub(crate) fn paused(&self, handler: &HandlerName) -> Option<Pause> {
        let breakers = self.0.lock();
        [StepKind::Act, StepKind::Enrich]
            .into_iter()
            .find_map(|step| {
                let open = breakers.get(&(handler.clone(), step))?.is_open()?;
                Some(Pause {
                    step,
                    until: open.until,
                    reason: reason(open),
                })
            })
    }

    /// Returns when one delivery of each paused handler may try it.
    pub(super) fn probes(&self) -> Vec<(HandlerName, Instant)> {
        let breakers = self.0.lock();
        let paused = breakers.iter().filter_map(|((handler, _), breaker)| {
            Some((handler.clone(), breaker.is_open()?.until))
        });
        paused.collect()
    }

    /// Removes the state of a handler whose module was replaced.
    pub(crate) fn forget(&self, handler: &HandlerName) {
        self.0.lock().retain(|(name, _), _| name != handler);
    }
}

/// The pause of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    /// The hook that does not run.
    pub(crate) step: StepKind,
    /// When one delivery may try again, on the monotonic clock. If it is past, no delivery has been due since.
    pub(crate) until: Instant,
    /// The last failure.
    pub(crate) reason: String,
}

/// A change of a breaker's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The handler is paused from now on, for this reason.
    Opened(String),
    /// The handler runs again.
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::FAILURES_MAX;

    /// Returns a function for the moment so many seconds after the start of a test.
    fn clock() -> impl Fn(u64) -> Instant {
        let start = Instant::now();
        move |seconds| start + Duration::from_secs(seconds)
    }

    fn trap() -> Health {
        Health::Broken("unreachable".into())
    }

    #[test]
    fn five_failures_in_a_row_pause_and_one_probe_is_let_through() {
        let (breakers, second) = (Breakers::default(), clock());
        let h = HandlerName::new("h");
        for _ in 0..FAILURES_MAX - 1 {
            assert_eq!(breakers.tell(&h, StepKind::Act, trap(), second(0)), None);
        }
        assert_eq!(breakers.ask(&h, StepKind::Act, second(0)), Gate::Open);
        assert!(matches!(
            breakers.tell(&h, StepKind::Act, trap(), second(0)),
            Some(Change::Opened(_))
        ));
        assert!(matches!(
            breakers.ask(&h, StepKind::Act, second(29)),
            Gate::Paused(left, _) if left == Duration::from_secs(1)
        ));
        assert_eq!(
            breakers.ask(&h, StepKind::Enrich, second(1)),
            Gate::Open,
            "each hook has its own"
        );
        assert_eq!(breakers.ask(&h, StepKind::Act, second(30)), Gate::Open);
        assert!(matches!(
            breakers.ask(&h, StepKind::Act, second(30)),
            Gate::Paused(..)
        ));
        assert_eq!(
            breakers.tell(&h, StepKind::Act, Health::Sound, second(31)),
            Some(Change::Closed)
        );
        assert_eq!(breakers.ask(&h, StepKind::Act, second(31)), Gate::Open);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let (breakers, second) = (Breakers::default(), clock());
        let h = HandlerName::new("h");
        for _ in 0..3 {
            for _ in 0..FAILURES_MAX - 1 {
                breakers.tell(&h, StepKind::Act, trap(), second(0));
            }
            breakers.tell(&h, StepKind::Act, Health::Sound, second(0));
        }
        assert_eq!(breakers.ask(&h, StepKind::Act, second(0)), Gate::Open);
    }
}
