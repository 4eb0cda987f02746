//! Which alerts of a set of rules take which routes and handlers: what `alert-manager coverage` prints as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Lenient;
use crate::alert::HandlerName;

/// Which alerts of a set of rules take which routes and handlers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// How many rules there are for each answer.
    pub counts: BTreeMap<Answered, usize>,
    /// Each alerting rule.
    pub alerts: Vec<AlertCoverage>,
    /// Each route, in the order in which they are tried.
    pub routes: Vec<RouteCoverage>,
    /// What was not known and is assumed.
    pub assumptions: Vec<String>,
}

/// What answers an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answered {
    /// A handler that is for this alert.
    Answered,
    /// Only handlers that are for any alert.
    Fallback,
    /// One or the other, or nothing: that depends on labels whose values the rule does not prove.
    Depends,
    /// Nothing: no route matches.
    Unrouted,
}

/// What becomes of the alerts of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertCoverage {
    /// The alertname.
    pub alertname: String,
    /// The rule's group.
    pub group: String,
    /// Where the rule is written.
    pub place: String,
    /// Its label `severity`; null if the rule sets none.
    pub severity: Option<String>,
    /// What answers it.
    pub answer: Lenient<Answered>,
    /// Whether it may take no route.
    pub may_be_unrouted: bool,
    /// Whether it may have only handlers that are for any alert.
    pub may_be_fallback: bool,
    /// The routes that it takes, or may take.
    pub routes: Vec<TakenRoute>,
    /// Why the rule's expression was not understood; null if it was. Nothing is known of the labels of its series then.
    pub unread: Option<String>,
}

/// A route that an alert takes, or may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenRoute {
    /// Its number.
    pub route: usize,
    /// Its name.
    pub name: String,
    /// Its handlers.
    pub handlers: Vec<HandlerName>,
    /// The matchers of which it is not known whether they match; empty if the route surely matches.
    pub depends_on: Vec<String>,
}

/// What becomes of one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCoverage {
    /// Its number.
    pub route: usize,
    /// Its name.
    pub name: String,
    /// Its matchers.
    pub matchers: Vec<String>,
    /// Its handlers.
    pub handlers: Vec<HandlerName>,
    /// Whether the configuration has it; false for a route that was made for a module.
    pub configured: bool,
    /// How many rules have alerts that take it, or may take it.
    pub alerts: usize,
    /// Why no alert of these rules takes it; empty if one may.
    pub never: Vec<String>,
}
