//! The audit log: what people did, and which versions of handlers were swapped in. The queue keeps it, and does not know what it says.

use alert_manager_core::alert::Timestamp;

/// One entry of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    pub what: String,
    /// The person who did it; empty if it was nobody. What a person says alone is followed by the address, as in `anna (10.1.2.3)`.
    pub person: String,
    /// What it was done to.
    pub subject: String,
    /// Anything else about it, for people.
    pub detail: String,
}

/// Which entries of the audit log are read.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Only of this kind.
    pub what: Option<String>,
    /// Only what this person did, from whatever address if the filter has none.
    pub person: Option<String>,
    /// Only what was done to this.
    pub subject: Option<String>,
    /// At most so many: the newest.
    pub limit: u32,
}
