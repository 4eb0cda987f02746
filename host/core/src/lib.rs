//! The types that all parts of the server share: alerts, the journal of host calls, policy, secrets, units. It depends on no SQL,
//! WebAssembly, HTTP server or async runtime.

pub mod alert;
pub mod breaker;
pub mod description;
pub mod gate;
pub mod journal;
pub mod plan;
pub mod policy;
pub mod rate;
pub mod secret;
pub mod shapes;
pub mod suggest;
pub mod text;
pub mod units;
