//! What is kept of an incident's message between deliveries.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::told::Told;
use crate::slack::MessageRef;
use crate::time::DAY;
use crate::{Cx, Failure, Timestamp};

/// How long it is kept after the last delivery: the longest time that an update of the message is useful.
const KEPT_DAYS: u32 = 7;

/// What is kept of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// Slack's reference to the message.
    pub(super) at: String,
    /// The delivery that posted or updated it last.
    pub(super) delivery: String,
    /// When that was, in seconds since 1970.
    pub(super) told_at: i64,
    /// What the message says about a storm.
    pub(super) storm: Option<Told>,
    /// Whether it shows that the alert has resolved.
    pub(super) is_over: bool,
    /// The group's message in whose thread it is.
    pub(super) group: Option<Place>,
    /// The handler's notes.
    pub(super) notes: BTreeMap<String, String>,
}

impl Kept {
    pub(super) const fn told(&self) -> Timestamp {
        Timestamp::from_seconds(self.told_at)
    }

    /// Adds the notes of an earlier delivery, except those that were replaced.
    pub(super) fn with_notes_of(mut self, earlier: &Self) -> Self {
        for (name, text) in &earlier.notes {
            let kept = self.notes.entry(name.clone());
            kept.or_insert_with(|| text.clone());
        }
        self
    }
}

/// The message that the alerts of a group share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Slack's reference to it.
    pub(super) at: String,
    /// The beginning of the keys of its counters.
    pub(super) key: String,
    /// When the first of its alerts began, in seconds since 1970.
    pub(super) began_at: i64,
    /// Whether it is about critical alerts.
    pub(super) is_critical: bool,
}

impl Place {
    pub(super) fn parent(&self) -> MessageRef {
        MessageRef::from(self.at.clone())
    }

    pub(super) const fn since(&self) -> Timestamp {
        Timestamp::from_seconds(self.began_at)
    }
}

/// Reads a value. If the store fails, logs `problem` and returns nothing: no message is held back for it.
pub(super) fn read<T: DeserializeOwned>(cx: &Cx, key: &str, problem: &str) -> Option<T> {
    cx.kv().get_json(key).unwrap_or_else(|failure| {
        warn(cx, problem, &failure);
        None
    })
}

/// Writes a value. If the store fails, logs `problem`.
pub(super) fn write<T: Serialize>(cx: &Cx, key: &str, value: &T, problem: &str) {
    let written = cx.kv().set_json(key, value, Some(DAY * KEPT_DAYS));
    written.unwrap_or_else(|failure| warn(cx, problem, &failure));
}

/// Adds to a counter and returns the sum; `None` if the store fails.
pub(super) fn add(cx: &Cx, key: &str, by: i32, problem: &str) -> Option<i64> {
    let sum = cx.kv().increment(key, by, Some(DAY * KEPT_DAYS));
    sum.map_err(|error| warn(cx, problem, &error.into())).ok()
}

/// Sets a mark; returns false if it was set before, or the store fails.
pub(super) fn mark(cx: &Cx, key: &str, problem: &str) -> bool {
    let added = cx.kv().set_if_absent(key, "", Some(DAY * KEPT_DAYS));
    added.unwrap_or_else(|error| {
        warn(cx, problem, &error.into());
        false
    })
}

/// Returns a counter; 0 if it is absent or the store fails.
pub(super) fn count(cx: &Cx, key: &str, problem: &str) -> i64 {
    read(cx, key, problem).unwrap_or(0)
}

pub(super) fn warn(cx: &Cx, problem: &str, failure: &Failure) {
    cx.log().warn(problem, &[("why", &failure.message())]);
}
