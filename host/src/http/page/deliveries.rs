//! `/deliveries`: deliveries, filtered by what is in the URL.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;

use super::filters;
use super::frame::{Frame, Tab, Visit, show};
use super::query::Query;
use crate::alert::Priority;
use crate::api;
use crate::http::answers::{self, Answers};
use crate::http::error::ApiError;
use crate::queue::{Reason, State as DeliveryState};

const STATES: [DeliveryState; 5] = [
    DeliveryState::Queued,
    DeliveryState::Running,
    DeliveryState::Retrying,
    DeliveryState::Done,
    DeliveryState::Dead,
];

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesView {
    frame: Frame,
    query: Query,
    /// Why the query selects nothing; empty if it does.
    mistake: String,
    list: api::Deliveries,
}

/// Shows a page of the list.
pub(super) async fn view(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = query.unwrap_or_default();
    let listed = answers.list(&query).await;
    let query = Query::parse(&query);
    let (list, mistake) = match listed {
        Ok(list) => (list, None),
        // The form is shown all the same, so that the mistake can be corrected.
        Err(error) if error.status() == StatusCode::BAD_REQUEST => {
            let nothing = api::Deliveries {
                deliveries: Vec::new(),
                next: None,
                previous: None,
                looked_back_to: None,
            };
            (nothing, Some(error.message().to_owned()))
        }
        Err(error) => return Err(error),
    };
    // Beyond the newest page, that page is shown as a whole.
    let is_newest = mistake.is_none() && list.previous.is_none();
    if is_newest && !query.get("after").is_empty() {
        return Ok(Redirect::to(&query.first()).into_response());
    }
    let status = match mistake {
        Some(_) => StatusCode::BAD_REQUEST,
        None => StatusCode::OK,
    };
    let mut response = show(&DeliveriesView {
        frame: visit.frame("Deliveries", Tab::Deliveries),
        query,
        mistake: mistake.unwrap_or_default(),
        list,
    })?;
    *response.status_mut() = status;
    Ok(response)
}
