//! What the tests share: stand-ins for the world outside, drivers for real programs, a bed for one runtime.

pub mod alerts;
pub mod bed;
pub mod fakes;
pub mod modules;
pub mod process;
pub mod prometheus;
pub mod server;
