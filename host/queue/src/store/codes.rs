//! The numbers by which values are stored. Their meaning never changes.

use std::sync::Arc;

use alert_manager_core::alert::{Fingerprint, HandlerName, Priority, Status};
use alert_manager_core::journal::{CallKind, Entry};

use crate::model::{ActivityKind, ActivityOf, Parking, Reason, ReceivedAs, State, Times};

/// A delivery that an earlier version had leased before a permit was free: no call had been made under such a lease. It is read by
/// `recovery.rs` alone, and no longer written.
pub(super) const PREFETCHED: i64 = -1;
pub(super) const QUEUED: i64 = 0;
pub(super) const RUNNING: i64 = 1;
pub(super) const RETRYING: i64 = 2;
pub(super) const DONE: i64 = 3;
pub(super) const DEAD: i64 = 4;

pub(super) fn fingerprint_of(stored: Option<i64>) -> Option<Fingerprint> {
    stored.map(|n| Fingerprint(n.cast_unsigned()))
}

pub(super) fn status_code(status: Status) -> i64 {
    match status {
        Status::Firing => 0,
        Status::Resolved => 1,
    }
}

pub(super) fn status_of(code: i64) -> Status {
    match code {
        0 => Status::Firing,
        _ => Status::Resolved,
    }
}

/// Returns the number of a state. If it is less than [`DONE`], the delivery is not settled.
pub(super) const fn state_code(state: State) -> i64 {
    match state {
        State::Queued => QUEUED,
        State::Running => RUNNING,
        State::Retrying => RETRYING,
        State::Done => DONE,
        State::Dead => DEAD,
    }
}

pub(super) const fn state_of(code: i64) -> State {
    match code {
        QUEUED => State::Queued,
        RUNNING => State::Running,
        RETRYING => State::Retrying,
        DONE => State::Done,
        _ => State::Dead,
    }
}

/// Returns the number of a reason. Those of dead deliveries begin at 10.
pub(super) const fn reason_code(reason: Reason) -> i64 {
    match reason {
        Reason::Handled => 0,
        Reason::Unrouted => 1,
        Reason::Coalesced => 2,
        Reason::Outdated => 3,
        Reason::Failed => 10,
        Reason::Cancelled => 11,
        Reason::Backlog => 12,
        Reason::Refused => 13,
        Reason::Died => 14,
        Reason::Expired => 15,
    }
}

pub(super) fn reason_of(code: Option<i64>) -> Option<Reason> {
    let mut all = Reason::ALL.into_iter();
    all.find(|reason| Some(reason_code(*reason)) == code)
}

/// Returns how a lease left a delivery, as it is stored.
pub(super) const fn parking_code(parking: Parking) -> i64 {
    match parking {
        Parking::No => 0,
        Parking::Clean => 1,
        Parking::Begun => 2,
    }
}

pub(super) const fn parking_of(code: i64) -> Parking {
    match code {
        0 => Parking::No,
        1 => Parking::Clean,
        _ => Parking::Begun,
    }
}

pub(super) fn priority_code(priority: Priority) -> i64 {
    match priority {
        Priority::Critical => 0,
        Priority::Warning => 1,
        Priority::Normal => 2,
    }
}

pub(super) fn priority_of(code: i64) -> Priority {
    match code {
        0 => Priority::Critical,
        1 => Priority::Warning,
        _ => Priority::Normal,
    }
}

pub(super) fn kind_code(kind: CallKind) -> i64 {
    match kind {
        CallKind::Http => 0,
        CallKind::Slack => 1,
        CallKind::Kv => 2,
        CallKind::Config => 3,
        CallKind::History => 4,
        CallKind::Timer => 5,
    }
}

pub(super) fn kind_of(code: i64) -> CallKind {
    match code {
        0 => CallKind::Http,
        1 => CallKind::Slack,
        2 => CallKind::Kv,
        4 => CallKind::History,
        5 => CallKind::Timer,
        _ => CallKind::Config,
    }
}

/// What a stored call is for a retry; 0 for a read that it does not need by itself.
const EFFECT: i64 = 1;
const EFFECT_IN_DOUBT: i64 = 2;
const PARKED: i64 = 3;
const FAILED: i64 = 4;
const FAILED_PARKED: i64 = 5;

