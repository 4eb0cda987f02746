//! The thread that writes: it takes what has gathered, has the rules decide on it, commits it as one transaction, and only then
//! answers, hands out and releases. It knows a store by its interface alone.

mod accept;
mod alarms;
mod answer;
mod bulk;
mod committer;
mod deaths;
mod failing;
mod follow_up;
mod group;
pub(crate) mod inbox;
mod notices;
mod retry;
mod retry_job;
mod settle;
mod shared;
mod start;
mod storms;
mod watched;

pub(crate) use committer::Committer;
pub(crate) use group::Handed;
pub(crate) use retry_job::RetryJob;
pub(crate) use shared::{Arriving, Shared};
pub(crate) use start::{Started, start};
