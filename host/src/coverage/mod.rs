//! Which alerts of a set of rules take which routes and handlers, as far as the rules prove it: pure, without I/O.

mod labels;
mod promql;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{AlertCoverage, Answered, Coverage, TakenRoute};
use crate::description::Description;
use crate::router::{AfterMatch, MatchOp, Matcher, Router};
use labels::{Proof, Series, What};

/// An alerting rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertRule {
    /// The alertname.
    pub(crate) name: String,
    pub(crate) expr: String,
    /// Its own labels, and those of its group.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) group: String,
    /// Where it is written, for people.
    pub(crate) place: String,
}

/// What a Prometheus server does to the labels of every alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labelling {
    /// Labels that it adds to alerts that do not have them.
    pub(crate) external: BTreeMap<String, String>,
    pub(crate) relabellings: Vec<Relabelling>,
}

/// One of `alert_relabel_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relabelling {
    /// Takes the labels away whose names match this expression.
    Drops(String),
    /// May set this label.
    Sets(String),
    /// May take whole alerts away.
    DropsAlerts,
    /// May do anything.
    Unknown,
}

/// Returns which routes and handlers the alerts of these rules take, on a server with these modules.
pub(crate) fn coverage(
    rules: &[AlertRule],
    labelling: &Labelling,
    router: &Router,
    descriptions: &[Description],
) -> Coverage {
    let described: BTreeMap<&str, &Description> = descriptions
        .iter()
        .map(|one| (one.name.as_str(), one))
        .collect();
    let mut seen = routes::Seen::of(router);
    let alerts: Vec<AlertCoverage> = rules
        .iter()
        .map(|rule| {
            let (series, unread) = match promql::series(&rule.expr) {
                Ok(series) => (series, None),
                Err(why) => (Series::any(), Some(why)),
            };
            let series = labelled(series, rule, labelling, router);
            alert(rule, &series, unread, router, &described, &mut seen)
        })
        .collect();
    let count = |answer| {
        alerts
            .iter()
            .filter(|alert| alert.answer.is(answer))
            .count()
    };
    Coverage {
        counts: [
            Answered::Answered,
            Answered::Fallback,
            Answered::Depends,
            Answered::Unrouted,
        ]
        .map(|answer| (answer, count(answer)))
        .into(),
        routes: seen.into_routes(router),
        alerts,
        assumptions: Vec::new(),
    }
}

/// Returns what is known of the labels of an alert when it arrives: those of the series, the rule's, and the server's.
fn labelled(
    mut series: Series,
    rule: &AlertRule,
    labelling: &Labelling,
    router: &Router,
) -> Series {
    for (label, value) in &rule.labels {
        series.set(
            label,
            match value.contains("{{") {
                true => What::Any,
                false => What::one(value),
            },
        );
    }
    series.set("alertname", What::one(&rule.name));
    series.set("__name__", What::Missing("alerts have none".to_owned()));
    for (label, value) in &labelling.external {
        series.set_if_missing(label, value);
    }
    let asked: BTreeSet<&str> = router
        .routes()
        .iter()
        .flat_map(|route| &route.matchers)
        .map(Matcher::name)
        .collect();
    for relabelling in &labelling.relabellings {
        match relabelling {
            Relabelling::Drops(names) => match Matcher::new("name", MatchOp::Regex, names) {
                Ok(names) => {
                    let is_dropped =
                        |label: &&&str| names.matches(&[("name", **label)].into_iter().collect());
                    let dropped = asked
                        .iter()
                        .filter(is_dropped)
                        .map(|label| (*label).to_owned())
                        .collect();
                    series.take_away(&dropped, "alert_relabel_configs of Prometheus drop it");
                }
                Err(_) => series = Series::any(),
            },
            Relabelling::Sets(label) => series.set(label, What::Any),
            Relabelling::DropsAlerts => {}
            Relabelling::Unknown => series = Series::any(),
        }
    }
    series
}

/// How well an alert is answered, from the worst on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Unrouted,
    Fallback,
    Answered,
}

fn alert(
    rule: &AlertRule,
    series: &Series,
    unread: Option<String>,
    router: &Router,
    described: &BTreeMap<&str, &Description>,
    seen: &mut routes::Seen,
) -> AlertCoverage {
    // What the alert may have got by now if it goes on to the next route, and what it has if it does not.
    let mut going = BTreeSet::from([Rank::Unrouted]);
    let mut ended = BTreeSet::new();
    let mut taken = Vec::new();
    for (place, route) in router.routes().iter().enumerate() {
        let proofs: Vec<(&Matcher, Proof)> = route
            .matchers
            .iter()
            .map(|matcher| (matcher, series.get(matcher.name()).proves(matcher)))
            .collect();
        if proofs
            .iter()
            .any(|(_, proof)| matches!(proof, Proof::Never(_)))
        {
            seen.refused(place, rule, &proofs);
            continue;
        }
        if going.is_empty() {
            seen.not_reached(place);
            continue;
        }
        seen.taken(place);
        let open: Vec<String> = proofs
            .iter()
            .filter(|(_, proof)| *proof == Proof::Maybe)
            .map(|(matcher, _)| matcher.to_string())
            .collect();
        let rank = match route.handlers.iter().any(|name| {
            answers(
                rule,
                described.get(name.as_str()).copied(),
                route.matchers.is_empty(),
            )
        }) {
            true => Rank::Answered,
            false => Rank::Fallback,
        };
        let after: BTreeSet<Rank> = going.iter().map(|before| rank.max(*before)).collect();
        match (open.is_empty(), route.after_match) {
            (true, AfterMatch::Stop) => {
                ended.extend(after);
                going.clear();
            }
            (true, AfterMatch::Continue) => going = after,
            (false, AfterMatch::Stop) => ended.extend(after),
            (false, AfterMatch::Continue) => going.extend(after),
        }
        taken.push(TakenRoute {
            route: router.number(place),
            name: route.name.to_string(),
            handlers: route.handlers.clone(),
            depends_on: open,
        });
    }
    ended.extend(going);
    let worst = ended.first().copied().unwrap_or(Rank::Unrouted);
    AlertCoverage {
        alertname: rule.name.clone(),
        group: rule.group.clone(),
        place: rule.place.clone(),
        severity: rule.labels.get("severity").cloned(),
        answer: match (worst, ended.len()) {
            (_, 2..) => Answered::Depends,
            (Rank::Answered, _) => Answered::Answered,
            (Rank::Fallback, _) => Answered::Fallback,
            (Rank::Unrouted, _) => Answered::Unrouted,
        }
        .into(),
        may_be_unrouted: worst == Rank::Unrouted,
        may_be_fallback: ended.contains(&Rank::Fallback),
        routes: taken,
        unread,
    }
}

/// Returns whether a handler is one for this alert, and not for any. One that only enriches answers nothing; of one whose module
/// is not known, its route decides.
fn answers(rule: &AlertRule, handler: Option<&Description>, is_route_for_all: bool) -> bool {
    let Some(handler) = handler else {
        return !is_route_for_all;
    };
    let names = |alertname: &str| handler.alerts.iter().any(|one| one == alertname);
    !handler.enrich_only && (names(&rule.name) || (!names("*") && !is_route_for_all))
}
