//! The message that the alerts of one group share: how many fire, how many have resolved.

use super::words::capitalized;
use super::{Card, Group, Notice, Scope, clip, pairs};
use crate::slack::Mrkdwn;
use crate::storm::all_resolved;
use crate::time::human;
use crate::{Alert, Cx, Enrichment, Timestamp};

/// Group labels that the message shows elsewhere than in its header.
const NOT_IN_HEADER: [&str; 3] = ["alertname", "severity", "priority"];
const NAME: &str = "Alerts of one group";
/// Links that are right for every alert of a name.
const COMMON_LINKS: [&str; 2] = ["Runbook", "Dashboard"];

impl<'a> Notice<'a> {
    /// Returns the parts of a message about the group of an alert.
    pub(crate) fn of_group(
        cx: &'a Cx,
        alert: &'a Alert,
        found: &'a Enrichment,
        group: Group,
    ) -> Self {
        Self {
            scope: Scope::Group(group),
            ..Self::new(cx, alert, found)
        }
    }

    /// Returns the message about the group; `since` is when the first of its alerts began.
    pub(crate) fn group_card(&self, since: &Timestamp) -> Card {
        let labels = &self.alert.origin.group_labels;
        let name = self.label_of_all("alertname");
        let places: Vec<String> = labels
            .iter()
            .filter(|(name, value)| !NOT_IN_HEADER.contains(&name.as_str()) && !value.is_empty())
            .map(|(_, value)| clip(value, 60))
            .collect();
        let counts = self.group_counts();
        let who = std::iter::once(clip(name.unwrap_or(NAME), 100)).chain(places.iter().cloned());
        let who: Vec<String> = who.collect();
        let links = self.links(None).into_iter();
        let links = links.filter(|(title, _)| {
            (name.is_some() && COMMON_LINKS.contains(title)) || *title == "Silence"
        });
        let one = match self.is_over() {
            true => Mrkdwn::new(),
            false => self.one(Mrkdwn::new()),
        };
        let receiver = self.alert.origin.receiver.as_deref().unwrap_or_default();
        let receiver = match receiver {
            "" => Mrkdwn::new(),
            receiver => Mrkdwn::from(format!("receiver {}", clip(receiver, 60))),
        };
        let in_thread = Mrkdwn::from("each alert is a reply in the thread");
        Card::new(
            self.line(&format!("{}: {counts}", who.join(" "))),
            &who.join(" · "),
        )
        .end(links, Mrkdwn::join([in_thread, receiver], " · "))
        .section(Mrkdwn::join(
            [self.status(), self.group_lead(&counts, since), one],
            "\n",
        ))
        .section(pairs(
            labels
                .iter()
                .filter(|(name, _)| !NOT_IN_HEADER.contains(&name.as_str()))
                .map(|(name, value)| (name, value)),
        ))
    }

    fn group_counts(&self) -> String {
        let Scope::Group(group) = &self.scope else {
            return String::new();
        };
        match (group.firing, group.resolved) {
            (firing, 0) => format!("{firing} firing"),
            (0, resolved) => all_resolved(resolved),
            (firing, resolved) => format!("{firing} firing, {resolved} resolved"),
        }
    }

    fn group_lead(&self, counts: &str, since: &Timestamp) -> Mrkdwn {
        let now = self.cx.now();
        // As the reply says that all have resolved.
        let end = self.alert.ends_at.as_ref().filter(|_| self.is_over());
        let lasted = human(end.unwrap_or(&now).since(since));
        let began = Mrkdwn::raw(since.slack_date());
        let counts = Mrkdwn::new().bold(capitalized(counts));
        match self.is_over() {
            true => counts.text(format!(" after {lasted}, from ")).then(began),
            false => counts
                .text(", since ")
                .then(began)
                .text(format!(" ({lasted})")),
        }
    }
}
