//! The state of a delivery.

use serde::{Deserialize, Serialize};

/// The state of a delivery, as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for a permit of a handler.
    Queued,
    /// A worker has it.
    Running,
    /// Waits for another try, after a failure.
    Retrying,
    /// Finished.
    Done,
    /// Dead-lettered, or cancelled; a person can send it again.
    Dead,
}

impl State {
    /// Returns the state as the API names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}
