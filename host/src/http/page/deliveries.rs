//! `/deliveries`: deliveries, filtered by what is in the URL.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;

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
    let filter = answers::parse_list_query(&query);
    // The form is shown all the same, so that the mistake can be corrected.
    let mistake = filter
        .as_ref()
        .err()
        .map(|error| error.message().to_owned());
    let list = match filter {
        Ok(filter) => answers.deliveries(filter).await?,
        Err(_) => api::Deliveries {
            deliveries: Vec::new(),
            next: None,
            looked_back_to: None,
        },
    };
    let status = match mistake {
        Some(_) => http::StatusCode::BAD_REQUEST,
        None => http::StatusCode::OK,
    };
    let mut response = show(&DeliveriesView {
        frame: visit.frame("Deliveries", Tab::Deliveries),
        query: Query::parse(&query),
        mistake: mistake.unwrap_or_default(),
        list,
    })?;
    *response.status_mut() = status;
    Ok(response)
}
