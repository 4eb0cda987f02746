//! `/deliveries/{id}`: one delivery with its story.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::filters;
use super::frame::{Frame, Tab, Visit, show};
use crate::api::{self, Source};
use crate::http::answers::{self, Answers};
use crate::http::error::ApiError;
use crate::queue::{State as DeliveryState, StepStatus};

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryView {
    frame: Frame,
    story: api::Story,
}

/// Shows a delivery.
pub(super) async fn view(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = answers::parse_id(&id)?;
    let story = answers.story(id).await?;
    let title = format!("Delivery {id}");
    show(&DeliveryView {
        frame: visit.frame(title, Tab::Deliveries),
        story,
    })
}

/// Returns whether a step was done without a call: its module has no such hook.
fn is_without_hook(step: &api::Step) -> bool {
    step.tries == 0 && step.attempts_used == 0 && step.status.is(StepStatus::Done)
}
