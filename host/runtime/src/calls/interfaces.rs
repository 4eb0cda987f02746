//! The table of the interfaces.

use crate::limits::quota::{LimitName, Limits};
use alert_manager_core::journal::CallKind;

/// One interface of the contract that a handler may import.
pub(crate) struct Interface {
    /// As the contract has it.
    pub(crate) name: &'static str,
    /// By which its calls are recorded; absent if they are not.
    pub(super) kind: Option<CallKind>,
    /// How often it may be called in one invocation, if that has a limit of its own.
    pub(super) calls_max: Option<(LimitName, fn(&Limits) -> u32)>,
}

/// Every interface of the contract.
#[rustfmt::skip]
pub(crate) const INTERFACES: [Interface; 6] = [
    Interface { name: "types", kind: None, calls_max: None },
    Interface { name: "log", kind: None, calls_max: None },
    Interface { name: "config", kind: Some(CallKind::Config), calls_max: None },
    Interface { name: "http", kind: Some(CallKind::Http), calls_max: Some((LimitName::HttpCalls, |l| l.http_calls_max)) },
    Interface { name: "slack", kind: Some(CallKind::Slack), calls_max: Some((LimitName::SlackCalls, |l| l.slack_calls_max)) },
    Interface { name: "kv", kind: Some(CallKind::Kv), calls_max: Some((LimitName::KvCalls, |l| l.kv_calls_max)) },
];
