//! `/timeline`: what happened between two times, to read and to take along.

use std::fmt::Write as _;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

use super::filters;
use super::frame::{Frame, Tab, Visit, show};
use super::query::Query;
use crate::api::{Moment, Timeline, What};
use crate::http::answers::Answers;
use crate::http::error::ApiError;
use crate::text::visible;

/// What is shown if the query does not say from when.
const FROM_DEFAULT: &str = "1h";

#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelineView {
    frame: Frame,
    query: Query,
    /// Why the query selects nothing; empty if it does.
    mistake: String,
    timeline: Timeline,
}

/// Shows what happened.
pub(super) async fn view(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = with_default(query.as_deref().unwrap_or_default());
    let timeline = answers.timeline(&query.to_text()).await;
    let mistake = timeline
        .as_ref()
        .err()
        .map(|error| error.message().to_owned());
    let status = timeline
        .as_ref()
        .err()
        .map_or(StatusCode::OK, ApiError::status);
    let mut response = show(&TimelineView {
        frame: visit.frame("Timeline", Tab::Timeline),
        query,
        mistake: mistake.unwrap_or_default(),
        timeline: timeline.unwrap_or_else(|_| Timeline {
            entries: Vec::new(),
            deliveries: 0,
            next: None,
            looked_back_to: None,
            is_cut: false,
        }),
    })?;
    *response.status_mut() = status;
    Ok(response)
}

/// Returns what happened as a file: `timeline.md`, `timeline.csv` or `timeline.json`.
pub(super) async fn export(
    State(answers): State<Arc<Answers>>,
    Path(format): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = with_default(query.as_deref().unwrap_or_default());
    let timeline = answers.whole_timeline(&query.to_text()).await?;
    let (kind, text) = match format.as_str() {
        "md" => ("text/markdown", markdown(&timeline)),
        "csv" => ("text/csv", csv(&timeline)),
        "json" => ("application/json", json(&timeline)?),
        _ => {
            return Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "a timeline is exported as md, csv or json",
            ));
        }
    };
    let headers = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"timeline.{format}\""),
        ),
    ];
    Ok((headers, text).into_response())
}

fn with_default(query: &str) -> Query {
    let mut query = Query::parse(query);
    if query.get("from").is_empty() && query.get("to").is_empty() {
        query.push("from", FROM_DEFAULT);
    }
    query
}

fn json(timeline: &Timeline) -> Result<String, ApiError> {
    serde_json::to_string_pretty(timeline)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Returns a table for a postmortem.
fn markdown(timeline: &Timeline) -> String {
    let mut text = String::from(
        "| time (UTC) | what | alert | handler | person | detail |\n|---|---|---|---|---|---|\n",
    );
    for moment in &timeline.entries {
        let cells = cells(moment).map(|cell| in_markdown(&cell));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if let Some(cut) = cut(timeline) {
        let _ = writeln!(text, "\n{cut}");
    }
    text
}

/// Says what a timeline lacks, if it lacks something.
fn cut(timeline: &Timeline) -> Option<String> {
    let people = timeline
        .is_cut
        .then_some("Not all that people did is in it.");
    let deliveries = timeline.next.map(|next| {
        format!(
            "It is cut: it is about the newest {} deliveries of the time. The rest: before={next}",
            timeline.deliveries
        )
    });
    let parts: Vec<_> = deliveries.as_deref().into_iter().chain(people).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Escapes what Markdown, or HTML in it, would interpret.
fn in_markdown(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for c in visible(cell, " ", " ").chars() {
        if matches!(
            c,
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '~' | '!' | '&'
        ) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Returns the rows of RFC 4180.
fn csv(timeline: &Timeline) -> String {
    let mut text = String::from("time,what,alert,handler,person,detail,delivery\r\n");
    for moment in &timeline.entries {
        let cells = cells(moment);
        let id = moment
            .delivery
            .map_or_else(String::new, |id| id.to_string());
        let row = cells.iter().chain([&id]).map(|cell| in_csv(cell));
        text.push_str(&row.collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    if let Some(cut) = cut(timeline) {
        let row = ["", "cut", "", "", "", &cut, ""].map(in_csv);
        text.push_str(&row.join(","));
        text.push_str("\r\n");
    }
    text
}

/// Quotes a cell. A spreadsheet would take one that begins with certain signs as a formula.
fn in_csv(cell: &str) -> String {
    let clean = visible(cell, " ", " ");
    let guard = if clean.starts_with(['=', '+', '-', '@']) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{}\"", clean.replace('"', "\"\""))
}

fn cells(moment: &Moment) -> [String; 6] {
    let at = moment.at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
    let alert = format!("{} {}", moment.alertname, moment.status);
    let alert = alert.trim().to_owned();
    let person = moment.person.clone().unwrap_or_default();
    let handler = moment.handler.clone().unwrap_or_default();
    [
        at,
        moment.what.to_text(),
        alert,
        handler,
        person,
        // An error may go on with a trace.
        moment.detail.lines().next().unwrap_or_default().to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_in_its_cell() {
        assert_eq!(in_markdown("a|b\n<i>`c`"), "a\\|b \\<i\\>\\`c\\`");
        assert_eq!(in_csv("=1+\"2\"\n3"), "\"'=1+\"\"2\"\" 3\"");
        assert_eq!(in_csv("a,b\u{202e}"), "\"a,b\\u{202e}\"");
    }
}
