//! `/`: what happens now, what waits and why, what needs a person.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::filters;
use super::frame::{Frame, Tab, Visit, show};
use crate::api::{Gate, Now};
use crate::http::answers::Answers;
use crate::http::error::ApiError;

#[derive(Template)]
#[template(path = "now.html")]
struct NowView {
    frame: Frame,
    now: Now,
    /// The gates besides the channels at which something waits.
    gates: Vec<Gate>,
}

/// Shows what happens now.
pub(super) async fn view(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
) -> Result<Response, ApiError> {
    let now = answers.now().await?;
    let gates = now.channels.gates.iter();
    let is_shut = |gate: &&Gate| gate.waiting.total() > 0 || gate.closed_until.is_some();
    show(&NowView {
        frame: visit.frame("Now", Tab::Now),
        gates: gates.filter(is_shut).cloned().collect(),
        now,
    })
}
