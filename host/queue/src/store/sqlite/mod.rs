//! The queue on one machine: one `SQLite` file with one writer.

mod accept;
mod alarms;
#[cfg(any(test, feature = "conformance"))]
pub(crate) mod bench;
mod checkpoint;
mod committer;
mod copy;
mod deaths;
mod events;
mod gathered;
mod kv;
mod memory;
mod notices;
mod reader;
mod recognize;
mod recovery;
mod refused;
mod rerun;
mod retention;
mod retry;
mod rows;
mod schema;
mod settle;
#[cfg(test)]
mod tests;

pub(crate) use committer::{Committer, Handed};
pub(crate) use events::Gathering;
pub(crate) use notices::subject_of;
pub(crate) use reader::Reader;
pub(crate) use recovery::{Started, start};
pub(crate) use retry::RetryJob;

/// An identifier is the milliseconds since 1970, then this many bits of counter.
const ID_COUNTER_BITS: u32 = 22;
