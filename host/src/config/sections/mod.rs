//! The parts of the file, each with the description of its keys beside the function that reads them.

mod access;
mod alarms;
mod basics;
mod credentials;
mod grants;
mod handlers;
mod limits;
mod proxy;
mod routes;
mod slack;
mod storms;
mod web;
mod webhook;

use super::decode::Part;

pub(super) use basics::{HANDLERS_DIR_DEFAULT, LISTEN_DEFAULT};
pub(super) use slack::{API_URL_DEFAULT, check_token};
pub(super) use web::check_budget;

/// Every part, in an order in which each finds what it refers to: a proxy before what uses it, channels and credentials
/// before the grants that name them.
pub(super) const PARTS: &[Part] = &[
    basics::LISTEN,
    basics::INSECURE,
    basics::EXTERNAL_URL,
    basics::HANDLERS_DIR,
    basics::STORE,
    basics::RETENTION,
    webhook::WEBHOOK,
    webhook::API,
    web::WEB,
    web::TLS,
    proxy::PROXY,
    slack::SLACK,
    credentials::CREDENTIALS,
    storms::SEVERITY_MAP,
    storms::STORM,
    alarms::DEAD_LETTER,
    alarms::HEARTBEATS,
    limits::SANDBOX,
    handlers::HANDLERS,
    routes::ROUTES,
];
