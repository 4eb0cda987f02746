//! Slack: messages to the channels that the operator granted, and what they are made of.

mod blocks;
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

pub use blocks::{Blocks, limits};
pub use mrkdwn::Mrkdwn;
pub use size::Size;

pub(crate) use mrkdwn::truncate;

/// The door to the Slack channels that the operator granted. Denied during `enrich`.
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

    /// Posts a message, and returns what names it afterwards.
    ///
    /// Where Slack refuses the blocks as they are, the host posts the text alone: a plain message beats none.
    ///
    /// # Errors
    /// Under `?` in a handler an error becomes the [`Failure`] that fits.
    pub fn post(&self, message: Message) -> Result<MessageRef, Error> {
        let message = message.into_wire(limits::TEXT_CHARS_MAX);
        Ok(MessageRef(self.imports.slack_post(&message)?))
    }

    /// Puts another text and blocks in the place of a message; the channel and thread of `message` are not
    /// looked at. Without blocks the message becomes plain text: the old ones go.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the message is gone or too old to be changed: post anew.
    pub fn update(&self, at: &MessageRef, message: Message) -> Result<MessageRef, Error> {
        let mut message = message.into_wire(limits::UPDATE_TEXT_CHARS_MAX);
        // Slack's documentation differs by its age on whether an update without blocks keeps the old ones: an empty list
        // does not.
        message.blocks.get_or_insert_with(|| "[]".to_owned());
        Ok(MessageRef(self.imports.slack_update(&at.0, &message)?))
    }

    /// Puts another text and blocks in the place of a message, or posts them anew if Slack does not change it: it is
    /// gone, too old, locked, or the change is refused. The effects are named `update` and `message`.
    ///
    /// # Errors
    /// If Slack cannot be reached or asks to wait, for the step to be tried again; and if it refuses the new message too.
    pub fn update_or_post(&self, at: &MessageRef, message: Message) -> Result<Shown, Error> {
        match self.update(at, message.clone().key("update")) {
            Ok(at) => Ok(Shown::Updated(at)),
            Err(Error::NotFound | Error::Invalid(_)) => {
                self.post(message.key("message")).map(Shown::Posted)
            }
            Err(error) => Err(error),
        }
    }

    /// Answers in the thread of a message that is out already. A reply that is refused, as in a channel without
    /// threads or in one that takes no messages of the app any more, is a warning in the log: it takes nothing back.
    ///
    /// # Errors
    /// If Slack cannot be reached or asks to wait, for the step to be tried again.
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

    /// Adds an emoji, by name without colons; one that is there already is no error.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the message is gone.
    pub fn react(&self, at: &MessageRef, emoji: &str) -> Result<(), Error> {
        Ok(self.imports.slack_react(&at.0, emoji)?)
    }
}

/// Returns true if the host reports that the channel refuses the app, and not that Slack does or cannot be reached. The
/// contract has no error for that, so the host's words decide.
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
    /// Returns a message for a channel, by its name in the operator's grants. A plain `text` is escaped; it
    /// is what phones show, and what is read where blocks cannot be.
    pub fn new(channel: impl Into<String>, text: impl Into<Mrkdwn>) -> Self {
        Self {
            channel: channel.into(),
            text: text.into(),
            blocks: None,
            thread: None,
            key: None,
        }
    }

    /// Shows blocks in place of the text.
    #[must_use]
    pub fn blocks(mut self, blocks: Blocks) -> Self {
        self.blocks = Some(blocks);
        self
    }

    /// Answers in the thread of a message.
    #[must_use]
    pub fn thread(mut self, parent: &MessageRef) -> Self {
        self.thread = Some(parent.clone());
        self
    }

    /// Names the effect within this step. Needed only where the message itself may differ on a retry: the
    /// host then knows by this name that it was posted already.
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

/// What became of a message that was to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The old one was changed.
    Updated(MessageRef),
    /// A new one was posted.
    Posted(MessageRef),
}

/// What became of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is in the thread.
    Posted(MessageRef),
    /// It is not; why. The log has a warning.
    Refused(String),
}

/// A posted message. Opaque; it may be kept in [`Kv`](crate::kv::Kv) and used by a later delivery of the
/// same handler.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageRef(pub(crate) String);

impl MessageRef {
    /// Returns it as text, to be kept.
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

/// Why it was not done.
///
/// Under `?` in a handler it becomes a [`Failure`]: *unavailable* for a rate limit (with its wait), an outage
/// or a timeout, *permanent* for the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not granted; the lines of configuration that would grant it.
    Denied(String),
    /// Slack refuses it as it is: its code, and what to change.
    Invalid(String),
    /// The message is gone, or too old to be changed: post anew.
    NotFound,
    /// How long until Slack takes another.
    RateLimited(Duration),
    /// Slack, or the way to it, is out of order.
    Unavailable(String),
    /// Posted or not: unknown.
    Timeout,
    /// Which limit of this step is used up.
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
            Self::Timeout => write!(f, "Slack timed out; whether it was posted is unknown"),
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
