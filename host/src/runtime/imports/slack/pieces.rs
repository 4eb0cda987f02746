//! Tells the mentions that a handler wrote from those that pieces of an alert come together to.
//!
//! A handler that puts labels side by side, cuts them or decodes them makes texts that no label has: `<` and
//! `!channel>` are harmless, and ping together. So a mention is judged in the finished text. It is the
//! handler's own unless what makes it one (its `<`, the mark after that, its `>`) stands within the whole text
//! of something that came with the alert, or its word is put together from nothing else. An alert that says
//! `free < 10%` leaves the handler's mentions alone; one with a label that is `<` and no more does not: which of
//! the two wrote a `<` cannot be told, and a missing ping is better than anybody's ping.

use std::collections::BTreeSet;

use memchr::memmem;

use crate::runtime::imports::spelling::{is_lead, unescaped};

/// An alert with more texts that hold marks of a mention is up to no good: none of its message's mentions go out.
const PIECES_MAX: usize = 2_000;

/// Words that ping everybody.
const BROADCASTS: [&str; 4] = ["channel", "here", "everyone", "group"];

/// What came with an alert, as far as it could be a part of a mention.
pub(super) struct Pieces {
    /// Whole texts, and the parts that handlers split them into.
    marked: BTreeSet<String>,
    /// Parts of the words of [`BROADCASTS`].
    words: BTreeSet<String>,
}

/// One text with mentions in it.
pub(super) struct Seen<'p> {
    pieces: &'p Pieces,
    text: String,
    /// Bytes that stand within a whole piece; within one of two bytes and more.
    within: Vec<bool>,
    within_long: Vec<bool>,
}

impl Pieces {
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut pieces = Self {
            marked: BTreeSet::new(),
            words: BTreeSet::new(),
        };
        for text in texts {
            pieces.add(text);
            if text.bytes().any(is_lead) {
                // A handler may decode what it is given: JSON in an annotation, HTML, a URL.
                let plain = unescaped(text);
                if plain != text {
                    pieces.add(&plain);
                }
            }
        }
        pieces
    }

    fn add(&mut self, text: &str) {
        self.add_piece(text);
        if has_marks(text) {
            text.split(['\n', ',', ';'])
                .for_each(|part| self.add_piece(part));
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

    /// Looks for the pieces in a text.
    pub(super) fn seen_in(&self, text: &str) -> Seen<'_> {
        let text = flat(text);
        let (mut any, mut long) = (Spans::new(text.len()), Spans::new(text.len()));
        for piece in &self.marked {
            for at in places(&text, piece) {
                any.add(at, piece.len());
                if piece.len() > 1 {
                    long.add(at, piece.len());
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
    /// Returns true where the mention from `open` to `end` is not the handler's own.
    pub(super) fn is_alien(&self, open: usize, end: usize) -> bool {
        let is_marked = self.within[open] || self.within[open + 1] || self.within_long[end - 1];
        self.pieces.marked.len() > PIECES_MAX
            || is_marked
            || self.is_copied(open, end)
            || self.is_spelt(open, end)
    }

    /// True where a text of the alert has all of the mention; or its beginning, after what stands before it there
    /// and here: the handler cut that text within the mention, and something else goes on from there.
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
                        at > 0 && begins_as(&piece[at..]) && before.ends_with(&piece[..at])
                    })
        })
    }

    /// True where the word that pings everybody is one that the alert has, or is made of such.
    fn is_spelt(&self, open: usize, end: usize) -> bool {
        let inner = &self.text[open + 1..end - 1];
        let word = inner.split('|').next().unwrap_or_default();
        let Some(word) = word
            .strip_prefix('!')
            .filter(|word| BROADCASTS.contains(word))
        else {
            return false;
        };
        let mut spans = Spans::new(word.len());
        for piece in &self.pieces.words {
            for at in places(word, piece) {
                spans.add(at, piece.len());
            }
        }
        spans.bytes().iter().all(|within| *within)
    }
}

/// Beginnings of mentions that are looked at in one text of an alert.
const MENTIONS_LOOKED_AT_MAX: usize = 1_000;

/// Returns every place of `piece`, those that overlap too.
fn places<'t>(text: &'t str, piece: &'t str) -> impl Iterator<Item = usize> + 't {
    let finder = memmem::Finder::new(piece.as_bytes());
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + finder.find(text.as_bytes().get(from..)?)?;
        from = at + 1;
        Some(at)
    })
}

