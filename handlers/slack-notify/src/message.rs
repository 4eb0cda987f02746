//! The message of an alert.

use handler_sdk::layout::{Card, Notice, pairs};
use handler_sdk::prelude::*;
use handler_sdk::slack::Size;

pub(crate) const CHANNEL: Setting =
    Setting::channel("channel", "the Slack channel, by its name in the grants").default("alerts");

/// Returns the message: posted while the alert fires, and updated when it has resolved.
pub(crate) fn card(cx: &Cx, alert: &Alert, found: &Enrichment) -> Card {
    let notice = Notice::new(cx, alert, found);
    if let Some(card) = notice.storm_card(Mrkdwn::new(), |_| false, failures(&notice)) {
        return card;
    }
    let place = notice.subject().place();
    let who = match &place {
        Some(place) => format!("{} {place}", notice.name()),
        None => notice.name().to_owned(),
    };
    let lead = Mrkdwn::join([notice.status(), notice.said()], "\n");
    Card::new(
        notice.text(&who, notice.summary().unwrap_or_default()),
        &notice.header(place.as_deref()),
    )
    .end(notice.links(None), notice.context(failures(&notice)))
    .section(lead)
    .section(pairs(notice.labels(&[])))
    .section(notice.facts(|_| false))
    .whole(Blocks::new().enrichment(found), Size::default())
    .last_in_thread(Blocks::new().paragraphs(notice.said_further()))
}

fn failures(notice: &Notice<'_>) -> Vec<Mrkdwn> {
    let failures = notice.failures().into_iter();
    let lines = failures.map(|(handler, why)| format!("not enriched by {handler}: {why}"));
    lines.map(Mrkdwn::from).collect()
}

pub(crate) fn channel(cx: &Cx) -> String {
    cx.setting(&CHANNEL).unwrap_or_default()
}
