//! What becomes of each route, over all rules: how many alerts may take it, or why none does.

use std::collections::BTreeSet;

use super::AlertRule;
use super::labels::Proof;
use crate::api::RouteCoverage;
use crate::router::{Matcher, Router};

/// The reasons of one route that are shown.
const REASONS_MAX: usize = 3;

/// What was seen of each route.
#[derive(Debug)]
pub(super) struct Seen {
    routes: Vec<SeenRoute>,
}

#[derive(Debug, Default)]
struct SeenRoute {
    /// The alerts that take it, or may.
    taken: usize,
    /// The alerts that match it, or may, and were taken by an earlier route.
    not_reached: usize,
    /// The alerts whose name matches.
    named: usize,
    reasons: BTreeSet<String>,
    more_reasons: usize,
}

impl Seen {
    pub(super) fn of(router: &Router) -> Self {
        let routes = router.routes().iter().map(|_| SeenRoute::default());
        Self {
            routes: routes.collect(),
        }
    }

    pub(super) fn taken(&mut self, place: usize) {
        self.routes[place].taken += 1;
    }

    pub(super) fn not_reached(&mut self, place: usize) {
        self.routes[place].not_reached += 1;
    }

    pub(super) fn refused(&mut self, place: usize, rule: &AlertRule, proofs: &[(&Matcher, Proof)]) {
        let route = &mut self.routes[place];
        let is_other_name = |(matcher, proof): &(&Matcher, Proof)| {
            matcher.name() == "alertname" && matches!(proof, Proof::Never(_))
        };
        if proofs.iter().any(is_other_name) {
            return;
        }
        route.named += 1;
        let first = proofs.iter().find_map(|(matcher, proof)| match proof {
            Proof::Never(why) => Some(format!("{} does not match {matcher}: {why}", rule.name)),
            Proof::Always | Proof::Maybe => None,
        });
        let Some(reason) = first.filter(|reason| !route.reasons.contains(reason)) else {
            return;
        };
        match route.reasons.len() < REASONS_MAX {
            true => {
                route.reasons.insert(reason);
            }
            false => route.more_reasons += 1,
        }
    }

    pub(super) fn into_routes(self, router: &Router) -> Vec<RouteCoverage> {
        let configured = router.configured();
        let routes = router.routes().iter().zip(self.routes).enumerate();
        routes
            .map(|(place, (route, seen))| RouteCoverage {
                route: router.number(place),
                name: route.name.to_string(),
                matchers: route.matchers.iter().map(ToString::to_string).collect(),
                handlers: route.handlers.clone(),
                configured: router.number(place) < configured,
                alerts: seen.taken,
                never: seen.never(),
            })
            .collect()
    }
}

impl SeenRoute {
    /// Returns why no alert takes the route; nothing if one does, or may.
    fn never(self) -> Vec<String> {
        if self.taken > 0 {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        if self.not_reached > 0 {
            reasons.push(match self.not_reached {
                1 => "an earlier route takes the alert that it matches, and does not continue"
                    .to_owned(),
                many => format!(
                    "earlier routes take the {many} alerts that it matches, and do not continue"
                ),
            });
        } else if self.named == 0 {
            reasons.push("no rule has such an alertname".to_owned());
        }
        reasons.extend(self.reasons);
        match self.more_reasons {
            0 => {}
            1 => reasons.push("and 1 more alert".to_owned()),
            more => reasons.push(format!("and {more} more alerts")),
        }
        reasons
    }
}
