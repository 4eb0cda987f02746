//! A message within bounds: what does not fit goes into its thread.

use crate::slack::{Blocks, Message, MessageRef, Mrkdwn, Reply, Size};
use crate::{Cx, Failure};

/// Blocks of a message.
pub const BLOCKS_MAX: usize = 12;
/// Lines of a message, over all its blocks: a screen of a phone, twice.
pub const LINES_MAX: usize = 25;
/// Characters of a message, text and blocks together.
pub const CHARS_MAX: usize = 3_000;
/// Replies in a message's thread: each takes a turn of its channel.
pub const REPLIES_MAX: usize = 8;
/// A section that is cut shorter than this says nothing.
const SECTION_CHARS_MIN: usize = 40;

/// A message of at most [`BLOCKS_MAX`] blocks, [`LINES_MAX`] lines and [`CHARS_MAX`] characters: each part gets what
/// those before it left, so the most important comes first. What finds no room goes into the thread.
#[derive(Debug, Clone)]
pub struct Card {
    text: Mrkdwn,
    head: Blocks,
    tail: Blocks,
    thread: Blocks,
}

impl Card {
    /// Returns a card of a text, which phones show, and a header.
    pub fn new(text: Mrkdwn, header: &str) -> Self {
        Self {
            text,
            head: Blocks::new().header(header),
            tail: Blocks::new(),
            thread: Blocks::new(),
        }
    }

    /// Sets its end, links and a line of context, whose room is kept for it.
    #[must_use]
    pub fn end<T: AsRef<str>, U: AsRef<str>>(
        mut self,
        links: impl IntoIterator<Item = (T, U)>,
        context: Mrkdwn,
    ) -> Self {
        self.tail = Blocks::new().links(links).context([context]);
        self
    }

    /// Adds a paragraph, cut to the room that is left.
    #[must_use]
    pub fn section(mut self, text: Mrkdwn) -> Self {
        if text.is_empty() {
            return self;
        }
        let room = self.room();
        if room.blocks == 0 || room.lines == 0 || room.chars <= SECTION_CHARS_MIN {
            self.thread = self.thread.section(text);
        } else {
            self.head = self.head.section(cut(&text, room.lines, room.chars - 1));
        }
        self
    }

    /// Adds blocks if all of them fit, and leaves so much room for what comes after; else they go into the thread.
    #[must_use]
    pub fn whole(mut self, blocks: Blocks, leave: Size) -> Self {
        if blocks.size().plus(leave).fits(self.room()) {
            self.head = self.head.then(blocks);
        } else {
            self.thread = self.thread.then(blocks);
        }
        self
    }

    /// Adds blocks to the thread, ahead of what has found no room in the message.
    #[must_use]
    pub fn in_thread(mut self, blocks: Blocks) -> Self {
        self.thread = blocks.then(self.thread);
        self
    }

    /// Returns what is left of the bounds.
    pub fn room(&self) -> Size {
        let bounds = Size {
            blocks: BLOCKS_MAX,
            lines: LINES_MAX,
            chars: CHARS_MAX.saturating_sub(self.text.as_str().chars().count()),
        };
        bounds.minus(self.head.size()).minus(self.tail.size())
    }

    /// Returns the blocks of the message.
    pub fn blocks(&self) -> Blocks {
        self.head.clone().then(self.tail.clone())
    }

    /// Returns the message, without what goes into its thread.
    pub fn message(&self, channel: impl Into<String>) -> Message {
        Message::new(channel, self.text.clone()).blocks(self.blocks())
    }

    /// Returns what goes into the thread of the message, under a line that names it: as many replies as it takes, at most
    /// [`REPLIES_MAX`], of which the last says how much is missing. None if all found room. The effects are named
    /// `thread`, `thread-2` and so on.
    pub fn thread(&self, channel: &str, title: &str) -> Vec<Message> {
        let replies = self.thread.clone().in_messages(REPLIES_MAX);
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

    /// Posts what goes into the thread of a message that is out. Returns what became of it for the delivery's facts,
    /// `posted` or `failed`; none if there is nothing to post.
    ///
    /// # Errors
    /// If another try of the step may bring it into the thread.
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
                // The others would fare no better.
                Reply::Refused(_) => return Ok(Some("failed")),
            }
        }
        Ok(outcome)
    }
}

/// Cuts markup to so many lines and characters, and closes a block of code that the cut left open.
pub(super) fn cut(text: &Mrkdwn, lines_max: usize, chars_max: usize) -> Mrkdwn {
    const FENCE: &str = "```";
    let markup = text.as_str();
    let lines = markup.split('\n').count();
    if lines <= lines_max {
        return text.truncated(chars_max);
    }
    // A fence that has to be closed takes a line of its own if the characters run out too.
    let kept = match markup.contains(FENCE) {
        true => lines_max.saturating_sub(1).max(1),
        false => lines_max,
    };
    let end = markup
        .match_indices('\n')
        .nth(kept - 1)
        .map_or(markup.len(), |(at, _)| at);
    let kept = markup[..end].trim_end();
    let fence = match kept.matches(FENCE).count() % 2 {
        0 => "",
        _ => FENCE,
    };
    Mrkdwn::raw(format!("{kept} …{fence}")).truncated(chars_max)
}
