//! One message in Slack for each incident, from its first alert to its end.
//!
//! An incident is an alert that fires, or a storm of alerts ([`crate::storm`]). Its first delivery posts a message. A later
//! one updates that message and replies in its thread: a reminder says how long the alert has fired by now, the end how long
//! it fired. Deliveries of a storm update the message without a reply, until all its alerts have resolved. If Slack reports
//! that the message is gone, a new one is posted. What is needed for this is kept in the key-value store for a week after the
//! last delivery, so a restart changes nothing.
//!
//! If the route sets `slack.thread_by` to `group`, the alerts of one Alertmanager group share a message that counts them, and
//! each alert is a reply in its thread, updated in place. Critical alerts have a shared message of their own if that of their
//! group is not critical, because Slack notifies nobody of a reply. A storm is not part of a group.
//!
//! ```
//! use handler_sdk::incident::Incident;
//! use handler_sdk::layout::Card;
//! use handler_sdk::mock::Host;
//! use handler_sdk::prelude::*;
//! use handler_sdk::time::HOUR;
//!
//! struct DiskFull;
//!
//! impl Handler for DiskFull {
//!     fn describe() -> Description {
//!         Description::new("disk-full", "0.1.0", "Says which disk fills up.").act_only().storm_one()
//!     }
//!
//!     fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
//!         let card = Card::of_blocks(format!("[FIRING] {}", alert.name), Blocks::new().section("A disk is full."));
//!         Incident::open(cx, alert, found, "alerts").tell(&card)
//!     }
//!
//!     fn resolved(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
//!         let card = Card::of_blocks(format!("[RESOLVED] {}", alert.name), Blocks::new().section("It has space again."));
//!         Incident::open(cx, alert, found, "alerts").tell(&card)
//!     }
//! }
//!
//! let began = Timestamp::from_seconds(1_700_000_000);
//! let alert = Alert::new("DiskFull").with_start(began);
//! let host = Host::new().now(began);
//! host.run::<DiskFull>(&alert);
//! host.run::<DiskFull>(&alert.into_resolved(began.plus(2 * HOUR)));
//! assert_eq!(host.updates()[0].text, "[RESOLVED] DiskFull");
//! assert_eq!(host.posts()[1].text, "Resolved after 2h.");
//! ```

pub(crate) mod group;
mod kept;
#[cfg(test)]
mod tests;
mod told;

use std::borrow::Cow;
use std::time::Duration;

use crate::layout::{Card, Notice, capitalized};
use crate::slack::{Error, Message, MessageRef, Mrkdwn, Reply, Shown};
use crate::storm::all_resolved;
use crate::time::{MINUTE, human};
use crate::{Alert, Cx, Enrichment, Facts, Failure};
use group::{Group, Joined};
use kept::{Kept, Place};
use told::Told;

/// A reminder that comes sooner after the last message updates it without a reply: another route has posted it.
const REPLY_AFTER: Duration = MINUTE.saturating_mul(5);
/// The same of a storm that alerts have joined: a storm that still grows updates its message every few seconds.
const JOINED_AFTER: Duration = MINUTE.saturating_mul(2);
/// The title of the thread's messages with what did not fit.
const FURTHER: &str = "Further findings";

/// The incident that a delivery is about, and its message in a channel.
#[derive(Debug)]
pub struct Incident<'a> {
    cx: &'a Cx,
    alert: &'a Alert,
    found: Cow<'a, Enrichment>,
    channel: String,
    /// The key in the store.
    key: String,
    /// What an earlier delivery kept.
    kept: Option<Kept>,
    notes: Vec<(String, String)>,
    reply: Option<Mrkdwn>,
    further: String,
}

impl<'a> Incident<'a> {
    /// Looks up the incident's message in a channel, given by its name in the operator's configuration. If the store fails,
    /// the message counts as unknown, and a new one will be posted.
    pub fn open(
        cx: &'a Cx,
        alert: &'a Alert,
        found: &'a Enrichment,
        channel: impl Into<String>,
    ) -> Self {
        let channel = channel.into();
        let key = format!("message/{channel}/{}", found.incident_key(alert));
        let kept: Option<Kept> =
            kept::read(cx, &key, "the incident's earlier message is not known");
        let told = kept.as_ref().and_then(|kept| kept.storm.as_ref());
        Self {
            found: match told {
                Some(told) => Cow::Owned(told.merged_into(found, alert)),
                None => Cow::Borrowed(found),
            },
            kept,
            cx,
            alert,
            channel,
            key,
            notes: Vec::new(),
            reply: None,
            further: FURTHER.to_owned(),
        }
    }

    /// Returns what was found, for the message. The host describes the alerts of a storm that this delivery represents; this
    /// adds those that earlier deliveries of the storm represented.
    pub fn found(&self) -> &Enrichment {
        &self.found
    }

