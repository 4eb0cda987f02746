//! Alert Manager: commits alerts, routes them by their labels and answers them with sandboxed handlers.

mod alarms;
mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod heartbeat;
pub mod queue;
pub mod review;
pub mod router;
pub mod runtime;
mod server;
pub mod telemetry;
pub mod webhook;
mod worker;

pub use alert_manager_core::{alert, breaker, journal, policy, rate, secret, shapes, units};

pub(crate) use alert_manager_core::text;
