//! Alert Manager: commits alerts, routes them by their labels and answers them with sandboxed handlers.

mod alarms;
pub mod alert;
mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod heartbeat;
pub mod journal;
pub mod policy;
pub mod queue;
pub mod review;
pub mod router;
pub mod runtime;
mod server;
pub mod shapes;
pub mod telemetry;
mod text;
pub mod webhook;
mod worker;
