//! Tests of what is particular to the store on `PostgreSQL`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod connection;
mod mail;
mod pooling;
mod proxy;
mod repeats;
mod replicas;
mod roster;
mod standby;
mod term;
mod tls;
mod urls;

use crate::conformance::Bench as _;

use super::bench::PostgresBench;

/// Returns a bench with an empty database; nothing if `PostgreSQL` is not installed, which is reported.
#[allow(clippy::print_stderr, reason = "the output of a test")]
fn bench() -> Option<PostgresBench> {
    if let Some(missing) = PostgresBench::missing() {
        eprintln!("SKIPPED: {missing}");
        return None;
    }
    Some(PostgresBench::new(crate::conformance::Sizes::Production))
}
