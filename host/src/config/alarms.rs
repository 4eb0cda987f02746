//! `heartbeats` and `dead_letter`: what happens when alerts do not come, or fail.

use std::collections::{BTreeMap, BTreeSet};

use super::credentials::secret;
use super::handlers::is_kebab_case;
use super::proxy::via_proxy;
use super::routes::matchers;
use super::sections::Env;
use super::yaml::{Entry, Node, Reader};
use crate::alarms::{Expected, Ping};
use crate::alert::HandlerName;
use crate::secret::SecretSource;

/// `heartbeats`, told apart by what they hold.
#[derive(Debug, Default)]
pub(super) struct HeartbeatsSection {
    pub(super) expected: BTreeMap<String, Expected>,
    pub(super) pings: Vec<Ping>,
}

pub(super) fn heartbeats(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
    env: Env<'_>,
    has_proxy: bool,
) -> HeartbeatsSection {
    let mut heartbeats = HeartbeatsSection::default();
    let Some((node, path)) = node else {
        return heartbeats;
    };
    for entry in reader.entries(node, &path) {
        let path = format!("{path}.{}", entry.key);
        heartbeat(reader, entry, &path, (env, has_proxy), &mut heartbeats);
    }
    heartbeats
}

fn heartbeat(
    reader: &mut Reader,
    entry: &Entry,
    path: &str,
    (env, has_proxy): (Env<'_>, bool),
    into: &mut HeartbeatsSection,
) {
    let (name, node) = (&entry.key, &entry.value);
    const URL: [&str; 3] = ["ping_url", "ping_url_file", "ping_url_env"];
    let mut section = reader.section(node, path);
    let every = section
        .take("every")
        .map(|(node, path)| reader.time(node, &path));
    if every.is_none() {
        let message = format!("{path} does not say how often");
        reader.fail(node.at, message, "add every: 5m");
    }
    let every = every.flatten();
    let (expects, pings) = (section.has_any(&["matchers"]), section.has_any(&URL));
    if expects == pings {
        let message = if expects {
            format!("{path} has matchers and a URL to ping")
        } else {
            format!("{path} neither expects an alert nor pings")
        };
        let advice =
            "give matchers for an alert that is to come, or ping_url_file for a URL to ask";
        reader.fail(node.at, message, advice);
        // What belongs to either kind is known, so that it is not reported as a mistake of its own.
        for key in URL.into_iter().chain(["matchers"]) {
            section.take(key);
        }
    } else if expects {
        let matchers = matchers(reader, section.take("matchers"));
        if let (Some(every), Some(matchers)) = (every, matchers) {
            if matchers.is_empty() {
                let message = format!("{path}.matchers is empty, so any alert would do");
                reader.fail(
                    node.at,
                    message,
                    "write matchers: ['alertname=\"Watchdog\"']",
                );
            }
            into.expected
                .insert(name.clone(), Expected { matchers, every });
        }
    } else if let Some(url) = secret(reader, &mut section, URL, env) {
        check_url(reader, node, path, &url);
        let via_proxy = via_proxy(reader, section.take("via_proxy"), has_proxy);
        into.pings.extend(every.map(|every| Ping {
            name: name.clone(),
            url,
            every,
            via_proxy,
        }));
    }
    section.finish(reader);
}

/// A dead man's switch that cannot be reached would be noticed only by its alarm.
fn check_url(reader: &mut Reader, node: &Node, path: &str, url: &SecretSource) {
    match url.read() {
        Err(error) => {
            let advice = "until it can be read, nothing is pinged";
            reader.warn(node.at, format!("{path}: {error}"), advice);
        }
        Ok(text) => {
            if super::sections::parse_http_url(text.expose()).is_none() {
                // It may hold a token: it is not repeated.
                let message = format!("{path}: what should be pinged is no URL");
                reader.fail(node.at, message, "write one such as https://hc-ping.com/…");
            } else if super::placeholder(text.expose()).is_some() {
                let message = format!("{path}: what should be pinged is a placeholder");
                reader.mistake(node.at, message, "write the URL that is meant");
            }
        }
    }
}

pub(super) fn dead_letter(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
) -> Option<Vec<HandlerName>> {
    let (node, path) = node?;
    let mut handlers = Vec::new();
    let mut section = reader.section(node, &path);
    let mut seen = BTreeSet::new();
    if let Some((node, path)) = section.take("handlers") {
        for (at, name) in reader.texts(node, &path) {
            if !is_kebab_case(name) {
                let message = format!("{path}: {name:?} is no name of a handler");
                reader.fail(at, message, "a name is in kebab-case, as in slack-notify");
            } else if !seen.insert(name) {
                let message = format!("{path} names {name} twice");
                reader.fail(at, message, "a handler is told once");
            } else {
                handlers.push(HandlerName::new(name));
            }
        }
    } else {
        let message = format!("{path} names no handler");
        let advice = "add handlers: [slack-notify]; to report to nobody, write handlers: []";
        reader.fail(node.at, message, advice);
    }
    section.finish(reader);
    Some(handlers)
}
