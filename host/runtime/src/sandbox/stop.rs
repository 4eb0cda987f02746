//! Why the host ends an invocation instead of returning an error to the guest.

use crate::limits::quota::LimitHit;

/// Returned to wasmtime as the error of a host call or of the epoch callback, and downcast from the error of the hook.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The guest met a limit.
    #[error("{0}")]
    Limit(LimitHit),
    /// The server cannot continue, for example because the lease is lost or the record cannot be read.
    #[error("{0}")]
    Host(String),
}
