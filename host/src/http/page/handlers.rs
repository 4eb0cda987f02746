//! `/handlers` and `/handlers/{name}`: what serves, what it may do and does.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;

use super::filters;
use super::frame::{Frame, Tab, Visit, show};
use crate::api::{Delivery, GrantUse, Handler, Limit};
use crate::http::answers::{Answers, Failures};
use crate::http::error::ApiError;

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
    /// The files of this name: the one that serves, and one that was refused.
    files: Vec<Handler>,
    failures: Vec<Failures>,
    newest: Vec<Delivery>,
    name: String,
}

/// Shows every file of the folder.
pub(super) async fn list(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
) -> Result<Response, ApiError> {
    show(&HandlersView {
        frame: visit.frame("Handlers", Tab::Handlers),
        handlers: answers.handlers().handlers,
    })
}

/// Shows one handler.
pub(super) async fn view(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let mut files = answers.handlers().handlers;
    files.retain(|file| {
        file.name
            .as_ref()
            .is_some_and(|known| known.as_str() == name)
    });
    if files.is_empty() {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no handler of this name serves: its file was removed or refused, or the name is wrong",
        ));
    }
    show(&HandlerView {
        frame: visit.frame(name.clone(), Tab::Handlers),
        files,
        failures: answers.failures_of(&name).await?,
        newest: answers.newest_of(&name).await?,
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

/// Returns whether a grant was used since the start.
fn is_used(used: &GrantUse) -> bool {
    used.calls > 0
}
