//! Slack's mrkdwn: bold, italic, strikethrough, code, quotes, links, mentions, dates and emoji by name.

use jiff::Timestamp;

use super::date::formatted;
use super::emoji::name_at;
use super::inline::{Mark, Part, Rich, Span};

/// The longest text that is drawn, in bytes: four times what Slack accepts of a section.
const TEXT_BYTES_MAX: usize = 12_000;

/// What has a meaning within a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Everything.
    All,
    /// Links, mentions and dates: marks mean nothing in code.
    Controls,
    /// Emoji: a plain text has nothing else.
    Emoji,
}

/// Parses mrkdwn.
pub(super) fn mrkdwn(text: &str) -> Rich {
    let (text, is_cut) = cut(text);
    let mut parts = Vec::new();
    let mut pieces = text.split("```").peekable();
    let mut is_code = false;
    while let Some(piece) = pieces.next() {
        match (is_code, pieces.peek()) {
            (true, Some(_)) => {
                let code = piece.strip_prefix('\n').unwrap_or(piece);
                parts.push(Part::Preformatted(line(code, Known::Controls)));
            }
            // It has no end, so it is no code.
            (true, None) => lines(&format!("```{piece}"), &mut parts),
            (false, _) => lines(piece.trim_matches('\n'), &mut parts),
        }
        is_code = !is_code;
    }
    with_cut(parts, is_cut)
}

/// Parses a plain text, which has emoji by name and nothing else.
pub(super) fn plain(text: &str) -> Rich {
    let (text, is_cut) = cut(text);
    let lines = text.split('\n').map(|text| line(text, Known::Emoji));
    with_cut(vec![Part::Lines(lines.collect())], is_cut)
}

fn cut(text: &str) -> (&str, bool) {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    (&text[..end], end < text.len())
}

fn with_cut(mut parts: Vec<Part>, is_cut: bool) -> Rich {
    if is_cut {
        let rest = Span::Text("… (cut here; the JSON has the rest)".to_owned());
        parts.push(Part::Lines(vec![vec![rest]]));
    }
    Rich(parts)
}

fn lines(text: &str, parts: &mut Vec<Part>) {
    if text.is_empty() {
        return;
    }
    for text in text.split('\n') {
        let quoted = text.strip_prefix("&gt;").or_else(|| text.strip_prefix('>'));
        match (quoted, parts.last_mut()) {
            (Some(quoted), Some(Part::Quote(lines))) => {
                lines.push(line(quoted.trim_start(), Known::All));
            }
            (Some(quoted), _) => {
                let quoted = line(quoted.trim_start(), Known::All);
                parts.push(Part::Quote(vec![quoted]));
            }
            (None, Some(Part::Lines(lines))) => lines.push(line(text, Known::All)),
            (None, _) => parts.push(Part::Lines(vec![line(text, Known::All)])),
        }
    }
}

fn line(text: &str, known: Known) -> Vec<Span> {
    let mut spans = Vec::new();
    let (mut rest, mut pending) = (text, String::new());
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        let Some((span, taken)) = span_at(rest, first, before, known) else {
            let (shown, taken) = unescaped(rest, first, known);
            pending.push(shown);
            before = Some(first);
            rest = &rest[taken..];
            continue;
        };
        if !pending.is_empty() {
            spans.push(Span::Text(std::mem::take(&mut pending)));
        }
        spans.push(span);
        before = rest[..taken].chars().next_back();
        rest = &rest[taken..];
    }
    if !pending.is_empty() {
        spans.push(Span::Text(pending));
    }
    spans
}

/// Returns the span at the start of a text that is no plain text, and its length.
fn span_at(text: &str, first: char, before: Option<char>, known: Known) -> Option<(Span, usize)> {
    // A mark within a word is a character like any other.
    let may_open = before.is_none_or(|c| !c.is_alphanumeric());
    match (first, known) {
        (':', Known::All | Known::Emoji) if may_open => {
            let name = name_at(text)?;
            Some((Span::Emoji(name.to_owned()), name.len() + 2))
        }
        ('<', Known::All | Known::Controls) => control(text),
        ('`', Known::All) => {
            let inner = enclosed(text, '`')?;
            let code = Span::Marked(Mark::Code, line(inner, Known::Controls));
            Some((code, inner.len() + 2))
        }
        ('*' | '_' | '~', Known::All) if may_open => {
            let inner = enclosed(text, first)?;
            let after = text[inner.len() + 2..].chars().next();
            let is_tight = !inner.starts_with(' ') && !inner.ends_with(' ');
            if !is_tight || after.is_some_and(char::is_alphanumeric) {
                return None;
            }
            let mark = match first {
                '*' => Mark::Bold,
                '_' => Mark::Italic,
                _ => Mark::Strike,
            };
            Some((Span::Marked(mark, line(inner, known)), inner.len() + 2))
        }
        _ => None,
    }
}

/// Returns what stands between a mark at the start of a text and the next one, if there is something.
fn enclosed(text: &str, mark: char) -> Option<&str> {
    let (inner, _) = text.strip_prefix(mark)?.split_once(mark)?;
    (!inner.is_empty()).then_some(inner)
}

/// Returns the character at the start of a text: Slack escapes three.
fn unescaped(text: &str, first: char, known: Known) -> (char, usize) {
    if known != Known::Emoji {
        for (escaped, shown) in [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')] {
            if text.starts_with(escaped) {
                return (shown, escaped.len());
            }
        }
    }
    (first, first.len_utf8())
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// Returns the link, the mention or the date at the start of a text.
fn control(text: &str) -> Option<(Span, usize)> {
    let (inner, _) = text.strip_prefix('<')?.split_once('>')?;
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) => (target, Some(unescape(label))),
        None => (inner, None),
    };
    let named = |sign: &str, id: &str| {
        let name = label.clone().unwrap_or_else(|| id.to_owned());
        Span::Mention(format!("{sign}{}", name.trim_start_matches(sign)))
    };
    let span = if let Some(id) = target.strip_prefix('@') {
        named("@", id)
    } else if let Some(id) = target.strip_prefix('#') {
        named("#", id)
    } else if let Some(id) = target.strip_prefix("!subteam^") {
        named("@", id)
    } else if let Some(date) = target.strip_prefix("!date^") {
        date_of(date, label)?
    } else if let Some(word @ ("here" | "channel" | "everyone")) = target.strip_prefix('!') {
        Span::Mention(format!("@{word}"))
    } else if target.contains("://") || target.starts_with("mailto:") {
        let url = unescape(target);
        let label = label.unwrap_or_else(|| url.clone());
        Span::Link { url, label }
    } else {
        return None;
    };
    Some((span, inner.len() + 2))
}

/// Reads `SECONDS^FORMAT^LINK`. What cannot be formatted is its fallback.
fn date_of(date: &str, fallback: Option<String>) -> Option<Span> {
    let mut fields = date.splitn(3, '^');
    let (seconds, format) = (fields.next()?, fields.next()?);
    let at = seconds.parse().ok();
    let at = at.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let text = at.and_then(|at| formatted(at, &unescape(format)));
    let (at, text) = match (at, text, fallback) {
        (Some(at), Some(text), _) | (Some(at), None, Some(text)) => (at, text),
        (_, _, fallback) => return fallback.map(Span::Text),
    };
    Some(match fields.next() {
        Some(url) => Span::Link {
            url: unescape(url),
            label: text,
        },
        None => Span::Date { at, text },
    })
}
