//! How much of a message is seen.

/// How much a person sees of one or more blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// How many blocks there are.
    pub blocks: usize,
    /// Lines of text: a line's end within a text begins another, and so does the next text.
    pub lines: usize,
    /// Characters of markup, the addresses of links included, and one for the end of each text.
    pub chars: usize,
}

impl Size {
    /// Returns the size of one piece of text, without a block.
    pub(crate) fn of_text(text: &str) -> Self {
        Self {
            blocks: 0,
            lines: text.split('\n').count(),
            chars: text.chars().count() + 1,
        }
    }

    /// Returns the size of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            blocks: self.blocks + other.blocks,
            lines: self.lines + other.lines,
            chars: self.chars + other.chars,
        }
    }

    /// Returns what is left of this after the other; nothing is less than zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_sub(other.blocks),
            lines: self.lines.saturating_sub(other.lines),
            chars: self.chars.saturating_sub(other.chars),
        }
    }

    /// Returns whether it fits into the other.
    pub fn fits(self, other: Self) -> bool {
        self.blocks <= other.blocks && self.lines <= other.lines && self.chars <= other.chars
    }
}
