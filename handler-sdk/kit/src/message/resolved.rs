//! Lays out the end of an incident.

use handler_sdk::layout::{Card, clip, pairs};
use handler_sdk::prelude::*;

use super::Source;
use crate::report::End;

impl Source<'_> {
    /// Returns the message of an alert that has resolved. `was` is what was said while it fired, `place` what the header
    /// showed.
    pub(crate) fn resolved(
        &self,
        end: &End,
        lasted: &str,
        was: Mrkdwn,
        place: Option<&str>,
    ) -> Card {
        let what = match end.caveat.as_str() {
            "" => format!("{} after {lasted}", end.short),
            caveat => format!("{} after {lasted}, {caveat}", end.short),
        };
        let said = match was.is_empty() {
            true => self.notice.said(),
            false => Mrkdwn::from("It was: ").then(was),
        };
        let labels = self.notice.labels(&["cluster", "namespace", "pod"]);
        let labels = labels
            .into_iter()
            .filter(|(name, value)| !self.is_said(name, value, &[], None));
        let own = self.place();
        let place = place.or(own.as_deref());
        Card::new(
            self.notice.text(&self.who_of_labels(), &what),
            &self.notice.header(place),
        )
        .end(
            self.notice.links(None),
            self.notice.context(self.end_context()),
        )
        .section(Mrkdwn::join(
            [self.notice.status(), self.end_line(end, lasted)],
            "\n",
        ))
        .section(said)
        .section(pairs(labels))
    }

    /// Returns how it ended, in one or two sentences.
    pub(crate) fn end_line(&self, end: &End, lasted: &str) -> Mrkdwn {
        Mrkdwn::new()
            .bold(format!("Resolved after {lasted}."))
            .text(" ")
            .then(
                end.sentence
                    .shown(self.now, super::TEXT_CHARS_MAX)
                    .truncated(600),
            )
    }

    fn end_context(&self) -> Vec<Mrkdwn> {
        let subject = self.notice.subject();
        let mut context: Vec<Mrkdwn> = ["cluster", "pod"]
            .iter()
            .filter_map(|label| Some(format!("{label} {}", clip(subject.label(label)?, 120))))
            .map(Mrkdwn::from)
            .collect();
        if let Some(ended) = &self.alert.ends_at {
            context.push(Mrkdwn::from("until ").then(Mrkdwn::raw(ended.slack_date())));
        }
        context.extend(self.not_fetched());
        context
    }
}
