//! How a step fails, and what the host does about it.

use std::time::Duration;

pub use crate::bindings::alert_manager::handler::types::{Failure, Retry};

impl Failure {
    /// Returns a transient failure. The step is retried with backoff until its attempts are used up.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::Retryable(Retry {
            message: message.into(),
            after_ms: None,
        })
    }

    /// Returns the failure of a service that the handler depends on. The step is retried until the alert is too old; the
    /// failure does not count as an attempt.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable(Retry {
            message: message.into(),
            after_ms: None,
        })
    }

    /// Returns a failure that a retry cannot fix. The delivery is dead-lettered and reported to a person.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent(message.into())
    }

    /// Sets the shortest time until the next attempt. Has no effect on a permanent failure.
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

    /// Puts a description of the failed action before the message: `reading the pod: GET https://… answered 500`.
    #[must_use]
    pub fn context(mut self, doing: &str) -> Self {
        let (Self::Retryable(Retry { message, .. })
        | Self::Unavailable(Retry { message, .. })
        | Self::Permanent(message)) = &mut self;
        *message = format!("{doing}: {message}");
        self
    }

    /// Returns the reason, for people.
    pub fn message(&self) -> &str {
        let (Self::Retryable(Retry { message, .. })
        | Self::Unavailable(Retry { message, .. })
        | Self::Permanent(message)) = self;
        message
    }

    /// Returns the shortest time until the next attempt, if one was set.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retryable(retry) | Self::Unavailable(retry) => {
                retry.after_ms.map(|ms| Duration::from_millis(ms.into()))
            }
            Self::Permanent(_) => None,
        }
    }

    /// Returns whether the failure is permanent.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent(_))
    }
}

/// Returns a permanent failure: a value that cannot be written as JSON cannot be on a retry either.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::permanent(format!("JSON: {error}"))
    }
}
