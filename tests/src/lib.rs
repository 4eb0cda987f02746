//! What the tests share: stand-ins for the world outside and drivers for real programs.

pub mod fakes;
pub mod prometheus;
