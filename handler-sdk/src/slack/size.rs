//! The visible size of a message.

/// The visible size of one or more blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// The number of blocks.
    pub blocks: usize,
    /// Lines of text: each newline within a text begins another line, and so does each text.
    pub lines: usize,
    /// Characters of markup, including the URLs of links, and one for the end of each text.
    pub chars: usize,
}

impl Size {
    /// Returns the size of one text, without a block.
    pub(crate) fn of_text(text: &str) -> Self {
        Self {
            blocks: 0,
            lines: text.split('\n').count(),
            chars: text.chars().count() + 1,
        }
    }

    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            blocks: self.blocks + other.blocks,
            lines: self.lines + other.lines,
            chars: self.chars + other.chars,
        }
    }

    /// Returns the difference; no part of it is below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_sub(other.blocks),
            lines: self.lines.saturating_sub(other.lines),
            chars: self.chars.saturating_sub(other.chars),
        }
    }

    /// Returns whether no part of it exceeds the other.
    pub fn fits(self, other: Self) -> bool {
        self.blocks <= other.blocks && self.lines <= other.lines && self.chars <= other.chars
    }
}
