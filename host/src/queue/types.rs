//! The words that the queue shares with whoever puts alerts in and takes deliveries out.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Block, DeliveryId, HandlerName, Labels, Priority, StepKind, Timestamp};
use crate::journal::Entry;

use super::inbox::NewAlert;
use super::scheduler::HandlerCounts;

/// One alert, ready to be stored: parsed and routed.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The alert.
    pub alert: Alert,
    /// True where the sender gave no `startsAt`: the queue takes that of the fingerprint's open firing,
    /// else the time of receipt, which `alert.starts_at` holds.
    pub starts_at_missing: bool,
    /// One for each route that matched; none settles it `done: unrouted`.
    pub plans: Vec<Plan>,
}

/// What one route wants done about an alert. Fixed when the alert is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The route's name.
    pub route: Arc<str>,
    /// In the order in which they enrich, then act.
    pub handlers: Vec<HandlerName>,
    /// How urgent.
    pub priority: Priority,
    /// A re-send of an event that ran longer ago than this runs again, as a reminder.
    pub repeat_after: Duration,
}

/// A part of a body that is no alert, kept `dead` with its JSON beside the good ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why, naming the field.
    pub error: String,
    /// What was sent, cut to a bounded length.
    pub json: String,
    /// Its alertname, where one could be read.
    pub alertname: String,
}

/// Alerts that are stored together, and what was refused of their body, in the form in which they are stored: to make one
/// of thousands takes milliseconds.
#[derive(Debug, Default)]
pub struct Parcel {
    pub(super) alerts: Vec<NewAlert>,
    pub(super) refused: Vec<Refused>,
}

impl Parcel {
    /// Turns them into what is stored.
    #[must_use]
    pub fn new(submissions: Vec<Submission>, refused: Vec<Refused>) -> Self {
        let alerts = submissions.into_iter().map(|submission| NewAlert {
            // Strings, numbers and lists: there is nothing in it that JSON cannot hold.
            json: serde_json::to_string(&submission.alert).unwrap_or_default(),
            alert: Arc::new(submission.alert),
            starts_at_missing: submission.starts_at_missing,
            plans: submission.plans,
        });
        Self {
            alerts: alerts.collect(),
            refused,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let alerts = self.alerts.iter().map(|alert| alert.json.len());
        let refused = self.refused.iter().map(|refused| refused.json.len());
        alerts.chain(refused).sum()
    }

    pub(super) fn deliveries(&self) -> usize {
        self.alerts.iter().map(|alert| alert.plans.len()).sum()
    }
}

/// What became of one submission, once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New, a reminder, or a dead one revived.
    Accepted(Vec<Accepted>),
    /// The same event was taken before.
    Duplicate,
    /// A firing whose resolved was already taken.
    Stale,
}

/// A delivery that an accepted alert came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its identity.
    pub id: DeliveryId,
    /// In the order of the plan; empty where unrouted.
    pub handlers: Vec<HandlerName>,
}

/// The state of a delivery, as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// A worker has it.
    Running,
    /// Waits for another try.
    Retrying,
    /// Finished.
    Done,
    /// Given up; a person is told and can send it again.
    Dead,
}

/// How one step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    /// Not finished: never run, or to be tried again.
    Pending,
    /// Finished.
    Done,
    /// Given up. An enrichment that failed is told to the actors as a fact.
    Failed,
}

/// One step of the pipeline and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Whose.
    pub handler: HandlerName,
    /// Which hook.
    pub kind: StepKind,
    /// How it stands.
    pub status: StepStatus,
    /// Attempts used up.
    #[serde(default)]
    pub attempts: u32,
    /// Traps, exits and limits met: two end it.
    #[serde(default)]
    pub traps: u32,
    /// Tries that ended because what it depends on did not answer: they use up no attempt.
    #[serde(default)]
    pub unavailable: u32,
    /// True where the last try was cut off, so that an effect it had under way may or may not have happened.
    #[serde(default)]
    pub interrupted: bool,
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// When it first started: its clock on every attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Time that an enrichment has used, over all attempts, in milliseconds.
    #[serde(default)]
    pub used_ms: u64,
    /// Why the last attempt did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What it found or did.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub facts: Labels,
    /// What an enrichment found, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
}

