//! The input of the catalog.

use std::sync::Arc;
use std::time::SystemTime;

use alert_manager_core::alert::HandlerName;

/// A candidate as a source offered it.
#[derive(Clone, Copy)]
pub(crate) struct Offer {
    /// Since when its bytes exist, if known.
    pub(crate) since: Option<SystemTime>,
    /// False if they may still be incomplete.
    pub(crate) is_settled: bool,
}

/// The properties of a module by which the catalog decides.
pub(crate) trait Claim {
    /// Returns the name that the module claims.
    fn name(&self) -> &HandlerName;
    /// Returns the SHA-256 of its bytes, in hexadecimal.
    fn sha256(&self) -> &str;
}

/// A module that was loaded.
pub(crate) struct Loaded<M> {
    pub(crate) module: Arc<M>,
    /// Who besides the operator could have written its bytes; `None` if nobody could.
    pub(crate) exposure: Option<String>,
}
