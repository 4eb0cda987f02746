//! The query of a URL that selects deliveries: a view can be sent to somebody else, and a filter is a link.

use url::form_urlencoded::{Serializer, parse};

use crate::alert::DeliveryId;

/// What makes a page of a list, and not which deliveries are in it.
const OF_THE_PAGE: [&str; 3] = ["before", "after", "limit"];

/// Those that say where it begins.
const CURSORS: [&str; 2] = ["before", "after"];

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
        // Each may be in braces, which cannot stand within others.
        let bare = |value: &str| {
            let inside = value.trim().strip_prefix('{')?.strip_suffix('}')?;
            Some(inside.trim().trim_end_matches(',').to_owned())
        };
        let all: Vec<_> = all
            .map(|(_, value)| bare(value).unwrap_or_else(|| value.clone()))
            .collect();
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

    /// Returns the URL of the page with older ones.
    pub(super) fn older(&self, next: &DeliveryId) -> String {
        self.page("before", next)
    }

    /// Returns the URL of the page with newer ones.
    pub(super) fn newer(&self, previous: &DeliveryId) -> String {
        self.page("after", previous)
    }

    fn page(&self, cursor: &str, at: &DeliveryId) -> String {
        let pair = (cursor.to_owned(), at.to_string());
        query_of(self.0.iter().filter(selects).chain([&pair]))
    }

    /// Returns the URL of the first page.
    pub(super) fn first(&self) -> String {
        link(self.0.iter())
    }
}

/// Returns whether a parameter does not say where a page begins.
fn selects((name, _): &&(String, String)) -> bool {
    !CURSORS.contains(&name.as_str())
}

/// Returns the URL of the first page, relative to the list.
fn link<'a>(pairs: impl Iterator<Item = &'a (String, String)>) -> String {
    query_of(pairs.filter(selects))
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
        let id = DeliveryId::from_raw(7);
        let older = "?state=dead&match=a%3D%22b%26c%22&match=d%3De&limit=5&before=0000000000007";
        assert_eq!(query.older(&id), older);
        let way_back = Query::parse(&older[1..]).newer(&id);
        assert_eq!(way_back, older.replace("before=", "after="));
        assert!(query.first().ends_with("&limit=5"));
        assert!(!Query::parse("before=x&limit=5&state=").is_filter());
    }

    #[test]
    fn matchers_in_braces_become_one_text_that_can_be_parsed_again() {
        let query = Query::parse("match={a%3D%22b%22}&match={c%3D%22d%22,}&match=e%3Df");
        assert_eq!(query.matchers(), "a=\"b\", c=\"d\", e=f");
        assert!(crate::router::Matcher::parse(&query.matchers()).is_ok());
    }
}
