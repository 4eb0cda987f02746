//! Lays out the end of an incident.

use handler_sdk::layout::{Card, clip, pairs};
use handler_sdk::prelude::*;

use super::Source;
use crate::report::End;

impl Source<'_> {
    /// Returns the message of an alert that has resolved. `was` is what was said while it fired, `place` what the header
    /// showed, `hidden` the labels that were left out.
    pub(crate) fn resolved(
        &self,
        end: &End,
        lasted: &str,
        was: Mrkdwn,
        (place, hidden): (Option<&str>, &str),
    ) -> Card {
        let what = match end.caveat.as_str() {
            "" => format!("{} after {lasted}", end.short),
            caveat => format!("{} after {lasted}, {caveat}", end.short),
        };
        let said = match was.is_empty() {
            true => self.notice.said(),
            false => Mrkdwn::from("It was: ").then(was),
        };
        let is_hidden = |name: &str| hidden.split(' ').any(|hidden| hidden == name);
        let labels = self.notice.labels(&["cluster", "namespace", "pod"]);
        let labels = labels
            .into_iter()
            .filter(|(name, value)| !is_hidden(name) && !self.is_said(name, value, &[], None));
        let own = self.place();
        let place = place.or(own.as_deref());
        // The place that was found out says more than the labels, but those of a pod.
        let is_pod = self.notice.subject().kind() == Some("pod");
        let who = match place.filter(|_| !is_pod) {
            Some(place) => clip(place, 200),
            None => self.who_of_labels(),
        };
        Card::new(self.notice.text(&who, &what), &self.notice.header(place))
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
