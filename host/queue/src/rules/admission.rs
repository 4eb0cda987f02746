//! Decides how a new delivery is stored: leased, waiting, or dead because of a backlog.

use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::{
    Alert, DeliveryId, Event, HandlerName, Occurrence, Priority, Timestamp,
};
use alert_manager_core::plan::Plan;

use crate::model::{
    Cause, DueTimer, Memory, NewAlert, NewDelivery, OfTimer, OtherRoutes, Progress, Reason,
    Refused, Run, State, StoredTimer, Text,
};

/// The `last_error` of a delivery that no route matched, whose reason is [`Reason::Unrouted`].
pub(crate) const UNROUTED: &str = "unrouted";

/// The `last_error` of a delivery whose handler already had half of the queue, whose reason is [`Reason::Backlog`].
const BACKLOG: &str = "backlog: half of the queue already waits for a handler of this pipeline; \
                       send it again when that has caught up";

/// An alert that is recognized: it has the start and the occurrence of its event.
#[derive(Clone, Debug)]
pub(crate) struct Arrival<'m> {
    pub(crate) alert: Arc<Alert>,
    pub(crate) name: Text<'m>,
    pub(crate) json: Text<'m>,
    /// The `startsAt` that the sender gave, if it differs from that of the event.
    pub(crate) sent: Option<Timestamp>,
    pub(crate) other_routes: OtherRoutes,
    /// Present if a timer was due.
    pub(crate) timer: Option<OfTimer>,
}

/// How a new delivery begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// Under its first lease.
    Leased,
    /// It waits.
    Waiting,
    /// It is dead: one of its handlers has half of the queue already.
    Backlog,
}

impl<'m> Arrival<'m> {
    /// Returns an alert as its event. It is serialized again only if the event has another start or occurrence.
    ///
    /// # Errors
    /// If the alert cannot be serialized.
    pub(crate) fn of_message(
        new: &'m NewAlert,
        event: Event,
        sent: Option<Timestamp>,
    ) -> Result<Self, serde_json::Error> {
        let plans = new.plans.iter();
        let other_routes = OtherRoutes::of(plans.map(|plan| Arc::clone(&plan.route)));
        let name = Text::from(new.alert.name());
        let (alert, json) = match as_event(&new.alert, event)? {
            None => (Arc::clone(&new.alert), Text::from(new.json.as_str())),
            Some((alert, json)) => (alert, json.into()),
        };
        Ok(Self {
            alert,
            name,
            json,
            sent,
            other_routes,
            timer: None,
        })
    }

