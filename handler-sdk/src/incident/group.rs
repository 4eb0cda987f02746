//! The message that the alerts of one Alertmanager group share, in whose thread each of them is a reply.
//!
//! Deliveries of one group run at the same time, and nothing but the store is common to them. The first one claims to post the
//! shared message; the others wait for it without using an attempt. A claim ends after [`CLAIM`], in case its delivery has
//! died. If its message arrives all the same after another was posted, it becomes the message of its own alert.

use std::time::Duration;

use super::kept::{self, Place};
use crate::alert::digest;
use crate::layout::{Card, Group as Counts, Notice, capitalized};
use crate::slack::{Error, Message, MessageRef};
use crate::storm::all_resolved;
use crate::time::{MINUTE, human};
use crate::{Alert, Cx, Enrichment, Failure, Severity};

/// The setting that the route's `slack.thread_by` becomes.
pub(crate) const THREAD_BY: &str = "slack.thread_by";
const CLAIM: Duration = MINUTE.saturating_mul(10);
const WAIT: Duration = Duration::from_secs(1);
/// How often one delivery updates the shared message at most, if the counts change meanwhile.
const UPDATES_MAX: u32 = 3;
const PROBLEM: &str = "the group's message may be wrong";

/// The group of an alert, in a channel.
#[derive(Debug)]
pub(super) struct Group<'a> {
    cx: &'a Cx,
    alert: &'a Alert,
    found: &'a Enrichment,
    channel: &'a str,
    level: Severity,
    /// The beginning of its keys in the store.
    key: String,
}

/// How an alert joins its group.
#[derive(Debug)]
pub(super) enum Joined {
    /// As a reply in the thread of the shared message.
    Thread(Place),
    /// With the message that it has posted for the group, while another alert had posted one too.
    Own(MessageRef),
}

impl<'a> Group<'a> {
    /// Returns the group of an alert; `None` if the route does not ask for threads by group, or the alert is in none.
    pub(super) fn of(
        cx: &'a Cx,
        alert: &'a Alert,
        found: &'a Enrichment,
        channel: &'a str,
        level: Severity,
    ) -> Option<Self> {
        let group = alert.origin.group_key.as_deref()?;
        let is_asked = cx.config(THREAD_BY).as_deref() == Some("group");
        if !is_asked || found.storm().is_some() {
            return None;
        }
        Some(Self {
            cx,
            alert,
            found,
            channel,
            level,
            key: format!("group/{channel}/{}", digest(group.bytes())),
        })
    }

    /// Returns where the message of the firing alert belongs. [`count_firing`](Self::count_firing) counts it once it is there.
    ///
    /// # Errors
    /// Returns a failure that asks for a retry while another alert posts the shared message, and that of posting it.
    pub(super) fn join(&self) -> Result<Joined, Failure> {
        if let Some(place) = self.place() {
            return Ok(Joined::Thread(place));
        }
        let claim = format!("{}/claim", self.class_key(self.is_critical()));
        let delivery = &self.cx.call().delivery_id;
        let is_ours = match self.cx.kv().set_if_absent(&claim, delivery, Some(CLAIM)) {
            Ok(true) => true,
            Ok(false) => self.cx.kv().get_string(&claim)?.as_ref() == Some(delivery),
            // Without the store no claim can be respected. The message is more important.
            Err(error) => {
                kept::warn(self.cx, PROBLEM, &error.into());
                true
            }
        };
        if !is_ours {
            let why = "another alert of the group is about to post the message that they share";
            return Err(Failure::unavailable(why).after(WAIT));
        }
        let joined = self.lead();
        let is_settled = match &joined {
            Ok(_) => true,
            Err(failure) => failure.is_permanent(),
        };
        if is_settled && let Err(error) = self.cx.kv().remove(&claim) {
            kept::warn(self.cx, PROBLEM, &error.into());
        }
        joined
    }

    /// Posts the shared message, unless it was posted just before.
    fn lead(&self) -> Result<Joined, Failure> {
        if let Some(place) = self.place() {
            return Ok(Joined::Thread(place));
        }
        let mut place = Place {
            at: String::new(),
            key: format!("{}/{}", self.key, self.cx.call().delivery_id),
            began_at: self.alert.starts_at.seconds,
            is_critical: self.is_critical(),
        };
        let message = self.card(&place, 1, 0).message(self.channel);
        let at = self.cx.slack().post(message.key("group"))?;
        if self.place().is_some() {
            return Ok(Joined::Own(at));
        }
        at.as_str().clone_into(&mut place.at);
        kept::write(self.cx, &self.class_key(place.is_critical), &place, PROBLEM);
        Ok(Joined::Thread(place))
    }

