//! Makes untrusted text safe to display: removes or escapes characters that a terminal interprets, and those that hide or
//! reorder text.

use std::fmt::Write as _;

/// Returns whether a character is unprintable: control characters, Unicode's bidirectional controls (UAX #9), and characters
/// that are invisible or break a line. The joiners of scripts and emoji (U+200C, U+200D) are printable.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the text without unprintable characters; newlines and tabs stay.
pub fn inert(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, '\n' | '\t') || !is_unprintable(*c))
        .collect()
}

/// Returns the text with unprintable characters escaped (`\u{1b}`), a tab as `tab` and a newline as `line_break`.
pub fn visible(text: &str, line_break: &str, tab: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push_str(line_break),
            '\t' => clean.push_str(tab),
            c if is_unprintable(c) => {
                let _ = write!(clean, "\\u{{{:x}}}", u32::from(c));
            }
            c => clean.push(c),
        }
    }
    clean
}

/// Returns equivalent JSON without unprintable characters. Serializers escape only characters below U+0020, and a terminal
/// interprets U+009B like ESC [.
pub fn visible_json(json: &str) -> String {
    let mut clean = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_unprintable(c) {
            clean.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(clean, "\\u{unit:04x}");
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const HOSTILE: &str = "a\u{1b}[2Jb\u{9b}31mc\u{202e}d\u{2066}e\u{7f}f\rg\u{8}\u{feff}h\u{e0041}\u{2028}\u{61c}é👩\u{200d}🚒";

    #[test]
    fn nothing_is_left_that_a_terminal_obeys_or_misplaces() {
        assert_eq!(inert(HOSTILE), "a[2Jb31mcdefghé👩\u{200d}🚒");
        assert_eq!(inert("a\n\tb"), "a\n\tb");
        let shown = visible(HOSTILE, "\n", " ");
        assert!(
            shown.starts_with("a\\u{1b}[2Jb\\u{9b}31mc\\u{202e}d"),
            "{shown}"
        );
        assert!(!shown.contains(is_unprintable));
    }

    #[test]
    fn json_that_is_shown_means_what_it_meant() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE, "\n\t\"\\"] });
        for json in [value.to_string(), format!("{value:#}")] {
            let shown = visible_json(&json);
            assert!(
                !shown.contains(|c| c != '\n' && is_unprintable(c)),
                "{shown}"
            );
            let back: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(back, value);
        }
    }
}
