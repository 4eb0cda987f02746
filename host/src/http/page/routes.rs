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

/// The longest query that is offered as a link: browsers, proxies and chats cut longer ones.
const QUERY_MAX: usize = 2_000;

/// Returns the labels of an alert as the query of a URL that says the same again, unless it would be too long.
fn query_of(explained: &Explained) -> Option<String> {
    // As matchers are written, which is how they are read again.
    let pair = |(name, value): (&str, &str)| Matcher::equal(name, value).to_string();
    let pairs: Vec<_> = explained.labels.iter().map(pair).collect();
    let mut query = Serializer::new(String::new());
    query.append_pair("alert", &pairs.join(", "));
    let query = format!("?{}", query.finish());
    (query.len() <= QUERY_MAX).then_some(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Labels;

    fn query(labels: &[(&str, &str)]) -> Option<String> {
        let labels: Labels = labels.iter().copied().collect();
        query_of(&Explained {
            labels,
            verdicts: Vec::new(),
        })
    }

    #[test]
    fn labels_are_a_query_that_is_read_again() {
        let odd = query(&[("utf-8 ü", "a\u{200b}\"b\n")]).unwrap_or_default();
        let (_, text) = parse(odd.trim_start_matches('?').as_bytes())
            .next()
            .unwrap_or_default();
        let read = Matcher::parse(&text).unwrap_or_default();
        let read: Vec<_> = read.iter().map(|m| (m.name(), m.value())).collect();
        assert_eq!(read, [("utf-8 ü", "a\u{200b}\"b\n")], "{text}");
    }

    #[test]
    fn a_query_that_would_be_too_long_is_not_offered() {
        assert_eq!(query(&[("a", &"x".repeat(QUERY_MAX))]), None);
    }
}
