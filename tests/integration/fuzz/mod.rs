//! Fuzzing of everything that parses input from outside: bodies, matchers, configurations, modules, the results of guests,
//! URLs.
//!
//! A short run is part of the suite; `tests/README.md` has the command of the long one. A failure prints the two
//! variables that bring it back.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests, whose seeds and counts are for people"
)]

mod addresses;
mod amtool;
mod bodies;
mod config;
mod engine;
mod expressions;
mod matchers;
mod modules;
mod returned;
mod urls;
