//! What the model wrote: text from outside, of which nothing is trusted.

use handler_sdk::mask;
use handler_sdk::serde_json::Value;

/// The lines that are shown.
const LINES_MAX: usize = 5;
/// The characters of a line that are shown.
const LINE_CHARS_MAX: usize = 200;
/// What takes the place of a URL: nobody follows a link that a model wrote.
const LINK: &str = "[link]";

/// Returns the lines of an answer of an OpenAI-compatible endpoint; `None` if it has none.
pub(crate) fn lines(answer: &Value) -> Option<Vec<String>> {
    let content = answer["choices"][0]["message"]["content"].as_str()?;
    let lines = content
        .lines()
        .map(|line| clean(line, LINE_CHARS_MAX))
        .filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.take(LINES_MAX).collect();
    (!lines.is_empty()).then_some(lines)
}

/// Returns a line without URLs, mentions, markup of messages, secrets and characters that cannot be seen, cut.
pub(crate) fn clean(line: &str, chars_max: usize) -> String {
    let masked = mask::text(line);
    let words = masked.split_whitespace().map(|word| {
        match word.contains("://") || word.starts_with("www.") {
            true => LINK.to_owned(),
            false => word.chars().filter(|c| is_harmless(*c)).collect(),
        }
    });
    let line = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    match line.chars().count() > chars_max {
        true => line.chars().take(chars_max - 1).chain(['…']).collect(),
        false => line,
    }
}

/// Without these, nothing in a line is a mention, a link, code or an instruction to a terminal.
fn is_harmless(c: char) -> bool {
    let is_invisible = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    !(c.is_control() || is_invisible || matches!(c, '<' | '>' | '@' | '`' | '|'))
}
