//! Distinguishes mentions that a handler wrote from those that consist of pieces of an alert.
//!
//! A handler that joins, cuts or decodes labels makes texts that no label contains: `<` and `!channel>` are harmless
//! separately, and a mention together. So mentions are judged in the finished text. A mention comes from the alert if one of
//! its marks (`<`, the mark after it, or `>`) is inside a complete text of the alert that occurs there, or if its word
//! consists of such texts. A label `free < 10%` does not affect the handler's mentions. A label that is only `<` does: it
//! cannot be known who wrote the `<`, and a missing mention is better than one that an attacker sent.

use std::collections::BTreeSet;
use std::ops::Range;

use memchr::memmem;

use crate::unescape::{Steps, is_escape_start, unescaped};

/// The most texts of an alert that contain marks of a mention. More are treated as an attack: no mention of the message is
/// sent.
const PIECES_MAX: usize = 2_000;

/// The most steps for decoding the texts of one alert: tens of milliseconds. More are treated as an attack too.
const STEPS_MAX: u64 = 1 << 22;

/// Shorter items of a list cannot be a word of [`BROADCASTS`].
const ITEM_BYTES_MIN: usize = 3;

/// The words of mentions that notify everybody.
const BROADCASTS: [&str; 4] = ["channel", "here", "everyone", "group"];

/// The texts of an alert that could be parts of a mention.
pub(super) struct Pieces {
    /// Texts with marks: complete ones, and the parts into which handlers split them.
    marked: BTreeSet<String>,
    /// Texts without marks that are parts of the words of [`BROADCASTS`].
    words: BTreeSet<String>,
    /// Words of [`BROADCASTS`] that a text contains with their mark, after removing the characters that handlers remove.
    disguised: BTreeSet<&'static str>,
    /// True if the steps were spent before all texts were decoded.
    is_cut: bool,
}

/// A text with the pieces that were found in it.
pub(super) struct Seen<'p> {
    pieces: &'p Pieces,
    text: String,
    /// For each byte, whether it is inside a piece.
    within: Vec<bool>,
    /// For each byte, whether it is inside a piece of two bytes or more.
    within_long: Vec<bool>,
}

impl Pieces {
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut pieces = Self {
            marked: BTreeSet::new(),
            words: BTreeSet::new(),
            disguised: BTreeSet::new(),
            is_cut: false,
        };
        let steps = Steps::new(STEPS_MAX);
        for text in texts {
            pieces.add(text);
            if text.bytes().any(is_escape_start) {
                // A handler may decode a text, such as JSON in an annotation, HTML or a URL.
                let plain = unescaped(text, &steps);
                if plain != text {
                    pieces.add(&plain);
                }
            }
        }
        pieces.is_cut = steps.is_spent();
        pieces
    }

    fn add(&mut self, text: &str) {
        self.add_piece(text);
        if has_marks(text) {
            text.split(['\n', ',', ';'])
                .for_each(|part| self.add_piece(part));
            self.add_disguised(text);
            return;
        }
        // A handler may put an item of a list into a mention. Words of a sentence are not items, so that an alert may
        // contain "channel".
        let items = text.split(['\n', '\t', ',', ';', ':', '=', '|', '/']);
        let long = items.filter(|item| item.trim().len() >= ITEM_BYTES_MIN);
        long.for_each(|item| self.add_piece(item));
    }

    /// Adds the words that remain if a handler removes quotes, escape sequences and invisible characters.
    fn add_disguised(&mut self, text: &str) {
        let reduced = reduced(text);
        for word in BROADCASTS {
            let mut marks = reduced.match_indices(word);
            if marks.any(|(at, _)| reduced[..at].ends_with('!')) {
                self.disguised.insert(word);
            }
        }
    }

    fn add_piece(&mut self, piece: &str) {
        let piece = piece.trim();
        if piece.is_empty() {
            return;
        }
        let is_in_word = |word: &&str| word.contains(&flat(piece));
        if has_marks(piece) && self.marked.len() <= PIECES_MAX {
            self.marked.insert(flat(piece));
        } else if piece.len() <= 8 && BROADCASTS.iter().any(is_in_word) {
            self.words.insert(flat(piece));
        }
    }

    /// Finds the pieces in a text.
    pub(super) fn seen_in(&self, text: &str) -> Seen<'_> {
        let text = flat(text);
        let (mut any, mut long) = (Spans::new(text.len()), Spans::new(text.len()));
        for piece in &self.marked {
            for place in places(&text, piece) {
                any.add(&place);
                if piece.len() > 1 {
                    long.add(&place);
                }
            }
        }
        Seen {
            pieces: self,
            within: any.bytes(),
            within_long: long.bytes(),
            text,
        }
    }
}

