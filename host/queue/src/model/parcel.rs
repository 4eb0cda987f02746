//! The alerts of a request, and the answer to it.

use std::sync::Arc;

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName, Occurrence};
use alert_manager_core::plan::Plan;

/// An alert that is parsed and routed.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The alert.
    pub alert: Alert,
    /// True if the sender gave no `startsAt`, so that `alert.starts_at` is the time of receipt. If the fingerprint has an open
    /// firing, the queue takes its `startsAt` instead.
    pub starts_at_missing: bool,
    /// One for each route that matched. If there is none, the delivery is done with the reason `unrouted`.
    pub plans: Vec<Plan>,
}

/// A part of a body that is not a valid alert. It is kept as a dead delivery with its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why it is not valid; names the field.
    pub error: String,
    /// The JSON that was sent, truncated to a bounded length.
    pub json: String,
    /// A digest of the untruncated JSON. A part with the same digest is kept once.
    pub digest: [u8; 32],
    /// Its alertname, if one could be read.
    pub alertname: String,
}

/// Alerts that are stored together, and the refused parts of their body. They are serialized when this is made, which takes
/// milliseconds for thousands of alerts.
#[derive(Debug, Default)]
pub struct Parcel {
    pub(crate) alerts: Vec<NewAlert>,
    pub(crate) refused: Vec<Refused>,
}

impl Parcel {
    /// Serializes alerts for the store.
    #[must_use]
    pub fn new(submissions: Vec<Submission>, refused: Vec<Refused>) -> Self {
        Self {
            alerts: submissions.into_iter().map(NewAlert::from).collect(),
            refused,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let alerts = self.alerts.iter().map(|alert| alert.json.len());
        let refused = self.refused.iter().map(|refused| refused.json.len());
        alerts.chain(refused).sum()
    }

    pub(crate) fn deliveries(&self) -> usize {
        self.alerts.iter().map(|alert| alert.plans.len()).sum()
    }
}

/// The result of one submission, once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The event is new, is due for a reminder, or revives a dead delivery. One delivery for each route.
    Accepted(Vec<Accepted>),
    /// The event was accepted before, and last ran as these deliveries; none if no route matched. Retention may have removed
    /// them.
    Duplicate(Vec<DeliveryId>),
    /// The firing comes shortly after its resolved, and has not run: it is not run.
    Stale,
}

/// A delivery of an accepted alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its identity.
    pub id: DeliveryId,
    /// Its handlers, in order; empty if no route matched.
    pub handlers: Vec<HandlerName>,
}

/// The answer to one body, in the order of its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// One for each submission.
    pub verdicts: Vec<Verdict>,
    /// One for each refused part.
    pub refused: Vec<KeptRefused>,
}

/// The delivery as which a refused part of a body is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRefused {
    /// The dead delivery.
    pub id: DeliveryId,
    /// True if the same part was sent before: it is not reported again.
    pub is_known: bool,
}

/// An alert that is serialized for the store.
#[derive(Debug)]
pub(crate) struct NewAlert {
    pub(crate) alert: Arc<Alert>,
    pub(crate) json: String,
    pub(crate) starts_at_missing: bool,
    pub(crate) plans: Vec<Plan>,
}

impl From<Submission> for NewAlert {
    fn from(mut submission: Submission) -> Self {
        // The queue counts occurrences, so what the sender says of them is ignored.
        submission.alert.set_occurrence(Occurrence::FIRST);
        Self {
            // An alert has only strings, numbers and lists, so this cannot fail.
            json: serde_json::to_string(&submission.alert).unwrap_or_default(),
            alert: Arc::new(submission.alert),
            starts_at_missing: submission.starts_at_missing,
            plans: submission.plans,
        }
    }
}
