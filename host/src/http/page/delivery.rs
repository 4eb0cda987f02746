//! `/deliveries/{id}`: one delivery with its story, what it sent, and what is related to it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::filters;
use super::frame::{Frame, Tab, Visit, show};
use super::slack::Conversation;
use super::waterfall::{self, What};
use crate::api::{self, Outcome, Source};
use crate::http::answers::{self, Answers};
use crate::http::error::ApiError;
use crate::queue::{State as DeliveryState, StepStatus};

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

/// Returns whether a step was done without a call: its module has no such hook.
fn is_without_hook(step: &api::Step) -> bool {
    step.tries == 0 && step.attempts_used == 0 && step.status.is(StepStatus::Done)
}
