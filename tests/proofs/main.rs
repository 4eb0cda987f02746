//! Proofs of the promises that matter most: nothing lost, nothing doubled, whatever one machine can suffer.
//!
//! `tests/README.md` says what each proves and how it was seen to fail.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "a proof prints its figures")]

mod bodies;
mod broken;
mod bulkhead;
mod crash;
mod faults;
mod heartbeat;
mod late;
mod load;
mod outages;
mod power;
mod rig;
mod senders;
mod shim;
mod shutdown;
mod tally;
mod worst_day;
