//! The alerts, plans and settlements of the cases.

use std::sync::Arc;
use std::time::Duration;

use alert_manager_core::alert::{
    Alert, Fingerprint, HandlerName, Labels, Origin, Priority, Status, Timestamp,
};
use alert_manager_core::journal::{CallKind, CallName, Entry};
use alert_manager_core::plan::Plan;

use crate::{Leased, Next, Progress, Refused, Settlement, StepStatus, Submission, Verdict};

/// 2026-01-01, in milliseconds: when every case starts.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

/// A duplicate, of any deliveries.
pub(crate) const DUPLICATE: Verdict = Verdict::Duplicate(Vec::new());

pub(crate) fn from_millis(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

pub(crate) fn name(handler: &str) -> HandlerName {
    HandlerName::new(handler)
}

/// A firing alert named `alertname` that began `started` seconds after the start.
pub(crate) fn alert(alertname: &str, started: i64) -> Alert {
    let labels: Labels = [("alertname".to_owned(), alertname.to_owned())]
        .into_iter()
        .collect();
    Alert {
        fingerprint: Fingerprint::of(&labels),
        status: Status::Firing,
        labels,
        annotations: Labels::default(),
        starts_at: from_millis(START_MS + started * 1_000),
        ends_at: None,
        generator_url: None,
        received_at: from_millis(START_MS),
        origin: Origin::default(),
    }
}

pub(crate) fn plan(route: &str, handlers: &[&str]) -> Plan {
    Plan {
        route: route.into(),
        handlers: handlers.iter().map(|h| name(h)).collect(),
        priority: Priority::Normal,
        repeat_after: Duration::from_secs(3 * 3_600 + 50 * 60),
        storm: None,
    }
}

/// A firing alert on one route with one handler.
pub(crate) fn firing(alertname: &str) -> Submission {
    Submission {
        alert: alert(alertname, 0),
        starts_at_missing: false,
        plans: vec![plan("route", &["notify"])],
    }
}

/// The resolved of that alert.
pub(crate) fn resolved(alertname: &str) -> Submission {
    let mut submission = firing(alertname);
    submission.alert.status = Status::Resolved;
    submission
}

/// The same alert with a `startsAt` this many seconds later.
pub(crate) fn started(mut submission: Submission, seconds: u64) -> Submission {
    submission.alert.starts_at += Duration::from_secs(seconds);
    submission
}

/// A part of a body that is not a valid alert.
pub(crate) fn no_alert(digest: u8) -> Refused {
    Refused {
        error: "alerts[1].labels: a mapping is wanted".into(),
        json: r#"{"labels":7}"#.into(),
        digest: [digest; 32],
        alertname: String::new(),
    }
}

/// Returns the settlement of a lease under which every step has run once.
pub(crate) fn settlement(leased: &Leased, next: Next) -> Settlement {
    let mut progress = leased.progress.clone();
    let status = match next {
        Next::Done => StepStatus::Done,
        Next::Dead(_) | Next::Expired(_) => StepStatus::Failed,
        _ => StepStatus::Pending,
    };
    for step in &mut progress.steps {
        step.status = status;
        step.attempts += 1;
    }
    Settlement {
        lease: leased.lease,
        next,
        progress,
        alert: Some(Arc::clone(&leased.alert)),
        story: Some(format!(r#"{{"lease":{}}}"#, leased.lease.number)),
        last_error: None,
    }
}

/// Returns the most attempts that any step has used.
pub(crate) fn attempts(progress: &Progress) -> u32 {
    progress.steps.iter().map(|s| s.attempts).max().unwrap_or(0)
}

/// A message to Slack, as it is recorded.
pub(crate) fn entry(seq: u32) -> Entry {
    Entry {
        clock: Timestamp::UNIX_EPOCH,
        seq,
        kind: CallKind::Slack,
        name: CallName::Digest(format!("{seq:032x}")),
        effect: true,
        in_doubt: false,
        parked: false,
        failed: false,
        request: "post #alerts".into(),
        result: "ok".into(),
        reply: r#"{"ts":"1.2"}"#.into(),
        at: from_millis(START_MS),
    }
}
