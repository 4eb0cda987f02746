//! Alerts of the server about itself, on dead letters and held Slack channels, and the ways to deliver them.

mod dead_letters;
mod holds;
mod pings;
mod ways;

pub(crate) use dead_letters::Notices;
pub(crate) use holds::{alarm, hold_of};
pub(crate) use pings::Ping;
pub(crate) use ways::{Reporting, Ways};
