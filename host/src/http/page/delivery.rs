//! `/deliveries/{id}`: one delivery with its story, what it sent, and what is related to it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::filters;
use super::frame::{Frame, Tab, Visit, show};
use super::slack::Conversation;
use super::waterfall::{self, What};
use crate::alert::DeliveryId;
use crate::api::{self, Outcome, Source};
use crate::http::answers::{self, Answers};
use crate::http::error::ApiError;
use crate::journal::CallKind;
use crate::queue::{State as DeliveryState, StepStatus};

/// How many ambiguous calls are named at the head.
const AMBIGUOUS_MAX: usize = 3;

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryView {
    frame: Frame,
    story: api::Story,
    related: api::Related,
}

impl DeliveryView {
    fn attempts(&self) -> Vec<waterfall::Attempted<'_>> {
        waterfall::attempts(&self.story)
    }

    fn conversation(&self) -> Conversation {
        Conversation::of(waterfall::messages(&self.story))
    }

    /// Returns the calls of which it is not known how often they happened.
    fn ambiguous(&self) -> impl Iterator<Item = &api::JournalEntry> {
        let calls = self.story.journal.iter();
        calls.filter(|call| call.ambiguous).take(AMBIGUOUS_MAX)
    }

    /// Returns the first delivery that stood for its storm, if that is another one.
    fn storm(&self) -> Option<DeliveryId> {
        let storm = self.story.delivery.storm;
        storm.filter(|first| *first != self.story.delivery.id)
    }

    /// Returns why nobody was notified, if the delivery is done and has sent nothing.
    fn why_silent(&self) -> Option<&'static str> {
        let delivery = &self.story.delivery;
        let is_done = delivery.state.is(DeliveryState::Done) && delivery.coalesced_into.is_none();
        if !is_done || self.story.journal.iter().any(is_sent) {
            return None;
        }
        Some(match delivery.handlers.is_empty() {
            true => "Nobody was notified: no route takes this alert.",
            false => "Nothing was sent: its handlers made no call that changes something outside.",
        })
    }

    /// Returns how many members are not shown.
    fn members_left_out(&self) -> u64 {
        let members = self.story.members.as_ref();
        let count = members.map_or(0, |members| members.count);
        count.saturating_sub(self.related.members.len() as u64)
    }
}

/// Shows a delivery.
pub(super) async fn view(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = answers::parse_id(&id)?;
    let story = answers.story(id).await?;
    let related = answers.related(&story).await?;
    // A part of a body that was no alert may have no name.
    let title = match story.delivery.alertname.as_str() {
        "" => format!("Delivery {id}"),
        name => format!("{name}, delivery {id}"),
    };
    show(&DeliveryView {
        frame: visit.frame(title, Tab::Deliveries),
        story,
        related,
    })
}

/// Returns whether a call has sent something to somebody.
fn is_sent(call: &api::JournalEntry) -> bool {
    call.effect && (call.kind.is(CallKind::Slack) || call.kind.is(CallKind::Http))
}

/// Returns how often a step was run, and how many of that count as attempts.
fn runs(step: &api::Step) -> String {
    let (runs, used, most) = (step.tries, step.attempts_used, step.attempts_max);
    match runs {
        runs if runs == used => format!("{used} of {most}"),
        0 => format!("{used} of {most}"),
        1 => format!("1 run, {used} of {most} counted"),
        runs => format!("{runs} runs, {used} of {most} counted"),
    }
}

/// Returns whether a step was done without a call: its module has no such hook.
fn is_without_hook(step: &api::Step) -> bool {
    step.tries == 0 && step.attempts_used == 0 && step.status.is(StepStatus::Done)
}
