//! What a handler may reach: pure decisions about grants, without I/O.

use std::collections::BTreeSet;

/// What the operator granted one handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Slack channels, by their names in `slack.channels`.
    pub slack: BTreeSet<String>,
    /// Credentials, by name.
    pub credentials: BTreeSet<String>,
}
