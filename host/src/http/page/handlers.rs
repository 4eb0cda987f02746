//! `/handlers` and `/handlers/{name}`: what serves, what it may do and does.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;

use super::chart::{self, Chart};
use super::filters;
use super::frame::{Frame, Tab, Visit, show};
use crate::alert::{StepKind, Timestamp};
use crate::api::{GrantUse, Handler, HandlerDetail, Lenient, Limit, Spread};
use crate::http::answers::{Answers, Over};
use crate::http::error::ApiError;
use crate::queue::Reason;

#[derive(Template)]
#[template(path = "handlers.html")]
struct HandlersView {
    frame: Frame,
    handlers: Vec<Handler>,
}

#[derive(Template)]
#[template(path = "handler.html")]
struct HandlerView {
    frame: Frame,
    detail: HandlerDetail,
    charts: Vec<Chart>,
    name: String,
}

/// Shows every file of the folder.
pub(super) async fn list(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
) -> Result<Response, ApiError> {
    show(&HandlersView {
        frame: visit.frame("Handlers", Tab::Handlers),
        handlers: answers.handlers().await.handlers,
    })
}

/// Shows one handler.
pub(super) async fn view(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let over = Over::parse_query(query.as_deref().unwrap_or_default())?;
    let detail = answers.handler(&name, over).await?;
    show(&HandlerView {
        frame: visit.frame(name.clone(), Tab::Handlers),
        charts: chart::of_handler(&detail.activity),
        detail,
        name,
    })
}

/// Returns a limit as it is written in the configuration.
fn limit(limit: &Limit) -> String {
    match limit {
        Limit::Amount(amount) => amount.to_string(),
        Limit::Time(time) => time.clone(),
        Limit::Unknown(value) => value.to_string(),
    }
}

/// Returns the first digits of a digest, by which people tell versions apart.
fn digits(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// Returns since when the deliveries of handlers are counted.
fn counted_since(handlers: &[Handler]) -> Option<Timestamp> {
    let mut counts = handlers.iter().filter_map(|handler| handler.counts);
    counts.find_map(|counts| counts.since)
}

/// Returns how long the last runs of a handler's `act` have taken, in microseconds.
fn time_of_act(handler: &Handler) -> Option<Spread> {
    let mut used = handler.used.iter();
    let act = used.find(|used| used.step.is(StepKind::Act));
    act.map(|act| act.wall_us)
}

/// Returns whether a grant was used since the start.
fn is_used(used: &GrantUse) -> bool {
    used.calls > 0
}

/// Returns a limit of a handler by its name, as it is written in the configuration.
fn limit_of(file: &Handler, name: &str) -> String {
    let limits = file.limits.as_ref();
    limits
        .and_then(|limits| limits.get(name))
        .map_or_else(String::new, limit)
}

/// Returns a limit that is a number of bytes.
fn bytes_of(file: &Handler, name: &str) -> Option<u64> {
    match file.limits.as_ref()?.get(name)? {
        Limit::Amount(bytes) => Some(*bytes),
        Limit::Time(_) | Limit::Unknown(_) => None,
    }
}

/// Returns why deliveries have died, in a word.
fn reason(reason: &Option<Lenient<Reason>>) -> String {
    reason.as_ref().map_or_else(String::new, Lenient::to_text)
}
