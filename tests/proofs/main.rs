//! Proofs of the most important promises: no alert is lost and no effect is duplicated, whichever failure one machine has, or several
//! servers on one database have.
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
mod replicas;
mod rig;
mod senders;
mod shim;
mod shutdown;
mod tally;
mod worst_day;
