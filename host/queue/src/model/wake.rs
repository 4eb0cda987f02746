//! Waking of deliveries that wait for a dependency outside the server.

use alert_manager_core::journal::Dependency;

/// A dependency that a delivery waited for, and how it was woken.
pub type Woken = (Dependency, Wake);

/// Which of the deliveries that wait for a dependency are woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// All of them: the dependency has recovered.
    All,
    /// The most urgent, and of those the oldest: a probe of whether the dependency has recovered.
    First,
}
