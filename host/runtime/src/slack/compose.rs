//! Turns a handler's request into the body of a call of Slack: checked against the grants, sanitized, with secrets masked.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::breaker::{CallPermit, CallTarget};
use super::handle::Slack;
use super::message_ref::PostedMessage;
use super::sanitize::{AlertTexts, Unfit};
use super::{Method, SlackError};
use crate::limits;
use crate::text::cut;
use alert_manager_core::alert::{Alert, DeliveryId, Enrichment, HandlerName};
use alert_manager_core::policy::Grants;
use alert_manager_core::shapes;

/// Replaces Slack's ID of the channel in the reference of a message that was only shown.
pub(super) const PREVIEW_CHANNEL_ID: &str = "preview";

/// Longest name of an emoji, in bytes.
const EMOJI_BYTES_MAX: usize = 100;

/// The content of a handler's message.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) text: String,
    /// A JSON array of blocks.
    pub(crate) blocks: Option<String>,
}

/// A handler's request. `at` and `thread` are sealed references of messages.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Post {
        /// Its name in the grants.
        channel: String,
        /// The message in whose thread the new one is posted.
        thread: Option<String>,
        draft: Draft,
    },
    Update {
        at: String,
        draft: Draft,
    },
    React {
        at: String,
        emoji: String,
    },
}

/// The handler that makes the request, and its alert.
#[derive(Clone, Copy)]
pub(crate) struct Author<'a> {
    pub(crate) handler: &'a HandlerName,
    pub(crate) delivery: DeliveryId,
    pub(crate) alert: &'a Alert,
    pub(crate) found: &'a Enrichment,
    pub(crate) grants: &'a Grants,
    pub(crate) dry_run: bool,
}

/// One call of Slack, checked.
pub(crate) struct Outgoing {
    pub(super) method: Method,
    /// Its name in the grants.
    pub(crate) channel: String,
    /// Slack's ID of the channel of the message that it updates, answers or reacts to.
    pub(super) message_channel_id: Option<String>,
    /// The message that it updates or reacts to.
    pub(super) about: Option<PostedMessage>,
    /// The channel at Slack: a name with `#`, or an ID.
    pub(super) target: String,
    pub(super) body: Map<String, Value>,
    /// What sanitizing changed, for the story.
    pub(super) changed: Option<String>,
    /// Set by [`Slack::admit`].
    pub(super) permit: Option<CallPermit>,
}

impl Slack {
    /// Checks a handler's request, and composes the call.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub(crate) fn compose(
        &self,
        author: Author<'_>,
        action: Action,
    ) -> Result<Outgoing, SlackError> {
        match action {
            Action::Post {
                channel,
                thread,
                draft,
            } => self.compose_post(author, channel, thread.as_deref(), &draft),
            Action::Update { at, draft } => self.compose_update(author, &at, &draft),
            Action::React { at, emoji } => self.compose_reaction(author, &at, &emoji),
        }
    }

    fn compose_post(
        &self,
        author: Author<'_>,
        channel: String,
        thread: Option<&str>,
        draft: &Draft,
    ) -> Result<Outgoing, SlackError> {
        let target = self.target(author, &channel)?;
        let (mut body, changed) = content(author, draft)?;
        body.insert("channel".into(), json!(target));
        let mut message_channel_id = None;
        if let Some(thread) = thread {
            let parent = self.open(author, thread)?;
            if parent.channel != channel {
                return Err(SlackError::Invalid(format!(
                    "thread: that message is in {}, not in {channel}",
                    parent.channel
                )));
            }
            // The thread stays in its channel, even if the configured name refers to another one now.
            body.insert("channel".into(), json!(parent.channel_id));
            body.insert("thread_ts".into(), json!(parent.ts));
            message_channel_id = Some(parent.channel_id);
        }
        Ok(Outgoing {
            method: Method::PostMessage,
            channel,
            message_channel_id,
            about: None,
            target,
            body,
            changed,
            permit: None,
        })
    }

    fn compose_update(
        &self,
        author: Author<'_>,
        at: &str,
        draft: &Draft,
    ) -> Result<Outgoing, SlackError> {
        let posted = self.open(author, at)?;
        let (mut body, changed) = content(author, draft)?;
        // Without an empty list Slack would keep the old blocks above the new text.
        body.entry("blocks").or_insert_with(|| json!([]));
        body.insert("channel".into(), json!(posted.channel_id));
        body.insert("ts".into(), json!(posted.ts));
        Ok(Outgoing {
            method: Method::Update,
            target: self.target(author, &posted.channel)?,
            channel: posted.channel.clone(),
            message_channel_id: Some(posted.channel_id.clone()),
            about: Some(posted),
            body,
            changed,
            permit: None,
        })
    }

    fn compose_reaction(
        &self,
        author: Author<'_>,
        at: &str,
        emoji: &str,
    ) -> Result<Outgoing, SlackError> {
        let posted = self.open(author, at)?;
        let is_fit = |c: char| !c.is_control() && c != ':';
        if emoji.is_empty() || emoji.len() > EMOJI_BYTES_MAX || !emoji.chars().all(is_fit) {
            return Err(SlackError::Invalid(format!(
                "emoji: its name without colons, at most {EMOJI_BYTES_MAX} bytes"
            )));
        }
        let mut body = Map::new();
        body.insert("channel".into(), json!(posted.channel_id));
        body.insert("timestamp".into(), json!(posted.ts));
        body.insert("name".into(), json!(emoji));
        Ok(Outgoing {
            method: Method::AddReaction,
            target: self.target(author, &posted.channel)?,
            channel: posted.channel.clone(),
            message_channel_id: Some(posted.channel_id.clone()),
            about: Some(posted),
            body,
            changed: None,
            permit: None,
        })
    }

    /// Returns the name or ID at Slack of a granted channel.
    fn target(&self, author: Author<'_>, channel: &str) -> Result<String, SlackError> {
        author.grants.slack(channel).map_err(|refusal| {
            let refusal = refusal.for_handler(author.handler, author.grants);
            SlackError::Denied(refusal.to_string())
        })?;
        let channels = &self.settings().channels;
        channels.get(channel).cloned().ok_or_else(|| {
            SlackError::Denied(format!(
                "The Slack channel {channel:?} is granted, but slack.channels does not say what Slack calls it. Add it there.\n\
                 slack:\n  channels:\n    {channel}: \"#CHANNEL\""
            ))
        })
    }

    /// Reads a reference that this server gave to this handler. One from a preview is accepted only while messages are shown
    /// instead of posted.
    fn open(&self, author: Author<'_>, reference: &str) -> Result<PostedMessage, SlackError> {
        let is_shown = author.dry_run || self.settings().preview;
        self.ref_key
            .open(author.handler, reference)
            .filter(|posted| is_shown || posted.channel_id != PREVIEW_CHANNEL_ID)
            .ok_or(SlackError::NotFound)
    }
}

