//! What waits for something outside of the server, and how it goes on.

use alert_manager_core::journal::Dependency;

/// What a delivery waited for, and how it was woken.
pub type Woken = (Dependency, Wake);

/// How many deliveries that wait for a dependency go on when it is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// All of it.
    All,
    /// The most urgent of them, the oldest of several: it finds out whether the dependency is back.
    First,
}
