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

pub(crate) use accept::UNROUTED;
pub(super) use committer::Handed;
pub(super) use notices::subject_of;
#[cfg(test)]
pub(super) use reader::Chosen;
pub(super) use reader::{RETRIED_MAX, Reader};
pub(super) use recovery::start;
pub(super) use retry::RetryJob;

/// An identifier is the milliseconds since 1970, then this many bits of counter.
const ID_COUNTER_BITS: u32 = 22;

use super::CANCELLED;
