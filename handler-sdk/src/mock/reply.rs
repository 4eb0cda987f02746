//! The mock host's response to a request.

use serde_json::Value;

use crate::bindings::alert_manager::handler::http;
use crate::http::ErrorKind;

/// The mock host's response to a request.
#[derive(Debug, Clone)]
pub struct Reply(pub(super) Result<http::Response, http::Error>);

impl Reply {
    /// Returns a response.
    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self(Ok(http::Response {
            status,
            headers: Vec::new(),
            body: body.into(),
        }))
    }

    /// Returns a response with a JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::status(status, body.to_string()).header("content-type", "application/json")
    }

    /// Adds a header to a response.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(response) = &mut self.0 {
            response
                .headers
                .push((name.to_lowercase(), value.to_owned()));
        }
        self
    }

    /// Returns the error that the origin is not granted.
    pub fn denied() -> Self {
        Self(Err(http::Error::Denied(
            "not granted by the test".to_owned(),
        )))
    }

    /// Returns the error that nothing listens there.
    pub fn unreachable() -> Self {
        Self(Err(http::Error::Unreachable(
            "connection refused".to_owned(),
        )))
    }

    /// Returns the error that the time ran out.
    pub fn timeout() -> Self {
        Self(Err(http::Error::Timeout))
    }

    /// Returns an error; kinds that need a response become [`ErrorKind::Unavailable`].
    pub fn error(kind: ErrorKind) -> Self {
        Self(Err(match kind {
            ErrorKind::Denied(grant) => http::Error::Denied(grant),
            ErrorKind::InvalidRequest(why) => http::Error::InvalidRequest(why),
            ErrorKind::Unreachable(why) => http::Error::Unreachable(why),
            ErrorKind::Timeout => http::Error::Timeout,
            ErrorKind::TooLarge(bytes_max) => http::Error::TooLarge(bytes_max),
            ErrorKind::BudgetExhausted(limit) => http::Error::BudgetExhausted(limit),
            other => http::Error::Unavailable(format!("{other:?}")),
        }))
    }
}
