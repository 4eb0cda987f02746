//! Slack's markup, distinguished from plain text by its type.

use std::fmt;

use crate::alert::is_web_url;

/// Text in Slack's markup, mrkdwn.
///
/// Plain text is escaped when it becomes `Mrkdwn`, so a label value `<!channel>` is shown and notifies nobody. Only
/// [`Mrkdwn::raw`] takes markup unescaped.
///
/// ```
/// use handler_sdk::slack::Mrkdwn;
///
/// let verdict = Mrkdwn::new().bold("Likely out of memory:").text(" killed at ").code("512Mi");
/// assert_eq!(verdict.as_str(), "*Likely out of memory:* killed at `512Mi`");
/// assert_eq!(Mrkdwn::from("<!channel> & co").as_str(), "&lt;!channel&gt; &amp; co");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mrkdwn(String);

impl Mrkdwn {
    /// Returns empty text.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Returns markup unescaped. Never use it for text that comes from an alert, a log or a server.
    pub fn raw(markup: impl Into<String>) -> Self {
        Self(markup.into())
    }

    /// Adds plain text.
    #[must_use]
    pub fn text(mut self, text: impl AsRef<str>) -> Self {
        escape_into(&mut self.0, text.as_ref());
        self
    }

    /// Adds plain text and makes its `https` and `http` URLs links: Slack does not look for URLs in text of this crate,
    /// because it would look for mentions too.
    #[must_use]
    pub fn prose(mut self, text: impl AsRef<str>) -> Self {
        let mut rest = text.as_ref();
        while let Some(at) = find_url(rest) {
            let (before, from) = rest.split_at(at);
            let (url, after) = from.split_at(url_length(from));
            escape_into(&mut self.0, before);
            self = self.link(url, url);
            rest = after;
        }
        escape_into(&mut self.0, rest);
        self
    }

    /// Adds bold text.
    #[must_use]
    pub fn bold(self, text: impl AsRef<str>) -> Self {
        self.wrapped('*', text.as_ref())
    }

    /// Adds text in italics.
    #[must_use]
    pub fn italic(self, text: impl AsRef<str>) -> Self {
        self.wrapped('_', text.as_ref())
    }

    /// Adds text in a monospaced font. A backtick in it becomes an apostrophe, because it would end the font.
    #[must_use]
    pub fn code(self, text: impl AsRef<str>) -> Self {
        let text = text.as_ref().replace('`', "'");
        self.wrapped('`', &text)
    }

    /// Adds several lines in a monospaced font, unchanged.
    #[must_use]
    pub fn preformatted(mut self, text: impl AsRef<str>) -> Self {
        self.0.push_str("```\n");
        // A zero-width space keeps three backticks in the text from ending the block.
        escape_into(&mut self.0, &text.as_ref().replace("```", "``\u{200b}`"));
        if !self.0.ends_with('\n') {
            self.0.push('\n');
        }
        self.0.push_str("```");
        self
    }

    /// Adds a link. If the URL is neither `https` nor `http`, adds only the title.
    #[must_use]
    pub fn link(mut self, url: impl AsRef<str>, title: impl AsRef<str>) -> Self {
        let (url, title) = (url.as_ref(), title.as_ref());
        if !is_web_url(url) {
            return self.text(title);
        }
        self.0.push('<');
        // `|` and `>` end the URL in Slack's markup.
        escape_into(
            &mut self.0,
            &url.replace('|', "%7C")
                .replace('>', "%3E")
                .replace('<', "%3C"),
        );
        self.0.push('|');
        escape_into(&mut self.0, &title.replace('|', "¦").replace('\n', " "));
        self.0.push('>');
        self
    }

    /// Adds more markup.
    #[must_use]
    pub fn then(mut self, other: impl Into<Mrkdwn>) -> Self {
        self.0.push_str(&other.into().0);
        self
    }

