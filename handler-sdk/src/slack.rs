//! Slack: messages to the channels that the operator granted, and the parts that messages are built from.

mod blocks;
#[cfg(test)]
mod cut_tests;
mod file;
mod markdown;
mod mrkdwn;
mod size;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::Failure;
use crate::bindings::alert_manager::handler::slack as wire;
use crate::imports::Imports;

pub(crate) use blocks::FRAME_JSON_BYTES;
pub use blocks::{Blocks, limits};
pub use file::{File, FileRef};
pub use mrkdwn::Mrkdwn;
pub use size::Size;

pub(crate) use mrkdwn::{Most, truncate};

/// A client for the Slack channels that the operator granted. Denied during `enrich`.
///
/// ```
/// # use handler_sdk::prelude::*;
/// # fn act(cx: &Cx, alert: &Alert) -> Result<(), Failure> {
/// let message = Message::new("alerts", format!("[FIRING] {}", alert.name))
///     .blocks(Blocks::new().header(&alert.name).section(alert.summary().unwrap_or("no summary")));
/// let posted = cx.slack().post(message)?;
/// cx.slack().react(&posted, "eyes")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Slack<'a> {
    imports: &'a Imports,
}

impl<'a> Slack<'a> {
    pub(crate) const fn new(imports: &'a Imports) -> Self {
        Self { imports }
    }

    /// Posts a message and returns a reference to it.
    ///
    /// If Slack rejects the blocks, the host posts the text without them.
    ///
    /// # Errors
    /// `?` in a handler turns the error into the matching [`Failure`].
    pub fn post(&self, message: Message) -> Result<MessageRef, Error> {
        let message = message.into_wire(limits::TEXT_CHARS_MAX);
        Ok(MessageRef(self.imports.slack_post(&message)?))
    }

    /// Replaces the text and the blocks of a message; the channel and thread of `message` are ignored. Without blocks the
    /// message becomes plain text, and the old blocks are removed.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the message no longer exists or is too old to be changed: post a new one.
    pub fn update(&self, at: &MessageRef, message: Message) -> Result<MessageRef, Error> {
        let mut message = message.into_wire(limits::UPDATE_TEXT_CHARS_MAX);
        // Versions of Slack's documentation differ on whether an update without blocks keeps the old ones; one with an
        // empty list does not.
        message.blocks.get_or_insert_with(|| "[]".to_owned());
        Ok(MessageRef(self.imports.slack_update(&at.0, &message)?))
    }

    /// Replaces the text and the blocks of a message. If Slack does not change it (it no longer exists, is too old or
    /// locked, or the change is rejected), posts a new message. The effects are named `update` and `message`.
    ///
    /// # Errors
    /// Returns an error, so that the step is retried, if Slack cannot be reached or asks to wait; and if it rejects the new
    /// message too.
    pub fn update_or_post(&self, at: &MessageRef, message: Message) -> Result<Shown, Error> {
        match self.update(at, message.clone().key("update")) {
            Ok(at) => Ok(Shown::Updated(at)),
            Err(Error::NotFound | Error::Invalid(_)) => {
                self.post(message.key("message")).map(Shown::Posted)
            }
            Err(error) => Err(error),
        }
    }

    /// Posts a reply in the thread of a message. If Slack rejects the reply, for example because the channel has no threads
    /// or no longer accepts messages of the app, a warning is logged and the message itself stays.
    ///
    /// # Errors
    /// Returns an error, so that the step is retried, if Slack cannot be reached or asks to wait.
    pub fn reply(&self, parent: &MessageRef, reply: Message) -> Result<Reply, Error> {
        let refused = match self.post(reply.thread(parent)) {
            Ok(at) => return Ok(Reply::Posted(at)),
            Err(Error::Unavailable(why)) if is_of_the_channel(&why) => why,
            Err(error @ (Error::RateLimited(_) | Error::Unavailable(_) | Error::Timeout)) => {
                return Err(error);
            }
            Err(error) => error.to_string(),
        };
        crate::log::Log::new(self.imports)
            .warn("the thread could not be answered", &[("why", &refused)]);
        Ok(Reply::Refused(refused))
    }

    /// Adds an emoji, by its name without colons. Adding one that is already there is not an error.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the message no longer exists.
    pub fn react(&self, at: &MessageRef, emoji: &str) -> Result<(), Error> {
        Ok(self.imports.slack_react(&at.0, emoji)?)
    }
}

/// Returns whether Slack rejected the channel, as opposed to being unavailable. The contract has no error for this, so it
/// is recognized by the host's text.
fn is_of_the_channel(why: &str) -> bool {
    why.starts_with("Slack refuses the channel ")
}

