//! The router: decides by an alert's labels which routes it takes.

mod matcher;
mod re2;
mod storm;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::alert::{HandlerName, Labels, Priority, Ranked, RankedBy, SeverityMap};
use crate::description::Description;
use crate::plan::Plan;

pub use matcher::{MatchOp, Matcher, MatcherError};
pub use storm::InStorm;

/// Slightly less than Alertmanager's default `repeat_interval` of 4 hours, so that each of its reminders runs.
pub const REPEAT_AFTER_DEFAULT: Duration = Duration::from_secs((3 * 60 + 50) * 60);

/// What decides about deliveries beside the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `severity_map`: a team's own words for the severity of an alert.
    pub severity_map: SeverityMap,
    /// `storm.by`: the labels whose values are equal among the alerts of a storm. Empty if storms are off.
    pub storm_by: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let storm_by = ["alertname", "cluster"].map(str::to_owned);
        Self {
            severity_map: SeverityMap::default(),
            storm_by: storm_by.into(),
        }
    }
}

/// A route: which alerts match, and which handlers run for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The configured name, or [`Route::digest`].
    pub name: Arc<str>,
    /// The matchers, which must all match. A route without any matches every alert.
    pub matchers: Vec<Matcher>,
    /// The handlers, in the order in which they enrich and then act.
    pub handlers: Vec<HandlerName>,
    /// Whether an alert that matched is also tried on later routes.
    pub after_match: AfterMatch,
    /// How long after its last run a repeated event runs again.
    pub repeat_after: Duration,
    /// Overrides the priority that the alert's severity gives.
    pub priority: Option<Priority>,
    /// Overrides the handlers' own settings: scalars as written, the rest as JSON.
    pub config: Arc<BTreeMap<String, String>>,
}

/// Whether an alert that matched a route is also tried on later routes: `continue` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterMatch {
    /// Later routes are not tried.
    #[default]
    Stop,
    /// Later routes are tried.
    Continue,
}

impl Route {
    /// Returns a route with these matchers and handlers, and defaults for the rest.
    #[must_use]
    pub fn new(matchers: Vec<Matcher>, handlers: Vec<HandlerName>) -> Self {
        Self {
            name: Self::digest(&matchers, &handlers),
            matchers,
            handlers,
            after_match: AfterMatch::Stop,
            repeat_after: REPEAT_AFTER_DEFAULT,
            priority: None,
            config: Arc::default(),
        }
    }

    /// Returns the name of a route without a configured one: 12 hexadecimal digits that depend only on its matchers and
    /// handlers.
    #[must_use]
    pub fn digest(matchers: &[Matcher], handlers: &[HandlerName]) -> Arc<str> {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update(text);
            hash.update([0]);
        };
        for matcher in matchers {
            add(&matcher.to_string());
        }
        add("");
        for handler in handlers {
            add(handler.as_str());
        }
        let digest = hash.finalize();
        let hex: String = digest[..6].iter().map(|b| format!("{b:02x}")).collect();
        hex.into()
    }

    /// Returns whether all matchers match.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// Returns whether no alert can get past this route to a later one.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.matchers.is_empty() && self.after_match == AfterMatch::Stop
    }
}

/// The routes, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Router {
    routes: Vec<Route>,
    /// The number of each route in lists: those of the configuration come first.
    numbers: Vec<usize>,
    configured: usize,
    /// How the deliveries of each route run in a storm.
    in_storm: Vec<InStorm>,
    settings: Settings,
    /// The settings of the routes of the server's own alerts, by the routes' names.
    own: BTreeMap<Arc<str>, Arc<BTreeMap<String, String>>>,
}

