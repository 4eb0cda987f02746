//! How each route runs in a storm: which actors run once for each alert, and which as one.

use serde_json::{Value, json};

use crate::alert::HandlerName;
use crate::cli::explain;
use crate::description::Description;
use crate::router::{InStorm, Router};

/// Of routes with the same actors, the numbers that a line shows.
const ROUTES_SHOWN_MAX: usize = 8;

/// The routes, in the order in which they are tried; none if storms are off.
#[derive(Default)]
pub(super) struct Storms(Vec<RouteInStorm>);

struct RouteInStorm {
    /// Its number in lists.
    route: usize,
    name: String,
    /// Its handlers that act.
    actors: Vec<HandlerName>,
    runs: InStorm,
}

impl Storms {
    pub(super) fn of(router: &Router, descriptions: &[Description]) -> Self {
        let acts = |name: &&HandlerName| {
            let mut descriptions = descriptions.iter();
            !descriptions.any(|description| description.name == **name && description.enrich_only)
        };
        let routes = router.routes().iter().enumerate();
        // A route with a handler that has no module is reported, and how it runs is not known.
        let has_module =
            |name: &HandlerName| descriptions.iter().any(|described| described.name == *name);
        let routes = routes.filter(|(_, route)| route.handlers.iter().all(has_module));
        let routes = routes.filter_map(|(index, route)| {
            Some(RouteInStorm {
                route: router.number(index),
                name: route.name.to_string(),
                actors: route.handlers.iter().filter(acts).cloned().collect(),
                runs: router.in_storm(index)?.clone(),
            })
        });
        Self(routes.collect())
    }

    pub(super) fn json(&self) -> Value {
        let routes = self.0.iter().map(|route| {
            let (runs, because) = match &route.runs {
                InStorm::One => ("one", &[][..]),
                InStorm::Each { because } => ("each", because.as_slice()),
            };
            json!({
                "route": route.route,
                "name": route.name,
                "actors": route.actors,
                "runs": runs,
                "because": because,
            })
        });
        routes.collect()
    }

    /// Returns a line for each pipeline of actors, with the routes that have it.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut pipelines: Vec<(&RouteInStorm, Vec<usize>)> = Vec::new();
        for route in self.0.iter().filter(|route| !route.actors.is_empty()) {
            let is_same =
                |other: &RouteInStorm| (&other.actors, &other.runs) == (&route.actors, &route.runs);
            match pipelines.iter_mut().find(|(first, _)| is_same(first)) {
                Some((_, routes)) => routes.push(route.route),
                None => pipelines.push((route, vec![route.route])),
            }
        }
        let lines = pipelines.into_iter().map(|(route, mut routes)| {
            routes.sort_unstable();
            let (actors, routes) = (explain::joined(&route.actors, ", "), numbers(&routes));
            match &route.runs {
                InStorm::One => format!("in a storm, {routes} as one: {actors}"),
                InStorm::Each { because } => format!(
                    "in a storm, {routes} for each alert: {actors}, since `storm: one` is not declared by {}",
                    explain::joined(because, ", ")
                ),
            }
        });
        lines.collect()
    }
}

/// Returns the numbers of routes, of many the first.
fn numbers(routes: &[usize]) -> String {
    let (first, rest) = routes.split_at(routes.len().min(ROUTES_SHOWN_MAX));
    let first: Vec<_> = first.iter().map(ToString::to_string).collect();
    let first = first.join(", ");
    match (routes.len(), rest.len()) {
        (1, _) => format!("route {first} runs"),
        (_, 0) => format!("routes {first} run"),
        (_, more) => format!("routes {first} and {more} more run"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::router::Route;

    fn route(route: usize, actors: &[&str], because: &[&str]) -> RouteInStorm {
        let names = |names: &[&str]| -> Vec<HandlerName> {
            names.iter().map(|name| HandlerName::new(name)).collect()
        };
        RouteInStorm {
            route,
            name: format!("route-{route}"),
            actors: names(actors),
            runs: match names(because) {
                because if because.is_empty() => InStorm::One,
                because => InStorm::Each { because },
            },
        }
    }

    #[test]
    fn routes_with_the_same_actors_share_a_line() {
        let routes = vec![
            route(0, &["notify"], &[]),
            route(2, &["restart", "notify"], &["restart"]),
            route(1, &["notify"], &[]),
            route(3, &[], &[]),
        ];
        assert_eq!(
            Storms(routes).lines(),
            [
                "in a storm, routes 0, 1 run as one: notify",
                "in a storm, route 2 runs for each alert: restart, notify, since `storm: one` is not declared by restart",
            ]
        );
        let many = (0..12).map(|number| route(number, &["notify"], &[]));
        assert_eq!(
            Storms(many.collect()).lines(),
            ["in a storm, routes 0, 1, 2, 3, 4, 5, 6, 7 and 4 more run as one: notify"]
        );
    }

    #[test]
    fn a_route_to_a_handler_without_a_module_is_left_out() {
        let described = |name: &str| -> Description {
            let json = json!({ "name": name, "version": "1.0.0", "summary": "", "alerts": [] });
            serde_json::from_value(json).unwrap()
        };
        let to = |name: &str| Route::new(Vec::new(), vec![HandlerName::new(name)]);
        let router = Router::new(vec![to("notify"), to("missing")]);
        let Storms(routes) = Storms::of(&router, &[described("notify")]);
        let numbers: Vec<_> = routes.iter().map(|route| route.route).collect();
        assert_eq!(numbers, [0]);
    }

    #[test]
    fn each_route_is_listed_with_those_that_run_for_each_alert() {
        let routes = vec![
            route(0, &["notify"], &[]),
            route(1, &["restart", "notify"], &["restart"]),
        ];
        assert_eq!(
            Storms(routes).json(),
            json!([
                { "route": 0, "name": "route-0", "actors": ["notify"], "runs": "one", "because": [] },
                { "route": 1, "name": "route-1", "actors": ["restart", "notify"], "runs": "each", "because": ["restart"] },
            ])
        );
    }
}
