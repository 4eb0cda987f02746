//! The stored reference to an incident's message, so that the resolved alert can update it.

use handler_sdk::prelude::*;
use handler_sdk::time::DAY;
use serde::{Deserialize, Serialize};

/// How long the reference is stored.
const KEPT_DAYS: u32 = 7;

/// What is stored about a posted message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Slack's reference to the message.
    pub(crate) at: String,
    /// The delivery that posted it: a retry of the same delivery does not post it again.
    pub(crate) delivery: String,
    /// The verdict and what changed, as mrkdwn: they can no longer be found out when the alert resolves.
    pub(crate) verdict: String,
    pub(crate) change: String,
}

impl Record {
    /// Returns the incident's message, if known. If the store fails, the message is posted all the same.
    pub(crate) fn read(cx: &Cx, alert: &Alert) -> Option<Self> {
        match cx.kv().get_json(&key(alert)) {
            Ok(record) => record,
            Err(failure) => {
                cx.log().warn(
                    "the incident's earlier message is not known",
                    &[("why", &failure.message())],
                );
                None
            }
        }
    }

    /// Stores the reference. The message is posted already, so a failure is only logged.
    pub(crate) fn keep(&self, cx: &Cx, alert: &Alert) {
        if let Err(failure) = cx.kv().set_json(&key(alert), self, Some(DAY * KEPT_DAYS)) {
            let why = failure.message();
            cx.log().warn(
                "the message could not be remembered; its end will be a new message",
                &[("why", &why)],
            );
        }
    }
}

/// Returns the fingerprint with the start: the firing and the resolved alert have both in common, the next incident not.
pub(crate) fn key(alert: &Alert) -> String {
    format!("message:{}", alert.incident_key())
}
