//! What the tests share: stand-ins for the world outside and drivers for real programs.

pub mod alerts;
pub mod fakes;
pub mod modules;
pub mod process;
pub mod prometheus;
pub mod server;
