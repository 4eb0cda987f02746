//! Finds a secret in a text that may have been escaped in any way, and undoes escaping.
//!
//! Escapers differ in which characters they escape and how. Searching for the outputs of known escapers would miss other
//! ones and mixtures. Instead, the text is decoded: at each index every reading, which is either the byte itself or the
//! escape that begins there, is compared with the next character of the secret.

mod escapes;

use std::collections::HashSet;

use escapes::LAYERS_MAX;
pub(crate) use escapes::{Reader, Steps, Unit, is_escape_start};

impl<'t> Reader<'t> {
    /// Returns the end of the longest escaped form of `secret` that begins at `at`; `None` if none begins there.
    pub(crate) fn secret_end(&self, at: usize, secret: &[u8]) -> Option<usize> {
        if begins_another_word(self.text, at, secret) {
            return None;
        }
        // Positions to continue from: an index of the secret and one of the text. There are several only if an escape has
        // several readings. Each position is followed once, so that no text takes exponential time.
        let mut open = vec![(0, at)];
        let mut seen = HashSet::new();
        let mut end = None;
        while let Some((done, at)) = open.pop() {
            let Some(rest) = secret.get(done..).filter(|rest| !rest.is_empty()) else {
                end = end.max(Some(at));
                continue;
            };
            let at = if done == 0 {
                at
            } else {
                let filled = skip_filling(self.text, at, rest[0]);
                self.steps.spend(filled - at);
                filled
            };
            let before = open.len();
            self.read(at, LAYERS_MAX, &mut |unit, to| {
                if let Some(more) = continues(rest, unit) {
                    open.push((done + more, to));
                }
            });
            if open.len() > before + 1 || !seen.is_empty() {
                let mut kept = before;
                for index in before..open.len() {
                    if seen.insert(open[index]) {
                        open.swap(kept, index);
                        kept += 1;
                    }
                }
                open.truncate(kept);
            }
        }
        end
    }
}

/// Returns true if the second byte shows that the secret does not begin at `at`. This is a shortcut, since it is the usual
/// case.
fn begins_another_word(text: &[u8], at: usize, secret: &[u8]) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'"' | b'.' | b',' | b':');
    match (&text[at..], secret) {
        ([first, second, ..], [_, wanted, ..]) => {
            !is_escape_start(*first) && plain(*second) && !second.eq_ignore_ascii_case(wanted)
        }
        _ => false,
    }
}

/// Returns the text with all layers of escapes decoded. Stops early if the steps are spent.
pub(crate) fn unescaped(text: &str, steps: &Steps) -> String {
    let text = text.as_bytes();
    let reader = Reader::new(text, steps);
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() && !steps.is_spent() {
        let mut longest = (at + 1, Unit::Byte(text[at]));
        reader.read(at, LAYERS_MAX, &mut |unit, to| {
            if to > longest.0 {
                longest = (to, unit);
            }
        });
        match longest.1 {
            Unit::Byte(byte) => plain.push(byte),
            Unit::Char(char) => plain.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        at = longest.0;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Returns true if an escaped form of `secret` may begin with `byte`.
pub(crate) fn may_begin(secret: &[u8], byte: u8) -> bool {
    let first = secret.first().copied().unwrap_or_default();
    byte.eq_ignore_ascii_case(&first) || is_escape_start(byte) || (byte == b'+' && first == b' ')
}

/// Returns how many bytes of `rest` the unit matches. Case is ignored, because a response in capitals would reveal most of
/// the secret.
fn continues(rest: &[u8], unit: Unit) -> Option<usize> {
    match unit {
        Unit::Byte(byte) => rest[0].eq_ignore_ascii_case(&byte).then_some(1),
        Unit::Char(char) => {
            let mut utf8 = [0; 4];
            let utf8 = char.encode_utf8(&mut utf8).as_bytes();
            let start = rest.get(..utf8.len())?;
            start.eq_ignore_ascii_case(utf8).then_some(utf8.len())
        }
    }
}

/// Skips line folds, and the zero bytes between ASCII characters in UTF-16 and UTF-32.
fn skip_filling(text: &[u8], mut at: usize, wanted: u8) -> usize {
    loop {
        at += match &text[at..] {
            [b'=', b'\r', b'\n', ..] => 3,
            [b'=', b'\n', ..] => 2,
            [byte @ (0 | b'\r' | b'\n'), ..] if *byte != wanted => 1,
            _ => return at,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: u64 = 1 << 32;

    fn steps_of(text: &str) -> u64 {
        let steps = Steps::new(STEPS);
        unescaped(text, &steps);
        STEPS - steps.left()
    }

    #[test]
    fn escapes_in_any_order_take_few_steps_for_each_byte() {
        let pieces = [
            "&", "\\", "%", "=", "&amp;", "&#38;", "%25", "%5c", "\\u005c", "\\134", "=3D", "amp;",
            "#", "x", "u", "0", "a", ";",
        ];
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    let piece = format!("{first}{second}{third}");
                    let text = piece.repeat(200 / piece.len());
                    let steps = steps_of(&text);
                    assert!(steps <= 40 * text.len() as u64, "{piece}: {steps}");
                }
            }
        }
    }

    #[test]
    fn readings_are_cached() {
        let of = |bytes: usize| steps_of(&"&amp;".repeat(bytes / 5)) / bytes as u64;
        assert!(of(100_000) <= of(1_000) + 1);
    }

    #[test]
    fn once_the_steps_are_spent_nothing_is_read() {
        let steps = Steps::new(10);
        let text = "&amp;".repeat(100);
        assert!(unescaped(&text, &steps).len() < text.len() / 10);
        assert!(steps.is_spent());
        let reader = Reader::new(b"abc", &steps);
        assert_eq!(reader.secret_end(0, b"abc"), None);
    }
}
