//! `/`: what happens now, what waits and why, what needs a person.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;

use super::chart::{self, Chart};
use super::filters;
use super::frame::{Frame, Tab, Visit, show};
use crate::api::{Activity, Amounts, Gate, Now};
use crate::http::answers::{Answers, Over};
use crate::http::error::ApiError;

#[derive(Template)]
#[template(path = "now.html")]
struct NowView {
    frame: Frame,
    now: Now,
    /// The gates besides the channels at which something waits.
    gates: Vec<Gate>,
    activity: Activity,
    charts: Vec<Chart>,
}

impl NowView {
    /// Returns the times whose counts are shown: the name, the value of `from`, the counts.
    fn lately(&self) -> [(&'static str, &'static str, &Amounts); 2] {
        let Activity {
            last_hour,
            last_day,
            ..
        } = &self.activity;
        [("hour", "1h", last_hour), ("day", "1d", last_day)]
    }
}

/// Shows what happens now.
pub(super) async fn view(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let over = Over::parse_query(query.as_deref().unwrap_or_default())?;
    let (now, activity) = answers.now_and(over).await?;
    let gates = now.channels.gates.iter();
    let is_shut = |gate: &&Gate| gate.waiting.total() > 0 || gate.closed_until.is_some();
    show(&NowView {
        frame: visit.frame("Now", Tab::Now),
        gates: gates.filter(is_shut).cloned().collect(),
        charts: chart::of_server(&activity.series),
        activity,
        now,
    })
}

/// Returns the counts of a time: how often the alerts or deliveries of each kind, and the part of the query of the list of
/// deliveries that selects them.
fn counts(amounts: &Amounts) -> [(u64, &'static str, Option<&'static str>); 6] {
    [
        (amounts.received.values().sum(), "alerts received", None),
        (
            amounts.ended_as("handled"),
            "handled",
            Some("reason=handled"),
        ),
        (
            amounts.ended_as("coalesced"),
            "coalesced",
            Some("reason=coalesced"),
        ),
        (
            amounts.ended_as("unrouted"),
            "on no route",
            Some("reason=unrouted"),
        ),
        (chart::dead(amounts), "dead", Some("state=dead")),
        (
            amounts.received_as("rejected"),
            "not valid",
            Some("reason=refused"),
        ),
    ]
}
