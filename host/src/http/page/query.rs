//! The query of a URL that selects deliveries: a view can be sent to somebody else, and a filter is a link.

use url::form_urlencoded::{Serializer, parse};

use crate::alert::DeliveryId;

/// What makes a page of a list, and not which deliveries are in it.
const OF_THE_PAGE: [&str; 2] = ["before", "limit"];

/// The query of the URL, as it was written.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let pairs = parse(query.as_bytes()).into_owned();
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Returns the value of a parameter; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        let pair = self.0.iter().find(|(known, _)| known == name);
        pair.map_or("", |(_, value)| value)
    }

    /// Adds a parameter.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Returns it as it is in a URL, without the question mark.
    pub(super) fn to_text(&self) -> String {
        query_of(self.0.iter()).split_off(1)
    }

    /// Returns all matchers as one text.
    pub(super) fn matchers(&self) -> String {
        let all = self.0.iter().filter(|(name, _)| name == "match");
        let all: Vec<_> = all.map(|(_, value)| value.as_str()).collect();
        all.join(", ")
    }

    /// Returns whether it selects some deliveries only.
    pub(super) fn is_filter(&self) -> bool {
        self.0
            .iter()
            .any(|(name, _)| !OF_THE_PAGE.contains(&name.as_str()))
    }

    /// Returns the parameters that select deliveries, each with the URL of the list without it.
    pub(super) fn chips(&self) -> Vec<(String, String, String)> {
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
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(known, _)| known != name);
        let pair = (name.to_owned(), value.to_owned());
        link(others.chain([&pair].into_iter().filter(|_| !value.is_empty())))
    }

    /// Returns the URL of the next page.
    pub(super) fn after(&self, next: &DeliveryId) -> String {
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
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs {
        query.append_pair(name, value);
    }
    format!("?{}", query.finish())
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
