//! `/deliveries`: deliveries, filtered by what is in the URL.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use url::form_urlencoded::{Serializer, parse};

use super::filters;
use super::frame::{Frame, Tab, Visit, show};
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

/// What makes a page of the list, and not which deliveries are in it.
const OF_THE_PAGE: [&str; 2] = ["before", "limit"];

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

/// The query of the URL, as it was written.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Self {
        let pairs = parse(query.as_bytes()).into_owned();
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Returns the value of a parameter; empty if there is none.
    fn get(&self, name: &str) -> &str {
        let pair = self.0.iter().find(|(known, _)| known == name);
        pair.map_or("", |(_, value)| value)
    }

    /// Returns all matchers as one text.
    fn matchers(&self) -> String {
        let all = self.0.iter().filter(|(name, _)| name == "match");
        let all: Vec<_> = all.map(|(_, value)| value.as_str()).collect();
        all.join(", ")
    }

    /// Returns whether it selects some deliveries only.
    fn is_filter(&self) -> bool {
        self.0
            .iter()
            .any(|(name, _)| !OF_THE_PAGE.contains(&name.as_str()))
    }

    /// Returns the parameters that select deliveries, each with the URL of the list without it.
    fn chips(&self) -> Vec<(String, String, String)> {
        let without = |place: usize| {
            let others = self
                .0
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place);
            link(others.map(|(_, pair)| pair))
        };
        let pairs = self.0.iter().enumerate();
        pairs
            .filter(|(_, (name, _))| !OF_THE_PAGE.contains(&name.as_str()))
            .map(|(place, (name, value))| (name.clone(), value.clone(), without(place)))
            .collect()
    }

    /// Returns the URL of the list with another value of a parameter; without it if the value is empty.
    fn with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(known, _)| known != name);
        let pair = (name.to_owned(), value.to_owned());
        link(others.chain([&pair].into_iter().filter(|_| !value.is_empty())))
    }

    /// Returns the URL of the next page.
    fn after(&self, next: &crate::alert::DeliveryId) -> String {
        let others = self.0.iter().filter(|(known, _)| known != "before");
        let pair = ("before".to_owned(), next.to_string());
        query_of(others.chain([&pair]))
    }
}

/// Returns the URL of the first page, relative to the list.
fn link<'a>(pairs: impl Iterator<Item = &'a (String, String)>) -> String {
    query_of(pairs.filter(|(name, _)| name != "before"))
}

fn query_of<'a>(pairs: impl Iterator<Item = &'a (String, String)>) -> String {
    let mut query = Serializer::new(String::from("?"));
    for (name, value) in pairs {
        query.append_pair(name, value);
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_in_the_url_and_can_be_taken_out_of_it() {
        let query =
            Query::parse("state=dead&match=a%3D%22b%26c%22&match=d%3De&before=x&limit=5&handler=");
        assert_eq!(query.get("state"), "dead");
        assert_eq!(query.matchers(), "a=\"b&c\", d=e");
        let chips: Vec<_> = query.chips();
        assert_eq!(chips.len(), 3);
        assert_eq!(chips[1].2, "?state=dead&match=d%3De&limit=5");
        assert_eq!(
            query.with("state", ""),
            "?match=a%3D%22b%26c%22&match=d%3De&limit=5"
        );
        assert!(query.with("state", "done").ends_with("&limit=5&state=done"));
        assert!(query.is_filter());
        assert!(!Query::parse("before=x&limit=5&state=").is_filter());
    }
}
