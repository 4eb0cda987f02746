//! What one guest, one body or one stranger makes the server hold and store, measured from outside on the real binary.
//!
//! Each test is an attack. It prints a row: the most memory that the server held, how much its store grew, the
//! processor's time, and how long an honest alert that was sent meanwhile took to be answered and to be settled. Bytes
//! and counts are asserted, times are not. `tests/README.md` says how to run the long form.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "a table is what this prints")]

mod bodies;
mod dead;
mod guests;
mod strangers;
mod target;

/// Attacks are measured one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Returns `long` if `ALERT_MANAGER_TEST_LONG` asks for it, else `short`.
fn sized<T>(short: T, long: T) -> T {
    if std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some() {
        long
    } else {
        short
    }
}
