//! Alerts of the server's own, and what becomes of them.

/// What an alert of the server's own does if nothing gets through any way now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfBlocked {
    /// It waits on the best way.
    Wait,
    /// It is not stored: it is about what blocks the ways, and would come when that is over.
    Leave,
}

/// What became of an alert of the server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// It is on its way.
    Stored,
    /// It fires already.
    Known,
    /// No way to report is left, or there is none.
    Nowhere,
    /// The handlers of every way have too many deliveries waiting.
    NoRoom,
}