impl Router {
    /// Takes the routes in the order of the configuration.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        Self::with_described(routes, &[])
    }

    /// Takes the routes of the configuration and adds routes for the modules that none of them names, before the first route
    /// without matchers: for each alertname, in byte order, one with the handlers that name it; last, one with the handlers that
    /// name `*`.
    #[must_use]
    pub fn with_described(configured: Vec<Route>, descriptions: &[Description]) -> Self {
        let named: BTreeSet<&HandlerName> = configured
            .iter()
            .flat_map(|route| &route.handlers)
            .collect();
        let unrouted = descriptions
            .iter()
            .filter(|description| !named.contains(&description.name));
        let described = described_routes(unrouted);

        let place = configured
            .iter()
            .position(|route| route.matchers.is_empty())
            .unwrap_or(configured.len());
        let mut numbers: Vec<usize> = (0..configured.len()).collect();
        let later = configured.len()..configured.len() + described.len();
        numbers.splice(place..place, later.clone());
        let mut routes = configured;
        routes.splice(place..place, described);
        let in_storm = routes.iter();
        let in_storm = in_storm.map(|route| InStorm::of(&route.handlers, descriptions));
        Self {
            in_storm: in_storm.collect(),
            routes,
            numbers,
            configured: later.start,
            settings: Settings::default(),
            own: BTreeMap::new(),
        }
    }

    /// Replaces the settings, which are the defaults otherwise.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Adds the settings of routes that alerts do not take by their labels.
    #[must_use]
    pub fn with_own(
        mut self,
        own: impl Iterator<Item = (Arc<str>, Arc<BTreeMap<String, String>>)>,
    ) -> Self {
        self.own = own.collect();
        self
    }

    /// Returns the routes in the order in which they are tried.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Returns the settings of the route with this name, if it exists.
    #[must_use]
    pub fn config_of(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        if let Some(config) = self.own.get(name) {
            return Some(config);
        }
        let route = self.routes.iter().find(|route| &*route.name == name)?;
        Some(&route.config)
    }

    /// Returns the number in lists of the route at `index`: its index in the configuration; routes made from descriptions are
    /// numbered after those of the configuration.
    #[must_use]
    pub fn number(&self, index: usize) -> usize {
        self.numbers.get(index).copied().unwrap_or(index)
    }

    /// Returns how many routes the configuration has: their numbers are below.
    #[must_use]
    pub fn configured(&self) -> usize {
        self.configured
    }

    /// Returns the indexes of the routes that an alert with `labels` takes, in order.
    #[must_use]
    pub fn matching(&self, labels: &Labels) -> Vec<usize> {
        let mut taken = Vec::with_capacity(1);
        for (index, route) in self.routes.iter().enumerate() {
            if route.matches(labels) {
                taken.push(index);
                if route.after_match == AfterMatch::Stop {
                    break;
                }
            }
        }
        taken
    }

    /// Returns the priority that the route at `index` gives to an alert with `labels`, and what decides it.
    #[must_use]
    pub fn priority(&self, index: usize, labels: &Labels) -> Ranked {
        match self.routes.get(index).and_then(|route| route.priority) {
            Some(priority) => Ranked::new(priority, RankedBy::Route),
            None => self.settings.severity_map.of(labels),
        }
    }

    /// Returns how the deliveries of the route at `index` run in a storm; `None` if storms are off, or if there is no such
    /// route.
    #[must_use]
    pub fn in_storm(&self, index: usize) -> Option<&InStorm> {
        let is_on = !self.settings.storm_by.is_empty();
        self.in_storm.get(index).filter(|_| is_on)
    }

    /// Returns a plan for each route that an alert with `labels` takes, in order.
    #[must_use]
    pub fn plan(&self, labels: &Labels) -> Vec<Plan> {
        let taken = self.matching(labels).into_iter();
        taken
            .map(|index| {
                let route = &self.routes[index];
                let runs_as_one = self.in_storm(index) == Some(&InStorm::One);
                Plan {
                    route: route.name.clone(),
                    handlers: route.handlers.clone(),
                    priority: self.priority(index, labels).priority,
                    repeat_after: route.repeat_after,
                    storm: runs_as_one.then(|| storm::key(&self.settings.storm_by, labels)),
                }
            })
            .collect()
    }

    /// Returns for every route whether an alert with `labels` takes it, and why.
    #[must_use]
    pub fn explain(&self, labels: &Labels) -> Vec<RouteVerdict> {
        let mut taken_by = None;
        let mut verdicts = Vec::with_capacity(self.routes.len());
        for (index, route) in self.routes.iter().enumerate() {
            let matchers: Vec<_> = route
                .matchers
                .iter()
                .map(|matcher| MatcherVerdict {
                    matcher: matcher.to_string(),
                    value: labels.get(matcher.name()).map(str::to_owned),
                    matches: matcher.matches(labels),
                })
                .collect();
            let matches = matchers.iter().all(|verdict| verdict.matches);
            verdicts.push(RouteVerdict {
                index,
                matchers,
                outcome: match (taken_by, matches) {
                    (Some(earlier), _) => RouteOutcome::NotReached { taken_by: earlier },
                    (None, true) => RouteOutcome::Taken,
                    (None, false) => RouteOutcome::NoMatch,
                },
            });
            if matches && taken_by.is_none() && route.after_match == AfterMatch::Stop {
                taken_by = Some(index);
            }
        }
        verdicts
    }
}

/// Whether a route takes an alert, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteVerdict {
    /// The route's index in [`Router::routes`].
    pub index: usize,
    /// The verdicts of its matchers, in order.
    pub matchers: Vec<MatcherVerdict>,
    /// Whether the alert takes it.
    pub outcome: RouteOutcome,
}

/// Whether an alert takes a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOutcome {
    /// It matches.
    Taken,
    /// It does not match.
    NoMatch,
    /// An earlier route took the alert and does not `continue`.
    NotReached {
        /// That route's index.
        taken_by: usize,
    },
}

/// Whether a matcher matches an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatcherVerdict {
    /// The matcher as Alertmanager writes it.
    pub matcher: String,
    /// The label's value, if the alert has it.
    pub value: Option<String>,
    /// Whether it matches.
    pub matches: bool,
}

fn described_routes<'a>(descriptions: impl Iterator<Item = &'a Description>) -> Vec<Route> {
    let mut by_alertname: BTreeMap<&str, BTreeSet<&HandlerName>> = BTreeMap::new();
    for description in descriptions {
        for alertname in &description.alerts {
            by_alertname
                .entry(alertname)
                .or_default()
                .insert(&description.name);
        }
    }
    let any = by_alertname.remove("*");
    let handlers = |names: BTreeSet<&HandlerName>| names.into_iter().cloned().collect();
    by_alertname
        .into_iter()
        .map(|(alertname, names)| {
            let matcher = Matcher::equal("alertname", alertname);
            Route::new(vec![matcher], handlers(names))
        })
        .chain(any.map(|names| Route::new(Vec::new(), handlers(names))))
        .collect()
}
