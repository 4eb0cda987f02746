//! What waits for something outside of the server, and how it goes on.

use alert_manager_core::journal::Dependency;

/// What a delivery waited for, and how it was woken.
pub type Woken = (Dependency, Wake);

/// How much of what waits for something goes on when that is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// All of it.
    All,
    /// The most urgent, and of those the oldest, to find out.
    First,
}
