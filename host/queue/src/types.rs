//! The words that the queue shares with whoever puts alerts in and takes deliveries out.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use alert_manager_core::alert::{
    Alert, Block, DeliveryId, HandlerName, Labels, StepKind, Timestamp,
};
use alert_manager_core::journal::{Begun, Dependency, Doubts, Entry, lines};
use alert_manager_core::plan::Plan;

use super::CANCELLED;
use super::inbox::NewAlert;
use super::scheduler::HandlerCounts;
use super::sqlite::UNROUTED;

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

/// A part of a body that is no alert, kept `dead` with its JSON beside the good ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why, naming the field.
    pub error: String,
    /// What was sent, cut to a bounded length.
    pub json: String,
    /// Of all that was sent: a part that comes again is known by it, and not kept anew.
    pub digest: [u8; 32],
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
        Self {
            alerts: submissions.into_iter().map(NewAlert::from).collect(),
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
    /// In the order of the plan; empty where unrouted.
    pub handlers: Vec<HandlerName>,
}

/// What an alert of the server's own does if nothing gets through any way now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfBlocked {
    /// It waits on the best way.
    Wait,
    /// It is not stored: it is about what blocks the ways, and would come when that is over.
    Leave,
}

/// What became of an alert of the server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// It is on its way.
    Stored,
    /// It fires already.
    Known,
    /// No way to report is left, or there is none.
    Nowhere,
    /// The handlers of every way have too many deliveries waiting.
    NoRoom,
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
    /// Attempts used up, of those that the retry policy allows.
    #[serde(default)]
    pub attempts: u32,
    /// Tries that began, whatever they came to: what a handler is told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// The lease up to which `tries` is counted. After a crash the leases since then count, too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counted_to: u32,
    /// Traps, exits and limits met: two end it.
    #[serde(default)]
    pub traps: u32,
    /// Tries that ended because what it depends on did not answer: they use up no attempt.
    #[serde(default)]
    pub unavailable: u32,
    /// True while it is in doubt whether a call of an earlier try happened. Says so to readers; `cut_off` and `doubts`
    /// say what.
    #[serde(default)]
    pub interrupted: bool,
    /// The last lease that the server died under before it was seen what that left in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<u32>,
    /// Which calls may have happened without a record.
    #[serde(default, skip_serializing_if = "Doubts::is_empty")]
    pub doubts: Doubts,
    /// The call that the last lease has begun, if it was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What it waits for, besides its time: it goes on as soon as one of them is back.
    #[serde(default, with = "lines", skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<Dependency>,
    /// When it first started.
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

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Why a call of an attempt that did not end is in doubt.
const CUT_OFF: &str = "the attempt was cut off";

impl Step {
    /// Counts a try that begins under this lease, and returns its number.
    pub fn begin(&mut self, lease: u32) -> u32 {
        if self.counted_to == 0 {
            // Stored by a version that counted only how tries ended.
            self.tries = self.tries.max(self.attempts + self.unavailable);
        }
        self.tries += 1;
        self.counted_to = lease;
        self.tries
    }

    /// Returns what is in doubt, given that the step's record ends before `recorded`'s last place.
    #[must_use]
    pub fn doubts_over(&self, recorded: &[Entry], lease: u32) -> Doubts {
        let mut doubts = self.doubts.clone();
        doubts.settle(recorded);
        let by_flag = self.interrupted && self.doubts.is_empty();
        let cut_off = self.cut_off.or(by_flag.then_some(lease.saturating_sub(1)));
        if let Some(begun) = &self.begun {
            doubts.cut_off_after(begun, CUT_OFF, recorded);
        }
        let is_noted = |attempt| self.begun.as_ref().is_some_and(|b| b.attempt == attempt);
        if let Some(attempt) = cut_off.filter(|attempt| !is_noted(*attempt)) {
            let recorded_to = recorded.last().map_or(0, |entry| entry.seq + 1);
            doubts.cut_off(attempt, CUT_OFF, recorded_to);
        }
        doubts
    }

    /// Sets what is in doubt, of every attempt so far.
    pub fn set_doubts(&mut self, doubts: Doubts) {
        self.interrupted = !doubts.is_empty();
        self.cut_off = None;
        self.begun = None;
        self.doubts = doubts;
    }
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
                    tries: 0,
                    counted_to: 0,
                    traps: 0,
                    unavailable: 0,
                    interrupted: false,
                    cut_off: None,
                    doubts: Doubts::default(),
                    begun: None,
                    not_before: None,
                    waits_for: Vec::new(),
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