pub(super) fn effect_code(entry: &Entry) -> i64 {
    match (entry.effect, entry.failed, entry.parked) {
        (true, ..) if entry.in_doubt => EFFECT_IN_DOUBT,
        (true, ..) => EFFECT,
        (false, true, true) => FAILED_PARKED,
        (false, true, false) => FAILED,
        (false, false, true) => PARKED,
        (false, false, false) => 0,
    }
}

/// What a code of [`effect_code`] says.
#[derive(Clone, Copy, Debug)]
pub(super) struct EffectFlags {
    pub(super) effect: bool,
    pub(super) in_doubt: bool,
    pub(super) parked: bool,
    pub(super) failed: bool,
}

pub(super) fn effect_flags(code: i64) -> EffectFlags {
    EffectFlags {
        effect: matches!(code, EFFECT | EFFECT_IN_DOUBT),
        in_doubt: code == EFFECT_IN_DOUBT,
        parked: matches!(code, PARKED | FAILED_PARKED),
        failed: matches!(code, FAILED | FAILED_PARKED),
    }
}

/// How many buckets of times a row usually has room for: up to two hours.
const BUCKETS_USUAL: usize = 24;

/// Returns the buckets as they are stored, four bytes each: as many as usual, so that a row keeps its size and is overwritten.
pub(super) fn histogram(times: &Times) -> Vec<u8> {
    if times.buckets.is_empty() {
        return Vec::new();
    }
    let mut bytes = Vec::with_capacity(4 * BUCKETS_USUAL);
    for count in &times.buckets {
        bytes.extend(u32::try_from(*count).unwrap_or(u32::MAX).to_be_bytes());
    }
    bytes.resize(bytes.len().max(4 * BUCKETS_USUAL), 0);
    bytes
}

/// Returns the times of a stored histogram.
pub(super) fn times_of(histogram: &[u8], sum_ms: u64) -> Times {
    let (words, _) = histogram.as_chunks::<4>();
    let counts = words.iter().map(|word| u32::from_be_bytes(*word).into());
    let mut buckets: Vec<u64> = counts.collect();
    while buckets.last() == Some(&0) {
        buckets.pop();
    }
    Times { buckets, sum_ms }
}

pub(super) const ACTIVITY_KINDS: [ActivityKind; 4] = [
    ActivityKind::Received,
    ActivityKind::Route,
    ActivityKind::Settled,
    ActivityKind::Handler,
];

/// Returns the number of a kind. Its meaning never changes.
pub(super) const fn activity_code(kind: ActivityKind) -> i64 {
    match kind {
        ActivityKind::Received => 0,
        ActivityKind::Route => 1,
        ActivityKind::Settled => 2,
        ActivityKind::Handler => 3,
    }
}

pub(super) fn activity_key(of: &ActivityOf) -> String {
    match of {
        ActivityOf::Received(as_what) => as_what.as_str().to_owned(),
        ActivityOf::Route(route) => route.to_string(),
        ActivityOf::Settled(reason) => reason.as_str().to_owned(),
        ActivityOf::Handler(handler, reason) => handler_prefix(handler) + reason.as_str(),
    }
}

/// Returns how the keys of a handler begin.
pub(super) fn handler_prefix(handler: &HandlerName) -> String {
    format!("{handler} ")
}

/// Returns what a row is of; nothing if this version does not know that.
pub(super) fn parse_activity_key(kind: ActivityKind, key: &str) -> Option<ActivityOf> {
    let reason = |name: &str| name.parse::<Reason>().ok();
    Some(match kind {
        ActivityKind::Received => {
            let mut all = ReceivedAs::ALL.into_iter();
            ActivityOf::Received(all.find(|known| known.as_str() == key)?)
        }
        ActivityKind::Route => ActivityOf::Route(Arc::from(key)),
        ActivityKind::Settled => ActivityOf::Settled(reason(key)?),
        ActivityKind::Handler => {
            let (handler, why) = key.split_once(' ')?;
            ActivityOf::Handler(HandlerName::new(handler), reason(why)?)
        }
    })
}