/// How far a delivery is: its steps, every enrichment before every actor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// In the order in which they run.
    pub steps: Vec<Step>,
}

impl Progress {
    /// Makes the pipeline of a plan: `enrich` of each handler, then `act` of each.
    #[must_use]
    pub fn new(handlers: &[HandlerName]) -> Self {
        let steps = [StepKind::Enrich, StepKind::Act]
            .into_iter()
            .flat_map(|kind| {
                handlers.iter().map(move |handler| Step {
                    handler: handler.clone(),
                    kind,
                    status: StepStatus::Pending,
                    attempts: 0,
                    traps: 0,
                    unavailable: 0,
                    interrupted: false,
                    not_before: None,
                    started_at: None,
                    used_ms: 0,
                    last_error: None,
                    facts: Labels::default(),
                    blocks: Vec::new(),
                })
            })
            .collect();
        Self { steps }
    }

    /// Returns the places of the steps that are due at `now`, in order: the first enrichment that is not
    /// finished, alone; after the enrichments every actor that need not wait.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<usize> {
        let is_due = |step: &Step| {
            step.status == StepStatus::Pending && step.not_before.is_none_or(|at| at <= now)
        };
        let enrichment = self
            .steps
            .iter()
            .position(|s| s.kind == StepKind::Enrich && s.status == StepStatus::Pending);
        match enrichment {
            Some(place) if is_due(&self.steps[place]) => vec![place],
            Some(_) => Vec::new(),
            None => (0..self.steps.len())
                .filter(|place| is_due(&self.steps[*place]))
                .collect(),
        }
    }

    /// Makes the step due that waits least, where none is due at `now`.
    pub fn make_due(&mut self, now: Timestamp) {
        if !self.due(now).is_empty() {
            return;
        }
        let pending = self.steps.iter_mut();
        let first = pending
            .filter(|step| step.status == StepStatus::Pending)
            .min_by_key(|step| step.not_before);
        if let Some(step) = first {
            step.not_before = None;
        }
    }

    /// Notes that the server died under what is not finished: any of it may have had an effect under way, and which
    /// one is not known.
    pub fn interrupt(&mut self) {
        for step in &mut self.steps {
            step.interrupted |= step.status == StepStatus::Pending;
        }
    }

    /// Returns the most attempts that any step has used.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.steps.iter().map(|s| s.attempts).max().unwrap_or(0)
    }
}

/// Proof that a worker holds a delivery; a settlement under an old one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub u64);

/// A delivery handed to a worker, with the slot of `handler` held for it.
#[derive(Debug)]
pub struct Leased {
    /// Its identity.
    pub id: DeliveryId,
    /// What it is settled under.
    pub token: LeaseToken,
    /// The alert.
    pub alert: Arc<Alert>,
    /// The route that it is on.
    pub route: Arc<str>,
    /// How far it is.
    pub progress: Progress,
    /// What its unfinished steps have recorded, by the step's place in the pipeline.
    pub journal: Vec<(u32, Entry)>,
    /// Whose slot is held: the handler of the first due step.
    pub handler: HandlerName,
    /// 1 for the first lease of this delivery, one more for each later one.
    pub lease: u32,
    /// True where the lease before this one ended with the server dying under it.
    pub after_crash: bool,
    /// How long ago the alert was accepted, or sent again: `max_age` is measured by it. A time of day that is
    /// set meanwhile makes nothing older.
    pub age: Duration,
}

/// How an invocation used its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// It ended in next to no time, and asked nothing of the world. A handler all of whose invocations are such has its
    /// next deliveries leased before it has slots for them.
    Brief,
    /// Anything else.
    Long,
}

/// How a lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Every step is done; the reason is `unrouted`, `coalesced into …`, or empty.
    Done,
    /// Given up, and why.
    Dead(String),
    /// To be tried again, not before `until`, by `handler`. Holds no slot meanwhile.
    Retry {
        /// Not before this.
        until: Timestamp,
        /// Whose slot it then needs.
        handler: HandlerName,
    },
    /// Goes on as soon as `handler` has a free slot: nothing failed.
    Yield {
        /// Whose slot it needs.
        handler: HandlerName,
    },
}

