//! The errors of an HTTP request.

use std::fmt;
use std::time::Duration;

use super::RequestName;
use crate::Failure;
use crate::bindings::alert_manager::handler::http as wire;

/// Why there is no response, or no usable one.
///
/// `?` in a handler turns it into a [`Failure`]: *unavailable* for 408, 425, 429, 5xx, timeouts and unreachable
/// hosts, with the server's `Retry-After`; *retryable* for a body that cannot be read; *permanent* for the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub(super) request: RequestName,
    pub(super) kind: ErrorKind,
}

/// The kind of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operator has not granted the request. Holds the lines of configuration that would grant it.
    Denied(String),
    /// The request is invalid and was not sent.
    InvalidRequest(String),
    /// The name did not resolve, no connection could be made, TLS failed, or the connection broke.
    Unreachable(String),
    /// The time ran out. Whether the request took effect is unknown.
    Timeout,
    /// The body is larger than this limit, in bytes.
    TooLarge(u32),
    /// The limit of this step that is used up.
    BudgetExhausted(String),
    /// Any other transient error.
    Unavailable(String),
    /// [`Response::error_for_status`](super::Response::error_for_status) found another status than 200 to 299.
    Status {
        /// The status code.
        status: u16,
        /// The beginning of the body, with secrets masked.
        said: String,
        /// The server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// [`Response::json`](super::Response::json) could not read the body.
    Unreadable(String),
}

impl Error {
    /// Returns the kind of error.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Returns the status if the error is [`ErrorKind::Status`].
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            ErrorKind::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Returns whether the operator has not granted the request.
    pub fn is_denied(&self) -> bool {
        matches!(self.kind, ErrorKind::Denied(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.request.0)?;
        match &self.kind {
            ErrorKind::Denied(grant) => write!(f, "not granted: {grant}"),
            ErrorKind::InvalidRequest(why) => write!(f, "the request can't be sent: {why}"),
            ErrorKind::Unreachable(why) => write!(f, "unreachable: {why}"),
            ErrorKind::Timeout => write!(f, "timed out"),
            ErrorKind::TooLarge(bytes_max) => {
                write!(f, "the response is larger than {bytes_max} bytes")
            }
            ErrorKind::BudgetExhausted(limit) => write!(f, "the step's limit is used up: {limit}"),
            ErrorKind::Unavailable(why) => write!(f, "unavailable: {why}"),
            ErrorKind::Status { status, said, .. } if said.is_empty() => {
                write!(f, "answered {status}")
            }
            ErrorKind::Status { status, said, .. } => write!(f, "answered {status}: {said}"),
            ErrorKind::Unreadable(why) => write!(f, "the answer can't be read: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error.kind {
            ErrorKind::Unreachable(_) | ErrorKind::Timeout | ErrorKind::Unavailable(_) => {
                Self::unavailable(message)
            }
            ErrorKind::Status {
                status: 408 | 425 | 429 | 500..,
                retry_after,
                ..
            } => {
                let failure = Self::unavailable(message);
                match retry_after {
                    Some(wait) => failure.after(wait),
                    None => failure,
                }
            }
            ErrorKind::Unreadable(_) => Self::retryable(message),
            ErrorKind::Denied(_)
            | ErrorKind::InvalidRequest(_)
            | ErrorKind::TooLarge(_)
            | ErrorKind::BudgetExhausted(_)
            | ErrorKind::Status { .. } => Self::permanent(message),
        }
    }
}

impl From<wire::Error> for ErrorKind {
    fn from(error: wire::Error) -> Self {
        match error {
            wire::Error::Denied(grant) => Self::Denied(grant),
            wire::Error::InvalidRequest(why) => Self::InvalidRequest(why),
            wire::Error::Unreachable(why) => Self::Unreachable(why),
            wire::Error::Timeout => Self::Timeout,
            wire::Error::TooLarge(bytes_max) => Self::TooLarge(bytes_max),
            wire::Error::BudgetExhausted(limit) => Self::BudgetExhausted(limit),
            wire::Error::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
