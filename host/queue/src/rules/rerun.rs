//! Decides what becomes of a known event that is sent again, on each of its routes.

use std::collections::HashMap;

use alert_manager_core::alert::{DeliveryId, Timestamp};
use alert_manager_core::plan::Plan;

use crate::model::{Memory, Reason, Row, Run, State};

/// Deliveries by their identity; absent if retention has removed one.
pub(crate) type Rows = HashMap<DeliveryId, Option<Row>>;

/// What becomes of a known event on one route.
#[derive(Debug)]
pub(crate) enum Again<'r> {
    /// It is a duplicate.
    Duplicate,
    /// This dead delivery of it goes on with its record.
    Revive(&'r Row),
    /// It runs once more, as a delivery of its own.
    Run,
}

/// On which route a known event ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunOn {
    /// On the route that is asked about.
    Same,
    /// On one that the alert no longer takes.
    Gone,
    /// On another one that it takes.
    Beside,
}

/// The run that decides about a known event.
#[derive(Debug)]
pub(crate) struct EarlierRun<'r> {
    run: Run,
    on: RunOn,
    /// Absent if retention has removed it.
    stored: Option<&'r Row>,
}

/// What a re-send does about a dead delivery.
enum IfDead<'r> {
    /// It is a duplicate.
    Stays,
    /// The delivery goes on with its record.
    Revives(&'r Row),
    /// The route that replaces the delivery's own runs the event as a delivery of its own.
    RunsAnew,
}

/// Returns the run that a route of a known event goes by: its own last one. A route that is new to the event goes by a
/// run on a route that the alert no longer takes, since the configuration was edited: by that with the same handlers, or
/// with no others, or by a dead one, or by the latest; of equals by a dead one that may run again. Else it goes by the latest run
/// on any route: to rename or add a route must not send everything again.
///
/// `plans` are those of the alert, `rows` the deliveries of `memory`.
pub(crate) fn earlier_run<'r>(
    plan: &Plan,
    plans: &[Plan],
    memory: &Memory,
    rows: &'r Rows,
) -> Option<EarlierRun<'r>> {
    let of = |run: Run, on| EarlierRun {
        run,
        on,
        stored: rows.get(&run.delivery).and_then(Option::as_ref),
    };
    if let Some(run) = memory.run_on(&plan.route) {
        return Some(of(run, RunOn::Same));
    }
    let gone = memory.runs_off(plans.iter().map(|plan| &*plan.route));
    let mut gone: Vec<_> = gone.into_iter().map(|run| of(run, RunOn::Gone)).collect();
    // The first of equals counts.
    let best = (0..gone.len()).min_by_key(|index| {
        let stored = gone[*index].stored;
        let handlers = match stored {
            Some(stored) if stored.pipeline == plan.handlers => 0,
            Some(stored) if stored.pipeline.iter().all(|h| plan.handlers.contains(h)) => 1,
            Some(stored) if stored.state == State::Dead => 2,
            _ => 3,
        };
        let is_lost = stored.is_some_and(|stored| is_lost(stored, &gone[..*index]));
        (handlers, !is_lost)
    });
    match best {
        Some(best) => Some(gone.swap_remove(best)),
        None => memory.latest().map(|latest| of(latest, RunOn::Beside)),
    }
}

