//! Dates in messages. Slack writes them in the time zone of who reads; the page writes UTC, and its script adds the reader's.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Returns a moment in one of Slack's formats, as in `{date_short} at {time}`; `None` if the format has a token that is not known.
///
/// The `_pretty` tokens are `yesterday`, `today` and `tomorrow` for the days that are; a message is read here on other days too, so
/// they are the date.
pub(super) fn formatted(at: Timestamp, format: &str) -> Option<String> {
    let zoned = at.to_zoned(TimeZone::UTC);
    let mut shown = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('{') {
        let (token, later) = after.split_once('}')?;
        shown.push_str(before);
        let day = format!("{}{}", zoned.day(), ordinal(zoned.day()));
        shown.push_str(&match token {
            "date_num" => zoned.strftime("%Y-%m-%d").to_string(),
            "date_slash" => zoned.strftime("%m/%d/%Y").to_string(),
            "date" | "date_pretty" => format!("{} {day}, {}", zoned.strftime("%B"), zoned.year()),
            "date_long" | "date_long_pretty" => {
                format!("{} {day}, {}", zoned.strftime("%A, %B"), zoned.year())
            }
            "date_short" | "date_short_pretty" => zoned.strftime("%b %-d, %Y").to_string(),
            "day_divider_pretty" => zoned.strftime("%A, %B %-d").to_string(),
            "time" => zoned.strftime("%-I:%M %p").to_string(),
            "time_secs" => zoned.strftime("%-I:%M:%S %p").to_string(),
            "ago" => zoned.strftime("%Y-%m-%d %H:%M").to_string(),
            _ => return None,
        });
        rest = later;
    }
    shown.push_str(rest);
    Some(shown)
}

fn ordinal(day: i8) -> &'static str {
    match day {
        11..=13 => "th",
        day if day % 10 == 1 => "st",
        day if day % 10 == 2 => "nd",
        day if day % 10 == 3 => "rd",
        _ => "th",
    }
}