    /// Returns a notice or alarm as its event. Its deliveries on different routes do not wait for each other.
    ///
    /// # Errors
    /// If the alert cannot be serialized.
    pub(crate) fn of_own(alert: Alert) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_string(&alert)?;
        Ok(Self {
            name: alert.name().to_owned().into(),
            alert: Arc::new(alert),
            json: json.into(),
            sent: None,
            other_routes: OtherRoutes::Any,
            timer: None,
        })
    }

    /// Returns the alert of a timer that is due, and the plan by which its handler acts.
    ///
    /// # Errors
    /// If what is stored of it cannot be read.
    pub(crate) fn of_timer(timer: StoredTimer) -> Result<(Self, Plan), serde_json::Error> {
        let alert: Alert = serde_json::from_str(&timer.alert)?;
        let progress = Progress::of_timer(&timer.handler, serde_json::from_str(&timer.found)?);
        let progress = serde_json::to_string(&progress)?.into();
        let due = DueTimer {
            key: timer.key,
            set_by: timer.set_by,
        };
        let arrival = Self {
            name: alert.name().to_owned().into(),
            alert: Arc::new(alert),
            json: timer.alert.into(),
            sent: None,
            // Those on other routes are other handlers', or of other occurrences.
            other_routes: OtherRoutes::Any,
            timer: Some(OfTimer {
                due,
                handler: timer.handler.clone(),
                progress,
            }),
        };
        let plan = Plan {
            route: timer.route.into(),
            handlers: vec![timer.handler],
            priority: timer.priority,
            repeat_after: Duration::ZERO,
            storm: None,
        };
        Ok((arrival, plan))
    }

    pub(crate) fn cause(&self) -> Cause {
        match &self.timer {
            Some(timer) => Cause::Timer(timer.handler.clone()),
            None => Cause::Alert,
        }
    }

    /// Returns its delivery on a route.
    pub(crate) fn on_route(
        &self,
        id: DeliveryId,
        plan: &Plan,
        (route, pipeline): (Arc<str>, Arc<[HandlerName]>),
        begins: Begins,
        now: Timestamp,
    ) -> NewDelivery<'m> {
        let (state, is_dead) = match begins {
            Begins::Leased => (State::Running, false),
            Begins::Waiting => (State::Queued, false),
            Begins::Backlog => (State::Dead, true),
        };
        NewDelivery {
            state,
            leases: u32::from(begins == Begins::Leased),
            settled_at: is_dead.then_some(now),
            reason: is_dead.then_some(Reason::Backlog),
            last_error: is_dead.then_some(BACKLOG.into()),
            other_routes: self.other_routes.clone(),
            priority: plan.priority,
            ..self.delivery(id, (route, pipeline), now)
        }
    }

    /// Returns where its event ran before instead of on a route: there, or else on routes that its alert no longer takes, the latest
    /// first.
    pub(crate) fn earlier_runs(&self, memory: &Memory, route: &str) -> Vec<Run> {
        if let Some(run) = memory.run_on(route) {
            return vec![run];
        }
        match &self.other_routes {
            OtherRoutes::None => memory.runs_off([route].into_iter()),
            OtherRoutes::Known(routes) => {
                memory.runs_off(routes.iter().map(|other| &**other).chain([route]))
            }
            OtherRoutes::Any => Vec::new(),
        }
    }

    /// Returns its delivery if no route matches.
    pub(crate) fn unrouted(&self, id: DeliveryId, now: Timestamp) -> NewDelivery<'m> {
        NewDelivery {
            state: State::Done,
            settled_at: Some(now),
            reason: Some(Reason::Unrouted),
            last_error: Some(UNROUTED.into()),
            ..self.delivery(id, ("".into(), [].into()), now)
        }
    }

    /// Returns a delivery that waits.
    fn delivery(
        &self,
        id: DeliveryId,
        (route, pipeline): (Arc<str>, Arc<[HandlerName]>),
        now: Timestamp,
    ) -> NewDelivery<'m> {
        NewDelivery {
            id,
            state: State::Queued,
            leases: 0,
            priority: Priority::of(&self.alert.labels),
            status: Some(self.alert.status),
            fingerprint: Some(self.alert.fingerprint),
            starts_at: Some(self.alert.starts_at),
            occurrence: self.alert.occurrence(),
            sent_starts_at: self.sent,
            accepted_at: now,
            settled_at: None,
            alertname: self.name.clone(),
            route,
            other_routes: OtherRoutes::None,
            pipeline,
            reason: None,
            last_error: None,
            storm_key: None,
            storm: None,
            alert: Some(Arc::clone(&self.alert)),
            json: self.json.clone(),
            timer: self.timer.clone(),
        }
    }
}

/// Returns the dead delivery as which a refused part of a body is kept.
pub(crate) fn kept_part<'m>(id: DeliveryId, part: &'m Refused, now: Timestamp) -> NewDelivery<'m> {
    NewDelivery {
        id,
        state: State::Dead,
        leases: 0,
        priority: Priority::Normal,
        status: None,
        fingerprint: None,
        starts_at: None,
        occurrence: Occurrence::FIRST,
        sent_starts_at: None,
        accepted_at: now,
        settled_at: Some(now),
        alertname: part.alertname.as_str().into(),
        route: "".into(),
        other_routes: OtherRoutes::None,
        pipeline: [].into(),
        reason: Some(Reason::Refused),
        last_error: Some(part.error.as_str().into()),
        storm_key: None,
        storm: None,
        alert: None,
        json: part.json.as_str().into(),
        timer: None,
    }
}

