//! Alerts of the server about itself, on dead letters, missing heartbeats and held Slack channels, and the ways to deliver them.
//! Each alarm is a struct with its own dependencies, and `app` starts it.

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

/// Waits until a time; for ever if there is none.
async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
