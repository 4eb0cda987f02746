//! Alarms: alerts that the server raises about itself.

/// What to do with an alarm if every way to report it is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfBlocked {
    /// It is stored, and waits on the best way.
    Wait,
    /// It is not stored: it is about what blocks the ways, and would be sent only when that is over.
    Leave,
}

/// The result of raising an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// It is stored, and will be reported.
    Stored,
    /// It fires already.
    Known,
    /// There is no way to report it, or it has taken every one.
    Nowhere,
    /// The handlers of every way have too many deliveries already.
    NoRoom,
}
