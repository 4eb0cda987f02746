//! The message of an alert.

use handler_sdk::layout::{Card, Notice, pairs};
use handler_sdk::prelude::*;
use handler_sdk::slack::Size;
use handler_sdk::time::human;

pub(crate) const CHANNEL: Setting =
    Setting::channel("channel", "the Slack channel, by its name in the grants").default("alerts");

/// Returns the message: posted while the alert fires, and updated when it has resolved.
pub(crate) fn card(cx: &Cx, alert: &Alert, found: &Enrichment) -> Card {
    let notice = Notice::new(cx, alert, found);
    let place = notice.subject().place();
    let who = match &place {
        Some(place) => format!("{} {place}", notice.name()),
        None => notice.name().to_owned(),
    };
    let failures = notice.failures().into_iter();
    let failures =
        failures.map(|(handler, why)| Mrkdwn::from(format!("not enriched by {handler}: {why}")));
    let lead = Mrkdwn::join([notice.status(), notice.storm(), notice.said()], "\n");
    Card::new(
        notice.text(&who, notice.summary().unwrap_or_default()),
        &notice.header(place.as_deref()),
    )
    .end(notice.links(None), notice.context(failures))
    .section(lead)
    .section(pairs(notice.labels(&[])))
    .section(notice.facts(|_| false))
    .whole(Blocks::new().enrichment(found), Size::default())
}

/// Returns the reply in the message's thread for an alert that has resolved.
pub(crate) fn reply(cx: &Cx, alert: &Alert) -> Message {
    let text = format!("Resolved after {}.", human(alert.duration(&cx.now())));
    Message::new(channel(cx), text)
}

pub(crate) fn channel(cx: &Cx) -> String {
    cx.setting(&CHANNEL).unwrap_or_default()
}
