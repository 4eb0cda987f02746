//! HTTP: connections, the webhook that senders post to, the API for programs and the page for people.

pub(crate) mod access;
pub(crate) mod answers;
mod api;
mod auth;
mod error;
pub(crate) mod origin;
mod page;
mod refused;
pub(crate) mod server;
pub mod webhook;

use std::sync::Arc;

use axum::Router as Endpoints;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::any;

use crate::telemetry::{self, Refusal};
use access::Access;
use answers::Answers;
use error::ApiError;
use webhook::Webhook;

pub(crate) use refused::RefusalLog;

/// The error of the webhook before the first scan of the folder has ended.
pub(crate) const STILL_LOADING: &str = "the handlers are still being loaded";

/// Returns every route.
pub(crate) fn endpoints(
    answers: Answers,
    access: Access,
    webhook: Webhook,
    log: RefusalLog,
) -> Endpoints {
    let (answers, access) = (Arc::new(answers), Arc::new(access));
    let unknown = page::for_browsers(any(unknown_path), &answers, &access);
    let (of_page, its_access) = (Arc::clone(&answers), Arc::clone(&access));
    let wrong_method = async move |request: Request| {
        page::error_for(&request, wrong_method(&request), &of_page, &its_access)
    };
    api::endpoints(Arc::clone(&answers), &access)
        .merge(page::endpoints(answers, access))
        .merge(webhook::endpoints(webhook))
        .fallback_service(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(log, refused::watch))
}

async fn unknown_path(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!(
            "no such path: {}. Alerts go to POST /webhook; the page is at /, the rest below /api/v1, /metrics, /healthz, /readyz",
            telemetry::shown(request.uri().path())
        ),
    )
    .because(Refusal::Path)
}

fn wrong_method(request: &Request) -> ApiError {
    let (path, method) = (request.uri().path(), request.method());
    // Most likely a browser, with which somebody checks the address.
    let advice = match path {
        "/webhook" | "/webhook/api/v2/alerts" | "/api/v2/alerts" => {
            ": POST alerts to it; their deliveries are at /api/v1/deliveries"
        }
        _ => "",
    };
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{path} does not take {method}{advice}"),
    )
}
