//! Slack's messages as HTML: what was sent is parsed into types, and these are drawn as Slack draws them.
//!
//! Nothing here knows a delivery. Nothing is loaded from elsewhere: an image is its description and a link. A button does nothing.
//! What is not known is named and never left out.
//!
//! Sources: <https://docs.slack.dev/reference/block-kit/blocks> and
//! <https://docs.slack.dev/messaging/formatting-message-text>.

mod block;
mod conversation;
mod date;
mod emoji;
mod inline;
mod mrkdwn;
mod rich_text;
#[cfg(test)]
mod tests;

pub(super) use conversation::{Conversation, Sent, Standing};
