//! Tells the mentions that a handler wrote from those that pieces of an alert come together to.
//!
//! A handler that puts labels side by side, cuts them or decodes them makes texts that no label has: `<` and
//! `!channel>` are harmless, and ping together. So a mention is judged in the finished text. It is the
//! handler's own unless what makes it one (its `<`, the mark after that, its `>`) stands within the whole text
//! of something that came with the alert, or its word is put together from nothing else. An alert that says
//! `free < 10%` leaves the handler's mentions alone; one with a label that is `<` and no more does not: which of
//! the two wrote a `<` cannot be told, and a missing ping is better than anybody's ping.

use std::collections::BTreeSet;
use std::ops::Range;

use memchr::memmem;

use crate::spelling::{Steps, is_lead, unescaped};

/// An alert with more texts that hold marks of a mention is up to no good: none of its message's mentions go out.
const PIECES_MAX: usize = 2_000;

/// Steps that the texts of one alert may take to decode: tens of milliseconds. One that takes more is up to no good
/// either.
const STEPS_MAX: u64 = 1 << 22;

/// An item of a list that is shorter is no word that pings.
const ITEM_BYTES_MIN: usize = 3;

/// Words that ping everybody.
const BROADCASTS: [&str; 4] = ["channel", "here", "everyone", "group"];

/// What came with an alert, as far as it could be a part of a mention.
pub(super) struct Pieces {
    /// Whole texts, and the parts that handlers split them into.
    marked: BTreeSet<String>,
    /// Parts of the words of [`BROADCASTS`].
    words: BTreeSet<String>,
    /// Words of [`BROADCASTS`] that a text holds with their mark once what handlers drop is dropped.
    disguised: BTreeSet<&'static str>,
    /// True where not all could be looked at.
    is_cut: bool,
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
            disguised: BTreeSet::new(),
            is_cut: false,
        };
        let steps = Steps::new(STEPS_MAX);
        for text in texts {
            pieces.add(text);
            if text.bytes().any(is_lead) {
                // A handler may decode what it is given: JSON in an annotation, HTML, a URL.
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
        // A handler may put one of a list into a mention. Words of a sentence are none: an alert may say "channel".
        let items = text.split(['\n', '\t', ',', ';', ':', '=', '|', '/']);
        let long = items.filter(|item| item.trim().len() >= ITEM_BYTES_MIN);
        long.for_each(|item| self.add_piece(item));
    }

    /// Handlers drop quotes, escape sequences and what is invisible, which may leave a mention.
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

    /// Looks for the pieces in a text.
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
    /// Returns true where the mention from `open` to `end` is not the handler's own.
    pub(super) fn is_alien(&self, open: usize, end: usize) -> bool {
        let is_marked = self.within[open] || self.within[open + 1] || self.within_long[end - 1];
        self.pieces.is_cut
            || self.pieces.marked.len() > PIECES_MAX
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
                        let near = &piece.as_bytes()[at.saturating_sub(CONTEXT_BYTES_MAX)..at];
                        at > 0 && begins_as(&piece[at..]) && before.as_bytes().ends_with(near)
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

/// How much of what stands before a mention is compared.
const CONTEXT_BYTES_MAX: usize = 256;
/// Beginnings of mentions that are looked at in one text of an alert.
const MENTIONS_LOOKED_AT_MAX: usize = 1_000;

/// Returns every place of `piece`; those that overlap because it repeats itself, as one.
fn places<'t>(text: &'t str, piece: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
    let (text, piece) = (text.as_bytes(), piece.as_bytes());
    let finder = memmem::Finder::new(piece);
    let mut period = None;
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + finder.find(text.get(from..)?)?;
        let mut end = start + piece.len();
        // Where the text goes on as the piece repeats itself, the piece stands again and again. Any other place of
        // it is further on than half of its length, so that each byte of the text is compared a few times only.
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

/// Returns after how many bytes a text repeats itself, at most its length (Knuth, Morris and Pratt).
fn period_of(text: &[u8]) -> usize {
    // The longest beginning that each beginning also ends with.
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

/// Which bytes any of the spans added has.
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

/// What is left of a text without escape sequences and whatever else is no letter, digit or mark.
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

    #[test]
    fn an_alert_that_takes_too_many_steps_to_decode_has_no_mention_go_out() {
        let label = "\\".repeat(4_096);
        assert!(!is_alien(&[label.as_str(); 8], "<!here>"));
        assert!(is_alien(&[label.as_str(); 100], "<!here>"));
    }

    #[test]
    fn a_text_that_repeats_a_piece_is_gone_through_once() {
        for (piece, text, found_max) in [
            ("<a".repeat(5_000), "<a".repeat(20_000), 1),
            ("<".to_owned(), "<".repeat(20_000), 1),
            ("<aab<aa".to_owned(), "<aab".repeat(9), 1),
            (
                format!("<{}<", "a".repeat(500)),
                format!("<{}", "a".repeat(500)).repeat(50),
                1,
            ),
        ] {
            let found: Vec<_> = places(&text, &piece).collect();
            assert!(
                found.len() <= found_max,
                "{} times {}",
                found.len(),
                &piece[..3]
            );
        }
    }

    #[test]
    fn what_a_handler_drops_or_splits_makes_no_mention() {
        for (values, text) in [
            (&["<!`channel`>"][..], "<!channel>"),
            (&["a <\u{1b}[0m!channel> b"], "<!channel>"),
            (&["<!ch\u{1b}[31mannel>"], "<!channel>"),
            (&["<!chan\u{200b}nel>"], "<!channel>"),
            (&["<\"!here\">"], "<!here|x>"),
            (&["owners: channel, here"], "<!channel>"),
            (&["owners: channel, here"], "<!here>"),
            (&["ping=everyone"], "<!everyone>"),
        ] {
            assert!(is_alien(values, text), "{values:?} in {text}");
        }
        for value in [
            "the channel is down, look there",
            "there: where",
            "<-- !!",
            "a here",
        ] {
            for mention in ["<!channel>", "<!here>"] {
                assert!(!is_alien(&[value], mention), "{value}: {mention}");
            }
        }
    }
}
