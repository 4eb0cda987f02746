//! The message of an incident, kept so that its end can be told in the same place.

use handler_sdk::prelude::*;
use handler_sdk::time::DAY;
use serde::{Deserialize, Serialize};

/// How long an incident's message is remembered.
const KEPT_DAYS: u32 = 7;

/// What is kept of a posted message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Slack's reference.
    pub(crate) at: String,
    /// The delivery that posted it: on another try of the same one it is not posted again.
    pub(crate) delivery: String,
    /// The verdict and what changed, as mrkdwn: the resolved alert finds them no more.
    pub(crate) verdict: String,
    pub(crate) change: String,
}

impl Record {
    /// Returns the incident's message, if one is known. A store that does not answer holds back no message.
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

    /// Keeps it. The message is out already, so a failure is only told.
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

/// The fingerprint with the moment it began: the firing alert and its end share both, the next incident does not.
pub(crate) fn key(alert: &Alert) -> String {
    format!("message:{}", alert.incident_key())
}
