//! A message of bounded size: what does not fit goes into its thread.

use crate::slack::{
    Blocks, FRAME_JSON_BYTES, Message, MessageRef, Most, Mrkdwn, Reply, Size, limits,
};
use crate::{Cx, Failure};

/// The blocks that a message has at most.
pub const BLOCKS_MAX: usize = 12;
/// The lines of all blocks of a message: twice the screen of a phone.
pub const LINES_MAX: usize = 25;
/// The characters that a message has at most, text and blocks together.
pub const CHARS_MAX: usize = 3_000;
/// The replies in a message's thread at most: each counts against the rate limit of the channel.
pub const REPLIES_MAX: usize = 8;
/// A section that would be cut shorter than this is left out, since it says nothing.
const SECTION_CHARS_MIN: usize = 40;

/// The JSON of a paragraph that is worth to be shown.
const SECTION_JSON_BYTES_MIN: usize = 200;

/// A message of at most [`BLOCKS_MAX`] blocks, [`LINES_MAX`] lines and [`CHARS_MAX`] characters, which is also within Slack's
/// limit for all blocks together ([`limits::BLOCKS_BYTES_MAX`]), whatever its characters are. Parts are added in order of
/// importance, and each can use what the earlier ones have left. What does not fit goes into the thread.
#[derive(Debug, Clone)]
pub struct Card {
    text: Mrkdwn,
    head: Blocks,
    tail: Blocks,
    thread: Blocks,
    replies_max: usize,
}

impl Card {
    /// Returns a card with a text, which notifications on a phone show, and a header.
    pub fn new(text: Mrkdwn, header: &str) -> Self {
        Self {
            text,
            head: Blocks::new().header(header),
            tail: Blocks::new(),
            thread: Blocks::new(),
            replies_max: REPLIES_MAX,
        }
    }

    /// Returns a card with a text, which notifications on a phone show, and blocks.
    pub fn of_blocks(text: impl Into<Mrkdwn>, blocks: Blocks) -> Self {
        let none = Self {
            head: Blocks::new(),
            ..Self::new(text.into(), "")
        };
        none.whole(blocks, Size::default())
    }

    /// Limits the replies in the thread to fewer than [`REPLIES_MAX`], but at least one.
    #[must_use]
    pub fn replies_max(mut self, replies_max: usize) -> Self {
        self.replies_max = replies_max.clamp(1, REPLIES_MAX);
        self
    }

    /// Sets the end of the message, links and a line of context, and reserves the space that it needs.
    #[must_use]
    pub fn end<T: AsRef<str>, U: AsRef<str>>(
        mut self,
        links: impl IntoIterator<Item = (T, U)>,
        context: Mrkdwn,
    ) -> Self {
        self.tail = Blocks::new().links(links).context([context]);
        self
    }

    /// Adds a paragraph, cut to the space that is left, between words if possible. The rest of it goes into the thread.
    #[must_use]
    pub fn section(mut self, text: Mrkdwn) -> Self {
        if text.is_empty() {
            return self;
        }
        let room = self.room();
        let json_room = self.json_room().saturating_sub(FRAME_JSON_BYTES);
        if room.blocks == 0
            || room.lines == 0
            || room.chars <= SECTION_CHARS_MIN
            || json_room < SECTION_JSON_BYTES_MIN
        {
            self.thread = self.thread.paragraphs(text);
        } else {
            let (shown, rest) = text.split(Most {
                lines: room.lines,
                chars: (room.chars - 1).min(limits::SECTION_CHARS_MAX),
                json_bytes: json_room,
            });
            self.head = self.head.section(shown);
            self.thread = self.thread.paragraphs(rest);
        }
        self
    }

    /// Adds blocks if all of them fit and `leave` remains free after them; otherwise they go into the thread.
    #[must_use]
    pub fn whole(mut self, blocks: Blocks, leave: Size) -> Self {
        if blocks.size().plus(leave).fits(self.room()) && blocks.json_bytes() <= self.json_room() {
            self.head = self.head.then(blocks);
        } else {
            self.thread = self.thread.then(blocks);
        }
        self
    }

    /// Adds blocks to the thread, before those that did not fit into the message.
    #[must_use]
    pub fn in_thread(mut self, blocks: Blocks) -> Self {
        self.thread = blocks.then(self.thread);
        self
    }

    /// Adds blocks to the thread, after those that did not fit into the message.
    #[must_use]
    pub fn last_in_thread(mut self, blocks: Blocks) -> Self {
        self.thread = self.thread.then(blocks);
        self
    }

    /// Returns how much of the limits is left.
    pub fn room(&self) -> Size {
        let bounds = Size {
            blocks: BLOCKS_MAX,
            lines: LINES_MAX,
            chars: CHARS_MAX.saturating_sub(self.text.as_str().chars().count()),
        };
        bounds.minus(self.head.size()).minus(self.tail.size())
    }

    /// Returns how many bytes of JSON are left for blocks.
    fn json_room(&self) -> usize {
        let used = "[]".len() + self.head.json_bytes() + self.tail.json_bytes();
        limits::BLOCKS_BYTES_MAX.saturating_sub(used)
    }

    /// Returns the blocks of the message.
    pub fn blocks(&self) -> Blocks {
        self.head.clone().then(self.tail.clone())
    }

    /// Returns the message, without what goes into its thread.
    pub fn message(&self, channel: impl Into<String>) -> Message {
        Message::new(channel, self.text.clone()).blocks(self.blocks())
    }

    /// Returns the messages for the thread, each under a line with `title`: at most [`REPLIES_MAX`], of which the last says
    /// how much is missing. Empty if everything fitted into the message. The effects are named `thread`, `thread-2` and so
    /// on.
    pub fn thread(&self, channel: &str, title: &str) -> Vec<Message> {
        let replies = self.thread.clone().in_messages(self.replies_max);
        let count = replies.len();
        let reply = |(index, blocks): (usize, Blocks)| {
            let (text, key) = match index {
                0 if count == 1 => (title.to_owned(), "thread".to_owned()),
                0 => (format!("{title} (1 of {count})"), "thread".to_owned()),
                _ => (
                    format!("{title} ({} of {count})", index + 1),
                    format!("thread-{}", index + 1),
                ),
            };
            Message::new(channel, text).blocks(blocks).key(key)
        };
        replies.into_iter().enumerate().map(reply).collect()
    }

    /// Posts the messages for the thread of a message that was posted. Returns the result for the delivery's facts,
    /// `posted` or `failed`; `None` if there was nothing to post.
    ///
    /// # Errors
    /// Returns an error if a retry of the step may succeed.
    pub fn post_thread(
        &self,
        cx: &Cx,
        channel: &str,
        title: &str,
        at: &MessageRef,
    ) -> Result<Option<&'static str>, Failure> {
        let mut outcome = None;
        for reply in self.thread(channel, title) {
            match cx.slack().reply(at, reply)? {
                Reply::Posted(_) => outcome = Some("posted"),
                // The other replies would fail as well.
                Reply::Refused(_) => return Ok(Some("failed")),
            }
        }
        Ok(outcome)
    }
}
