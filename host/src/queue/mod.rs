//! The durable queue: what it takes is on disk before it says so, and ends done or dead.

mod types;

pub use types::*;
