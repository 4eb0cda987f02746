//! What the server reports about itself: dead letters, and what of Slack is held; and the ways by which it does.

mod dead_letters;
mod holds;
mod pings;
mod ways;

pub(crate) use dead_letters::Notices;
pub(crate) use holds::{alarm, hold_of};
pub(crate) use pings::Ping;
pub(crate) use ways::{Reporting, Ways};