    /// Returns the shared message, if there is one for alerts as urgent as this one and not all of its alerts have resolved.
    fn place(&self) -> Option<Place> {
        let critical = [true, false];
        let classes = if self.is_critical() {
            &critical[..1]
        } else {
            &critical[..]
        };
        classes.iter().find_map(|is_critical| {
            let place: Place = kept::read(self.cx, &self.class_key(*is_critical), PROBLEM)?;
            let (firing, resolved) = self.counts(&place);
            // Before its first alert is counted, it has neither.
            (firing > 0 || resolved == 0).then_some(place)
        })
    }

    /// Counts the alert as firing, once.
    pub(super) fn count_firing(&self, place: &Place) {
        if self.is_first(place, "fired") {
            kept::add(self.cx, &format!("{}/firing", place.key), 1, PROBLEM);
        }
    }

    /// Counts the alert as resolved, once.
    pub(super) fn count_resolved(&self, place: &Place) {
        if self.is_first(place, "ended") {
            kept::add(self.cx, &format!("{}/firing", place.key), -1, PROBLEM);
            kept::add(self.cx, &format!("{}/resolved", place.key), 1, PROBLEM);
        }
    }

    /// Returns true the first time that it is asked about the alert and a shared message.
    fn is_first(&self, place: &Place, what: &str) -> bool {
        let alert = digest(self.alert.incident_key().bytes());
        let key = format!("{}/{what}/{alert}", place.key);
        kept::mark(self.cx, &key, PROBLEM)
    }

    /// Updates the shared message if its counts have changed, and says in its thread if all alerts have resolved.
    ///
    /// # Errors
    /// Returns an error if a retry of the step may succeed.
    pub(super) fn refresh(&self, place: &Place) -> Result<(), Failure> {
        let posted_now = place
            .key
            .ends_with(&format!("/{}", self.cx.call().delivery_id));
        let mut shown = posted_now.then_some((1, 0));
        for round in 1..=UPDATES_MAX {
            // Another delivery may count while this one waits for Slack; its own update may have been sent before this one.
            let counts = self.counts(place);
            if shown == Some(counts) {
                break;
            }
            let (firing, resolved) = counts;
            let message = self.card(place, firing, resolved).message(self.channel);
            let message = message.key(format!("group-update-{round}"));
            match self.cx.slack().update(&place.parent(), message) {
                Ok(_) => shown = Some(counts),
                Err(error @ (Error::RateLimited(_) | Error::Unavailable(_) | Error::Timeout)) => {
                    return Err(error.into());
                }
                Err(error) => {
                    kept::warn(
                        self.cx,
                        "the group's message could not be updated",
                        &error.into(),
                    );
                    self.forget(place);
                    return Ok(());
                }
            }
        }
        match shown {
            Some((0, resolved)) => self.tell_end(place, resolved),
            _ => Ok(()),
        }
    }

    fn tell_end(&self, place: &Place, resolved: u32) -> Result<(), Failure> {
        let once = format!("{}/end", place.key);
        if !self
            .cx
            .kv()
            .set_if_absent(&once, "told", Some(CLAIM))
            .unwrap_or(false)
        {
            return Ok(());
        }
        let now = self.cx.now();
        let end = self.alert.ends_at.as_ref().unwrap_or(&now);
        let lasted = human(end.since(&place.since()));
        let text = format!("{} after {lasted}.", all_resolved(resolved));
        let reply = Message::new(self.channel, capitalized(&text)).key("group-end");
        self.cx.slack().reply(&place.parent(), reply)?;
        Ok(())
    }

    /// Has the group's next alert post another shared message, unless another one was posted already.
    pub(super) fn forget(&self, place: &Place) {
        let key = self.class_key(place.is_critical);
        if kept::read::<Place>(self.cx, &key, PROBLEM).is_none_or(|current| current.at != place.at)
        {
            return;
        }
        if let Err(error) = self.cx.kv().remove(&key) {
            kept::warn(self.cx, PROBLEM, &error.into());
        }
    }

    /// Returns how many alerts of a shared message fire, and how many have resolved.
    fn counts(&self, place: &Place) -> (u32, u32) {
        let count = |name: &str| {
            let count = kept::count(self.cx, &format!("{}/{name}", place.key), PROBLEM);
            u32::try_from(count.max(0)).unwrap_or(u32::MAX)
        };
        (count("firing"), count("resolved"))
    }

    fn card(&self, place: &Place, firing: u32, resolved: u32) -> Card {
        let level = match place.is_critical {
            true => Severity::Critical,
            false => self.level,
        };
        let group = Counts {
            level,
            firing,
            resolved,
        };
        Notice::of_group(self.cx, self.alert, self.found, group).group_card(&place.since())
    }

    fn class_key(&self, is_critical: bool) -> String {
        match is_critical {
            true => format!("{}/critical", self.key),
            false => format!("{}/other", self.key),
        }
    }

    fn is_critical(&self) -> bool {
        self.level == Severity::Critical
    }
}