    /// Makes due what waits for one of these, which are back; returns which steps that are, and what each has waited for
    /// that is back.
    pub fn wake(&mut self, back: &[Woken]) -> Vec<(usize, Vec<Woken>)> {
        let mut woken = Vec::new();
        for (place, step) in self.steps.iter_mut().enumerate() {
            let waits = |(dependency, _): &&Woken| step.waits_for.contains(dependency);
            let back: Vec<_> = back.iter().filter(waits).cloned().collect();
            if step.status == StepStatus::Pending && !back.is_empty() {
                step.not_before = None;
                woken.push((place, back));
            }
        }
        woken
    }

    /// Makes every step due that waits.
    pub fn hurry(&mut self) {
        for step in self.pending() {
            step.not_before = None;
            step.waits_for.clear();
        }
    }

    /// Returns what its steps wait for.
    #[must_use]
    pub fn waits_for(&self) -> Vec<Dependency> {
        let mut all = Vec::new();
        let pending = self.steps.iter();
        let pending = pending.filter(|step| step.status == StepStatus::Pending);
        for dependency in pending.flat_map(|step| &step.waits_for) {
            if !all.contains(dependency) {
                all.push(dependency.clone());
            }
        }
        all
    }

    /// Notes that the server died under every lease from the last that was settled to this one: each step that is not
    /// finished may have been tried, and may have had an effect under way.
    pub fn interrupt(&mut self, lease: u32) {
        for step in self.pending() {
            step.tries += lease.saturating_sub(step.counted_to);
            step.counted_to = lease;
            step.interrupted = true;
            step.cut_off = Some(lease);
        }
    }

    /// Notes that this lease has ended in order: of it, what was tried is counted.
    pub fn end_lease(&mut self, lease: u32) {
        for step in self.pending() {
            step.counted_to = lease;
        }
    }

    fn pending(&mut self) -> impl Iterator<Item = &mut Step> {
        let steps = self.steps.iter_mut();
        steps.filter(|step| step.status == StepStatus::Pending)
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
    /// Whose slot is held: the handler of the first due step.
    pub handler: HandlerName,
    /// 1 for the first lease of this delivery, one more for each later one.
    pub lease: u32,
    /// True where the lease before this one ended with the server dying under it.
    pub after_crash: bool,
    /// What it waited for that is back, if that is why it goes on before its time.
    pub woken: Vec<Woken>,
    /// How long ago the alert was accepted, or sent again: `max_age` is measured by it. A time of day that is
    /// set meanwhile makes nothing older.
    pub age: Duration,
}

/// What a delivery waited for, and how it was woken.
pub type Woken = (Dependency, Wake);

/// How much of what waits for something goes on when that is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// All of it.
    All,
    /// The most urgent, and of those the oldest, to find out.
    First,
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
    /// The alert, for the report of a delivery that is done; what is dead is read from the store.
    pub alert: Option<Arc<Alert>>,
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
    /// Attempts: leases under which a step ran, as the story tells them. A lease that only waited is none.
    pub attempts: u32,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// When it ended.
    pub settled_at: Option<Timestamp>,
    /// When it died for the first time since it was accepted, or since a person sent it again: sent again by its sender, it
    /// may die once more, and is the same dead letter. Absent if it died before it ran, or if it was revived before
    /// that death was reported.
    #[serde(skip)]
    pub first_died_at: Option<Timestamp>,
    /// Why it is dead or waits, or how it was done without running (`unrouted`).
    pub last_error: Option<String>,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every actor succeeded.
    Done,
    /// No route matched: nothing ran.
    Unrouted,
    /// A person cancelled it.
    Cancelled,
    /// It is a dead letter.
    Dead,
}

impl Ending {
    /// Returns the word for it in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unrouted => "unrouted",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

impl Delivery {
    /// Returns how it ended; of use only once it has.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match (self.state, self.last_error.as_deref()) {
            (State::Dead, Some(CANCELLED)) => Ending::Cancelled,
            (State::Dead, _) => Ending::Dead,
            (_, Some(UNROUTED)) => Ending::Unrouted,
            _ => Ending::Done,
        }
    }

    /// Returns true if a person cancelled it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.ending() == Ending::Cancelled
    }
}

/// What one transaction settled, reported once it is durable.
#[derive(Debug)]
pub struct Settled {
    /// As they are listed. `received_at` of one that was sent again is when that was.
    pub deliveries: Vec<Delivery>,
    /// How many before these were not reported, because too many reports waited to be taken.
    pub missed: u64,
}

/// How the process that had the store before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastEnd {
    /// There was no store.
    None,
    /// In order.
    Clean,
    /// It was killed, or the machine stopped: something was under lease, or its log was not written back.
    Crash,
}

impl LastEnd {
    /// Returns the word for it in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Clean => "clean",
            Self::Crash => "crash",
        }
    }
}

