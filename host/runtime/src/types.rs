//! The input and the result of one invocation, as the worker sees them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calls::held_back::HeldBack;
use crate::limits::quota::{LimitHit, Limits};
use crate::slack::hold::SlackHold;
use crate::trace::Trace;
use alert_manager_core::alert::{Alert, DeliveryId, Enrichment, Labels, StepKind, Timestamp};
use alert_manager_core::gate::Parked;
use alert_manager_core::journal::{Dependency, Doubts, Ledger, RecordUse, Recorded};
use alert_manager_core::policy::Grants;

/// The input of one call of a hook.
pub struct Invocation {
    /// Which hook.
    pub step: StepKind,
    /// For `call.delivery-id` and the logs.
    pub delivery: DeliveryId,
    /// For `call.attempt`: the number of tries of the step that have begun, this one included.
    pub attempt: u32,
    /// The attempt of the delivery, as the story numbers it.
    pub lease: u32,
    /// True if effects are shown instead of made.
    pub dry_run: bool,
    /// In a dry run, what earlier steps of it held back.
    pub held_back: HeldBack,
    /// The alert.
    pub alert: Arc<Alert>,
    /// The facts and blocks that earlier steps found; all of them for `act`.
    pub found: Arc<Enrichment>,
    /// The operator's settings: the handler's, overridden by the route's. Scalars as written, other values as JSON.
    pub config: Arc<BTreeMap<String, String>>,
    /// The origins, channels and credentials that it may use.
    pub grants: Arc<Grants>,
    /// The limits of its resources.
    pub limits: Limits,
    /// The time that is left for the step. `limits.wall_max` applies too.
    pub time_left: Duration,
    /// The current time. The guest's wall clock shows it once every recorded effect has been replayed.
    pub now: Timestamp,
    /// The seed of the guest's random bytes: the same on every attempt of the step.
    pub seed: [u8; 32],
    /// The record of earlier attempts of this step.
    pub recorded: Recorded,
    /// The calls of earlier attempts that may have happened without a record.
    pub doubts: Doubts,
    /// Records this attempt's calls.
    pub ledger: Arc<dyn Ledger>,
}

/// The result of one call of a hook.
#[derive(Debug)]
pub struct Invoked {
    /// What the hook returned, or why it did not.
    pub outcome: Result<Output, StepFailure>,
    /// For the story.
    pub trace: Trace,
    /// The hold of Slack that blocked a call. If the hook failed, for any reason, the step waits for the end of the hold.
    pub hold: Option<SlackHold>,
    /// The last dependency that did not answer, unless it answered a later call: the likely reason if the hook failed.
    pub unanswered: Option<Dependency>,
    /// The dependencies that answered. Steps that wait for one of them can be retried.
    pub answered: Vec<Dependency>,
    /// The calls of the step that may have happened without a record; `None` if the hook did not run.
    pub doubts: Option<Doubts>,
    /// The size of the step's record after this attempt; zero if the attempt recorded nothing.
    pub recorded: RecordUse,
    /// True if the step has an effect on record, of this attempt or of an earlier one.
    pub has_effect: bool,
    /// True if it sent a call that changes something, whatever came of it.
    pub has_sent: bool,
    /// What this step and the earlier ones of a dry run have held back.
    pub held_back: HeldBack,
}

impl Invoked {
    /// Returns the result of an invocation that did not begin.
    #[must_use]
    pub fn not_begun(failure: StepFailure) -> Self {
        Self {
            outcome: Err(failure),
            trace: Trace::default(),
            hold: None,
            unanswered: None,
            answered: Vec::new(),
            doubts: None,
            recorded: RecordUse::default(),
            has_effect: false,
            has_sent: false,
            held_back: HeldBack::default(),
        }
    }
}

/// What a hook returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Of `enrich`: only the facts and blocks that it adds.
    Enrichment(Enrichment),
    /// Of `act`: facts.
    Facts(Labels),
}

/// Why a hook did not succeed. The message is for people.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepFailure {
    /// The handler returned `retryable`. Uses an attempt.
    #[error("{message}")]
    Retryable {
        /// The reason, for people.
        message: String,
        /// The shortest wait before the retry.
        after: Option<Duration>,
    },
    /// The handler returned `unavailable`: something that it depends on does not answer. Uses no attempt.
    #[error("{message}")]
    Unavailable {
        /// The reason, for people.
        message: String,
        /// The shortest wait before the retry.
        after: Option<Duration>,
    },
    /// The handler returned `permanent`. There is no retry.
    #[error("{0}")]
    Permanent(String),
    /// The guest trapped, exited or broke the contract. The text has the end of its stderr and its backtrace.
    #[error("{0}")]
    Trap(String),
    /// The guest met a limit.
    #[error("{0}")]
    Limit(LimitHit),
    /// The wall time ran out, usually because a server did not answer.
    #[error("{0}")]
    Timeout(String),
    /// The server could not run the hook, for example because the lease was lost. Not the handler's fault.
    #[error("{0}")]
    Host(String),
    /// A call waits for its turn at a gate, and the delivery with it: nothing failed, and the guest has learned of nothing.
    #[error("it waits for its turn: {}", .0.gate.label)]
    Parked(Box<Parked>),
}

/// The state of a module, as `handlers` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModuleState {
    /// It serves, and every interface that it imports is granted.
    Ready,
    /// It serves, but interfaces that it imports are not granted: their calls answer `denied`.
    Limited,
    /// It is being loaded.
    Loading,
    /// It is refused, for the reason of the last error. Its predecessor may still serve.
    Refused,
}
