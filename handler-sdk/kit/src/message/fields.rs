//! The name and value pairs of the message.

use handler_sdk::layout::{clip, pairs};
use handler_sdk::prelude::*;

use super::Source;

const PAIRS_MAX: usize = 8;
/// A shorter value, such as a number, can be in another pair by chance.
const TELLING_BYTES_MIN: usize = 3;

impl Source<'_> {
    /// Returns up to eight name and value pairs, two on a line; below them, on one line each, the remaining labels and what
    /// other handlers found out.
    pub(super) fn fields(&self) -> Mrkdwn {
        let own = self.findings.map(|f| f.facts()).unwrap_or_default();
        let mut shown: Vec<(String, String)> = Vec::new();
        let cluster = self.notice.subject().label("cluster");
        shown.extend(cluster.map(|cluster| ("Cluster".to_owned(), cluster.to_owned())));
        if let Some(report) = self.report() {
            let given = report.fields.iter();
            shown.extend(given.map(|(name, value)| (name.clone(), value.plain(self.now))));
        }
        let owner = self.owner();
        shown.extend(owner.clone().map(|owner| ("Owner".to_owned(), owner)));
        let labels = self.notice.labels(&[]).into_iter();
        let labels: Vec<_> = labels
            .filter(|(name, value)| !self.is_said(name, value, &shown, owner.as_deref()))
            .collect();
        shown.extend(labels);
        let below = shown.split_off(shown.len().min(PAIRS_MAX));
        let below = below.iter().map(|(name, value)| {
            Mrkdwn::new()
                .bold(format!("{}:", clip(name, 30)))
                .text(" ")
                .text(clip(value, 60))
        });
        let lines = [
            pairs(shown).truncated(800),
            Mrkdwn::join(below, " · ").truncated(300),
            self.notice
                .facts(|name| own.get(name).is_some())
                .truncated(300),
        ];
        Mrkdwn::join(lines, "\n")
    }

    /// Returns whether another part of the message shows a label's value.
    pub(super) fn is_said(
        &self,
        name: &str,
        value: &str,
        shown: &[(String, String)],
        owner: Option<&str>,
    ) -> bool {
        let is_hidden = |report: &crate::report::Report| {
            report.hidden_labels.iter().any(|hidden| hidden == name)
        };
        match name {
            "cluster" => true,
            "owner" | "team" if owner == Some(value) => true,
            _ if self.report().is_some_and(is_hidden) => true,
            _ if self.notice.subject().kind() == Some(name) => self.place().is_some(),
            _ if value.len() < TELLING_BYTES_MIN => false,
            _ => {
                let place = self.place().unwrap_or_default();
                let mut texts = shown
                    .iter()
                    .map(|(_, text)| text.as_str())
                    .chain([place.as_str()]);
                texts.any(|text| has_word(text, value))
            }
        }
    }

    fn owner(&self) -> Option<String> {
        let labelled = ["owner", "team"]
            .iter()
            .find_map(|label| self.alert.label(label));
        let found = self.report().and_then(|report| report.owner.as_deref());
        self.others
            .fact("owner")
            .or(found)
            .or(labelled)
            .map(str::to_owned)
    }
}

/// Returns whether a text has a name as one of its words.
fn has_word(text: &str, name: &str) -> bool {
    text == name
        || text
            .split(|char: char| char.is_whitespace() || matches!(char, '/' | ',' | '(' | ')'))
            .any(|word| word == name)
}
