//! Why the host ends an invocation instead of returning an error to the guest.

use alert_manager_core::gate::Parked;

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
    /// The delivery waits for its turn at a gate; what the step has read is on record.
    #[error("it waits for its turn: {}", .0.gate.label)]
    Parked(Box<Parked>),
}
