//! Why the host ends an invocation: no answer to the guest would be right.

use crate::limits::quota::LimitHit;

/// Passed to wasmtime as the error of a host call or of an epoch's callback, and taken back out of the error that the hook
/// ends with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The guest met a limit.
    #[error("{0}")]
    Limit(LimitHit),
    /// The lease is lost, or the record cannot be read.
    #[error("{0}")]
    Host(String),
}
