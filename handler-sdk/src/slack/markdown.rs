//! Converts Markdown, as handlers write it in an enrichment, to Slack's mrkdwn.

use super::mrkdwn::{Mrkdwn, escape_into};
use crate::alert::is_web_url;

/// The part of a text that is converted; a section shows less.
const CHARS_MAX: usize = 4_000;

/// Converts paragraphs, headings, emphasis, code, links and lists; anything else stays as text.
pub(crate) fn to_mrkdwn(markdown: &str) -> Mrkdwn {
    let markdown = markdown
        .char_indices()
        .nth(CHARS_MAX)
        .map_or(markdown, |(end, _)| &markdown[..end]);
    let mut out = String::with_capacity(markdown.len() + 16);
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if !out.is_empty() {
            out.push('\n');
        }
        if line.trim_start().starts_with("```") {
            let code: Vec<&str> = lines
                .by_ref()
                .take_while(|line| !line.trim_start().starts_with("```"))
                .collect();
            out.push_str(Mrkdwn::new().preformatted(code.join("\n")).as_str());
        } else {
            line_into(&mut out, line);
        }
    }
    Mrkdwn::raw(out.trim().to_owned())
}

fn line_into(out: &mut String, line: &str) {
    let text = line.trim_start();
    let indent = &line[..line.len() - text.len()];
    let heading = text.trim_start_matches('#');
    let hashes = text.len() - heading.len();
    if (1..=6).contains(&hashes) && heading.starts_with(' ') {
        // Emphasis within a heading would end the heading's own.
        let plain = heading
            .trim()
            .trim_end_matches('#')
            .replace("**", "")
            .replace("__", "");
        out.push_str(Mrkdwn::new().bold(plain.trim()).as_str());
    } else if let Some(item) = ["- ", "* ", "+ "]
        .iter()
        .find_map(|mark| text.strip_prefix(mark))
    {
        out.push_str(indent);
        out.push_str("• ");
        inline_into(out, item);
    } else if let Some(quote) = text.strip_prefix('>') {
        out.push_str("> ");
        inline_into(out, quote.trim_start());
    } else {
        out.push_str(indent);
        inline_into(out, text);
    }
}

fn inline_into(out: &mut String, mut text: &str) {
    let mut before: Option<char> = None;
    while let Some(next) = text.chars().next() {
        let opens = !before.is_some_and(char::is_alphanumeric);
        let taken = code(out, text)
            .or_else(|| link(out, text))
            .or_else(|| emphasis(out, text, "**", '*', opens))
            .or_else(|| emphasis(out, text, "__", '*', opens))
            .or_else(|| emphasis(out, text, "~~", '~', opens))
            .or_else(|| emphasis(out, text, "*", '_', opens))
            .or_else(|| emphasis(out, text, "_", '_', opens))
            .or_else(|| bare_url(out, text))
            .or_else(|| escaped(out, text))
            .unwrap_or_else(|| {
                escape_into(out, next.encode_utf8(&mut [0; 4]));
                next.len_utf8()
            });
        before = text[..taken].chars().next_back();
        text = &text[taken..];
    }
}

fn code(out: &mut String, text: &str) -> Option<usize> {
    let inner = text.strip_prefix('`')?;
    let end = inner.find('`').filter(|end| *end > 0)?;
    out.push_str(Mrkdwn::new().code(&inner[..end]).as_str());
    Some(end + 2)
}

/// Converts `[title](url)`, and `![title](url)`, whose picture becomes a link.
fn link(out: &mut String, text: &str) -> Option<usize> {
    let from = text.strip_prefix('!').unwrap_or(text);
    let inner = from.strip_prefix('[')?;
    let (title, rest) = inner.split_once("](")?;
    let (url, _) = rest.split_once(')')?;
    if title.contains('\n') || title.contains('[') {
        return None;
    }
    let target = url.split_whitespace().next().unwrap_or_default();
    let title_shown = if title.is_empty() { target } else { title };
    out.push_str(Mrkdwn::new().link(target, title_shown).as_str());
    Some(text.len() - from.len() + 1 + title.len() + 2 + url.len() + 1)
}

fn emphasis(out: &mut String, text: &str, mark: &str, slack: char, opens: bool) -> Option<usize> {
    let inner = text.strip_prefix(mark).filter(|_| opens)?;
    let end = inner.find(mark)?;
    let content = &inner[..end];
    let after = inner[end + mark.len()..].chars().next();
    let closes = !after.is_some_and(char::is_alphanumeric);
    let tight = !content.is_empty() && content.trim() == content;
    if !closes || !tight {
        return None;
    }
    out.push(slack);
    inline_into(out, content);
    out.push(slack);
    Some(end + 2 * mark.len())
}

/// Copies a URL unchanged, so that `_` and `*` in it are not taken for emphasis.
fn bare_url(out: &mut String, text: &str) -> Option<usize> {
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return None;
    }
    let end = text.find(|char: char| {
        char.is_whitespace() || matches!(char, '<' | '>' | '"' | '`' | ')' | '|')
    });
    let url = text[..end.unwrap_or(text.len())].trim_end_matches(['.', ',', ';', ':', '!', '?']);
    is_web_url(url).then(|| {
        out.push_str(Mrkdwn::new().link(url, url).as_str());
        url.len()
    })
}

/// Handles a backslash, which makes the character after it literal.
fn escaped(out: &mut String, text: &str) -> Option<usize> {
    let mark = text
        .strip_prefix('\\')?
        .chars()
        .next()
        .filter(char::is_ascii_punctuation)?;
    escape_into(out, mark.encode_utf8(&mut [0; 4]));
    Some(1 + mark.len_utf8())
}
