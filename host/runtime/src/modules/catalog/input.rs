//! What goes into the catalog.

use std::sync::Arc;
use std::time::SystemTime;

use alert_manager_core::alert::HandlerName;

/// What a source says of a candidate.
#[derive(Clone, Copy)]
pub(crate) struct Offer {
    /// Since when its bytes are there.
    pub(crate) since: Option<SystemTime>,
    /// False if they may still be incomplete.
    pub(crate) is_settled: bool,
}

/// What of a module decides whether it serves.
pub(crate) trait Claim {
    /// The name that it claims.
    fn name(&self) -> &HandlerName;
    /// The hash of its bytes, in hexadecimal.
    fn sha256(&self) -> &str;
}

/// A module that was loaded.
pub(crate) struct Loaded<M> {
    pub(crate) module: Arc<M>,
    /// Who besides the operator could have written its bytes.
    pub(crate) exposure: Option<String>,
}
