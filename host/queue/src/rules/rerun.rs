//! Decides what a re-send of a known event does on each of its routes.

use std::collections::HashMap;

use alert_manager_core::alert::{DeliveryId, Timestamp};
use alert_manager_core::plan::Plan;

use crate::model::{Memory, Reason, Row, Run, State};

/// Deliveries by their identity; absent if retention has removed one.
pub(crate) type Rows = HashMap<DeliveryId, Option<Row>>;

/// What a re-send does on one route.
#[derive(Debug)]
pub(crate) enum Again<'r> {
    /// Nothing: it is a duplicate.
    Duplicate,
    /// It queues this dead delivery again, with its record.
    Revive(&'r Row),
    /// It runs the event again, as a new delivery.
    Run,
}

/// On which route a known event ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunOn {
    /// On the same route.
    Same,
    /// On a route that the alert no longer takes.
    Gone,
    /// On another route that the alert takes.
    OtherRoute,
}

/// The earlier run by which a re-send is decided.
#[derive(Debug)]
pub(crate) struct EarlierRun<'r> {
    run: Run,
    on: RunOn,
    /// Absent if retention has removed it.
    stored: Option<&'r Row>,
}

/// What a re-send does about a dead delivery.
enum IfDead<'r> {
    /// Nothing: it is a duplicate.
    Stays,
    /// It queues the delivery again, with its record.
    Revives(&'r Row),
    /// It runs the event as a new delivery, on the route that replaces that of the delivery.
    RunsAnew,
}

/// Returns the earlier run by which a re-send is decided on the route of `plan`; nothing if the event has never run.
///
/// That is the last run on the same route. If there is none, it is a run on a route that the alert no longer takes, because the
/// configuration was edited: preferably one with the same handlers, then one with a subset of them, then a dead one, then any; of
/// equals first one that is lost ([`is_lost`]), then the latest. If there is none either, it is the latest run on any route, so
/// that a renamed or added route does not run every event again.
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
    // `min_by_key` returns the first of equals, which is the latest.
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
        None => memory.latest().map(|latest| of(latest, RunOn::OtherRoute)),
    }
}

/// Returns true if a delivery is dead, was not revived by a re-send, and was not replaced by a younger one. If two routes are merged,
/// a delivery on one of them does not replace a dead one on the other.
fn is_lost(dead: &Row, younger: &[EarlierRun<'_>]) -> bool {
    let mut younger = younger.iter().filter_map(|earlier| earlier.stored);
    dead.state == State::Dead
        && !dead.resent
        && younger.all(|other| other.other_routes.has(&dead.route))
}

impl<'r> EarlierRun<'r> {
    /// Returns its delivery.
    pub(crate) fn delivery(&self) -> DeliveryId {
        self.run.delivery
    }

    /// Returns the new value of `Run::stays_dead`, which is stored because retention may remove the delivery; nothing if it does not
    /// change.
    pub(crate) fn stays_dead(&self, plan: &Plan) -> Option<bool> {
        let is_own = self.stored.is_some() && self.on != RunOn::OtherRoute;
        is_own.then(|| matches!(self.if_dead(plan), Some(IfDead::Stays)))
    }

    /// Decides what a re-send does on the route of `plan`. `is_open` is true if the delivery of this run is not settled.
    pub(crate) fn again(&self, plan: &Plan, is_open: bool, now: Timestamp) -> Again<'r> {
        if is_open && self.on != RunOn::OtherRoute {
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

    /// Decides what a re-send does about a dead delivery; nothing if it is not dead, or counts like one that is done.
    fn if_dead(&self, plan: &Plan) -> Option<IfDead<'r>> {
        if self.on == RunOn::OtherRoute {
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
        // A delivery that killed the server must not run again on any route, unless none of its handlers is left.
        let may_kill = killed && (!is_edited || dead.pipeline.iter().any(has));
        if cancelled || may_kill {
            return Some(IfDead::Stays);
        }
        // A pipeline is fixed on acceptance, so this one would still run a handler that the operator has removed.
        if is_edited && !dead.pipeline.iter().all(has) {
            return Some(IfDead::RunsAnew);
        }
        // After a second death only a person can retry it. After `repeat_after`, the event runs again as a reminder.
        (!dead.resent).then_some(IfDead::Revives(dead))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use alert_manager_core::alert::{Fingerprint, HandlerName, Priority};

    use super::*;
    use crate::model::clock::from_millis;
    use crate::model::{Cause, OtherRoutes, Parking};

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
            other_routes: OtherRoutes::None,
            waits_for: Vec::new(),
            pipeline: handlers.iter().map(|name| HandlerName::new(name)).collect(),
            next_handler: None,
            reason: Some(reason),
            settled_at: Some(from_millis(0)),
            parking: Parking::No,
            storm_key: None,
            storm: None,
            representative: None,
            event: None,
            cause: Cause::Alert,
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
    fn a_re_send_is_decided_by_how_the_event_ended_and_by_the_handlers_of_the_route() {
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
