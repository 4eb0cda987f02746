//! The reports of a lease: its attempt in the delivery's story, log lines and metrics.

use std::sync::Arc;
use std::time::Duration;

use crate::alert::{Alert, DeliveryId, HandlerName, Labels, StepKind, Timestamp};
use crate::api::{self, Attempt, AttemptOutcome, Lenient, StepOutcome, StepTry};
use crate::journal::{Doubt, Doubts, Suspect};
use crate::queue::{Leased, Step, StepStatus};
use crate::runtime::{Answered, Trace};
use crate::telemetry::Metrics;
use crate::worker::Worker;
use crate::worker::story::{self, STORY_BYTES_MAX, STORY_LIMIT};

/// The report of one lease.
pub(super) struct Report {
    metrics: Arc<Metrics>,
    delivery: DeliveryId,
    alert: Arc<Alert>,
    attempt: Attempt,
}

impl Report {
    pub(super) fn new(worker: &Worker, leased: &Leased, started_at: Timestamp) -> Self {
        Self {
            metrics: Arc::clone(&worker.metrics),
            delivery: leased.id,
            alert: Arc::clone(&leased.alert),
            attempt: Attempt {
                attempt: leased.lease.number,
                started_at,
                ended_at: started_at,
                outcome: AttemptOutcome::Yield.into(),
                after_crash: leased.after_crash,
                steps: Vec::new(),
                left_out: Vec::new(),
            },
        }
    }

    /// Counts the calls of an invocation and the limits that it hit.
    pub(super) fn count(&self, handler: &HandlerName, trace: &Trace) {
        for calls in &trace.counts {
            let count = u64::from(calls.count);
            self.metrics
                .host_calls(handler, calls.kind.as_str(), calls.result, count);
            if calls.result == Answered::Diverged.as_str() {
                self.metrics.diverged(handler, count);
            }
        }
        for (limit, count) in &trace.limits {
            self.metrics
                .limits(handler, limit.as_str(), u64::from(*count));
        }
    }

    /// Reports a try of a step, given the step's state after it. `module` is what ran; `error` is why it did not succeed.
    pub(super) fn tried(
        &mut self,
        step: &Step,
        module: String,
        started_at: Timestamp,
        error: Option<String>,
        trace: Trace,
    ) {
        if let Some(error) = &error {
            self.log(step, error);
        }
        let error = match step.status {
            // The reason for not retrying contains more than the failure alone.
            StepStatus::Failed => step.last_error.clone(),
            StepStatus::Pending | StepStatus::Done => error,
        };
        self.attempt.steps.push(StepTry {
            handler: step.handler.clone(),
            step: step.kind.into(),
            module: Some(module),
            started_at,
            outcome: StepOutcome::from(step.status).into(),
            error,
            not_before: step.not_before,
            facts: step.facts.clone(),
            blocks: step.blocks.iter().cloned().map(Lenient::from).collect(),
            in_doubt: doubts_of(&step.doubts_over(&[], self.attempt.attempt)),
            trace: trace.into(),
        });
        self.warn_of_doubts(step);
    }

    /// Reports a try that made a call and was then taken back, because its delivery waits for its turn.
    pub(super) fn parked(
        &mut self,
        step: &Step,
        module: String,
        started_at: Timestamp,
        trace: Trace,
    ) {
        self.attempt.steps.push(StepTry {
            handler: step.handler.clone(),
            step: step.kind.into(),
            module: Some(module),
            started_at,
            outcome: StepOutcome::Parked.into(),
            error: None,
            not_before: None,
            facts: Labels::default(),
            blocks: Vec::new(),
            in_doubt: doubts_of(&step.doubts_over(&[], self.attempt.attempt)),
            trace: trace.into(),
        });
    }

    /// Reports the doubts of a step that has ended.
    pub(super) fn ended_in_doubt(&mut self, step: &Step) {
        let in_doubt = step.doubts_over(&[], self.attempt.attempt);
        if step.status != StepStatus::Failed || in_doubt.is_empty() {
            return;
        }
        self.attempt.steps.push(StepTry {
            handler: step.handler.clone(),
            step: step.kind.into(),
            module: None,
            started_at: Timestamp::now(),
            outcome: StepOutcome::Failed.into(),
            error: step.last_error.clone(),
            not_before: None,
            facts: Labels::default(),
            blocks: Vec::new(),
            in_doubt: doubts_of(&in_doubt),
            trace: api::Trace::default(),
        });
        self.warn_of_doubts(step);
    }

    /// Logs that a step ended with a call in doubt; its story has the call. A doubt of a crashed step that may have made no call
    /// is only in the story.
    fn warn_of_doubts(&self, step: &Step) {
        let mut doubts = step.doubts.iter();
        let is_known = doubts.any(|doubt| doubt.suspect != Suspect::UnderWay);
        if step.status == StepStatus::Pending || !is_known {
            return;
        }
        let (handler, kind) = (step.handler.as_str(), step.kind.as_str());
        let (delivery, alertname) = (self.delivery, self.alert.name());
        tracing::warn!(
            handler, step = kind, %delivery, alertname,
            "a call of {handler} may have happened and was not repeated: `alert-manager explain {delivery}` names it"
        );
    }

    /// Logs why a try of a step failed, at a level that depends on whether it is retried.
    pub(super) fn log(&self, step: &Step, error: &str) {
        let (handler, kind) = (step.handler.as_str(), step.kind.as_str());
        let (delivery, alertname) = (self.delivery, self.alert.name());
        if step.status == StepStatus::Failed {
            tracing::warn!(handler, step = kind, %delivery, alertname, error, "step failed, not retried");
        } else {
            // The story has the complete error.
            let error = error.lines().next().unwrap_or_default();
            tracing::info!(handler, step = kind, %delivery, alertname, error, "step failed, will be retried");
        }
    }

    /// Counts an actor if it has ended, `age` after its alert was accepted.
    pub(super) fn count_ended(&self, step: &Step, age: Duration) {
        let outcome = match (step.kind, step.status) {
            (StepKind::Act, StepStatus::Done) => "done",
            (StepKind::Act, StepStatus::Failed) => "dead",
            _ => return,
        };
        self.metrics.actor_ended(&step.handler, outcome, age);
    }

    /// Returns the attempt as JSON; `None` if no step ran.
    pub(super) fn into_json(self, ended_at: Timestamp, outcome: AttemptOutcome) -> Option<String> {
        let mut attempt = Attempt {
            ended_at,
            outcome: outcome.into(),
            ..self.attempt
        };
        if attempt.steps.is_empty() {
            return None;
        }
        let json = story::to_json(&mut attempt, STORY_BYTES_MAX);
        if !attempt.left_out.is_empty() {
            for step in &attempt.steps {
                self.metrics.limits(&step.handler, STORY_LIMIT, 1);
            }
        }
        json
    }
}

fn doubts_of(doubts: &Doubts) -> Vec<Lenient<Doubt>> {
    doubts.iter().cloned().map(Lenient::from).collect()
}
