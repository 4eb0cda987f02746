//! Slack's mrkdwn as HTML: bold, italics, strikethrough, code, quotes, links, dates and emoji by name.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Unknown;
use super::html::{element, escape};

/// The emoji by name that our handlers use.
const EMOJI: [(&str, &str); 8] = [
    ("white_check_mark", "✅"),
    ("eyes", "👀"),
    ("red_circle", "🔴"),
    ("large_orange_circle", "🟠"),
    ("large_yellow_circle", "🟡"),
    ("large_green_circle", "🟢"),
    ("large_blue_circle", "🔵"),
    ("warning", "⚠️"),
];

/// Returns mrkdwn as HTML.
///
/// # Errors
/// What of it is not known.
pub(super) fn mrkdwn(text: &str) -> Result<String, Unknown> {
    let mut html = String::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 1 {
            // Within code only the three characters that Slack escapes mean something.
            html.push_str(&element("pre", "code", &escape(&unescape(part))));
        } else {
            for (number, line) in part.trim_matches('\n').split('\n').enumerate() {
                if number > 0 {
                    html.push_str("<br>");
                }
                html.push_str(&line_of(line)?);
            }
        }
    }
    Ok(html)
}

/// Returns an emoji by its name.
pub(super) fn emoji(name: &str) -> Result<&'static str, Unknown> {
    EMOJI
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, emoji)| *emoji)
        .ok_or_else(|| Unknown::new(format!("the emoji :{name}:")))
}

fn line_of(line: &str) -> Result<String, Unknown> {
    match line.strip_prefix("&gt;") {
        Some(quoted) => Ok(element("span", "quote", &inline(quoted.trim_start())?)),
        None => inline(line),
    }
}

fn inline(text: &str) -> Result<String, Unknown> {
    let mut html = String::new();
    let mut rest = text;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        let (shown, taken) = match first {
            '<' => control(rest)?,
            '`' => match enclosed(rest, '`') {
                Some(inner) => (
                    element("code", "", &escape(&unescape(inner))),
                    inner.len() + 2,
                ),
                None => plain(first),
            },
            '*' | '_' | '~' if may_open(before) => match enclosed(rest, first) {
                Some(inner) if closes(rest, inner) => {
                    let name = match first {
                        '*' => "b",
                        '_' => "i",
                        _ => "s",
                    };
                    (element(name, "", &inline(inner)?), inner.len() + 2)
                }
                _ => plain(first),
            },
            ':' => match emoji_name(rest) {
                Some(name) if may_open(before) => (emoji(name)?.to_owned(), name.len() + 2),
                _ => plain(first),
            },
            '&' => {
                let entity = ["&amp;", "&lt;", "&gt;"]
                    .into_iter()
                    .find(|entity| rest.starts_with(entity));
                match entity {
                    Some(entity) => (entity.to_owned(), entity.len()),
                    None => {
                        return Err(Unknown::new(format!(
                            "an `&` that is not escaped: {rest:?}"
                        )));
                    }
                }
            }
            _ => plain(first),
        };
        html.push_str(&shown);
        before = rest[..taken].chars().next_back();
        rest = &rest[taken..];
    }
    Ok(html)
}

fn plain(character: char) -> (String, usize) {
    (
        escape(character.encode_utf8(&mut [0; 4])),
        character.len_utf8(),
    )
}

/// Returns what stands between a mark at the start of `text` and the next one, if there is something.
fn enclosed(text: &str, mark: char) -> Option<&str> {
    let inner = text.strip_prefix(mark)?;
    let end = inner.find(mark)?;
    let inner = &inner[..end];
    let is_tight = !inner.starts_with(' ') && !inner.ends_with(' ') && !inner.is_empty();
    is_tight.then_some(inner)
}

/// A mark within a word is a character like any other.
fn may_open(before: Option<char>) -> bool {
    before.is_none_or(|c| !c.is_alphanumeric())
}

fn closes(text: &str, inner: &str) -> bool {
    let after = text[inner.len() + 2..].chars().next();
    after.is_none_or(|c| !c.is_alphanumeric())
}

fn emoji_name(text: &str) -> Option<&str> {
    let name = enclosed(text, ':')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '+'));
    is_name.then_some(name)
}

/// A link or a date. Mentions are never drawn: none of our messages has one.
fn control(text: &str) -> Result<(String, usize), Unknown> {
    let unknown = || Unknown::new(format!("the control sequence at {text:?}"));
    let end = text.find('>').ok_or_else(unknown)?;
    let inner = &text[1..end];
    let shown = if let Some(date) = inner.strip_prefix("!date^") {
        date_of(date).ok_or_else(unknown)?
    } else if inner.starts_with("http://") || inner.starts_with("https://") {
        let (url, label) = inner.split_once('|').unwrap_or((inner, inner));
        // Its target is another server's: the page is a picture and leads nowhere.
        format!(
            "<a title=\"{}\">{}</a>",
            escape(&unescape(url)),
            escape(&unescape(label))
        )
    } else {
        return Err(unknown());
    };
    Ok((shown, end + 1))
}

/// Slack shows it in the reader's time zone; the picture's reader is in UTC.
fn date_of(date: &str) -> Option<String> {
    let (seconds, format) = date.split('|').next()?.split_once('^')?;
    let at = Timestamp::from_second(seconds.parse().ok()?).ok()?;
    let at = at.to_zoned(TimeZone::UTC);
    let shown = format
        .replace(
            "{date_short_pretty}",
            &at.strftime("%b %-d, %Y").to_string(),
        )
        .replace("{time}", &at.strftime("%-I:%M %p").to_string());
    (!shown.contains('{')).then_some(shown)
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