    /// Returns a note that an earlier delivery of the incident kept.
    pub fn note(&self, name: &str) -> Option<&str> {
        let notes = &self.kept.as_ref()?.notes;
        notes.get(name).map(String::as_str)
    }

    /// Keeps a note for later deliveries, for example what was found while the alert fired.
    #[must_use]
    pub fn keep_note(mut self, name: &str, text: impl Into<String>) -> Self {
        self.notes.push((name.to_owned(), text.into()));
        self
    }

    /// Sets the reply for a message that is updated because the alert has resolved; by default it says after how long.
    #[must_use]
    pub fn reply(mut self, text: impl Into<Mrkdwn>) -> Self {
        self.reply = Some(text.into());
        self
    }

    /// Sets the title of the replies with what did not fit into the message; by default `Further findings`.
    #[must_use]
    pub fn further(mut self, title: impl Into<String>) -> Self {
        self.further = title.into();
        self
    }

    /// Shows the message: posts it, or updates the incident's earlier message and replies in its thread.
    ///
    /// Returns facts for the delivery's story: `slack.channel` and `slack.message`; `slack.how`, which is `posted`, `updated`
    /// or, if a later delivery of the storm has updated the message already, `outdated`; `slack.thread` for the reply and
    /// `slack.findings` for what did not fit, which are `posted` or `failed`.
    ///
    /// # Errors
    /// Returns the failure of the message itself, and of a reply if a retry may succeed.
    pub fn tell(mut self, card: &Card) -> Result<Facts, Failure> {
        let delivery = &self.cx.call().delivery_id;
        match self.kept.take() {
            // A retry whose record does not have the post.
            Some(kept) if kept.delivery == *delivery && self.alert.is_firing() => {
                let at = MessageRef::from(kept.at);
                let thread = kept
                    .group
                    .map_or_else(|| at.clone(), |place| place.parent());
                let facts = self.facts(&at, "posted");
                self.tell_further(card, &thread, facts)
            }
            Some(kept) if self.is_outdated(&kept) => {
                let at = MessageRef::from(kept.at);
                Ok(self.facts(&at, "outdated"))
            }
            Some(kept) => self.tell_again(card, kept),
            None => self.tell_first(card),
        }
    }

    fn tell_first(self, card: &Card) -> Result<Facts, Failure> {
        let group = self.group().filter(|_| self.alert.is_firing());
        let joined = group.as_ref().map(Group::join).transpose()?;
        match (group, joined) {
            (Some(group), Some(Joined::Thread(place))) => self.tell_in_group(card, &group, place),
            // The message that was meant for the group becomes the alert's own: another alert's is used.
            (Some(_), Some(Joined::Own(at))) => {
                let message = self.message(card).key("update");
                let at = self.cx.slack().update(&at, message)?;
                self.told_anew(card, &at, &Kept::default())
            }
            _ => {
                let at = self.cx.slack().post(self.message(card).key("message"))?;
                self.told_anew(card, &at, &Kept::default())
            }
        }
    }

    /// Posts the alert's message in the thread of its group's message.
    fn tell_in_group(
        &self,
        card: &Card,
        group: &Group<'_>,
        place: Place,
    ) -> Result<Facts, Failure> {
        let parent = place.parent();
        let message = self.message(card).key("message");
        let at = match self.cx.slack().post(message.clone().thread(&parent)) {
            Ok(at) => at,
            // The group's message was deleted, or the channel has no threads.
            Err(Error::NotFound | Error::Invalid(_)) => {
                group.forget(&place);
                let at = self.cx.slack().post(message)?;
                return self.told_anew(card, &at, &Kept::default());
            }
            Err(error) => return Err(error.into()),
        };
        group.count_firing(&place);
        self.keep(Kept {
            group: Some(place.clone()),
            ..self.kept_of(&at)
        });
        let facts = self.facts(&at, "posted");
        let facts = self.tell_further(card, &parent, facts)?;
        group.refresh(&place)?;
        Ok(facts)
    }

    /// Updates the message of an earlier delivery.
    fn tell_again(self, card: &Card, kept: Kept) -> Result<Facts, Failure> {
        let at = MessageRef::from(kept.at.clone());
        let mut message = self.message(card);
        if let Some(place) = &kept.group {
            message = message.thread(&place.parent());
        }
        let at = match self.cx.slack().update_or_post(&at, message)? {
            Shown::Updated(at) => at,
            Shown::Posted(at) if kept.group.is_none() => return self.told_anew(card, &at, &kept),
            Shown::Posted(at) => at,
        };
        let facts = self.facts(&at, "updated");
        let is_over = self.alert.is_resolved();
        if self.is_kept() || kept.group.is_some() {
            let now_kept = Kept {
                group: kept.group.clone(),
                ..self.kept_of(&at)
            };
            self.keep(now_kept.with_notes_of(&kept));
        }
        if let Some(place) = &kept.group {
            let Some(group) = self.group() else {
                return Ok(facts);
            };
            if is_over {
                group.count_resolved(place);
            }
            group.refresh(place)?;
            return Ok(facts);
        }
        let Some(reply) = self.reply_to(&kept) else {
            return Ok(facts);
        };
        let reply = Message::new(&self.channel, reply).key("reply");
        let outcome = match self.cx.slack().reply(&at, reply)? {
            Reply::Posted(_) => "posted",
            Reply::Refused(_) => "failed",
        };
        Ok(facts.with("slack.thread", outcome))
    }

