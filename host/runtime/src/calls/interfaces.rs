//! The table of the contract's interfaces.

use crate::limits::quota::{LimitName, Limits};
use alert_manager_core::journal::CallKind;

/// One interface of the contract that a handler may import.
pub(crate) struct Interface {
    /// The name in the contract.
    pub(crate) name: &'static str,
    /// Its functions.
    pub(crate) functions: &'static [&'static str],
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
    Interface { name: "types", functions: &[], kind: None, calls_max: None },
    Interface { name: "log", functions: &["write"], kind: None, calls_max: None },
    Interface { name: "config", functions: &["get"], kind: Some(CallKind::Config), calls_max: None },
    Interface { name: "http", functions: &["send"], kind: Some(CallKind::Http), calls_max: Some(HTTP_CALLS) },
    Interface { name: "slack", functions: &["post", "update", "react", "upload"], kind: Some(CallKind::Slack), calls_max: Some(SLACK_CALLS) },
    Interface { name: "kv", functions: &["get", "set", "set-if-absent", "increment", "remove"], kind: Some(CallKind::Kv), calls_max: Some(KV_CALLS) },
    Interface { name: "history", functions: &["earlier"], kind: Some(CallKind::History), calls_max: Some(HISTORY_CALLS) },
    Interface { name: "timer", functions: &["after", "cancel"], kind: Some(CallKind::Timer), calls_max: Some(TIMER_CALLS) },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_contract_is_in_the_table() {
        let wit = include_str!("../../../../wit/handler.wit");
        let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in wit.lines() {
            if let Some(name) = line.strip_prefix("interface ") {
                found.push((name.trim_end_matches(" {"), Vec::new()));
            } else if let (Some((name, rest)), Some((_, functions))) =
                (line.split_once(": "), found.last_mut())
                && rest.starts_with("func(")
            {
                functions.push(name.trim());
            }
        }
        found.retain(|(name, _)| *name != "hooks");
        found.sort_unstable();
        let mut table: Vec<_> = INTERFACES
            .iter()
            .map(|interface| (interface.name, interface.functions.to_vec()))
            .collect();
        table.sort_unstable();
        assert_eq!(table, found);
    }
}
