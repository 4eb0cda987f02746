//! Alertmanager's classic parser of matchers (pkg/labels/parse.go): names are ASCII, and a backslash that escapes nothing is
//! literal.

use super::{MatchOp, MatcherError, Written};

pub(super) fn read(text: &str) -> Result<Vec<Written>, MatcherError> {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut items = split(inner);
    // A trailing comma and an empty text are allowed.
    if let Some(last) = items.pop()
        && !last.trim().is_empty()
    {
        items.push(last.trim());
    }
    let read = |item| matcher(item).map_err(|why| MatcherError::of_text(text, &why));
    items.into_iter().map(read).collect()
}

/// Splits at the commas outside quotes.
fn split(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut start = 0;
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            ',' if !is_quoted => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            // As in Alertmanager, the quote in `"\,"` counts as escaped.
            ',' => {}
            '"' if is_escaped => is_escaped = false,
            '"' => is_quoted = !is_quoted,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    items.push(&text[start..]);
    items
}

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0c' | '\r' | ' ')
}

fn matcher(text: &str) -> Result<Written, String> {
    let text = text.trim_matches(is_space);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (name, after) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("a label's name is expected".to_owned());
    }
    let after = after.trim_start_matches(is_space);
    let ops = [
        MatchOp::Regex,
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::NotRegex,
    ];
    let found = ops
        .into_iter()
        .find_map(|op| Some((op, after.strip_prefix(op.as_str())?)));
    let Some((op, raw)) = found else {
        return Err("one of = != =~ !~ is expected after the name".to_owned());
    };
    Ok(Written {
        name: name.to_owned(),
        op,
        value: value(raw.trim_start_matches(is_space))?,
    })
}

fn value(raw: &str) -> Result<String, String> {
    let (raw, is_quoted) = match raw.strip_prefix('"') {
        Some(raw) => (raw, true),
        None => (raw, false),
    };
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    let mut is_closed = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some(c @ ('"' | '\\')) => text.push(c),
                Some(other) => text.extend(['\\', other]),
                None => text.push('\\'),
            },
            '"' if is_quoted && chars.as_str().is_empty() => is_closed = true,
            '"' => return Err("a quote inside the value must be written as \\\"".to_owned()),
            c => text.push(c),
        }
    }
    if is_quoted && !is_closed {
        return Err("the closing quote is missing".to_owned());
    }
    Ok(text)
}