/// Returns the plans that have handlers.
pub(crate) fn runnable(plans: &[Plan]) -> impl Iterator<Item = &Plan> {
    plans.iter().filter(|plan| !plan.handlers.is_empty())
}

/// Returns an alert with the start and the occurrence of its event, and its JSON; nothing if it has them already.
fn as_event(
    alert: &Alert,
    event: Event,
) -> Result<Option<(Arc<Alert>, String)>, serde_json::Error> {
    if alert.event() == event {
        return Ok(None);
    }
    let mut alert = Alert {
        starts_at: event.starts_at,
        ..alert.clone()
    };
    alert.set_occurrence(event.occurrence);
    let json = serde_json::to_string(&alert)?;
    Ok(Some((Arc::new(alert), json)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use alert_manager_core::alert::Status;

    use super::*;
    use crate::conformance::prelude::alert;
    use crate::model::Submission;
    use crate::model::clock::from_millis;

    fn plan(route: &str, priority: Priority) -> Plan {
        Plan {
            route: route.into(),
            handlers: vec![HandlerName::new("a")],
            priority,
            repeat_after: Duration::ZERO,
            storm: None,
        }
    }

    fn arrives(plans: Vec<Plan>) -> NewAlert {
        NewAlert::from(Submission {
            alert: alert("A", 0),
            starts_at_missing: false,
            plans,
        })
    }

    #[test]
    fn a_delivery_begins_leased_waiting_or_dead() {
        let new = arrives(vec![plan("route", Priority::Warning)]);
        let arrival = Arrival::of_message(&new, new.alert.event(), None).unwrap();
        let (id, now) = (DeliveryId::from_raw(1), from_millis(7));
        for (begins, state, leases, reason) in [
            (Begins::Leased, State::Running, 1, None),
            (Begins::Waiting, State::Queued, 0, None),
            (Begins::Backlog, State::Dead, 0, Some(Reason::Backlog)),
        ] {
            let shared = ("route".into(), new.plans[0].handlers.as_slice().into());
            let delivery = arrival.on_route(id, &new.plans[0], shared, begins, now);
            assert_eq!((delivery.state, delivery.leases), (state, leases));
            assert_eq!(delivery.reason, reason, "{begins:?}");
            assert_eq!(delivery.settled_at, reason.map(|_| now), "{begins:?}");
            assert_eq!(delivery.priority, Priority::Warning);
            assert!(
                matches!(delivery.json, Text::Borrowed(_)),
                "it is not copied"
            );
        }
        let unrouted = arrival.unrouted(id, now);
        assert_eq!(
            (unrouted.state, unrouted.reason),
            (State::Done, Some(Reason::Unrouted))
        );
    }

    #[test]
    fn an_alert_is_serialized_again_only_if_its_event_has_another_start_or_occurrence() {
        let new = arrives(vec![
            plan("one", Priority::Normal),
            plan("two", Priority::Normal),
        ]);
        let own = new.alert.event();
        let next = Event {
            occurrence: own.occurrence.next(),
            ..own
        };
        let moved = Event {
            starts_at: from_millis(1),
            ..own
        };
        for (event, is_new) in [(own, false), (next, true), (moved, true)] {
            let arrival = Arrival::of_message(&new, event, None).unwrap();
            assert_eq!(arrival.alert.event(), event);
            assert_eq!(matches!(arrival.json, Text::Owned(_)), is_new, "{event:?}");
            assert!(arrival.other_routes.has("two"));
            let read: Alert = serde_json::from_str(&arrival.json).unwrap();
            assert_eq!((read.event(), read.status), (event, Status::Firing));
        }
    }
}
