//! What a retry or a cancellation of selected deliveries would do.

use http::StatusCode;

use super::Answers;
use super::deliveries::bad;
use crate::alert::DeliveryId;
use crate::api::{Action, JournalEntry, Lenient, Made, Preview, Previewed, Story};
use crate::http::error::ApiError;
use crate::journal::CallKind;
use crate::queue::{State, StepStatus};

/// How many deliveries can be selected at once.
const SELECTED_MAX: usize = 200;

/// Checks how many deliveries are selected.
///
/// # Errors
/// 400 if there are none or too many.
pub(in crate::http) fn check_selected(count: usize) -> Result<(), ApiError> {
    match count {
        0 => Err(bad("no delivery is selected".to_owned())),
        1..=SELECTED_MAX => Ok(()),
        _ => Err(bad(format!(
            "{count} deliveries are selected, at most {SELECTED_MAX} can be at once; `alert-manager retry` takes any number"
        ))),
    }
}

impl Answers {
    /// Returns what an action would do with these deliveries. What retention has removed since is left out.
    ///
    /// # Errors
    /// 400 if none or too many are selected, 503 if the store does not answer.
    pub(in crate::http) async fn preview(
        &self,
        action: Action,
        mut ids: Vec<DeliveryId>,
    ) -> Result<Preview, ApiError> {
        ids.sort_unstable();
        ids.dedup();
        check_selected(ids.len())?;
        let mut deliveries = Vec::with_capacity(ids.len());
        for id in ids {
            match self.stored(id).await {
                Ok(story) => deliveries.push(previewed(action, story)),
                Err(error) if error.status() == StatusCode::NOT_FOUND => {}
                Err(error) => return Err(error),
            }
        }
        let taken = deliveries.iter().filter(|one| one.refused.is_none());
        let kept = sum(taken.flat_map(|one| one.kept.iter().cloned()));
        Ok(Preview {
            action: action.into(),
            deliveries,
            kept,
        })
    }
}

fn previewed(action: Action, story: Story) -> Previewed {
    let to_run = story.steps.iter().filter(|step| match action {
        // A failed enrichment has become a fact, and the others are done.
        Action::Retry => !step.status.is(StepStatus::Done),
        Action::Cancel => step.status.is(StepStatus::Pending),
    });
    let steps = to_run.map(|step| (step.handler.clone(), step.kind.clone()));
    let doubts = story.steps.iter().map(|step| step.doubts.len() as u64);
    Previewed {
        refused: refused(action, &story),
        steps: steps.collect(),
        kept: made(&story.journal),
        ambiguous: doubts.sum(),
        delivery: story.delivery,
    }
}

fn refused(action: Action, story: &Story) -> Option<String> {
    let state = story.delivery.state.known()?;
    let why = match (action, state) {
        (Action::Retry, State::Dead | State::Retrying) => return None,
        (Action::Retry, State::Done) => "it is done",
        (Action::Retry, State::Running) => "it runs now",
        (Action::Retry, State::Queued) => "it waits for its turn, and runs by itself",
        (Action::Cancel, State::Done | State::Dead) => "it has ended",
        (Action::Cancel, _) => return None,
    };
    Some(why.to_owned())
}

/// Returns effects that were counted by interface.
pub(super) fn made_of(effects: Vec<(CallKind, u64)>) -> Vec<Made> {
    sum(effects.into_iter().map(|(kind, count)| Made {
        kind: kind.into(),
        count,
    }))
}

/// Counts the effects of a journal.
fn made(journal: &[JournalEntry]) -> Vec<Made> {
    let effects = journal.iter().filter(|entry| entry.effect);
    sum(effects.map(|entry| Made {
        kind: entry.kind.clone(),
        count: 1,
    }))
}

fn sum(all: impl Iterator<Item = Made>) -> Vec<Made> {
    let mut sums: Vec<Made> = Vec::new();
    for made in all {
        match sums.iter_mut().find(|sum| sum.kind == made.kind) {
            Some(sum) => sum.count += made.count,
            None => sums.push(made),
        }
    }
    // The order of the interfaces, whatever was called first.
    let place = |kind: &Lenient<CallKind>| {
        let known = kind.known();
        CallKind::ALL.iter().position(|other| Some(other) == known)
    };
    sums.sort_by_key(|made| place(&made.kind));
    sums
}
