//! What the worker hands to the runtime for one invocation, and what it gets back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::quota::{LimitHit, Limits};
use crate::slack::hold::Hold;
use crate::trace::Trace;
use alert_manager_core::alert::{Alert, DeliveryId, Enrichment, Labels, StepKind, Timestamp};
use alert_manager_core::gate::Parked;
use alert_manager_core::journal::{Dependency, Doubts, Ledger, RecordUse, Recorded};
use alert_manager_core::policy::Grants;

/// Everything that one call of a hook needs.
pub struct Invocation {
    /// Which hook.
    pub step: StepKind,
    /// For `call.delivery-id` and the logs.
    pub delivery: DeliveryId,
    /// For `call.attempt`: 1 at first, and one more for each try of the step that began.
    pub attempt: u32,
    /// Which attempt of the delivery it is, as the story numbers them.
    pub lease: u32,
    /// True if effects are held back.
    pub dry_run: bool,
    /// The alert.
    pub alert: Arc<Alert>,
    /// What is known so far: all of it for `act`.
    pub found: Arc<Enrichment>,
    /// The operator's settings: the route's over the handler's. Scalars as written, the rest as JSON.
    pub config: Arc<BTreeMap<String, String>>,
    /// What it may reach.
    pub grants: Arc<Grants>,
    /// What it may use.
    pub limits: Limits,
    /// The step's deadline from now; never longer than `limits.wall_max`.
    pub time_left: Duration,
    /// The time, which the guest's wall clock shows once no recorded effect is left to replay.
    pub now: Timestamp,
    /// The seed of the guest's random bytes: the same on every attempt of the step.
    pub seed: [u8; 32],
    /// What earlier attempts of this step recorded.
    pub recorded: Recorded,
    /// Which calls of earlier attempts may have happened without a record.
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
    /// Set if a call met something that Slack refuses until the operator mends it. If the hook failed, for whatever reason, the
    /// step waits for that.
    pub hold: Option<Hold>,
    /// What did not answer last, unless it was asked again with success: the likely reason if the hook failed.
    pub needs: Option<Dependency>,
    /// What answered: steps that wait for it need not wait any longer.
    pub has: Vec<Dependency>,
    /// Which calls of the step may have happened without a record; absent if nothing ran.
    pub doubts: Option<Doubts>,
    /// What the step has on record after it; nothing if it recorded nothing.
    pub recorded: RecordUse,
    /// True if the step has an effect on record, of this attempt or of an earlier one.
    pub has_effect: bool,
    /// True if it sent a call that changes something, whatever came of it.
    pub has_sent: bool,
}

impl Invoked {
    /// Returns the end of an invocation that did not begin.
    #[must_use]
    pub fn not_begun(failure: StepFailure) -> Self {
        Self {
            outcome: Err(failure),
            trace: Trace::default(),
            hold: None,
            needs: None,
            has: Vec::new(),
            doubts: None,
            recorded: RecordUse::default(),
            has_effect: false,
            has_sent: false,
        }
    }
}

/// What a hook returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Of `enrich`: only what it adds.
    Enrichment(Enrichment),
    /// Of `act`.
    Facts(Labels),
}

/// Why a hook did not succeed. The message is for people.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepFailure {
    /// The handler says: try again. Uses up an attempt.
    #[error("{message}")]
    Retryable {
        /// For people.
        message: String,
        /// Not before this long from now.
        after: Option<Duration>,
    },
    /// The handler says: what it depends on does not answer. Uses up no attempt.
    #[error("{message}")]
    Unavailable {
        /// For people.
        message: String,
        /// Not before this long from now.
        after: Option<Duration>,
    },
    /// The handler says: never try again.
    #[error("{0}")]
    Permanent(String),
    /// It trapped, exited or broke the contract; with its backtrace and last stderr.
    #[error("{0}")]
    Trap(String),
    /// It met a limit.
    #[error("{0}")]
    Limit(LimitHit),
    /// Its wall time ran out, usually because a server did not answer.
    #[error("{0}")]
    Timeout(String),
    /// The host could not run it now (the store cannot record, the lease was lost): no fault of the handler.
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
    /// Serves, with everything that it imports granted.
    Ready,
    /// Serves; what it imports beyond its grants answers `denied`.
    Limited,
    /// Being compiled.
    Loading,
    /// Not served, or its predecessor still is; the reason is the last error.
    Refused,
}
