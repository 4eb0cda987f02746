//! What a retry or a cancellation of selected deliveries would do.

use http::StatusCode;

use super::Answers;
use super::deliveries::{bad, store};
use crate::alert::DeliveryId;
use crate::api::{Action, JournalEntry, Lenient, Made, Preview, Previewed, Source, Story};
use crate::http::error::ApiError;
use crate::journal::CallKind;
use crate::queue::{State, StepStatus, WaitsFor};

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
                Ok(story) => deliveries.push(self.previewed(action, story)),
                Err(error) if error.status() == StatusCode::NOT_FOUND => {}
                Err(error) => return Err(error),
            }
        }
        self.mark_overtaken(action, &mut deliveries).await?;
        let is_taken = |one: &&Previewed| one.refused.is_none() && !one.overtaken;
        let taken = deliveries.iter().filter(is_taken);
        let kept = sum(taken.flat_map(|one| one.kept.iter().cloned()));
        Ok(Preview {
            action: action.into(),
            deliveries,
            kept,
        })
    }
}

impl Answers {
    /// Marks what is retried by force only.
    async fn mark_overtaken(
        &self,
        action: Action,
        deliveries: &mut [Previewed],
    ) -> Result<(), ApiError> {
        if action != Action::Retry {
            return Ok(());
        }
        let is_revived =
            |one: &&Previewed| one.refused.is_none() && one.delivery.state.is(State::Dead);
        let dead = deliveries.iter().filter(is_revived);
        let dead = dead.map(|one| one.delivery.id).collect();
        let overtaken = self.queue.overtaken(dead).await.map_err(|e| store(&e))?;
        for one in deliveries {
            one.overtaken = overtaken.contains(&one.delivery.id);
        }
        Ok(())
    }

    fn previewed(&self, action: Action, story: Story) -> Previewed {
        let to_run = story.steps.iter().filter(|step| match action {
            // A failed enrichment has become a fact, and the others are done.
            Action::Retry => !step.status.is(StepStatus::Done),
            Action::Cancel => step.status.is(StepStatus::Pending),
        });
        let steps = to_run.map(|step| (step.handler.clone(), step.kind.clone()));
        let doubts = story.steps.iter().map(|step| step.doubts.len() as u64);
        let waiting = self.queue.waiting(story.delivery.id);
        Previewed {
            refused: refused(action, &story, waiting.map(|waiting| waiting.what).as_ref()),
            overtaken: false,
            steps: steps.collect(),
            kept: made(&story.journal),
            ambiguous: doubts.sum(),
            delivery: story.delivery,
        }
    }
}

/// Returns why nothing would be done with a delivery, if so.
fn refused(action: Action, story: &Story, waits_for: Option<&WaitsFor>) -> Option<String> {
    let state = story.delivery.state.known()?;
    let why = match (action, state, waits_for) {
        (Action::Retry, ..) if matches!(story.alert, Source::Refused(_)) => {
            "it is a part of a body that was not an alert"
        }
        (Action::Retry, State::Retrying, Some(WaitsFor::Gate { label, .. })) => {
            return Some(format!("it waits for the rate limiter of {label}"));
        }
        (Action::Retry, State::Dead | State::Retrying, _) => return None,
        (Action::Retry, State::Done, _) => "it is done",
        (Action::Retry, State::Running, _) => "it runs now",
        (Action::Retry, State::Queued, _) => "it is queued, and runs by itself",
        (Action::Cancel, State::Done | State::Dead, _) => "it has ended",
        (Action::Cancel, ..) => return None,
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
