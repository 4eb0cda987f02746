//! `GET /api/v1/events`: server-sent events, by which a page follows what happens.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::future::ready;
use futures_util::{Stream, StreamExt as _};

use crate::http::access::Access;
use crate::http::answers::{Answers, Change};
use crate::http::error::ApiError;
use crate::http::server::Standing;

/// Sends an event `change` whenever something has changed. `Last-Event-ID` is the number of the last one that was seen.
pub(super) async fn follow(
    State(answers): State<Arc<Answers>>,
    Extension(standing): Extension<Standing>,
    Extension(access): Extension<Arc<Access>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let seen = headers.get("last-event-id");
    let seen = seen.and_then(|id| id.to_str().ok()?.parse().ok());
    let changes = answers.changes.follow(seen)?;
    // Whoever is not admitted any more, since the token has changed, follows no longer.
    let changes = changes.take_while(move |_| ready(access.still_admits(&headers)));
    let events = changes.map(move |change| {
        // The connection counts as idle once the headers are sent.
        standing.streams();
        Ok(event(change))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn event(change: Change) -> Event {
    match change {
        // Without data a browser keeps the number and calls nobody.
        Change::Nothing(number) => Event::default().id(number.to_string()),
        Change::Something(number) => Event::default()
            .id(number.to_string())
            .event("change")
            .data(number.to_string()),
    }
}
