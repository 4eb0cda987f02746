//! Error responses: a status and one line of JSON.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api;
use crate::telemetry::Refusal;

/// An error response. Senders log it, so it is short and contains no secret.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    refusal: Option<Refusal>,
}

/// The extension of an error response, for the log and the metrics.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) refusal: Option<Refusal>,
    pub(super) message: Arc<str>,
}

impl ApiError {
    /// Creates a response with the body `{"error": message}`.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            refusal: match status {
                // 404 can be about a delivery; the handler for unknown paths sets the reason itself.
                StatusCode::UNAUTHORIZED => Some(Refusal::Unauthorized),
                StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => Some(Refusal::Page),
                StatusCode::BAD_REQUEST => Some(Refusal::Invalid),
                StatusCode::PAYLOAD_TOO_LARGE => Some(Refusal::TooLarge),
                StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(Refusal::MediaType),
                StatusCode::METHOD_NOT_ALLOWED => Some(Refusal::Method),
                StatusCode::GONE => Some(Refusal::Path),
                StatusCode::SERVICE_UNAVAILABLE => Some(Refusal::Unavailable),
                _ => None,
            },
        }
    }

    /// Returns the status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns what is said to whoever has asked.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Sets the reason for which the request is refused, if the status does not determine it.
    pub(crate) fn because(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let message: Arc<str> = self.message.as_str().into();
        let error = api::Error {
            error: self.message,
        };
        let mut response = (self.status, axum::Json(error)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer, Basic realm=\"alert-manager\""),
            );
        }
        response.extensions_mut().insert(Answered {
            refusal: self.refusal,
            message,
        });
        response
    }
}
