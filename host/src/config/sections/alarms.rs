//! `heartbeats` and `dead_letter`: what happens if alerts do not arrive, or fail.

use std::time::Duration;

use super::access::secret;
use super::proxy::{VIA_PROXY, via_proxy};
use super::routes::{MATCHERS, handler_names, matchers};
use crate::alarms::{Expected, Ping};
use crate::config::Config;
use crate::config::compare::{Compare, Restart, entries};
use crate::config::decode::{Decoding, Part};
use crate::config::key::{Key, Written};
use crate::config::node::Place;
use crate::config::placeholder;
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::description::parse_http_url;
use crate::secret::SecretSource;

pub(in crate::config) const HEARTBEATS: Part = Part {
    keys: &[Key::new(
        "heartbeats",
        Written::Named(HEARTBEAT_KEYS),
        "Alerts that must arrive regularly (`matchers`), and URLs that this server requests regularly (`ping_url`), by names \
         that you choose. If an alert does not arrive, the server raises the alert `AlertManagerHeartbeatMissing` (labels \
         `heartbeat`, `severity=critical`).",
    )],
    read: heartbeats,
    compare: Compare::Entries(|old, new| {
        let mut changes = entries("heartbeats", &old.heartbeats, &new.heartbeats, |_, _| {
            String::new()
        });
        changes.extend(entries("heartbeats", &pings(old), &pings(new), |_, _| {
            String::new()
        }));
        changes
    }),
    restart: Restart::No,
};

const HEARTBEAT_KEYS: &[Key] = &[
    MATCHERS,
    Key::new(
        "every",
        Written::Time,
        "The longest time between two of the alerts, or the time between two requests. Give the Alertmanager route of the \
         alerts a `repeat_interval` well below it.",
    )
    .example("15m"),
    Key::new(
        "ping_url",
        Written::Text,
        "A URL to request, for as long as no critical delivery waits for more than 5 minutes.",
    )
    .example("https://hc-ping.com/3f1c"),
    Key::new("ping_url_file", Written::Path, "A file with the URL. It is read again when it changes.")
        .example("/run/secrets/deadman"),
    Key::new(
        "ping_url_env",
        Written::Text,
        "The name of an environment variable with the URL.",
    )
    .example("DEADMAN_URL"),
    VIA_PROXY,
];

const URL_KEYS: [&str; 3] = ["ping_url", "ping_url_file", "ping_url_env"];

fn pings(config: &Config) -> std::collections::BTreeMap<&str, &Ping> {
    let pings = config.pings.iter();
    pings.map(|ping| (ping.name.as_str(), ping)).collect()
}

fn heartbeats(d: &mut Decoding<'_>) {
    let Some((key, node, path)) = d.top.find("heartbeats") else {
        return;
    };
    for entry in d.reader.entries(node, &path) {
        let path = format!("{path}.{}", entry.key);
        let section = Section::open(d.reader, &entry.value, &path, key.written.keys());
        heartbeat(d, section, &entry.key);
    }
}

fn heartbeat(d: &mut Decoding<'_>, mut section: Section<'_>, name: &str) {
    let (at, path) = (section.at, section.path.clone());
    let every = section.value(d.reader, "every");
    if !section.has_any(&["every"]) {
        let message = format!("{path} does not say how often");
        d.reader.fail(at, message, "add every: 5m");
    }
    let (expects, pings) = (section.has_any(&["matchers"]), section.has_any(&URL_KEYS));
    if expects == pings {
        let message = if expects {
            format!("{path} has matchers and a URL to ping")
        } else {
            format!("{path} has neither matchers nor a URL to ping")
        };
        let advice =
            "give matchers for an alert that must arrive, or ping_url_file for a URL to request";
        d.reader.fail(at, message, advice);
        section.accept(&URL_KEYS);
        section.accept(&["matchers", "via_proxy"]);
    } else if expects {
        let matchers = matchers(d.reader, &mut section);
        if let (Some(every), Some(matchers)) = (every, matchers) {
            if matchers.is_empty() {
                let message = format!("{path}.matchers is empty, so any alert would do");
                let advice = "write matchers: ['alertname=\"Watchdog\"']";
                d.reader.fail(at, message, advice);
            }
            let expected = Expected { matchers, every };
            d.config.heartbeats.insert(name.to_owned(), expected);
        }
    } else {
        ping(d, &mut section, name, every);
    }
    section.finish(d.reader);
}

fn ping(d: &mut Decoding<'_>, section: &mut Section<'_>, name: &str, every: Option<Duration>) {
    let url = secret(d.reader, section, URL_KEYS, d.env);
    if let Some(url) = &url {
        check_url(d.reader, section.at, &section.path, url);
    }
    let via_proxy = via_proxy(d.reader, section, d.config.proxy.is_some());
    if let (Some(url), Some(every)) = (url, every) {
        d.config.pings.push(Ping {
            name: name.to_owned(),
            url,
            every,
            via_proxy,
        });
    }
}

/// Checks the URL of a ping now: otherwise only the alarm of the dead man's switch would show that it is wrong.
fn check_url(reader: &mut Reader, at: Place, path: &str, url: &SecretSource) {
    if !reader.reads_secrets() {
        return;
    }
    match url.read() {
        Err(error) => {
            let advice = "until it can be read, nothing is pinged";
            reader.warn(at, format!("{path}: {error}"), advice);
        }
        // It may hold a token: it is not repeated.
        Ok(text) if parse_http_url(text.expose()).is_none() => {
            let message = format!("{path}: what should be pinged is not a URL");
            reader.fail(at, message, "write one such as https://hc-ping.com/…");
        }
        Ok(text) if placeholder(text.expose()).is_some() => {
            let message = format!("{path}: what should be pinged is a placeholder");
            reader.mistake(at, message, "write the URL that is meant");
        }
        Ok(_) => {}
    }
}

pub(in crate::config) const DEAD_LETTER: Part = Part {
    keys: &[Key::new(
        "dead_letter",
        Written::Mapping(DEAD_LETTER_KEYS),
        "What reports deliveries that were dead-lettered. Past five a minute of one kind, one report covers that minute.",
    )],
    read: dead_letter,
    compare: Compare::Whole("dead_letter", |old, new| old.dead_letter != new.dead_letter),
    restart: Restart::No,
};

const DEAD_LETTER_KEYS: &[Key] = &[Key::new(
    "handlers",
    Written::Texts,
    "The handlers that run once for each, about the alert `AlertManagerDeadLetter`. `[]`: nothing is reported.",
)
.default("those of the last route without matchers")
.example("[slack-notify]")];

fn dead_letter(d: &mut Decoding<'_>) {
    let Some(mut section) = d.top.below(d.reader, "dead_letter") else {
        return;
    };
    let handlers = section.take("handlers");
    if handlers.is_none() {
        let message = format!("{} names no handler", section.path);
        let advice = "add handlers: [slack-notify]; to report nothing, write handlers: []";
        d.reader.fail(section.at, message, advice);
    }
    let handlers = handlers.map(|(node, path)| {
        handler_names(
            d.reader,
            node,
            &path,
            "a handler reports a dead letter once",
        )
    });
    d.config.dead_letter = Some(handlers.unwrap_or_default());
    section.finish(d.reader);
}
