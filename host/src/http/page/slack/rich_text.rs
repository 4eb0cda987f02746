//! The block `rich_text`: what Slack's own editor makes.

use jiff::Timestamp;
use serde_json::Value;

use super::date::formatted;
use super::inline::{Mark, Part, Rich, Span};

/// Parses the elements of a block.
pub(super) fn rich_text(block: &Value) -> Rich {
    let parts = items(&block["elements"]).map(|element| {
        let inner = &element["elements"];
        match element["type"].as_str().unwrap_or_default() {
            "rich_text_section" => Part::Lines(lines(inner)),
            "rich_text_quote" => Part::Quote(lines(inner)),
            "rich_text_preformatted" => Part::Preformatted(spans(inner)),
            "rich_text_list" => Part::List {
                is_ordered: element["style"] == "ordered",
                items: items(inner).map(|item| spans(&item["elements"])).collect(),
            },
            other => Part::Lines(vec![vec![not_drawn(other)]]),
        }
    });
    Rich(parts.collect())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn not_drawn(kind: &str) -> Span {
    Span::Text(format!("[{kind}: not drawn here]"))
}

/// Returns the spans by line: a newline is part of a text here.
fn lines(elements: &Value) -> Vec<Vec<Span>> {
    let mut lines = vec![Vec::new()];
    for element in items(elements) {
        let Some(text) = element["text"]
            .as_str()
            .filter(|_| element["type"] == "text")
        else {
            if let Some(line) = lines.last_mut() {
                line.push(span(element));
            }
            continue;
        };
        for (number, part) in text.split('\n').enumerate() {
            if number > 0 {
                lines.push(Vec::new());
            }
            if let Some(line) = lines.last_mut().filter(|_| !part.is_empty()) {
                line.push(styled(Span::Text(part.to_owned()), &element["style"]));
            }
        }
    }
    lines
}

fn spans(elements: &Value) -> Vec<Span> {
    items(elements).map(span).collect()
}

fn span(element: &Value) -> Span {
    let field = |name: &str| element[name].as_str().unwrap_or_default();
    let shown = match field("type") {
        "text" => Span::Text(field("text").to_owned()),
        "link" => {
            let url = field("url").to_owned();
            let label = element["text"].as_str().unwrap_or(&url).to_owned();
            Span::Link { url, label }
        }
        "emoji" => Span::Emoji(emoji_name(field("name"))),
        "user" => Span::Mention(format!("@{}", field("user_id"))),
        "usergroup" => Span::Mention(format!("@{}", field("usergroup_id"))),
        "channel" => Span::Mention(format!("#{}", field("channel_id"))),
        "broadcast" => Span::Mention(format!("@{}", field("range"))),
        "color" => Span::Text(field("value").to_owned()),
        "date" => date(element),
        other => not_drawn(other),
    };
    styled(shown, &element["style"])
}

/// A name is written without being escaped, so it keeps only what names have.
fn emoji_name(name: &str) -> String {
    let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
    name.chars().filter(is_part).collect()
}

fn date(element: &Value) -> Span {
    let at = element["timestamp"].as_i64();
    let at = at.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let format = element["format"].as_str().unwrap_or_default();
    let fallback = element["fallback"].as_str().unwrap_or_default();
    match at {
        Some(at) => Span::Date {
            text: formatted(at, format).unwrap_or_else(|| fallback.to_owned()),
            at,
        },
        None => Span::Text(fallback.to_owned()),
    }
}

fn styled(span: Span, style: &Value) -> Span {
    let marks = [
        ("bold", Mark::Bold),
        ("italic", Mark::Italic),
        ("strike", Mark::Strike),
        ("code", Mark::Code),
    ];
    let set = marks.into_iter().filter(|(name, _)| style[*name] == true);
    set.fold(span, |span, (_, mark)| Span::Marked(mark, vec![span]))
}