impl Seen<'_> {
    /// Returns true if the mention from `open` to `end` comes from the alert.
    pub(super) fn is_from_alert(&self, open: usize, end: usize) -> bool {
        let is_marked = self.within[open] || self.within[open + 1] || self.within_long[end - 1];
        self.pieces.is_cut
            || self.pieces.marked.len() > PIECES_MAX
            || is_marked
            || self.is_copied(open, end)
            || self.is_word_from_alert(open, end)
    }

    /// Returns true if a text of the alert contains the mention, or contains its beginning after the same text as here, so
    /// that the handler has cut that text within the mention and appended another.
    fn is_copied(&self, open: usize, end: usize) -> bool {
        let (before, mention) = (&self.text[..open], &self.text[open..end]);
        let marked = self
            .pieces
            .marked
            .iter()
            .filter(|piece| piece.contains('<'));
        let begins_as = |rest: &str| {
            let same = rest.bytes().zip(mention.bytes());
            same.take_while(|(one, other)| one == other).count() >= 2
        };
        marked.into_iter().any(|piece| {
            piece.contains(mention)
                || piece
                    .match_indices('<')
                    .take(MENTIONS_LOOKED_AT_MAX)
                    .any(|(at, _)| {
                        let near = &piece.as_bytes()[at.saturating_sub(CONTEXT_BYTES_MAX)..at];
                        at > 0 && begins_as(&piece[at..]) && before.as_bytes().ends_with(near)
                    })
        })
    }

    /// Returns true if the mention's word is one of [`BROADCASTS`], and is in the alert or consists of words that are.
    fn is_word_from_alert(&self, open: usize, end: usize) -> bool {
        let inner = &self.text[open + 1..end - 1];
        let word = inner.split('|').next().unwrap_or_default();
        let Some(word) = word
            .strip_prefix('!')
            .filter(|word| BROADCASTS.contains(word))
        else {
            return false;
        };
        if self.pieces.disguised.contains(word) {
            return true;
        }
        let mut spans = Spans::new(word.len());
        for piece in &self.pieces.words {
            places(word, piece).for_each(|place| spans.add(&place));
        }
        spans.bytes().iter().all(|within| *within)
    }
}

/// How many bytes before a mention are compared.
const CONTEXT_BYTES_MAX: usize = 256;
/// How many beginnings of mentions are compared in one text of an alert.
const MENTIONS_LOOKED_AT_MAX: usize = 1_000;

/// Returns the ranges of `piece` in the text. Overlapping ranges of a periodic piece are merged.
fn places<'t>(text: &'t str, piece: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
    let (text, piece) = (text.as_bytes(), piece.as_bytes());
    let finder = memmem::Finder::new(piece);
    let mut period = None;
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + finder.find(text.get(from..)?)?;
        let mut end = start + piece.len();
        // While the text continues the period of the piece, the piece occurs once per period. Any other occurrence begins
        // after more than half of the piece's length, so each byte of the text is compared only a few times.
        let period = *period.get_or_insert_with(|| period_of(piece));
        while text
            .get(end)
            .is_some_and(|byte| *byte == text[end - period])
        {
            end += 1;
        }
        let repeated = (end - start - piece.len()) / period * period;
        from = start + repeated + 1;
        Some(start..start + repeated + piece.len())
    })
}

/// Returns the shortest period of a text, at most its length, by the prefix function of Knuth, Morris and Pratt.
fn period_of(text: &[u8]) -> usize {
    // For each prefix, the length of its longest proper prefix that is also its suffix.
    let mut borders = vec![0; text.len()];
    let mut border = 0;
    for at in 1..text.len() {
        while border > 0 && text[at] != text[border] {
            border = borders[border - 1];
        }
        border += usize::from(text[at] == text[border]);
        borders[at] = border;
    }
    text.len() - border
}

/// A set of spans, stored as the change of depth at each byte.
struct Spans(Vec<i32>);

impl Spans {
    fn new(bytes: usize) -> Self {
        Self(vec![0; bytes + 1])
    }

    fn add(&mut self, place: &Range<usize>) {
        self.0[place.start] += 1;
        self.0[place.end] -= 1;
    }

    fn bytes(mut self) -> Vec<bool> {
        self.0.pop();
        let mut depth = 0;
        self.0
            .into_iter()
            .map(|change| {
                depth += change;
                depth > 0
            })
            .collect()
    }
}

fn has_marks(text: &str) -> bool {
    text.contains(['<', '>', '!', '@', '#'])
}

/// Returns a text reduced to letters, digits and marks, without terminal escape sequences.
fn reduced(text: &str) -> String {
    let mut reduced = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{9b}' || c == '\u{1b}' && rest.as_str().starts_with('[') {
            let skipped = usize::from(c == '\u{1b}');
            rest.by_ref().skip(skipped).find(|c| matches!(c, '@'..='~'));
        } else if c.is_ascii_alphanumeric() || has_marks(c.encode_utf8(&mut [0; 4])) {
            reduced.push(c.to_ascii_lowercase());
        }
    }
    reduced
}

/// Returns a text in lower case and on one line, as handlers may change it. Every byte keeps its index.
fn flat(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
