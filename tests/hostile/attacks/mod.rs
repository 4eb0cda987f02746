//! What one guest, one body or one unauthenticated client makes the server hold and store, measured from outside on the
//! real binary.
//!
//! Each attack prints a row: the most memory that the server held, how much its store grew, its processor time, and how long
//! an honest alert that was sent meanwhile took to be answered and to be settled. Bytes and counts are asserted, times are
//! not. `tests/README.md` says how to run the long form.
#![allow(clippy::print_stdout, reason = "a table is what this prints")]

use tokio::runtime::Runtime;

/// Lists attacks by the names of their functions. One that is not listed is dead code, which the compiler reports.
macro_rules! attacks {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |runtime| runtime.block_on($name()))),*]
    };
}

mod bodies;
mod dead;
mod guests;
mod strangers;
mod target;

/// The name of an attack, and what runs it to its end.
pub(crate) type Attack = (&'static str, fn(&Runtime));

/// Attacks are measured one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Returns every attack, by topic.
pub(crate) fn all() -> [(&'static str, &'static [Attack]); 4] {
    [
        ("bodies", bodies::ATTACKS),
        ("dead", dead::ATTACKS),
        ("guests", guests::ATTACKS),
        ("strangers", strangers::ATTACKS),
    ]
}

/// Returns `long` if `ALERT_MANAGER_TEST_LONG` asks for it, else `short`.
fn sized<T>(short: T, long: T) -> T {
    if std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some() {
        long
    } else {
        short
    }
}
