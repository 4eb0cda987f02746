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

/// Cuts markup to so many characters, never within an escape or a link, and closes a code block that the cut left open.
pub(crate) fn truncate(markup: &str, chars_max: usize) -> String {
    const FENCE: &str = "```";
    if markup.chars().count() <= chars_max {
        return markup.to_owned();
    }
    // Leaves space for the ellipsis, a newline and a fence.
    let room = chars_max.saturating_sub(5);
    let mut end = markup
        .char_indices()
        .nth(room)
        .map_or(markup.len(), |(at, _)| at);
    if let Some(open) = markup[..end].rfind('<')
        && !markup[open..end].contains('>')
    {
        end = open;
    }
    if let Some(open) = markup[..end].rfind('&')
        && !markup[open..end].contains(';')
    {
        end = open;
    }
    let kept = markup[..end].trim_end().trim_end_matches('`');
    let fence_is_open = kept.matches(FENCE).count() % 2 == 1;
    let kept = if fence_is_open {
        kept
    } else {
        markup[..end].trim_end()
    };
    match fence_is_open {
        true => format!("{kept}…\n{FENCE}"),
        false => format!("{kept}…"),
    }
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
