//! `/routes`: the routes in order, and a box that says which of them an alert takes.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use url::form_urlencoded::{Serializer, parse};

use super::filters;
use super::form::Form;
use super::frame::{Frame, Tab, Visit, show};
use crate::api::{Explained, Outcome, Routes};
use crate::http::answers::Answers;
use crate::http::error::ApiError;
use crate::router::Matcher;

#[derive(Template)]
#[template(path = "routes.html")]
struct RoutesView {
    frame: Frame,
    routes: Routes,
    /// What is in the box.
    alert: String,
    /// Why that is no alert; empty if it is one.
    mistake: String,
    explained: Vec<Explained>,
}

/// Shows the routes, and what happens with the labels that the query has.
pub(super) async fn view(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = query.unwrap_or_default();
    let mut pairs = parse(query.as_bytes());
    let alert = pairs.find_map(|(name, value)| (name == "alert").then(|| value.into_owned()));
    routes(&answers, &visit, alert.unwrap_or_default()).await
}

/// Shows what happens with an alert that is too long for a URL.
pub(super) async fn explain(
    State(answers): State<Arc<Answers>>,
    form: Form,
) -> Result<Response, ApiError> {
    routes(&answers, &form.visit, form.get("alert").to_owned()).await
}

async fn routes(answers: &Answers, visit: &Visit, alert: String) -> Result<Response, ApiError> {
    let explained = match alert.trim() {
        "" => Ok(Vec::new()),
        text => answers.explain_routes(text),
    };
    let mistake = explained
        .as_ref()
        .err()
        .map(|error| error.message().to_owned());
    let status = match mistake {
        Some(_) => StatusCode::BAD_REQUEST,
        None => StatusCode::OK,
    };
    let mut response = show(&RoutesView {
        frame: visit.frame("Routes", Tab::Routes),
        routes: answers.routes().await?,
        alert,
        mistake: mistake.unwrap_or_default(),
        explained: explained.unwrap_or_default(),
    })?;
    *response.status_mut() = status;
    Ok(response)
}

/// Returns the labels of an alert as the query of a URL that says the same again.
fn query_of(explained: &Explained) -> String {
    // As matchers are written, which is how they are read again.
    let pair = |(name, value): (&str, &str)| Matcher::equal(name, value).to_string();
    let pairs: Vec<_> = explained.labels.iter().map(pair).collect();
    let mut query = Serializer::new(String::new());
    query.append_pair("alert", &pairs.join(", "));
    format!("?{}", query.finish())
}
