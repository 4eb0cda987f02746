//! Messages with their threads, their reactions and what they said before.

use askama::Template;
use serde_json::Value;

use super::block::{Block, Element, blocks};
use super::inline::{Rich, Span};
use super::mrkdwn::mrkdwn;
use crate::alert::Timestamp;
use crate::http::page::filters;

/// The most messages that are drawn.
const MESSAGES_MAX: usize = 60;

/// A call, in the order in which it was made. `message` is `{ method, channel, ts, thread_ts, text, blocks }`.
pub(in crate::http::page) struct Sent<'a> {
    pub(in crate::http::page) at: Timestamp,
    pub(in crate::http::page) standing: Standing,
    pub(in crate::http::page) message: &'a Value,
}

/// Whether Slack has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::page) enum Standing {
    Posted,
    /// It was shown instead of posted.
    Preview,
    /// There was no clear answer.
    Unknown,
}

/// Messages as Slack shows them, with their threads.
#[derive(Template)]
#[template(path = "slack.html")]
pub(in crate::http::page) struct Conversation {
    messages: Vec<Message>,
    left_out: usize,
}

impl askama::filters::HtmlSafe for Conversation {}

struct Message {
    channel: String,
    ts: Option<String>,
    now: Version,
    /// What it said before, oldest first.
    before: Vec<Version>,
    reactions: Vec<Span>,
    replies: Vec<Message>,
    origin: Origin,
}

struct Version {
    at: Timestamp,
    standing: Standing,
    text: Rich,
    blocks: Vec<Block>,
}

/// Where the message that a call is about was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Here,
    /// It is a reply to a message that is not in this conversation.
    ReplyElsewhere,
    /// It was posted elsewhere and is changed here.
    ChangedHere,
}

impl Conversation {
    /// Returns the conversation that calls have made.
    pub(in crate::http::page) fn of<'a>(calls: impl IntoIterator<Item = Sent<'a>>) -> Self {
        let mut conversation = Self {
            messages: Vec::new(),
            left_out: 0,
        };
        let mut count = 0;
        for call in calls {
            if count == MESSAGES_MAX {
                conversation.left_out += 1;
                continue;
            }
            count += 1;
            conversation.add(&call);
        }
        conversation
    }

    pub(in crate::http::page) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn add(&mut self, call: &Sent<'_>) {
        let field = |name: &str| call.message[name].as_str();
        let channel = field("channel").unwrap_or_default();
        let known = field("ts").and_then(|ts| self.find(channel, ts));
        match (field("method"), known) {
            (Some("react"), Some(message)) => {
                let name = field("text").unwrap_or_default();
                let name = name.trim_start_matches("reaction ");
                let shown = mrkdwn(name);
                message.reactions.extend(shown.spans());
            }
            (Some("react"), None) => {}
            (Some("update"), Some(message)) => {
                let before = std::mem::replace(&mut message.now, Version::of(call));
                message.before.push(before);
            }
            (Some("update"), None) => self.messages.push(Message::of(call, Origin::ChangedHere)),
            _ => match field("thread_ts").map(|thread| self.find(channel, thread)) {
                Some(Some(parent)) => parent.replies.push(Message::of(call, Origin::Here)),
                Some(None) => self
                    .messages
                    .push(Message::of(call, Origin::ReplyElsewhere)),
                None => self.messages.push(Message::of(call, Origin::Here)),
            },
        }
    }

    fn find(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        let is_it =
            |message: &Message| message.channel == channel && message.ts.as_deref() == Some(ts);
        for message in &mut self.messages {
            if is_it(message) {
                return Some(message);
            }
            if let Some(reply) = message.replies.iter().position(is_it) {
                return message.replies.get_mut(reply);
            }
        }
        None
    }
}

impl Message {
    fn of(call: &Sent<'_>, origin: Origin) -> Self {
        let field = |name: &str| call.message[name].as_str();
        Self {
            channel: field("channel").unwrap_or_default().to_owned(),
            ts: field("ts").map(str::to_owned),
            now: Version::of(call),
            before: Vec::new(),
            reactions: Vec::new(),
            replies: Vec::new(),
            origin,
        }
    }
}

impl Version {
    fn of(call: &Sent<'_>) -> Self {
        let text = call.message["text"].as_str().unwrap_or_default();
        Self {
            at: call.at,
            standing: call.standing,
            text: mrkdwn(text),
            blocks: blocks(&call.message["blocks"]),
        }
    }
}
