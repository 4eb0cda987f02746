//! The table of the contract's interfaces.

use crate::limits::quota::{LimitName, Limits};
use alert_manager_core::journal::CallKind;

/// One interface of the contract that a handler may import.
pub(crate) struct Interface {
    /// The name in the contract.
    pub(crate) name: &'static str,
    /// The kind of its calls in the record; `None` if they are not recorded.
    pub(super) kind: Option<CallKind>,
    /// The limit on its calls in one invocation; `None` if only `host_calls` limits them.
    pub(super) calls_max: Option<CallsMax>,
}

/// A limit on the calls of one interface.
#[derive(Clone, Copy)]
pub(super) struct CallsMax {
    pub(super) limit: LimitName,
    pub(super) of: fn(&Limits) -> u32,
}

const HTTP_CALLS: CallsMax = CallsMax {
    limit: LimitName::HttpCalls,
    of: |limits| limits.http_calls_max,
};
const SLACK_CALLS: CallsMax = CallsMax {
    limit: LimitName::SlackCalls,
    of: |limits| limits.slack_calls_max,
};
const KV_CALLS: CallsMax = CallsMax {
    limit: LimitName::KvCalls,
    of: |limits| limits.kv_calls_max,
};
const HISTORY_CALLS: CallsMax = CallsMax {
    limit: LimitName::HistoryCalls,
    of: |limits| limits.history_calls_max,
};
const TIMER_CALLS: CallsMax = CallsMax {
    limit: LimitName::TimerCalls,
    of: |limits| limits.timer_calls_max,
};

/// Every interface of the contract.
#[rustfmt::skip]
pub(crate) const INTERFACES: [Interface; 8] = [
    Interface { name: "types", kind: None, calls_max: None },
    Interface { name: "log", kind: None, calls_max: None },
    Interface { name: "config", kind: Some(CallKind::Config), calls_max: None },
    Interface { name: "http", kind: Some(CallKind::Http), calls_max: Some(HTTP_CALLS) },
    Interface { name: "slack", kind: Some(CallKind::Slack), calls_max: Some(SLACK_CALLS) },
    Interface { name: "kv", kind: Some(CallKind::Kv), calls_max: Some(KV_CALLS) },
    Interface { name: "history", kind: Some(CallKind::History), calls_max: Some(HISTORY_CALLS) },
    Interface { name: "timer", kind: Some(CallKind::Timer), calls_max: Some(TIMER_CALLS) },
];
