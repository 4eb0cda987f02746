//! Alert Manager: commits alerts, routes them by their labels and answers them with sandboxed handlers.

pub mod alert;
pub mod config;
pub mod heartbeat;
pub mod journal;
pub mod policy;
pub mod queue;
pub mod router;
pub mod runtime;
pub mod webhook;
