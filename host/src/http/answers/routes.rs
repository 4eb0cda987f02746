//! The routes, and which of them an alert takes.

use std::borrow::Cow;

use super::Answers;
use super::deliveries::bad;
use crate::alert::{Labels, Timestamp};
use crate::api::{Explained, RouteUse, Routes};
use crate::http::error::ApiError;
use crate::http::webhook;
use crate::router::{MatchOp, Matcher};

/// For how many alerts of a body it is said which routes they take.
const EXPLAINED_MAX: usize = 20;

impl Answers {
    /// Returns the routes, in the order in which they are tried, with what they have received.
    ///
    /// # Errors
    /// 503 if the store does not answer.
    pub(in crate::http) async fn routes(&self) -> Result<Routes, ApiError> {
        let uses = self.route_uses().await?;
        let received = |name: &str| -> RouteUse { uses.get(name).cloned().unwrap_or_default() };
        Ok(Routes::of(&self.router.load(), received))
    }

    /// Returns which routes alerts take. `text` is a body as senders post it, or the labels of one alert.
    ///
    /// # Errors
    /// 400 if it is neither.
    pub(in crate::http) fn explain_routes(&self, text: &str) -> Result<Vec<Explained>, ApiError> {
        let router = self.router.load();
        let alerts = labels(text)?.into_iter().take(EXPLAINED_MAX);
        let explained = alerts.map(|labels| Explained::of(&router, labels));
        Ok(explained.collect())
    }
}

/// Returns the labels of each alert.
fn labels(text: &str) -> Result<Vec<Labels>, ApiError> {
    let text = text.trim();
    let is_json = text.starts_with('[') || text.starts_with("{\"") || is_object(text);
    if is_json {
        let parsed = webhook::parse(text.as_bytes(), Timestamp::now());
        let parsed = parsed.map_err(|error| bad(error.to_string()))?;
        let alerts = parsed.alerts.into_iter();
        return Ok(alerts.map(|parsed| parsed.alert.labels).collect());
    }
    let lines = text.lines().map(|line| line.trim().trim_end_matches(','));
    let lines = lines.filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(with_commas).collect();
    let on_one_line = lines.join(",");
    if on_one_line.is_empty() {
        return Err(bad("neither an alert in JSON nor labels".to_owned()));
    }
    let matchers = Matcher::parse(&on_one_line)
        .map_err(|error| bad(format!("neither an alert in JSON nor labels: {error}")))?;
    if let Some(other) = matchers
        .iter()
        .find(|matcher| matcher.op() != MatchOp::Equal)
    {
        return Err(bad(format!(
            "{other} is a matcher, not a label: write labels as in severity=\"critical\""
        )));
    }
    let pairs = matchers.iter().map(|label| (label.name(), label.value()));
    Ok(vec![pairs.collect()])
}

/// Returns labels that are separated by blanks, as on a command line, separated by commas.
fn with_commas(line: &str) -> Cow<'_, str> {
    let is_pair = |word: &str| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let is_plain = !line.contains(['"', ',', '{', '~', '!']);
    match is_plain && line.split_whitespace().all(is_pair) {
        true => line.split_whitespace().collect::<Vec<_>>().join(",").into(),
        false => line.into(),
    }
}

/// Returns whether a text that begins with a brace is JSON: labels may be in braces too, as matchers are.
fn is_object(text: &str) -> bool {
    let inside = text.strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with(['"', '}']))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_alert_or_its_labels_are_read() {
        for text in [
            "alertname=A, severity=critical",
            "alertname=A severity=critical",
            "{alertname=\"A\",severity=\"critical\"}",
            "alertname=A\nseverity=critical\n",
            "alertname=A\r\nseverity=\"critical\"",
            "{\"labels\":{\"alertname\":\"A\",\"severity\":\"critical\"}}",
            " [{\"labels\":{\"alertname\":\"A\",\"severity\":\"critical\"}}] ",
            "{ \"alerts\": [{\"labels\":{\"alertname\":\"A\",\"severity\":\"critical\"}}] }",
        ] {
            let read = labels(text).unwrap();
            assert_eq!(read.len(), 1, "{text}");
            let pairs: Vec<_> = read[0].iter().collect();
            assert_eq!(
                pairs,
                [("alertname", "A"), ("severity", "critical")],
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_the_reason() {
        for (text, expected) in [
            ("alertname=~A", "is a matcher, not a label"),
            ("what is this", "neither an alert in JSON nor labels"),
            ("{\"labels\":1}", "labels"),
            ("", "neither"),
        ] {
            let error = labels(text).map(|read| read.len()).unwrap_err();
            assert!(error.message().contains(expected), "{text}: {error:?}");
        }
    }
}
