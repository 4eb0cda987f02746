//! The last line of a message: since when, how late and why, what is missing.

use std::time::Duration;

use super::words::reason;
use super::{Notice, Scope, clip};
use crate::slack::Mrkdwn;
use crate::time::{MINUTE, human};

const CONTEXT_CHARS_MAX: usize = 800;
/// The longest address of a page that is linked: the rest of the line needs room too.
const PAGE_URL_BYTES_MAX: usize = 400;
/// A message that is posted later than this says so, and why.
const LATE_AFTER: Duration = Duration::from_secs(120);

impl<'a> Notice<'a> {
    /// Returns the line of context: since when, how late and why, the receiver, whatever `more` holds, and the delivery, which
    /// leads to its page if the server has an `external_url`.
    pub fn context(&self, more: impl IntoIterator<Item = Mrkdwn>) -> Mrkdwn {
        let mut parts = vec![self.since()];
        if matches!(self.scope, Scope::Alert) && self.alert.delay() >= MINUTE {
            // "arrived", not "late": a reminder arrives hours after the alert began, as intended.
            let event = if self.alert.is_firing() {
                "began"
            } else {
                "ended"
            };
            let delay = human(self.alert.delay());
            parts.push(Mrkdwn::from(format!("arrived {delay} after it {event}")));
        }
        parts.extend(self.lateness().map(Mrkdwn::from));
        let receiver = self.alert.origin.receiver.as_deref();
        parts.extend(
            receiver.map(|receiver| Mrkdwn::from(format!("receiver {}", clip(receiver, 60)))),
        );
        parts.extend(more);
        let delivery = self.delivery();
        let room = CONTEXT_CHARS_MAX - delivery.as_str().chars().count() - " · ".len();
        Mrkdwn::join(
            [Mrkdwn::join(parts, " · ").truncated(room), delivery],
            " · ",
        )
    }

    /// Returns the delivery's number, as a link to its page.
    fn delivery(&self) -> Mrkdwn {
        let number = clip(&format!("delivery {}", self.cx.call().delivery_id), 60);
        let page = self.cx.story_url();
        match page.filter(|page| page.len() <= PAGE_URL_BYTES_MAX) {
            Some(page) => Mrkdwn::new().link(page, number),
            None => Mrkdwn::from(number),
        }
    }

    /// Returns the handlers that could not enrich, each with a short reason.
    pub fn failures(&self) -> Vec<(&'a str, String)> {
        let failures = self.found.failures();
        failures
            .map(|(handler, why)| (handler, reason(why)))
            .collect()
    }

    /// Returns since when it fires. A message about several alerts says it at its beginning.
    fn since(&self) -> Mrkdwn {
        if !matches!(self.scope, Scope::Alert) {
            return Mrkdwn::new();
        }
        let began = Mrkdwn::raw(self.alert.starts_at.slack_date());
        let length = human(self.alert.duration(&self.cx.now()));
        match self.alert.is_firing() {
            true => Mrkdwn::from("since ")
                .then(began)
                .text(format!(" ({length})")),
            false => Mrkdwn::from(format!("fired for {length}, from ")).then(began),
        }
    }

    /// Returns by how much the message is late, and why: the server says it in the fact `late.why`.
    fn lateness(&self) -> Option<String> {
        let waited = self.cx.now().since(&self.alert.received_at);
        if waited <= LATE_AFTER {
            return None;
        }
        let why = match (self.found.fact("late.why"), self.cx.call().attempt) {
            (Some(why), _) => reason(why),
            (None, 0 | 1) => "it waited in the queue".to_owned(),
            (None, attempt) => format!("this is attempt {attempt}"),
        };
        let waited = human(waited);
        Some(format!("posted {waited} after it was received: {why}"))
    }
}