/// A message to post.
#[derive(Debug, Clone)]
pub struct Message {
    channel: String,
    text: Mrkdwn,
    blocks: Option<Blocks>,
    thread: Option<MessageRef>,
    key: Option<String>,
}

impl Message {
    /// Returns a message for a channel, given by its name in the operator's configuration. A plain `text` is escaped; it is
    /// shown in notifications and if the blocks cannot be shown.
    pub fn new(channel: impl Into<String>, text: impl Into<Mrkdwn>) -> Self {
        Self {
            channel: channel.into(),
            text: text.into(),
            blocks: None,
            thread: None,
            key: None,
        }
    }

    /// Sets the blocks, which are shown instead of the text.
    #[must_use]
    pub fn blocks(mut self, blocks: Blocks) -> Self {
        self.blocks = Some(blocks);
        self
    }

    /// Makes it a reply in the thread of a message.
    #[must_use]
    pub fn thread(mut self, parent: &MessageRef) -> Self {
        self.thread = Some(parent.clone());
        self
    }

    /// Sets a name for the effect, unique within this step. Needed only if the message can differ between attempts: a retry
    /// then finds by this name that it was posted already.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    fn into_wire(self, text_chars_max: usize) -> wire::Message {
        wire::Message {
            channel: self.channel,
            text: truncate(self.text.as_str(), text_chars_max),
            blocks: self
                .blocks
                .filter(|blocks| !blocks.is_empty())
                .map(|blocks| blocks.to_json()),
            thread: self.thread.map(|parent| parent.0),
            key: self.key,
        }
    }
}

/// The result of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The message was changed.
    Updated(MessageRef),
    /// A new message was posted.
    Posted(MessageRef),
}

/// The result of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was posted.
    Posted(MessageRef),
    /// Slack rejected it, for this reason; a warning was logged.
    Refused(String),
}

/// A reference to a posted message. It is opaque; a handler can store it in [`Kv`](crate::kv::Kv) for use in a later
/// delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageRef(pub(crate) String);

impl MessageRef {
    /// Returns it as text, to be stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for MessageRef {
    fn from(kept: String) -> Self {
        Self(kept)
    }
}

impl AsRef<[u8]> for MessageRef {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The error of a call to Slack.
///
/// `?` in a handler turns it into a [`Failure`]: *unavailable* for a rate limit (with its wait), an outage or a timeout,
/// *permanent* for the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The operator has not granted the call. Holds the lines of configuration that would grant it.
    Denied(String),
    /// Slack rejected the message. Holds Slack's error code and what to change.
    Invalid(String),
    /// The message no longer exists, or is too old to be changed: post a new one.
    NotFound,
    /// The rate limit is reached. Holds the time until Slack accepts another call.
    RateLimited(Duration),
    /// Slack failed or could not be reached.
    Unavailable(String),
    /// The time ran out. Whether the message was posted is unknown.
    Timeout,
    /// The limit of this step that is used up.
    BudgetExhausted(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(grant) => write!(f, "Slack: not granted: {grant}"),
            Self::Invalid(why) => write!(f, "Slack refuses the message: {why}"),
            Self::NotFound => write!(f, "Slack: the message is gone, or too old to be changed"),
            Self::RateLimited(wait) => write!(f, "Slack asks to wait {} ms", wait.as_millis()),
            Self::Unavailable(why) => write!(f, "Slack is unavailable: {why}"),
            Self::Timeout => write!(f, "no answer from Slack; whether it was posted is unknown"),
            Self::BudgetExhausted(limit) => {
                write!(f, "Slack: the step's limit is used up: {limit}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<wire::Error> for Error {
    fn from(error: wire::Error) -> Self {
        match error {
            wire::Error::Denied(grant) => Self::Denied(grant),
            wire::Error::Invalid(why) => Self::Invalid(why),
            wire::Error::NotFound => Self::NotFound,
            wire::Error::RateLimited(ms) => Self::RateLimited(Duration::from_millis(ms.into())),
            wire::Error::Unavailable(why) => Self::Unavailable(why),
            wire::Error::Timeout => Self::Timeout,
            wire::Error::BudgetExhausted(limit) => Self::BudgetExhausted(limit),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::RateLimited(wait) => Self::unavailable(message).after(wait),
            Error::Unavailable(_) | Error::Timeout => Self::unavailable(message),
            Error::Denied(_) | Error::Invalid(_) | Error::NotFound | Error::BudgetExhausted(_) => {
                Self::permanent(message)
            }
        }
    }
}
