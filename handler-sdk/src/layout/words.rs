//! Text cut to the space that it has.

use crate::mask;
use crate::slack::Mrkdwn;

pub(super) const NAME_CHARS_MAX: usize = 30;
pub(super) const VALUE_CHARS_MAX: usize = 100;
const REASON_CHARS_MAX: usize = 120;

/// Returns name and value pairs, two on a line.
///
/// ```
/// use handler_sdk::layout::pairs;
///
/// let fields = pairs([("Cluster", "c1"), ("Restarts", "14"), ("Node", "n1")]);
/// assert_eq!(fields.as_str(), "*Cluster:* c1   *Restarts:* 14\n*Node:* n1");
/// ```
pub fn pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Mrkdwn {
    let shown: Vec<Mrkdwn> = pairs
        .into_iter()
        .map(|(name, value)| {
            Mrkdwn::new()
                .bold(format!("{}:", clip(name.as_ref(), NAME_CHARS_MAX)))
                .text(" ")
                .text(clip(value.as_ref(), VALUE_CHARS_MAX))
        })
        .collect();
    let lines = shown
        .chunks(2)
        .map(|pair| Mrkdwn::join(pair.iter().cloned(), "   "));
    Mrkdwn::join(lines, "\n")
}

/// Returns text on one line, cut with an ellipsis if it is longer than so many characters.
pub fn clip(text: &str, chars_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    line.chars()
        .take(chars_max.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// Cuts between words if there is a gap near enough, so that no link is cut in half.
pub(super) fn cut_words(text: &str, chars_max: usize) -> String {
    const WORD_CHARS_MAX: usize = 200;
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max - 1).collect();
    let gap = kept.rfind(char::is_whitespace);
    let near = gap.filter(|gap| kept[*gap..].chars().count() <= WORD_CHARS_MAX.min(chars_max / 2));
    format!("{}…", kept[..near.unwrap_or(kept.len())].trim_end())
}

/// Splits plain text into its beginning, of at most so many characters and lines and with an ellipsis if it is not all, and the
/// rest.
pub(super) fn split_words(text: &str, chars_max: usize, lines_max: usize) -> (String, &str) {
    let newline = text.match_indices('\n').nth(lines_max.saturating_sub(1));
    let lines = newline.map_or(text, |(at, _)| text[..at].trim_end());
    if lines.chars().count() > chars_max {
        let kept = cut_words(text, chars_max);
        let rest = &text[kept.len() - '…'.len_utf8()..];
        return (kept, rest.trim_start());
    }
    match newline {
        None => (text.to_owned(), ""),
        Some((at, _)) => (format!("{lines} …"), text[at..].trim_start()),
    }
}

/// Returns the first line of a failure's reason: lines of configuration may follow, which are for the operator's log.
pub(super) fn reason(why: &str) -> String {
    let line = why
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no reason given");
    match line.split_once("not granted") {
        Some(_) => "not granted".to_owned(),
        None => clip(&mask::text(line), REASON_CHARS_MAX),
    }
}

/// Returns text whose first letter is a capital.
pub(crate) fn capitalized(text: &str) -> String {
    // The texts are English, and Unicode's tables of capitals would be a fortieth of a component.
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