/// Returns true if a delivery is dead and neither had its second chance nor was replaced by a younger one: if two routes are
/// merged, a dead delivery on one of them is not made good by what the other one did.
fn is_lost(dead: &Row, younger: &[EarlierRun<'_>]) -> bool {
    let mut younger = younger.iter().filter_map(|earlier| earlier.stored);
    dead.state == State::Dead && !dead.resent && younger.all(|other| other.beside.has(&dead.route))
}

impl<'r> EarlierRun<'r> {
    /// Returns what it ran as.
    pub(crate) fn delivery(&self) -> DeliveryId {
        self.run.delivery
    }

    /// Returns whether the delivery must not run by itself again, as the memory is to know it from now on without the
    /// delivery, which retention may remove. Nothing if there is nothing to note.
    pub(crate) fn stays_dead(&self, plan: &Plan) -> Option<bool> {
        let is_own = self.stored.is_some() && self.on != RunOn::Beside;
        is_own.then(|| matches!(self.if_dead(plan), Some(IfDead::Stays)))
    }

    /// Decides what becomes of the event on `plan`'s route. `is_open` says whether what it ran as has not ended.
    pub(crate) fn again(&self, plan: &Plan, is_open: bool, now: Timestamp) -> Again<'r> {
        if is_open && self.on != RunOn::Beside {
            return Again::Duplicate;
        }
        match self.if_dead(plan) {
            Some(IfDead::Stays) => Again::Duplicate,
            Some(IfDead::Revives(row)) => Again::Revive(row),
            Some(IfDead::RunsAnew) => Again::Run,
            None => {
                let ended = self.stored.and_then(|stored| stored.settled_at);
                match self.run.is_due(plan.repeat_after, ended, now) {
                    true => Again::Run,
                    false => Again::Duplicate,
                }
            }
        }
    }

    /// Decides what becomes of a dead delivery; nothing if it is not dead, or is to be treated like one that is done.
    fn if_dead(&self, plan: &Plan) -> Option<IfDead<'r>> {
        if self.on == RunOn::Beside {
            return None;
        }
        if self.stored.is_none() && self.run.stays_dead {
            return Some(IfDead::Stays);
        }
        let dead = self.stored.filter(|row| row.state == State::Dead)?;
        let has = |handler| plan.handlers.contains(handler);
        let is_edited = self.on == RunOn::Gone;
        let killed = dead.reason == Some(Reason::Died);
        let cancelled = dead.reason == Some(Reason::Cancelled);
        // What killed the server must not run by itself again, on whatever route, unless none of its handlers is left.
        let may_kill = killed && (!is_edited || dead.pipeline.iter().any(has));
        if cancelled || may_kill {
            return Some(IfDead::Stays);
        }
        // A pipeline is fixed: one with a handler that the operator has taken out is not run.
        if is_edited && !dead.pipeline.iter().all(has) {
            return Some(IfDead::RunsAnew);
        }
        // A second death is for a person, and after `repeat_after` it is time for a reminder.
        (!dead.resent).then_some(IfDead::Revives(dead))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use alert_manager_core::alert::{Fingerprint, HandlerName, Priority};

    use super::*;
    use crate::model::{Beside, Parking};
    use crate::model::clock::from_millis;

    fn plan(route: &str, handlers: &[&str]) -> Plan {
        Plan {
            route: route.into(),
            handlers: handlers.iter().map(|name| HandlerName::new(name)).collect(),
            priority: Priority::Normal,
            repeat_after: Duration::from_secs(10),
            storm: None,
        }
    }

    fn row(route: &str, handlers: &[&str], reason: Reason) -> Row {
        Row {
            id: DeliveryId::from_raw(1),
            state: reason.state(),
            leases: 1,
            deaths: 0,
            suspected: 0,
            after_crash: false,
            resent: false,
            priority: Priority::Normal,
            fingerprint: Some(Fingerprint(1)),
            since: from_millis(0),
            not_before: None,
            route: route.into(),
            beside: Beside::Nothing,
            waits_for: Vec::new(),
            pipeline: handlers.iter().map(|name| HandlerName::new(name)).collect(),
            next_handler: None,
            reason: Some(reason),
            settled_at: Some(from_millis(0)),
            parking: Parking::No,
            storm_key: None,
            storm: None,
            representative: None,
        }
    }

    /// Returns what becomes of an event that ran as `row`, and is sent again for `plan` after so many milliseconds.
    fn again(row: Row, plan: &Plan, after_ms: i64) -> &'static str {
        let mut memory = Memory::default();
        memory.ran(&row.route, row.id, from_millis(0));
        let rows = Rows::from([(row.id, Some(row))]);
        let plans = [plan.clone()];
        let earlier = earlier_run(plan, &plans, &memory, &rows).unwrap();
        match earlier.again(plan, false, from_millis(after_ms)) {
            Again::Duplicate => "duplicate",
            Again::Revive(_) => "revive",
            Again::Run => "run",
        }
    }

    #[test]
    fn what_becomes_of_a_known_event_follows_from_how_it_ended_and_what_the_route_has() {
        let same = plan("route", &["a"]);
        let edited = plan("other", &["a"]);
        let replaced = plan("other", &["b"]);
        for (reason, plan, after_ms, expected) in [
            (Reason::Handled, &same, 9_999, "duplicate"),
            (Reason::Handled, &same, 10_000, "run"),
            (Reason::Failed, &same, 0, "revive"),
            (Reason::Backlog, &same, 0, "revive"),
            (Reason::Cancelled, &same, 10_000, "duplicate"),
            (Reason::Died, &same, 10_000, "duplicate"),
            (Reason::Failed, &edited, 0, "revive"),
            (Reason::Failed, &replaced, 0, "run"),
            (Reason::Died, &edited, 10_000, "duplicate"),
            (Reason::Died, &replaced, 0, "run"),
            (Reason::Cancelled, &replaced, 10_000, "duplicate"),
        ] {
            let row = row("route", &["a"], reason);
            assert_eq!(again(row, plan, after_ms), expected, "{reason} {plan:?}");
        }
    }

    #[test]
    fn a_re_send_revives_once() {
        let resent = Row {
            resent: true,
            ..row("route", &["a"], Reason::Failed)
        };
        let same = plan("route", &["a"]);
        assert_eq!(again(resent.clone(), &same, 0), "duplicate");
        assert_eq!(again(resent, &same, 10_000), "run");
    }
}
