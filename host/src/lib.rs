//! Alert Manager: stores alerts durably, routes them by their labels and runs sandboxed handlers for them.

mod alarms;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
mod coverage;
mod findings;
pub mod http;
pub mod review;
pub mod router;
pub mod telemetry;
mod trial;
mod worker;

pub use alert_manager_queue as queue;
pub use alert_manager_runtime as runtime;

pub use alert_manager_core::{
    alert, breaker, description, gate, journal, plan, policy, rate, secret, shapes, units,
};

pub(crate) use alert_manager_core::text;
