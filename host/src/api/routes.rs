//! The routes, and which of them an alert takes.

use serde::{Deserialize, Serialize};

use super::RouteUse;
use crate::alert::{HandlerName, Labels, Priority, Ranked, RankedBy};
use crate::router::{self, AfterMatch, RouteOutcome, RouteVerdict, Router};
use crate::units::format_duration;

/// The response to `GET /api/v1/routes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// The routes, in the order in which they are tried.
    pub routes: Vec<Route>,
    /// The alerts that no route matched.
    #[serde(default)]
    pub unrouted: RouteUse,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its number: those of the configuration come first, in its order.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// Its matchers; without any it takes every alert.
    pub matchers: Vec<String>,
    /// The handlers that run.
    pub handlers: Vec<HandlerName>,
    /// Whether later routes are tried too.
    #[serde(rename = "continue")]
    pub continues: bool,
    /// The priority that it gives; null if that is the alert's own.
    pub priority: Option<Priority>,
    /// How long after its last run a repeated event runs again.
    pub repeat_after: String,
    /// What it has received.
    #[serde(default)]
    pub received: RouteUse,
}

/// Which routes an alert takes, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The alert's labels.
    pub labels: Labels,
    /// Each route, in the order in which they are tried.
    pub verdicts: Vec<Verdict>,
}

/// Whether an alert takes a route, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The route's number.
    pub route: usize,
    /// Its name.
    pub name: String,
    /// Its handlers.
    pub handlers: Vec<HandlerName>,
    /// Whether the alert takes it.
    pub outcome: Outcome,
    /// The number of the earlier route that has taken the alert and does not continue; null if it is reached.
    pub taken_by: Option<usize>,
    /// Its matchers, in order.
    pub matchers: Vec<MatcherVerdict>,
    /// The priority of the delivery, and why; null if the alert does not take it.
    pub priority: Option<String>,
}

/// Whether an alert takes a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It matches.
    Taken,
    /// It does not match.
    NoMatch,
    /// An earlier route took the alert.
    NotReached,
}

/// Whether a matcher matches an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatcherVerdict {
    /// The matcher, as Alertmanager writes it.
    pub matcher: String,
    /// The label's value; null if the alert has no such label.
    pub value: Option<String>,
    /// Whether it matches.
    pub matches: bool,
}

impl Routes {
    /// Returns the routes of a router, with what a route of this name has received.
    pub(crate) fn of(router: &Router, received: impl Fn(&str) -> RouteUse) -> Self {
        let routes = router.routes().iter().enumerate();
        let route = |(place, route): (usize, &router::Route)| Route {
            number: router.number(place),
            name: route.name.to_string(),
            matchers: route.matchers.iter().map(ToString::to_string).collect(),
            handlers: route.handlers.clone(),
            continues: route.after_match == AfterMatch::Continue,
            priority: route.priority,
            repeat_after: format_duration(route.repeat_after),
            received: received(&route.name),
        };
        Self {
            routes: routes.map(route).collect(),
            unrouted: received(""),
        }
    }
}

impl Explained {
    /// Returns which routes of a router an alert takes.
    pub(crate) fn of(router: &Router, labels: Labels) -> Self {
        let verdicts = router.explain(&labels);
        let verdicts = verdicts
            .into_iter()
            .map(|verdict| Verdict::of(router, &labels, verdict));
        Self {
            verdicts: verdicts.collect(),
            labels,
        }
    }

    /// Returns whether the alert takes any route.
    #[must_use]
    pub fn is_routed(&self) -> bool {
        self.taken().next().is_some()
    }

    /// Returns the verdicts on the routes that the alert takes.
    pub fn taken(&self) -> impl Iterator<Item = &Verdict> {
        let verdicts = self.verdicts.iter();
        verdicts.filter(|verdict| verdict.outcome == Outcome::Taken)
    }
}

/// Returns how many routes were not tried, since an earlier one had taken the alert and does not continue.
pub(crate) fn not_reached(verdicts: &[Verdict]) -> usize {
    verdicts
        .iter()
        .filter(|verdict| !verdict.is_tried())
        .count()
}

impl Verdict {
    /// Returns whether the route was tried: no earlier one had taken the alert and does not continue.
    #[must_use]
    pub fn is_tried(&self) -> bool {
        self.outcome != Outcome::NotReached
    }

    fn of(router: &Router, labels: &Labels, verdict: RouteVerdict) -> Self {
        let route = &router.routes()[verdict.index];
        let (outcome, taken_by) = match verdict.outcome {
            RouteOutcome::Taken => (Outcome::Taken, None),
            RouteOutcome::NoMatch => (Outcome::NoMatch, None),
            RouteOutcome::NotReached { taken_by } => (Outcome::NotReached, Some(taken_by)),
        };
        let matchers = verdict.matchers.into_iter();
        let is_taken = outcome == Outcome::Taken;
        Self {
            route: router.number(verdict.index),
            name: route.name.to_string(),
            handlers: route.handlers.clone(),
            outcome,
            taken_by: taken_by.map(|place| router.number(place)),
            matchers: matchers.map(MatcherVerdict::from).collect(),
            priority: is_taken.then(|| priority(router.priority(verdict.index, labels), labels)),
        }
    }
}

impl From<router::MatcherVerdict> for MatcherVerdict {
    fn from(verdict: router::MatcherVerdict) -> Self {
        Self {
            matcher: verdict.matcher,
            value: verdict.value,
            matches: verdict.matches,
        }
    }
}

/// Returns the priority of an alert, and why it has that one.
fn priority(ranked: Ranked, labels: &Labels) -> String {
    let value = |label| labels.get(label).unwrap_or_default();
    let why = match ranked.by {
        RankedBy::Route => "set by the route".to_owned(),
        RankedBy::Map { label } => format!("severity_map has its {label}, {:?}", value(label)),
        RankedBy::Table { label } => format!("its {label} is {:?}", value(label)),
        RankedBy::Nothing => "neither severity nor priority has a known word".to_owned(),
    };
    format!("priority {}: {why}", ranked.priority)
}
