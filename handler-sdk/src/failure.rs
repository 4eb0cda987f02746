//! How a step fails, and what becomes of it.

use std::time::Duration;

pub use crate::bindings::alert_manager::handler::types::{Failure, Retry};

impl Failure {
    /// Returns a failure that may pass: tried again, with backoff, until the attempts are used up.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::Retryable(Retry {
            message: message.into(),
            after_ms: None,
        })
    }

    /// Returns the failure of something that the handler depends on: tried again without using up an
    /// attempt, until the alert is too old.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable(Retry {
            message: message.into(),
            after_ms: None,
        })
    }

    /// Returns a failure that no other try can mend: the delivery is dead, and a person is told.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent(message.into())
    }

    /// Asks for no try before this long from now. A permanent failure stays what it is.
    ///
    /// ```
    /// use std::time::Duration;
    /// use handler_sdk::Failure;
    ///
    /// let failure = Failure::unavailable("the registry asks to wait").after(Duration::from_secs(30));
    /// assert_eq!(failure.retry_after(), Some(Duration::from_secs(30)));
    /// ```
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        if let Self::Retryable(retry) | Self::Unavailable(retry) = &mut self {
            retry.after_ms = Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        }
        self
    }

    /// Puts what was being done in front of the message: `reading the pod: GET https://… answered 500`.
    #[must_use]
    pub fn context(mut self, doing: &str) -> Self {
        let (Self::Retryable(Retry { message, .. })
        | Self::Unavailable(Retry { message, .. })
        | Self::Permanent(message)) = &mut self;
        *message = format!("{doing}: {message}");
        self
    }

    /// Returns why, for people.
    pub fn message(&self) -> &str {
        let (Self::Retryable(Retry { message, .. })
        | Self::Unavailable(Retry { message, .. })
        | Self::Permanent(message)) = self;
        message
    }

    /// Returns how long to wait at least, where that was said.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retryable(retry) | Self::Unavailable(retry) => {
                retry.after_ms.map(|ms| Duration::from_millis(ms.into()))
            }
            Self::Permanent(_) => None,
        }
    }

    /// Returns whether no other try can mend it.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent(_))
    }
}

/// What cannot be written as JSON now cannot be on the next try either: permanent.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::permanent(format!("JSON: {error}"))
    }
}
