//! Reads request bodies within their limits, and answers those that were not read to their end.

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;

use super::Webhook;
use super::body_budget::{Full, Share};
use super::signature::Claim;
use crate::http::error::ApiError;
use crate::http::server::{self, Standing};
use crate::telemetry::Cut;

/// The initial capacity for a body, in bytes, since its declared length may be false.
const FIRST_BYTES_MAX: usize = 64 << 10;

/// A body that is being read.
pub(super) struct BodyReader {
    /// The signature that the body is checked against.
    pub(super) claim: Option<Claim>,
    pub(super) share: Share,
    pub(super) bytes_max: u64,
    /// The bytes so far in one buffer: with a buffer for each read, a sender could fill memory with single bytes.
    pub(super) body: Vec<u8>,
}

/// Why a body was not read to its end.
pub(super) enum ReadError {
    TooLong,
    Full(Full),
    Broken(axum::Error),
}

impl BodyReader {
    pub(super) async fn read(&mut self, mut body: Body) -> Result<(), ReadError> {
        use hyper::body::Body as _;

        let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        self.body.reserve(expected.min(FIRST_BYTES_MAX));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(ReadError::Broken)?;
            if let Ok(data) = frame.into_data() {
                self.take(&data)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, data: &[u8]) -> Result<(), ReadError> {
        if self.share.bytes() + data.len() as u64 > self.bytes_max {
            return Err(ReadError::TooLong);
        }
        self.share
            .take(data.len() as u64)
            .map_err(ReadError::Full)?;
        if let Some(claim) = &mut self.claim {
            claim.update(data);
        }
        self.body.extend_from_slice(data);
        Ok(())
    }
}

pub(super) fn refuse_body(
    webhook: &Webhook,
    standing: &Standing,
    reading: &BodyReader,
    error: &ReadError,
) -> ApiError {
    match error {
        ReadError::TooLong => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body is over {} bytes (webhook.body_bytes_max)",
                reading.bytes_max
            ),
        ),
        ReadError::Full(full) => refuse_full(webhook, standing, full),
        // A congested way is no fault of the alerts: 5xx is tried again.
        ReadError::Broken(error) if server::is_too_slow(error) => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the body came too slowly (web.body_timeout, web.body_rate_min, five minutes in all); try again",
        ),
        ReadError::Broken(_) => ApiError::new(
            StatusCode::BAD_REQUEST,
            "the body ended early: the sender closed the connection",
        ),
    }
}

pub(super) fn refuse_full(webhook: &Webhook, standing: &Standing, full: &Full) -> ApiError {
    let message = match full {
        Full::UsedUp => {
            "too many large bodies are being read at once (web.bodies_bytes_max); try again"
        }
        Full::Evicted => {
            if !standing.is_evicted() {
                webhook.metrics.connection_cut(Cut::DisplacedBody);
            }
            "the body was cut off in favour of others, because its sender had not proved who it is yet (web.bodies_bytes_max, web.connections_max); try again"
        }
    };
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
}
