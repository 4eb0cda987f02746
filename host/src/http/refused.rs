//! Counts and logs requests that are refused: so an operator learns from the server too, and not only from their sender's log,
//! of alerts that are not accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::error::Answered;
use super::webhook;
use crate::telemetry::{Metrics, Refusal, Refusals, Refused};

/// Counts and logs refusals.
#[derive(Clone)]
pub(crate) struct RefusalLog {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) refusals: Arc<Refusals>,
}

/// Is passed by every request.
pub(super) async fn watch(State(log): State<RefusalLog>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| *peer);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    let Some(answered) = response.extensions().get::<Answered>() else {
        return response;
    };
    let Some(reason) = answered.refusal else {
        return response;
    };
    let may_bring_alerts = may_bring_alerts(&method, uri.path(), reason);
    if may_bring_alerts {
        log.metrics.request_refused(reason);
    }
    if may_bring_alerts || matches!(reason, Refusal::Unauthorized | Refusal::Page) {
        let refused = Refused {
            reason,
            status: response.status().as_u16(),
            peer,
            method: method.as_str(),
            path: uri.path(),
            error: &answered.message,
        };
        log.refusals.log(&refused, Instant::now());
    }
    response
}

/// Returns whether the request may carry alerts: it was posted to the webhook, or to an unknown path.
fn may_bring_alerts(method: &Method, path: &str, reason: Refusal) -> bool {
    let posts = *method == Method::POST || *method == Method::PUT;
    posts && (webhook::PATHS.contains(&path) || reason == Refusal::Path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_to_the_webhook_or_to_no_path_may_bring_alerts() {
        for (method, path, reason, expected) in [
            (Method::POST, "/webhook", Refusal::TooLarge, true),
            (Method::PUT, "/api/v2/alerts", Refusal::Unauthorized, true),
            (Method::POST, "/webhok", Refusal::Path, true),
            (Method::GET, "/webhok", Refusal::Path, false),
            (Method::GET, "/webhook", Refusal::Method, false),
            (Method::POST, "/-/reload", Refusal::Unauthorized, false),
            (
                Method::POST,
                "/api/v1/deliveries/retry",
                Refusal::Invalid,
                false,
            ),
        ] {
            assert_eq!(may_bring_alerts(&method, path, reason), expected, "{path}");
        }
    }
}