    /// Joins texts with a separator; empty ones are left out.
    ///
    /// ```
    /// use handler_sdk::slack::Mrkdwn;
    ///
    /// let links = [Mrkdwn::new().link("https://a.example", "Runbook"), Mrkdwn::new(), Mrkdwn::from("none")];
    /// assert_eq!(Mrkdwn::join(links, " · ").as_str(), "<https://a.example|Runbook> · none");
    /// ```
    pub fn join(texts: impl IntoIterator<Item = Mrkdwn>, separator: &str) -> Self {
        let mut joined = String::new();
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            if !joined.is_empty() {
                escape_into(&mut joined, separator);
            }
            joined.push_str(&text.0);
        }
        Self(joined)
    }

    /// Returns the markup.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }

    /// Returns at most this many characters of it, with an ellipsis if it was longer.
    #[must_use]
    pub fn truncated(&self, chars_max: usize) -> Self {
        Self(truncate(&self.0, chars_max))
    }

    /// Splits it into a beginning of at most this size and the rest; see [`split`].
    pub(crate) fn split(&self, most: Most) -> (Self, Self) {
        let (beginning, rest) = split(&self.0, most);
        (Self(beginning), Self(rest))
    }

    fn wrapped(mut self, mark: char, text: &str) -> Self {
        // Slack shows no emphasis for empty text, across lines, or if there are blanks inside the marks.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            self.0.push(mark);
            escape_into(&mut self.0, &text);
            self.0.push(mark);
        }
        self
    }
}

impl From<&str> for Mrkdwn {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

impl From<String> for Mrkdwn {
    fn from(text: String) -> Self {
        Self::new().text(text)
    }
}

impl From<&String> for Mrkdwn {
    fn from(text: &String) -> Self {
        Self::new().text(text)
    }
}

impl fmt::Display for Mrkdwn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn escape_into(out: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Other control characters are invisible or reorder the text.
            '\n' | '\t' => out.push(char),
            _ if is_invisible(char) => {}
            _ => out.push(char),
        }
    }
}

