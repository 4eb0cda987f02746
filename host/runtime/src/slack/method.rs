//! The methods of Slack's Web API.

use crate::limits;

/// A method of the API that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    PostMessage,
    Update,
    AddReaction,
}

impl Method {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::PostMessage => "chat.postMessage",
            Self::Update => "chat.update",
            Self::AddReaction => "reactions.add",
        }
    }

    /// Returns how many characters of `text` Slack takes.
    pub(super) fn text_chars_max(self) -> usize {
        match self {
            Self::Update => limits::SLACK_UPDATE_TEXT_CHARS_MAX,
            Self::PostMessage | Self::AddReaction => limits::SLACK_TEXT_CHARS_MAX,
        }
    }
}
