//! `routes`: which alerts go to which handlers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::handlers::settings_map;
use crate::alert::{HandlerName, Priority, is_dead_letter_route};
use crate::config::compare::{Compare, Restart, entries};
use crate::config::decode::{Decoding, Part};
use crate::config::key::{Key, Written};
use crate::config::node::{Node, Place};
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::description::THREAD_BY;
use crate::router::{AfterMatch, Matcher, Route};
use crate::units::format_duration;

/// For a list of handlers that is empty; mostly the alerts are meant to be dropped.
const EMPTY_ADVICE: &str = "name one, as in handlers: [slack-notify]; to drop these alerts, let Alertmanager not send them \
                            (a receiver without integrations), or leave the route out if no other matches them";

pub(in crate::config) const ROUTES: Part = Part {
    keys: &[Key::new(
        "routes",
        Written::Items(ROUTE_KEYS),
        "The first route whose matchers all match handles an alert; with `continue: true` later ones may too. Handlers that \
         no route names, and all of them if there are no routes, get routes from what their modules declare. \
         `alert-manager routes severity=critical …` explains.",
    )],
    read: routes,
    compare: Compare::Entries(|old, new| changes(&old.routes, &new.routes)),
    restart: Restart::No,
};

pub(super) const MATCHERS: Key = Key::new(
    "matchers",
    Written::Texts,
    "Matchers in Alertmanager's syntax (`=`, `!=`, `=~`, `!~`), which must all match. Regular expressions are RE2's and must \
     match the whole value.",
)
.example("['alertname=\"KubePodCrashLooping\"', 'namespace=~\"prod-.*\"']");

const ROUTE_KEYS: &[Key] = &[
    Key::new("name", Written::Text, "A name for lists and logs.")
        .default("a digest of matchers and handlers")
        .example("crash-loops"),
    MATCHERS,
    Key::new(
        "handlers",
        Written::Texts,
        "The handlers that run: all of them enrich, in this order; then all of them act.",
    )
    .example("[slack-notify]"),
    Key::new("continue", Written::Boolean, "Whether later routes are looked at too.")
        .default("false")
        .example("true"),
    Key::new(
        "priority",
        Written::Scalar("critical, warning or normal"),
        "`critical`, `warning` or `normal`: what runs first if something waits.",
    )
    .default("by the labels `severity` and `priority`")
    .example("critical"),
    Key::new(
        "repeat_after",
        Written::Duration,
        "An alert that is sent again, unchanged, later than this after it last ran runs as a reminder. Keep it below \
         Alertmanager's `repeat_interval`.",
    )
    .default_of(|| format_duration(Route::new(Vec::new(), Vec::new()).repeat_after))
    .example("1h"),
    Key::new("slack", Written::Mapping(ROUTE_SLACK_KEYS), "How messages of this route are posted to Slack."),
    Key::new("config", Written::Settings, "Settings that override those of each handler.")
        .example("{ channel: oncall }"),
];

/// The value of `slack.thread_by`.
const GROUP: &str = "group";

const ROUTE_SLACK_KEYS: &[Key] = &[Key::new(
    "thread_by",
    Written::Scalar(GROUP),
    "`group`: the alerts of one Alertmanager group share a parent message, which counts them, and are posted into its thread. \
     Handlers get it as the setting `slack.thread_by`.",
)
.example(GROUP)];

fn routes(d: &mut Decoding<'_>) {
    let Some((key, node, path)) = d.top.find("routes") else {
        return;
    };
    let mut places: BTreeMap<Arc<str>, Place> = BTreeMap::new();
    let mut catch_all: Option<usize> = None;
    for (index, item) in d.reader.items(node, &path).iter().enumerate() {
        let path = format!("{path}[{index}]");
        let section = Section::open(d.reader, item, &path, key.written.keys());
        let route = route(d.reader, section);
        if let Some(earlier) = catch_all {
            let message = format!("no alert reaches {path}: routes[{earlier}] takes every alert");
            let advice = "move the route without matchers to the end, or give it continue: true";
            d.reader.warn(item.at, message, advice);
        }
        // A route whose matchers could not be read would look like one without any.
        let Some(route) = route else { continue };
        if is_dead_letter_route(&route.name) {
            let message = format!("{path} has the name of a route for dead letters");
            d.reader.fail(item.at, message, "give it another");
        }
        if places.insert(route.name.clone(), item.at).is_some() {
            let message = format!("{path} is the second route with the name {}", route.name);
            let advice = "give each route a name of its own (by default it is made of its matchers and handlers)";
            d.reader.fail(item.at, message, advice);
        }
        if route.takes_all() {
            catch_all.get_or_insert(index);
        }
        d.config.routes.push(route);
    }
}