/// What a worker says at the end of a lease.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Which delivery.
    pub id: DeliveryId,
    /// Under which lease.
    pub token: LeaseToken,
    /// How it ends.
    pub next: Next,
    /// How far it is now.
    pub progress: Progress,
    /// The story of this lease, as JSON; absent where nothing worth telling happened.
    pub story: Option<String>,
    /// The last error, for lists.
    pub last_error: Option<String>,
}

/// A delivery, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its identity.
    pub id: DeliveryId,
    /// The alert's fingerprint, empty for a refused body.
    pub fingerprint: String,
    /// The alert's name.
    pub alertname: String,
    /// `firing` or `resolved`, empty for a refused body.
    pub status: String,
    /// How it stands.
    pub state: State,
    /// The route's name, empty where unrouted.
    pub route: String,
    /// In the order of the pipeline.
    pub handlers: Vec<HandlerName>,
    /// The most attempts that any step has used.
    pub attempts: u32,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// When it ended.
    pub settled_at: Option<Timestamp>,
    /// Why it is dead or waits, or how it was done without running (`unrouted`).
    pub last_error: Option<String>,
}

/// A delivery with everything that is known of it.
#[derive(Clone, Debug)]
pub struct Story {
    /// As it is listed.
    pub delivery: Delivery,
    /// The alert; the sender's JSON, as a string, for a refused body.
    pub alert: serde_json::Value,
    /// How far it is.
    pub progress: Progress,
    /// Not before this, where it waits.
    pub not_before: Option<Timestamp>,
    /// What each lease told, in order: the JSON of [`Settlement::story`].
    pub attempts: Vec<serde_json::Value>,
    /// What is recorded of its calls, by step.
    pub journal: Vec<(u32, Entry)>,
    /// How many times the same event was sent again since.
    pub duplicates: u64,
}

/// A test of an alert's labels: the queue knows no matchers.
#[derive(Clone)]
pub struct LabelTest(Arc<dyn Fn(&Labels) -> bool + Send + Sync>);

impl LabelTest {
    /// Makes a test of a function.
    #[must_use]
    pub fn new(test: impl Fn(&Labels) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(test))
    }

    pub(super) fn takes(&self, labels: &Labels) -> bool {
        (self.0)(labels)
    }
}

impl std::fmt::Debug for LabelTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LabelTest")
    }
}

/// Which deliveries to list; an absent field does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// Of this alertname.
    pub alertname: Option<String>,
    /// With this handler in its pipeline.
    pub handler: Option<String>,
    /// Of this fingerprint.
    pub fingerprint: Option<crate::alert::Fingerprint>,
    /// Accepted at or after this.
    pub from: Option<Timestamp>,
    /// Accepted before this.
    pub to: Option<Timestamp>,
    /// Whose alert has labels that this takes.
    pub labels: Option<LabelTest>,
    /// Older than this one.
    pub before: Option<DeliveryId>,
    /// At most this many, 1,000 at most.
    pub limit: u32,
}

/// The answer to one body, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// One for each submission.
    pub verdicts: Vec<Verdict>,
    /// One for each refused part.
    pub refused_ids: Vec<DeliveryId>,
}

/// Part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// What to give as `before` for the next part; absent after the last. A part may be short of the limit, or empty,
    /// and not be the last: labels are tested for a bounded number of deliveries at a time.
    pub next: Option<DeliveryId>,
}

/// How full the queue is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries not settled.
    pub depth: usize,
    /// Deliveries that are dead.
    pub dead: u64,
    /// When the oldest not settled was accepted.
    pub oldest: Option<Timestamp>,
    /// When the oldest critical one not settled was accepted.
    pub oldest_critical: Option<Timestamp>,
    /// By handler, those without any deliveries included once they had one.
    pub handlers: Vec<HandlerCounts>,
}

/// What sending the dead ones again came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Sent again.
    pub retried: Vec<DeliveryId>,
    /// Left dead, and why.
    pub left: Vec<(DeliveryId, super::RetryError)>,
}
