//! The committer: the one thread that writes. It takes the messages and alerts that wait, has the rules decide on them, and commits
//! the changes as one transaction. Only then it answers, sends leases to the worker and releases what waited. It uses a store
//! through the interface alone.

mod accept;
mod activity;
mod alarms;
mod answer;
mod bulk;
mod candidate;
mod committer;
mod deaths;
mod failing;
mod follow_up;
mod group;
pub(crate) mod inbox;
mod notices;
mod occurrences;
mod open_timers;
mod replicated;
mod retry;
mod retry_job;
mod settle;
mod shared;
mod start;
mod storms;
mod timers;
mod updates;
mod urgency;
mod watched;

pub(crate) use committer::Committer;
pub(crate) use replicated::join;
pub(crate) use retry_job::RetryJob;
pub(crate) use shared::{OnArrival, Reserved, Shared};
pub(crate) use start::{Started, start};
