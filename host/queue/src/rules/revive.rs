//! Decides how a dead delivery continues when it is queued again.

use alert_manager_core::alert::{HandlerName, Labels};

use crate::model::{Progress, Reason, Row, StepStatus};

/// Who has a dead delivery queued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reviver {
    /// The sender of its alert, with a re-send of the event. That happens once: if the delivery dies again, it stays dead, and is
    /// not reported as a new dead letter.
    Resend,
    /// A person, as often as they like.
    Person,
}

impl Reviver {
    /// Returns true if this uses the one revival by a re-send. It does not after a backlog, since the delivery has not run yet.
    pub(crate) fn is_second_chance(self, row: &Row) -> bool {
        self == Self::Resend && row.reason != Some(Reason::Backlog)
    }
}

/// Returns the progress of a delivery with its failed steps pending again. `stored` is its progress, as JSON.
pub(crate) fn restarted(row: &Row, stored: &str) -> Progress {
    let mut progress: Progress = serde_json::from_str(stored).unwrap_or_default();
    if progress.steps.is_empty() {
        progress = Progress::new(&row.pipeline);
    }
    restart_failed(&mut progress);
    progress.takeovers = 0;
    progress
}

/// Returns the handler of the first pending step; if there is none, the first of the pipeline.
pub(crate) fn next_handler(row: &Row, progress: Option<&Progress>) -> Option<HandlerName> {
    let mut steps = progress.into_iter().flat_map(|progress| &progress.steps);
    let pending = steps.find(|step| step.status == StepStatus::Pending);
    let pending = pending.map(|step| step.handler.clone());
    pending.or_else(|| row.pipeline.first().cloned())
}

/// Makes failed steps pending again. Their number of tries is kept, and `started_at`, which is part of the record.
fn restart_failed(progress: &mut Progress) {
    for step in &mut progress.steps {
        if step.status == StepStatus::Failed {
            step.status = StepStatus::Pending;
            step.attempts = 0;
            step.traps = 0;
            step.expired = false;
            step.used_ms = 0;
            step.not_before = None;
            step.waits_for.clear();
            step.last_error = None;
            step.facts = Labels::default();
            step.blocks.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn failed_steps_are_pending_again_and_finished_ones_are_not() {
        let mut progress = Progress::new(&[HandlerName::new("a"), HandlerName::new("b")]);
        progress.steps[0].status = StepStatus::Done;
        progress.steps[1].status = StepStatus::Failed;
        progress.steps[1].attempts = 3;
        progress.steps[1].last_error = Some("why".into());
        progress.steps[1].tries = 3;
        restart_failed(&mut progress);
        assert_eq!(progress.steps[0].status, StepStatus::Done);
        let again = &progress.steps[1];
        assert_eq!((again.status, again.attempts), (StepStatus::Pending, 0));
        assert_eq!((&again.last_error, again.tries), (&None, 3));
    }
}
