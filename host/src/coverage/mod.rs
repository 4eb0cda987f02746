//! Which alerts of a set of rules take which routes and handlers, as far as the rules prove it: pure, without I/O.

mod labels;
mod promql;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{AlertCoverage, Answered, Coverage, TakenRoute};
use crate::description::Description;
use crate::router::{AfterMatch, MatchOp, Matcher, Route, Router};
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

/// What an alert may have got from the routes so far.
struct Walk {
    /// If it goes on to the next route; empty if it surely does not.
    going: BTreeSet<Rank>,
    /// If an earlier route took it for good.
    ended: BTreeSet<Rank>,
}

impl Walk {
    fn new() -> Self {
        Self {
            going: BTreeSet::from([Rank::Unrouted]),
            ended: BTreeSet::new(),
        }
    }

    /// Takes a route that gives this rank, surely or maybe.
    fn take(&mut self, rank: Rank, is_sure: bool, after_match: AfterMatch) {
        let after: BTreeSet<Rank> = self.going.iter().map(|before| rank.max(*before)).collect();
        if is_sure {
            self.going.clear();
        }
        match after_match {
            AfterMatch::Stop => self.ended.extend(after),
            AfterMatch::Continue => self.going.extend(after),
        }
    }

    /// Returns what it may have got in the end.
    fn end(mut self) -> BTreeSet<Rank> {
        self.ended.extend(self.going);
        self.ended
    }
}

fn alert(
    rule: &AlertRule,
    series: &Series,
    unread: Option<String>,
    router: &Router,
    described: &BTreeMap<&str, &Description>,
    seen: &mut routes::Seen,
) -> AlertCoverage {
    let mut walk = Walk::new();
    let mut taken = Vec::new();
    for (place, route) in router.routes().iter().enumerate() {
        let proof = |matcher| (matcher, series.get(Matcher::name(matcher)).proves(matcher));
        let proofs: Vec<(&Matcher, Proof)> = route.matchers.iter().map(proof).collect();
        if proofs
            .iter()
            .any(|(_, proof)| matches!(proof, Proof::Never(_)))
        {
            seen.refused(place, rule, &proofs);
            continue;
        }
        if walk.going.is_empty() {
            seen.not_reached(place);
            continue;
        }
        seen.taken(place);
        let open = proofs.iter().filter(|(_, proof)| *proof == Proof::Maybe);
        let open: Vec<String> = open.map(|(matcher, _)| matcher.to_string()).collect();
        let rank = rank(rule, route, described);
        walk.take(rank, open.is_empty(), route.after_match);
        taken.push(TakenRoute {
            route: router.number(place),
            name: route.name.to_string(),
            handlers: route.handlers.clone(),
            depends_on: open,
        });
    }
    let ranks = walk.end();
    AlertCoverage {
        alertname: rule.name.clone(),
        group: rule.group.clone(),
        place: rule.place.clone(),
        severity: rule.labels.get("severity").cloned(),
        answer: answered(&ranks).into(),
        may_be_unrouted: ranks.contains(&Rank::Unrouted),
        may_be_fallback: ranks.contains(&Rank::Fallback),
        routes: taken,
        unread,
    }
}

/// Returns how well a route answers an alert. Handlers that only enrich notify nobody.
fn rank(rule: &AlertRule, route: &Route, described: &BTreeMap<&str, &Description>) -> Rank {
    let handlers = route.handlers.iter();
    let handlers = handlers.map(|name| described.get(name.as_str()).copied());
    let mut actors = handlers
        .filter(|handler| handler.is_none_or(|handler| !handler.enrich_only))
        .peekable();
    if actors.peek().is_none() {
        return Rank::Unrouted;
    }
    match actors.any(|handler| answers(rule, handler, route.matchers.is_empty())) {
        true => Rank::Answered,
        false => Rank::Fallback,
    }
}

fn answered(ranks: &BTreeSet<Rank>) -> Answered {
    match (ranks.len(), ranks.first()) {
        (2.., _) => Answered::Depends,
        (_, Some(Rank::Answered)) => Answered::Answered,
        (_, Some(Rank::Fallback)) => Answered::Fallback,
        (_, Some(Rank::Unrouted) | None) => Answered::Unrouted,
    }
}

/// Returns whether a handler that acts is one for this alert, and not for any. Of one whose module is not known, its route
/// decides.
fn answers(rule: &AlertRule, handler: Option<&Description>, is_route_for_all: bool) -> bool {
    let Some(handler) = handler else {
        return !is_route_for_all;
    };
    let names = |alertname: &str| handler.alerts.iter().any(|one| one == alertname);
    names(&rule.name) || (!names("*") && !is_route_for_all)
}