/// Which bytes any of the spans added has.
struct Spans(Vec<i32>);

impl Spans {
    fn new(bytes: usize) -> Self {
        Self(vec![0; bytes + 1])
    }

    fn add(&mut self, at: usize, bytes: usize) {
        self.0[at] += 1;
        self.0[at + bytes] -= 1;
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

/// In lower case and on one line, as handlers make it, every byte where it was.
fn flat(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_alien(values: &[&str], text: &str) -> bool {
        let (open, end) = (text.rfind('<'), text.rfind('>'));
        let (Some(open), Some(end)) = (open, end) else {
            panic!("{text} has no mention");
        };
        let pieces = Pieces::of(values.iter().copied());
        pieces.seen_in(text).is_alien(open, end + 1)
    }

    /// Every way to cut `text` into as many pieces, or fewer.
    fn splits(text: &str, pieces_max: usize) -> Vec<Vec<&str>> {
        let mut splits = vec![vec![text]];
        if pieces_max > 1 {
            for at in 1..text.len() {
                for rest in splits_of(&text[at..], pieces_max - 1) {
                    let mut split = vec![&text[..at]];
                    split.extend(rest);
                    splits.push(split);
                }
            }
        }
        splits
    }

    fn splits_of(text: &str, pieces_max: usize) -> Vec<Vec<&str>> {
        splits(text, pieces_max)
    }

    #[test]
    fn pieces_side_by_side_are_no_mention_of_the_handlers() {
        for mention in ["<!channel>", "<!here|x>", "<@U012>", "<!subteam^S1>"] {
            for split in splits(mention, 4) {
                assert!(
                    is_alien(&split, &format!("pod {mention} is down")),
                    "{split:?}"
                );
                // With other text around them in their labels.
                let mut wide: Vec<String> = split.iter().map(|piece| (*piece).to_owned()).collect();
                wide[0] = format!("a b {}", wide[0]);
                let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
                assert!(
                    is_alien(&wide, &format!("pod a b {mention} is down")),
                    "{wide:?}"
                );
            }
        }
    }

    #[test]
    fn what_a_handler_makes_of_a_text_changes_nothing() {
        for (values, text) in [
            (&["<!CHANNEL>"][..], "<!channel>"),
            (&["&lt;!channel&gt;"], "<!channel>"),
            (&["&amp;lt;", "!channel"], "<!channel>"),
            (&[r"\u003c!channel\u003e"], "<!channel>"),
            (&["%3C", "!here", "%3E"], "<!here>"),
            (&[" <", "!here "], "<!here>"),
            (&["a,<,b", "!here>"], "<!here>"),
            (&["a\n<", "!here>"], "a <!here>"),
            // Cut within the mention, and gone on by another.
            (
                &["a long text <!chxxxxx", "annel"],
                "a long text <!channel>",
            ),
            // The word alone.
            (&["channel"], "<!channel>"),
            (&["every", "one"], "<!everyone>"),
        ] {
            assert!(is_alien(values, text), "{values:?} in {text}");
        }
    }

    #[test]
    fn an_ordinary_alert_leaves_the_handlers_mentions_alone() {
        let values = [
            "free < 10%",
            "p99 > 1s",
            "@oncall: look here",
            "a<b",
            "1",
            "e",
            "c",
            "h",
            "ch",
            "#ops",
            "sent to #ops!",
            "<https://a.example|a>",
            "<@U099> owns this",
            "web-0",
            "if x <= 1 && y >= 2",
        ];
        for mention in [
            "<!channel>",
            "<!here>",
            "<!everyone>",
            "<@U012>",
            "<!subteam^S1>",
            "<#C1>",
        ] {
            assert!(
                !is_alien(&values, &format!("free < 10% {mention}: look")),
                "{mention}"
            );
        }
    }

    #[test]
    fn an_alert_of_thousands_of_marks_has_no_mention_go_out() {
        let values: Vec<String> = (0..PIECES_MAX + 2).map(|n| format!("<{n}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        assert!(is_alien(&values, "<!here>"));
        assert!(!is_alien(&values[..PIECES_MAX], "<!here>"));
    }
}
