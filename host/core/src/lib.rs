//! What every part of the server shares: alerts and their names, what a delivery has on record, what a handler may do, secrets,
//! units. No SQL, no WebAssembly, no HTTP server, no runtime of tasks.

pub mod alert;
pub mod breaker;
pub mod description;
pub mod journal;
pub mod plan;
pub mod policy;
pub mod rate;
pub mod secret;
pub mod shapes;
pub mod text;
pub mod units;
