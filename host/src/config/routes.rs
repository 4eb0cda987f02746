//! Decodes `routes`.

use std::collections::{BTreeMap, BTreeSet};

use super::handlers::{is_kebab_case, settings_map};
use super::yaml::{Node, Place, Reader, Section};
use crate::alert::{HandlerName, Priority, is_dead_letter_route};
use crate::router::{AfterMatch, Matcher, Route};

/// Mostly of somebody who means to drop alerts.
const EMPTY_ADVICE: &str = "name one, as in handlers: [slack-notify]; to drop these alerts, let Alertmanager not send them \
                            (a receiver without integrations), or leave the route out if no other takes them";

pub(super) fn routes(reader: &mut Reader, node: Option<(&Node, String)>) -> Vec<Route> {
    let Some((node, path)) = node else {
        return Vec::new();
    };
    let mut routes = Vec::new();
    let mut places: BTreeMap<std::sync::Arc<str>, Place> = BTreeMap::new();
    let mut catch_all: Option<usize> = None;
    for (index, item) in reader.items(node, &path).iter().enumerate() {
        let path = format!("{path}[{index}]");
        let route = route(reader, item, &path);
        if let Some(earlier) = catch_all {
            let message = format!("no alert reaches {path}: routes[{earlier}] takes every alert");
            let advice = "move the route without matchers to the end, or give it continue: true";
            reader.warn(item.at, message, advice);
        }
        // A route whose matchers could not be read would look like one without any.
        let Some(route) = route else { continue };
        if is_dead_letter_route(&route.name) {
            let message = format!("{path} has the name of a route for dead letters");
            reader.fail(item.at, message, "give it another");
        }
        if places.insert(route.name.clone(), item.at).is_some() {
            let message = format!("{path} is the second route with the name {}", route.name);
            let advice = "give each route a name of its own (by default it is made of its matchers and handlers)";
            reader.fail(item.at, message, advice);
        }
        if route.takes_all() {
            catch_all.get_or_insert(index);
        }
        routes.push(route);
    }
    routes
}

fn route(reader: &mut Reader, node: &Node, path: &str) -> Option<Route> {
    let mut section = reader.section(node, path);
    let name = section
        .take("name")
        .and_then(|(node, path)| reader.text(node, &path));
    let matchers = matchers(reader, section.take("matchers"));
    let handlers = handlers(reader, &mut section);
    let mut route = Route::new(matchers?, handlers?);
    if let Some(name) = name {
        route.name = name.into();
    }
    if let Some((node, path)) = section.take("continue")
        && reader.boolean(node, &path) == Some(true)
    {
        route.after_match = AfterMatch::Continue;
    }
    if let Some((node, path)) = section.take("repeat_after")
        && let Some(time) = reader.duration(node, &path)
    {
        route.repeat_after = time;
    }
    if let Some((node, path)) = section.take("priority") {
        let what = "critical, warning or normal";
        route.priority = reader.scalar(node, &path, what, |text| match text {
            "critical" => Some(Priority::Critical),
            "warning" => Some(Priority::Warning),
            "normal" => Some(Priority::Normal),
            _ => None,
        });
    }
    route.config = settings_map(reader, section.take("config"));
    section.finish(reader);
    Some(route)
}

/// Returns the matchers, none where the key is absent; None where one cannot be read.
pub(super) fn matchers(reader: &mut Reader, node: Option<(&Node, String)>) -> Option<Vec<Matcher>> {
    let mut matchers = Some(Vec::new());
    let Some((node, path)) = node else {
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

/// Warns of what Alertmanager takes and hardly anybody means.
fn warn_of(reader: &mut Reader, at: Place, path: &str, text: &str, matchers: &[Matcher]) {
    if matchers.is_empty() {
        let message = format!("{path}: {text:?} holds no matcher, so it matches every alert");
        reader.warn(at, message, "leave it out, or write alertname=\"Name\"");
    }
    for matcher in matchers {
        // Not where the = is quoted: then it is meant.
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
    let mut handlers = Vec::new();
    let mut seen = BTreeSet::new();
    let mut is_empty = true;
    if let Some((node, path)) = &taken {
        for (at, name) in reader.texts(node, path) {
            is_empty = false;
            if !is_kebab_case(name) {
                let message = format!("{path}: {name:?} is no name of a handler");
                reader.fail(at, message, "a name is in kebab-case, as in slack-notify");
            } else if !seen.insert(name) {
                let message = format!("{path} names {name} twice");
                reader.fail(at, message, "a handler runs once in a route");
            } else {
                handlers.push(HandlerName::new(name));
            }
        }
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