impl Outgoing {
    /// Returns the target of the call, by which the circuit breaker judges it.
    pub(super) fn as_call<'a>(&'a self, slack: &'a Slack) -> CallTarget<'a> {
        CallTarget {
            settings: slack.settings(),
            channel: &self.channel,
            message_channel_id: self.message_channel_id.as_deref(),
        }
    }
}

/// Returns the sanitized text and blocks, and what was changed for that.
///
/// # Errors
/// If the blocks are not a JSON array.
fn content(
    author: Author<'_>,
    draft: &Draft,
) -> Result<(Map<String, Value>, Option<String>), SlackError> {
    const MASKED: &str = "what looks like a secret was masked";
    const MADE_INERT: &str = "markup that came with the alert was made inert";
    let mut body = Map::new();
    let mut alert_texts = AlertTexts::of(author.alert, author.found);
    // Secrets are masked first, because they are not recognized once they are escaped. The part beyond this bound would be
    // cut off later anyway.
    let text_bytes_max = 4 * limits::SLACK_TEXT_CHARS_MAX + limits::SECRET_BYTES_MAX;
    let text = shapes::masked(cut(&draft.text, text_bytes_max));
    let mut changed = matches!(text, Cow::Owned(_)).then(|| MASKED.to_owned());
    let inert = alert_texts.sanitize(&text);
    if inert.is_some() {
        add(&mut changed, MADE_INERT);
    }
    body.insert("text".into(), json!(inert.as_deref().unwrap_or(&text)));
    if let Some(text) = &draft.blocks {
        let mut blocks: Value = serde_json::from_str(text)
            .map_err(|error| SlackError::Invalid(format!("blocks: not JSON: {error}")))?;
        if !blocks.is_array() {
            return Err(SlackError::Invalid(
                "blocks: not an array; put the blocks into [ and ]".to_owned(),
            ));
        }
        match alert_texts.sanitize_blocks(&mut blocks) {
            Ok(inert) => {
                if inert.masked {
                    add(&mut changed, MASKED);
                }
                if inert.markup {
                    add(&mut changed, MADE_INERT);
                }
                body.insert("blocks".into(), blocks);
            }
            // As if Slack had refused the blocks: a plain message is better than none.
            Err(Unfit(why)) => changed = Some(format!("the text went out alone: {why}")),
        }
    }
    Ok((body, changed))
}

/// Appends a change to the list, unless it is in it.
fn add(changed: &mut Option<String>, what: &str) {
    match changed {
        Some(known) if known.contains(what) => {}
        Some(known) => {
            known.push_str("; ");
            known.push_str(what);
        }
        None => *changed = Some(what.to_owned()),
    }
}
