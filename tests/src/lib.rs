//! What the tests share: fakes of the services outside, drivers for real programs, a harness for one runtime.

pub mod alertmanager;
pub mod alerts;
pub mod dice;
pub mod draw;
pub mod fakes;

pub mod harness;
pub mod link;
pub mod modules;
pub mod node;
pub mod openapi;
pub mod pages;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod raw;
pub mod server;
pub mod source;
pub mod worst_day;

/// How long a wait lasts before it fails its test: what has not happened by then will not. It asserts no speed.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Says that a test was skipped, past the capture of what tests print: a skip that nobody sees is a lie.
pub fn skipped(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{what}");
}
