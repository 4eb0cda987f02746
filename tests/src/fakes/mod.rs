//! Fakes of what the server and its handlers talk to, each on a free port of 127.0.0.1.
//!
//! They are strict: they refuse what the real service refuses, with the same error. Every call is recorded, and tests
//! wait for a call to arrive instead of sleeping.

pub mod blocks;
pub mod exporter;
pub mod faults;
pub mod kubernetes;
pub mod outage;
pub mod proxy;
pub mod raw_http;
pub mod scenario;
pub mod sink;
pub mod slack;
pub mod slack_message;
pub mod time;
pub mod watched;
pub mod wire;

mod kubernetes_api;
mod kubernetes_wire;
mod scenario_json;
pub(crate) mod serve;
mod slack_api;
mod slack_rates;

pub use exporter::Exporter;
pub use faults::{Fault, Faults, Gate};
pub use kubernetes::Kubernetes;
pub use proxy::Proxy;
pub use scenario::{Cluster, CrashLoop, Workload};
pub use sink::Sink;
pub use slack::{Message, Slack};
pub use wire::Wire;