    /// Keeps a message that was posted, and posts what did not fit.
    fn told_anew(&self, card: &Card, at: &MessageRef, earlier: &Kept) -> Result<Facts, Failure> {
        if self.is_kept() {
            self.keep(self.kept_of(at).with_notes_of(earlier));
        }
        let facts = self.facts(at, "posted");
        self.tell_further(card, at, facts)
    }

    fn tell_further(
        &self,
        card: &Card,
        thread: &MessageRef,
        facts: Facts,
    ) -> Result<Facts, Failure> {
        let outcome = card.post_thread(self.cx, &self.channel, &self.further, thread)?;
        Ok(match outcome {
            Some(outcome) => facts.with("slack.findings", outcome),
            None => facts,
        })
    }

    /// Returns the reply to an update; `None` if it needs none.
    fn reply_to(&self, kept: &Kept) -> Option<Mrkdwn> {
        let now = self.cx.now();
        let lasted = human(self.alert.duration(&now));
        match self.found.storm() {
            Some(storm) if storm.is_over() && self.alert.is_resolved() => {
                let since = storm.since.unwrap_or(self.alert.starts_at);
                let ended = self.alert.ends_at.unwrap_or(now);
                let lasted = human(ended.since(&since));
                let text = format!("{} after {lasted}.", all_resolved(storm.count));
                Some(Mrkdwn::from(capitalized(&text)))
            }
            Some(storm) if self.alert.is_firing() => {
                let told = kept.storm.as_ref().map_or(0, |told| told.count);
                let joined = storm.count.saturating_sub(told);
                let is_late = now.since(&kept.told()) >= JOINED_AFTER;
                (joined > 0 && is_late).then(|| {
                    let place = self.alert.subject().place().filter(|_| joined == 1);
                    let place = place.map(|place| format!(", {place}")).unwrap_or_default();
                    let more = if joined == 1 { "alert" } else { "alerts" };
                    let count = storm.count;
                    Mrkdwn::from(format!("{joined} more {more}{place}: {count} by now."))
                })
            }
            Some(_) => None,
            None if self.alert.is_resolved() => {
                let default = || Mrkdwn::from(format!("Resolved after {lasted}."));
                Some(self.reply.clone().unwrap_or_else(default))
            }
            None if now.since(&kept.told()) < REPLY_AFTER => None,
            None => Some(Mrkdwn::from(format!("Still firing after {lasted}."))),
        }
    }

    /// Returns whether the message shows a later state of the storm already.
    fn is_outdated(&self, kept: &Kept) -> bool {
        let (Some(told), Some(storm)) = (&kept.storm, self.found.storm()) else {
            return false;
        };
        let (told, new) = ((told.count, told.resolved), (storm.count, storm.resolved));
        told.0 >= new.0 && told.1 >= new.1 && told != new
    }

    /// Returns whether a later delivery may need the message.
    fn is_kept(&self) -> bool {
        self.alert.is_firing() || self.found.storm().is_some()
    }

    fn kept_of(&self, at: &MessageRef) -> Kept {
        Kept {
            at: at.as_str().to_owned(),
            delivery: self.cx.call().delivery_id.clone(),
            told_at: self.cx.now().seconds,
            storm: self.found.storm().map(|storm| Told::of(&storm)),
            is_over: self.alert.is_resolved(),
            group: None,
            notes: self.notes.iter().cloned().collect(),
        }
    }

    /// Keeps what later deliveries need. The message is posted already, so a failure is only logged.
    fn keep(&self, kept: Kept) {
        const WHY: &str = "the message could not be remembered; its end will be a new message";
        kept::write(self.cx, &self.key, &kept, WHY);
    }

    fn message(&self, card: &Card) -> Message {
        card.message(&self.channel)
    }

    fn group(&self) -> Option<Group<'_>> {
        let level = Notice::new(self.cx, self.alert, &self.found).level();
        Group::of(self.cx, self.alert, &self.found, &self.channel, level)
    }

    fn facts(&self, at: &MessageRef, how: &str) -> Facts {
        Facts::new()
            .with("slack.channel", &self.channel)
            .with("slack.message", at.as_str())
            .with("slack.how", how)
    }
}
