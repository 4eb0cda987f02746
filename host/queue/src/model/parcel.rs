//! Alerts on their way in, and the answer to each.

use std::sync::Arc;

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName, Occurrence};
use alert_manager_core::plan::Plan;

/// One alert, ready to be stored: parsed and routed.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The alert.
    pub alert: Alert,
    /// True if the sender gave no `startsAt`: the queue takes that of the fingerprint's open firing,
    /// else the time of receipt, which `alert.starts_at` holds.
    pub starts_at_missing: bool,
    /// One for each route that matched; none settles it `done: unrouted`.
    pub plans: Vec<Plan>,
}

/// A part of a body that is no alert, kept `dead` with its JSON beside the good ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why, naming the field.
    pub error: String,
    /// What was sent, cut to a bounded length.
    pub json: String,
    /// Of all that was sent: a part that comes again is known by it, and not kept anew.
    pub digest: [u8; 32],
    /// Its alertname, if one could be read.
    pub alertname: String,
}

/// Alerts that are stored together, and what was refused of their body, in the form in which they are stored: to make one
/// of thousands takes milliseconds.
#[derive(Debug, Default)]
pub struct Parcel {
    pub(crate) alerts: Vec<NewAlert>,
    pub(crate) refused: Vec<Refused>,
}

impl Parcel {
    /// Turns them into what is stored.
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

/// What became of one submission, once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New, a reminder, or a dead one revived.
    Accepted(Vec<Accepted>),
    /// The same event was taken before, and last ran as these deliveries; none if no route matched it. Retention may have
    /// removed them since.
    Duplicate(Vec<DeliveryId>),
    /// A firing that has not run and comes shortly after its resolved.
    Stale,
}

/// A delivery that an accepted alert came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its identity.
    pub id: DeliveryId,
    /// In the order of the plan; empty if no route matched.
    pub handlers: Vec<HandlerName>,
}

/// The answer to one body, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// One for each submission.
    pub verdicts: Vec<Verdict>,
    /// One for each refused part.
    pub refused: Vec<KeptRefused>,
}

/// Where a refused part of a body is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRefused {
    /// The dead delivery that has its JSON.
    pub id: DeliveryId,
    /// True if the same part came before: it is kept as that, and reported once.
    pub is_known: bool,
}

/// One alert on its way in.
#[derive(Debug)]
pub(crate) struct NewAlert {
    pub(crate) alert: Arc<Alert>,
    pub(crate) json: String,
    pub(crate) starts_at_missing: bool,
    pub(crate) plans: Vec<Plan>,
}

impl From<Submission> for NewAlert {
    fn from(mut submission: Submission) -> Self {
        // The queue alone counts occurrences: a sender's own note of one is left out.
        submission.alert.set_occurrence(Occurrence::FIRST);
        Self {
            // Strings, numbers and lists: there is nothing in it that JSON cannot hold.
            json: serde_json::to_string(&submission.alert).unwrap_or_default(),
            alert: Arc::new(submission.alert),
            starts_at_missing: submission.starts_at_missing,
            plans: submission.plans,
        }
    }
}