/// Returns whether a character is invisible: control characters and those that change the direction of writing. The
/// zero-width space is not among them, since it separates fences.
pub(crate) fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The most that a part of a text may have. (The size of a message counts its blocks too.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Most {
    /// Lines.
    pub(crate) lines: usize,
    /// Characters of markup.
    pub(crate) chars: usize,
    /// Bytes of markup in a JSON string.
    pub(crate) json_bytes: usize,
}

impl Most {
    /// Limits only the characters.
    pub(crate) const fn of_chars(chars: usize) -> Self {
        Self {
            lines: usize::MAX,
            chars,
            json_bytes: usize::MAX,
        }
    }
}

/// Cuts markup to so many characters; see [`split`].
pub(crate) fn truncate(markup: &str, chars_max: usize) -> String {
    split(markup, Most::of_chars(chars_max)).0
}

/// Splits markup into a beginning of at most this size, with an ellipsis if it is not all, and the rest, which is empty if all
/// of it fits.
///
/// Markup is never cut within an escape or a link. It is cut between words if a gap is near enough; in a code block, only
/// between lines or characters. A code block that is cut is closed in the beginning and opened again in the rest.
pub(crate) fn split(markup: &str, most: Most) -> (String, String) {
    const FENCE: &str = "```";
    let by_lines = end_of_lines(markup, most.lines);
    if by_lines == markup.len() && fits(markup, most) {
        return (markup.to_owned(), String::new());
    }
    // Leaves space for an ellipsis, a newline or a space, and a fence.
    let room = Most {
        chars: most.chars.saturating_sub(5),
        json_bytes: most.json_bytes.saturating_sub(8),
        ..most
    };
    let is_by_lines = fits(&markup[..by_lines], room);
    let end = match is_by_lines {
        true => by_lines,
        false => end_of_words(markup, end_of_size(&markup[..by_lines], room)),
    };
    let is_open = |text: &str| text.matches(FENCE).count() % 2 == 1;
    let mut kept = markup[..end].trim_end();
    let mut is_in_code = is_open(kept);
    if is_in_code && kept.ends_with(FENCE) {
        // Nothing of the code block is in the beginning.
        kept = kept[..kept.len() - FENCE.len()].trim_end();
        is_in_code = false;
    }
    let head = match (is_by_lines, is_in_code) {
        (true, true) => format!("{kept} …{FENCE}"),
        (true, false) => format!("{kept} …"),
        (false, true) => format!("{kept}…\n{FENCE}"),
        (false, false) => format!("{kept}…"),
    };
    let rest = markup[kept.len()..].trim_start();
    let rest = match (is_in_code, rest.strip_prefix(FENCE)) {
        (true, Some(after)) => after.trim_start().to_owned(),
        (true, None) => format!("{FENCE}\n{rest}"),
        (false, _) => rest.to_owned(),
    };
    (head, rest)
}

/// Returns the number of bytes of a text in a JSON string, without the quotes.
pub(crate) fn json_bytes(text: &str) -> usize {
    text.chars().map(json_bytes_of).sum()
}

/// Returns the number of bytes of a character in a JSON string.
pub(crate) fn json_bytes_of(char: char) -> usize {
    match char {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        _ if u32::from(char) < 0x20 => 6,
        _ => char.len_utf8(),
    }
}

fn fits(text: &str, most: Most) -> bool {
    text.chars().count() <= most.chars
        && (most.json_bytes == usize::MAX || json_bytes(text) <= most.json_bytes)
}

/// Returns the end of the first lines, without the last newline. If there are more lines, a code block that has to be closed
/// leaves a line for its fence.
fn end_of_lines(markup: &str, lines_max: usize) -> usize {
    let newline = |lines: usize| {
        let mut newlines = markup.match_indices('\n');
        newlines.nth(lines.saturating_sub(1)).map(|(at, _)| at)
    };
    match newline(lines_max) {
        None => markup.len(),
        Some(_) if markup.contains("```") => {
            newline(lines_max.saturating_sub(1).max(1)).unwrap_or(0)
        }
        Some(at) => at,
    }
}

/// Returns the end of the longest beginning that fits and is not within an escape, a link or a fence.
fn end_of_size(markup: &str, most: Most) -> usize {
    let (mut chars, mut bytes) = (0, 0);
    let mut end = markup.len();
    for (at, char) in markup.char_indices() {
        chars += 1;
        bytes += json_bytes_of(char);
        if chars > most.chars || bytes > most.json_bytes {
            end = at;
            break;
        }
    }
    for (opens, closes) in [('<', '>'), ('&', ';')] {
        if let Some(open) = markup[..end].rfind(opens)
            && !markup[open..end].contains(closes)
        {
            end = open;
        }
    }
    if markup[end..].starts_with('`') {
        // All of a code block's fence, or none of it.
        end = markup[..end].trim_end_matches('`').len();
    }
    end
}

/// Returns the end of the last word before a cut, if it is near. Within a code block the cut stays: a log has no words.
fn end_of_words(markup: &str, end: usize) -> usize {
    const WORD_CHARS_MAX: usize = 200;
    let kept = &markup[..end];
    let is_between = markup[end..].starts_with(char::is_whitespace);
    if is_between || kept.matches("```").count() % 2 == 1 {
        return end;
    }
    let is_near = |gap: &usize| {
        let word = kept[*gap..].chars().count();
        word <= WORD_CHARS_MAX && word * 2 <= kept.chars().count() && !is_in_link(kept, *gap)
    };
    kept.rfind(char::is_whitespace)
        .filter(is_near)
        .unwrap_or(end)
}

/// Returns whether a place in markup is within a link, whose title may have gaps.
fn is_in_link(markup: &str, at: usize) -> bool {
    let before = &markup[..at];
    before
        .rfind('<')
        .is_some_and(|open| !before[open..].contains('>'))
}

fn find_url(text: &str) -> Option<usize> {
    text.match_indices("http")
        .map(|(at, _)| at)
        .find(|at| text[*at..].starts_with("http://") || text[*at..].starts_with("https://"))
}

/// Returns the length of the URL at the start of the text, without a closing mark after it.
fn url_length(text: &str) -> usize {
    let end = text
        .find(|char: char| {
            char.is_whitespace() || char.is_control() || matches!(char, '<' | '>' | '"' | '`' | '|')
        })
        .unwrap_or(text.len());
    text[..end]
        .trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '}', '\'', '*', '_'])
        .len()
}