fn route(reader: &mut Reader, mut section: Section<'_>) -> Option<Route> {
    let name = section.text(reader, "name");
    let matchers = matchers(reader, &mut section);
    let handlers = handlers(reader, &mut section);
    let mut route = Route::new(matchers?, handlers?);
    if let Some(name) = name {
        route.name = name.into();
    }
    if section.value(reader, "continue") == Some(true) {
        route.after_match = AfterMatch::Continue;
    }
    section.set(reader, "repeat_after", &mut route.repeat_after);
    route.priority = section.parsed(reader, "priority", |text| {
        let mut all = Priority::ALL.into_iter();
        all.find(|priority| priority.as_str() == text)
    });
    route.config = settings_map(reader, &mut section);
    if let Some(mut slack) = section.below(reader, "slack") {
        let thread_by = slack.parsed(reader, "thread_by", |text| {
            (text == GROUP).then(|| text.to_owned())
        });
        if let Some(by) = thread_by {
            Arc::make_mut(&mut route.config).insert(THREAD_BY.to_owned(), by);
        }
        slack.finish(reader);
    }
    section.finish(reader);
    Some(route)
}

/// Returns the matchers, none if the key is absent; None if one cannot be read.
pub(super) fn matchers(reader: &mut Reader, section: &mut Section<'_>) -> Option<Vec<Matcher>> {
    let mut matchers = Some(Vec::new());
    let Some((node, path)) = section.take("matchers") else {
        return matchers;
    };
    for (at, text) in reader.texts(node, &path) {
        match Matcher::parse(text) {
            Ok(more) => {
                warn_of(reader, at, &path, text, &more);
                matchers
                    .iter_mut()
                    .for_each(|list| list.extend_from_slice(&more));
            }
            Err(error) => {
                let advice = "the syntax is Alertmanager's: = != =~ !~";
                reader.fail(at, format!("{path}: {error}"), advice);
                matchers = None;
            }
        }
    }
    matchers
}

/// Warns of matchers that Alertmanager accepts and that are probably not meant.
fn warn_of(reader: &mut Reader, at: Place, path: &str, text: &str, matchers: &[Matcher]) {
    if matchers.is_empty() {
        let message = format!("{path}: {text:?} holds no matcher, so it matches every alert");
        reader.warn(at, message, "leave it out, or write alertname=\"Name\"");
    }
    for matcher in matchers {
        // If the = is quoted, it is meant.
        let mut operators = text.split(matcher.name()).map(str::trim_start);
        let is_doubled = operators.any(|rest| {
            let second = rest.strip_prefix('=').map(str::trim_start);
            second.is_some_and(|second| second.starts_with('='))
        });
        if is_doubled && matcher.value().starts_with('=') {
            let message = format!("{path}: {matcher} compares with a text that begins with =");
            reader.warn(at, message, "the operator is =, not ==");
        }
    }
}

fn handlers(reader: &mut Reader, section: &mut Section<'_>) -> Option<Vec<HandlerName>> {
    let taken = section.take("handlers");
    let (mut handlers, mut is_empty) = (Vec::new(), true);
    if let Some((node, path)) = &taken {
        // Another value than a list is reported as such.
        is_empty = node.scalar().is_none() && !node.has_items();
        handlers = handler_names(reader, node, path, "a handler runs once in a route");
    }
    if is_empty {
        let message = format!("{} names no handler", section.path);
        let (at, advice) = match taken {
            Some((node, _)) => (node.at, EMPTY_ADVICE),
            None => (section.at, "add handlers: [slack-notify]"),
        };
        reader.fail(at, message, advice);
        return None;
    }
    (!handlers.is_empty()).then_some(handlers)
}

/// Reads a list of names of handlers; `once` says why one may not be named twice.
pub(super) fn handler_names(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    once: &str,
) -> Vec<HandlerName> {
    let mut handlers = Vec::new();
    let mut seen = BTreeSet::new();
    for (at, name) in reader.texts(node, path) {
        if !HandlerName::is_kebab_case(name) {
            let message = format!("{path}: {name:?} is not the name of a handler");
            reader.fail(at, message, "a name is in kebab-case, as in slack-notify");
        } else if !seen.insert(name) {
            reader.fail(at, format!("{path} names {name} twice"), once);
        } else {
            handlers.push(HandlerName::new(name));
        }
    }
    handlers
}

/// Compares routes by their names. A route without a name that has other matchers or handlers is another route.
fn changes(old: &[Route], new: &[Route]) -> Vec<String> {
    let by_name = |routes: &[Route]| -> BTreeMap<String, Route> {
        let routes = routes.iter();
        routes.map(|route| (shown(route), route.clone())).collect()
    };
    let (old_names, new_names) = (by_name(old), by_name(new));
    let mut changes = entries("routes", &old_names, &new_names, |_, _| String::new());
    let kept = |routes: &[Route], others: &BTreeMap<String, Route>| -> Vec<String> {
        let names = routes.iter().map(shown);
        names.filter(|name| others.contains_key(name)).collect()
    };
    if kept(old, &new_names) != kept(new, &old_names) {
        changes.push("routes: reordered".to_owned());
    }
    changes
}

/// Returns a route's name; if that is a digest, its matchers and handlers.
fn shown(route: &Route) -> String {
    if route.name != Route::digest(&route.matchers, &route.handlers) {
        return route.name.to_string();
    }
    let matchers: Vec<_> = route.matchers.iter().map(ToString::to_string).collect();
    let handlers: Vec<_> = route.handlers.iter().map(HandlerName::as_str).collect();
    format!("{{{}}} → {}", matchers.join(","), handlers.join(","))
}
