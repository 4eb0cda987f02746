//! The queue on one machine: one `SQLite` file with one writer.

mod accept;
mod alarms;
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

pub(crate) use committer::Handed;
pub(crate) use notices::subject_of;
#[cfg(test)]
pub(crate) use reader::Chosen;
pub(crate) use reader::{RETRIED_MAX, Reader};
pub(crate) use recovery::start;
pub(crate) use retry::RetryJob;

/// An identifier is the milliseconds since 1970, then this many bits of counter.
const ID_COUNTER_BITS: u32 = 22;
