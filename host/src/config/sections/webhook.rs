//! `webhook` and `api`: who may use them, and how much.

use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

use super::access::{AUTHORIZATION, BASIC_AUTH, in_file, in_variable, inbound, inline, secret};
use crate::config::compare::{Compare, Restart};
use crate::config::decode::{Decoding, Env, Part};
use crate::config::key::{Key, Written};
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::http::webhook::{Hmac, SenderRate, Settings};
use crate::queue;
use crate::units::format_size;

pub(in crate::config) const WEBHOOK: Part = Part {
    keys: &[Key::new(
        "webhook",
        Written::Mapping(WEBHOOK_KEYS),
        "How alerts come in: how senders authenticate, how often they may post, how much.",
    )],
    read: webhook,
    compare: Compare::Whole("webhook", |old, new| {
        old.webhook != new.webhook || old.queue.queue_depth_max != new.queue.queue_depth_max
    }),
    restart: Restart::Of("webhook.queue_depth_max", |old, new| {
        old.queue.queue_depth_max != new.queue.queue_depth_max
    }),
};

const WEBHOOK_KEYS: &[Key] = &[
    AUTHORIZATION,
    BASIC_AUTH,
    Key::new(
        "hmac",
        Written::Mapping(HMAC_KEYS),
        "A signature over the body (SHA-256), as Grafana sends it. If `authorization` is set too, either authenticates a \
         sender.",
    ),
    Key::new(
        "rate",
        Written::Mapping(RATE_KEYS),
        "How many requests one sender may make, by its address. Past it the answer is 503.",
    ),
    Key::new(
        "body_bytes_max",
        Written::Size,
        "The largest body that is accepted. Past it the answer is 413.",
    )
    .default_of(|| format_size(Settings::default().body_bytes_max))
    .example("16MiB"),
    Key::new(
        "queue_depth_max",
        Written::Count,
        "How many deliveries may be unsettled. Past it the answer is 503. One handler may have half of them.",
    )
    .default_of(|| queue::Options::default().queue_depth_max.to_string())
    .example("200000"),
];

const HEADER: &str = "the name of a header, such as X-Grafana-Alerting-Signature";

/// Grafana's header.
const SIGNATURE_HEADER: &str = "x-grafana-alerting-signature";

const HMAC_KEYS: &[Key] = &[
    inline("secret"),
    in_file("secret_file"),
    in_variable("secret_env"),
    Key::new(
        "header",
        Written::Scalar(HEADER),
        "The header that holds the signature, in hexadecimal.",
    )
    .default("X-Grafana-Alerting-Signature")
    .example("X-Signature"),
    Key::new(
        "timestamp_header",
        Written::Scalar(HEADER),
        "The header that holds the time, in seconds since 1970, which is signed too and may differ by 5 minutes. Without \
         it, anybody who records a request can send it again.",
    )
    .example("X-Grafana-Alerting-Timestamp"),
];

const RATE_KEYS: &[Key] = &[
    Key::new(
        "per_second",
        Written::PerSecond,
        "Requests a second; 0 is off.",
    )
    .default_of(|| SenderRate::default().per_second.to_string())
    .example("20"),
    Key::new("burst", Written::Count, "Requests that may come at once.")
        .default_of(|| SenderRate::default().burst.to_string())
        .example("200"),
];

fn webhook(d: &mut Decoding<'_>) {
    let Some(mut section) = d.top.below(d.reader, "webhook") else {
        return;
    };
    let (reader, webhook) = (&mut *d.reader, &mut d.config.webhook);
    webhook.authorization = inbound(reader, &mut section, d.env);
    let signed = section.below(reader, "hmac");
    webhook.hmac = signed.and_then(|section| hmac(reader, section, d.env));
    if let Some(mut section) = section.below(reader, "rate") {
        section.set(reader, "per_second", &mut webhook.rate.per_second);
        section.set(reader, "burst", &mut webhook.rate.burst);
        section.finish(reader);
    }
    section.set(reader, "body_bytes_max", &mut webhook.body_bytes_max);
    let depth_max = &mut d.config.queue.queue_depth_max;
    section.set(reader, "queue_depth_max", depth_max);
    section.finish(reader);
}

fn hmac(reader: &mut Reader, mut section: Section<'_>, env: Env<'_>) -> Option<Hmac> {
    let names = ["secret", "secret_file", "secret_env"];
    let secret = secret(reader, &mut section, names, env);
    let parse = |text: &str| HeaderName::from_bytes(text.as_bytes()).ok();
    let header = section.parsed(reader, "header", parse);
    let timestamp_header = section.parsed(reader, "timestamp_header", parse);
    let (at, path) = (section.at, section.path.clone());
    section.finish(reader);
    let secret = secret?;
    if let Some(error) = reader.unreadable(&secret) {
        let advice = "write the secret into that file, or correct the path";
        reader.refuse(at, format!("{path}: {error}"), advice);
    }
    Some(Hmac {
        secret,
        header: header.unwrap_or(HeaderName::from_static(SIGNATURE_HEADER)),
        timestamp_header,
    })
}

pub(in crate::config) const API: Part = Part {
    keys: &[Key::new(
        "api",
        Written::Mapping(API_KEYS),
        "Who may use the API and the page: read stories, retry, cancel, reload.",
    )],
    read: api,
    compare: Compare::Whole("api", |old, new| old.api != new.api),
    restart: Restart::No,
};

const API_KEYS: &[Key] = &[
    AUTHORIZATION,
    BASIC_AUTH,
    Key::new(
        "user_header",
        Written::Scalar("the name of a header, such as X-Forwarded-User"),
        "The header in which a proxy that authenticates people names the person, for the log of retries and cancellations. It \
         proves nothing: `authorization` is needed all the same.",
    )
    .example("X-Forwarded-User"),
    Key::new(
        "trusted_proxies",
        Written::Texts,
        "The addresses and networks from which `user_header` counts.",
    )
    .example("[10.0.0.0/8]"),
];

fn api(d: &mut Decoding<'_>) {
    let Some(mut section) = d.top.below(d.reader, "api") else {
        return;
    };
    let (reader, api) = (&mut *d.reader, &mut d.config.api);
    api.authorization = inbound(reader, &mut section, d.env);
    api.user_header = section.parsed(reader, "user_header", |text| {
        HeaderName::from_bytes(text.as_bytes()).ok()
    });
    if let Some((node, path)) = section.take("trusted_proxies") {
        for (at, text) in reader.texts(node, &path) {
            match parse_network(text) {
                Some(network) => api.trusted_proxies.push(network),
                None => reader.fail(
                    at,
                    format!("{path}: {text:?} is neither an address nor a network"),
                    "write one such as 10.1.2.3 or 10.0.0.0/8",
                ),
            }
        }
    }
    if api.user_header.is_some() && api.trusted_proxies.is_empty() {
        let message = format!("{} has user_header and no trusted_proxies", section.path);
        let advice = "add the addresses of the proxies that set the header, as in trusted_proxies: [10.0.0.0/8]";
        reader.fail(section.at, message, advice);
    }
    section.finish(reader);
}

/// Reads an address or a network in CIDR notation.
fn parse_network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).ok()
}
