//! How a dead delivery goes on if it is sent again, and one that waits if it is to run now.

use alert_manager_core::alert::{HandlerName, Labels};

use crate::model::{Progress, Reason, Row, StepStatus};

/// Who sends a dead delivery again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reviver {
    /// Its sender, with the same event. Once after it has run: what dies after that stays dead, and is no new dead letter.
    Resend,
    /// An operator, as often as they like.
    Person,
}

impl Reviver {
    /// Returns true if this is the second chance that a re-send gives. After a backlog a delivery runs for the first time: that is
    /// no second chance.
    pub(crate) fn is_second_chance(self, row: &Row) -> bool {
        self == Self::Resend && row.reason != Some(Reason::Backlog)
    }
}

/// Gives every failed step of a stored delivery a fresh start: what was done stays done. `stored` is its progress, as JSON.
pub(crate) fn restarted(row: &Row, stored: &str) -> Progress {
    let mut progress: Progress = serde_json::from_str(stored).unwrap_or_default();
    if progress.steps.is_empty() {
        progress = Progress::new(&row.pipeline);
    }
    restart_failed(&mut progress);
    progress
}

/// Returns the handler of the first step that is left to run, else the first of the pipeline.
pub(crate) fn next_handler(row: &Row, progress: Option<&Progress>) -> Option<HandlerName> {
    let mut steps = progress.into_iter().flat_map(|progress| &progress.steps);
    let pending = steps.find(|step| step.status == StepStatus::Pending);
    let pending = pending.map(|step| step.handler.clone());
    pending.or_else(|| row.pipeline.first().cloned())
}

/// Gives every failed step a fresh start. Its record stays, and the times that are part of it.
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
    fn what_failed_is_tried_anew_and_what_was_done_is_not() {
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
