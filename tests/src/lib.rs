//! What the tests share: stand-ins for the world outside, drivers for real programs, a bed for one runtime.

pub mod alertmanager;
pub mod alerts;
pub mod bed;
pub mod dice;
pub mod draw;
pub mod fakes;
pub mod modules;
pub mod openapi;
pub mod process;
pub mod prometheus;
pub mod server;
pub mod source;

/// Says that a test was skipped, past the capture of what tests print: a skip that nobody sees is a lie.
pub fn skipped(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{what}");
}
