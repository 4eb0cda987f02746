//! Why the host ends an invocation: no answer to the guest would be right.

use alert_manager_core::gate::Parked;

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
    /// The delivery waits for its turn at a gate; what the step has read is on record.
    #[error("it waits for its turn: {}", .0.gate.label)]
    Parked(Box<Parked>),
}