/// What a start found in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// How the last process ended.
    pub last_end: LastEnd,
    /// Deliveries that were under lease then.
    pub under_lease: u64,
    /// Those of them that are dead now: the server has died under them too often.
    pub died: Vec<Delivery>,
    /// Deliveries that wait to be run, those that were under lease included.
    pub queued: u64,
    /// Deliveries that wait for their next attempt.
    pub retrying: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest that is not settled was accepted.
    pub oldest: Option<Timestamp>,
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
    /// What the leases told, in order: the JSON of [`Settlement::story`]. Of many the first and the last.
    pub attempts: Vec<serde_json::Value>,
    /// How many leases between them are not kept.
    pub attempts_omitted: u32,
    /// What is recorded of its calls, by step; without the replies.
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

/// Which deliveries to send again; an absent field does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of these.
    pub state: Selected,
    /// With this handler in its pipeline.
    pub handler: Option<HandlerName>,
    /// Whose last error has this text in it.
    pub reason: Option<String>,
    /// Whose alert has labels that this takes.
    pub labels: Option<LabelTest>,
}

/// What state a delivery is in that is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selected {
    /// It is dead.
    #[default]
    Dead,
    /// It waits for another try, which is due at once.
    Retrying,
}

impl Selected {
    /// Returns it as deliveries are listed.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Dead => State::Dead,
            Self::Retrying => State::Retrying,
        }
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
    pub fingerprint: Option<alert_manager_core::alert::Fingerprint>,
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
    pub refused: Vec<KeptRefused>,
}

/// Where a refused part of a body is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRefused {
    /// The dead delivery that has its JSON.
    pub id: DeliveryId,
    /// True where the same part came before: it is kept as that, and reported once.
    pub is_known: bool,
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
    /// What was discarded or coalesced.
    pub losses: Losses,
}

/// What was discarded or coalesced since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Done deliveries removed because they were settled longer ago than `retention.time`.
    pub done_by_time: u64,
    /// The same of dead ones.
    pub dead_by_time: u64,
    /// Done deliveries removed before that, because the store was larger than `retention.size`.
    pub done_by_size: u64,
    /// The same of dead ones.
    pub dead_by_size: u64,
    /// Dead letters that were reported together.
    pub reported_together: u64,
    /// Notices that died on the last of all ways: nobody was notified.
    pub unreported: u64,
}

/// What sending dead ones again came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Sent again.
    pub retried: Vec<DeliveryId>,
    /// Left dead, and why: the first 1,000 of them.
    pub left: Vec<(DeliveryId, super::RetryError)>,
    /// How many were left for each reason, but for the rest.
    pub left_counts: Vec<(super::RetryError, u64)>,
    /// What was not looked at.
    pub rest: Option<Rest>,
}

/// Dead deliveries that one request did not get to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// They come after this one.
    pub after: DeliveryId,
    /// How many there are.
    pub count: u64,
    /// Why.
    pub why: RestReason,
}

/// Why a request did not get to all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestReason {
    /// The queue keeps room for new alerts.
    #[error(
        "as many deliveries wait already as a retry of many may add (a quarter of webhook.queue_depth_max for each handler, half of it in all); send the rest when some of them are settled"
    )]
    Room,
    /// A request takes a bounded time.
    #[error("this request has reached its time limit; send the rest with another")]
    Time,
    /// The store cannot write.
    #[error("{0}")]
    Store(String),
}

impl RestReason {
    /// Returns the word for it in the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Time => "time",
            Self::Store(_) => "store",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_try_that_began_is_counted_also_those_that_the_server_died_under() {
        let mut progress = Progress::new(&[HandlerName::new("notify")]);
        assert_eq!(progress.steps[1].begin(1), 1);
        progress.end_lease(1);
        // A lease that only waited for a slot is no try.
        progress.end_lease(2);
        assert_eq!(progress.steps[1].begin(3), 2);
        // The server died under leases 3 and 4, and nothing was stored of either.
        let mut progress = Progress::new(&[HandlerName::new("notify")]);
        progress.steps[1].begin(1);
        progress.end_lease(2);
        progress.interrupt(4);
        assert_eq!(progress.steps[1].begin(5), 4);
        assert_eq!(progress.steps[1].attempts, 0, "the retry policy's count");
    }

    #[test]
    fn what_an_earlier_version_stored_goes_on_in_doubt_and_in_its_count() {
        let json = r#"{"handler":"notify","kind":"act","status":"pending","attempts":2,
            "unavailable":3,"interrupted":true}"#;
        let mut step: Step = serde_json::from_str(json).unwrap();
        let doubts = step.doubts_over(&[], 7);
        let left: Vec<_> = doubts.iter().map(|d| (d.request(), d.attempt)).collect();
        assert_eq!(left, [("a call that was under way", 6)]);
        assert_eq!(step.begin(7), 6);
    }
}
