//! What the server reports about itself: dead letters, heartbeats that do not come, and what Slack refuses; and the ways by
//! which it does. Each alarm is a struct with what it needs, and `app` starts it.

mod dead_letters;
mod heartbeats;
mod holds;
mod notifier;
mod pings;
mod ways;

use std::time::Instant;

pub(crate) use heartbeats::{Expected, HeartbeatWatch, Heartbeats, MISSING, labels_of_alarm};
pub(crate) use holds::HoldAlarms;
pub(crate) use notifier::Notifier;
pub(crate) use pings::{Ping, PingClient, Pings, Settings as PingSettings};
pub(crate) use ways::{Reporting, Ways};

/// Returns at a time, or never.
async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
