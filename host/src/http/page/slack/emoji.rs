//! Emoji by the names that Slack gives them.

/// The names that messages about alerts use most. Another one is shown as its name.
const EMOJI: [(&str, &str); 40] = [
    ("+1", "👍"),
    ("-1", "👎"),
    ("alarm_clock", "⏰"),
    ("arrow_down", "⬇️"),
    ("arrow_right", "➡️"),
    ("arrow_up", "⬆️"),
    ("bell", "🔔"),
    ("black_circle", "⚫"),
    ("boom", "💥"),
    ("bug", "🐛"),
    ("bulb", "💡"),
    ("calendar", "📆"),
    ("chart_with_downwards_trend", "📉"),
    ("chart_with_upwards_trend", "📈"),
    ("exclamation", "❗"),
    ("eyes", "👀"),
    ("fire", "🔥"),
    ("hourglass", "⌛"),
    ("information_source", "ℹ️"),
    ("large_blue_circle", "🔵"),
    ("large_green_circle", "🟢"),
    ("large_orange_circle", "🟠"),
    ("large_yellow_circle", "🟡"),
    ("link", "🔗"),
    ("lock", "🔒"),
    ("mag", "🔍"),
    ("no_entry", "⛔"),
    ("pager", "📟"),
    ("question", "❓"),
    ("red_circle", "🔴"),
    ("recycle", "♻️"),
    ("rocket", "🚀"),
    ("rotating_light", "🚨"),
    ("sos", "🆘"),
    ("tada", "🎉"),
    ("warning", "⚠️"),
    ("white_check_mark", "✅"),
    ("white_circle", "⚪"),
    ("wrench", "🔧"),
    ("x", "❌"),
];

/// Returns the sign of an emoji.
pub(super) fn sign(name: &str) -> Option<&'static str> {
    let known = EMOJI.iter().find(|(known, _)| *known == name);
    known.map(|(_, sign)| *sign)
}

/// Returns the name at the start of a text, as in `:eyes:`.
pub(super) fn name_at(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix(':')?.split_once(':')?;
    let is_part =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '+');
    let is_name = !name.is_empty() && name.chars().all(is_part);
    (is_name && !name.chars().all(|c| c.is_ascii_digit())).then_some(name)
}
