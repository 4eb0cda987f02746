//! How values are written in templates. A filter is applied as in `{{ delivery.alertname|text(80) }}`.

#![allow(unreachable_pub, reason = "the macro `filter_fn` makes public items")]

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use askama::filters::{HtmlSafe, Safe};
use askama::{Values, filter_fn};

use crate::alert::{Priority, Timestamp};
use crate::api::{Delivery, Handler, Lenient, Waiting};
use crate::queue::{Reason, State};
use crate::runtime::ModuleState;
use crate::shapes::mask_named;
use crate::text::{is_unprintable, visible};

/// Writes a text that comes from outside, as in `{{ text|text(200) }}`: escaped, with its direction isolated, invisible characters
/// shown, and cut after so many characters.
#[filter_fn]
pub(super) fn text<T: Display>(
    value: T,
    _: &dyn Values,
    chars_max: usize,
) -> askama::Result<Shown> {
    Ok(Shown {
        text: value.to_string(),
        chars_max,
    })
}

/// Writes a text that comes from outside into an attribute, as in `aria-label="{{ text|plain(80) }}"`: what is invisible is escaped,
/// and it is cut.
#[filter_fn]
pub(super) fn plain<T: Display>(
    value: T,
    _: &dyn Values,
    chars_max: usize,
) -> askama::Result<String> {
    let text: String = value.to_string().chars().take(chars_max).collect();
    Ok(visible(&text, " ", " "))
}

/// Returns what has a name, such as a label, without secrets, as in `{{ value|masked(name)|text(80) }}`.
#[filter_fn]
pub(super) fn masked<T: Display, N: Display>(
    value: T,
    _: &dyn Values,
    name: N,
) -> askama::Result<String> {
    let mut text = value.to_string();
    mask_named(&name.to_string(), &mut text);
    Ok(text)
}

/// Writes the content of a field of a form as it was sent. HTML has no U+0000.
#[filter_fn]
pub(super) fn field<T: Display>(value: T, _: &dyn Values) -> askama::Result<String> {
    Ok(value.to_string().replace('\0', "\u{fffd}"))
}

/// Writes a moment, as in `2026-01-02 03:04:05`; the script adds the time zone of the person.
#[filter_fn]
pub(super) fn moment(value: &Timestamp, _: &dyn Values) -> askama::Result<Safe<String>> {
    let (exact, short) = (exact(*value), value.strftime("%Y-%m-%d %H:%M:%S"));
    let html = format!("<time datetime=\"{exact}\" title=\"{exact}\">{short}</time>");
    Ok(Safe(html))
}

/// Writes a moment as short as it is clear, as in `03:04:05` for one of today.
#[filter_fn]
pub(super) fn clock(value: &Timestamp, _: &dyn Values) -> askama::Result<Safe<String>> {
    let date = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let is_today = date(*value) == date(Timestamp::now());
    let format = if is_today {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    let (exact, short) = (exact(*value), value.strftime(format));
    let html = format!("<time datetime=\"{exact}\" title=\"{exact}\">{short}</time>");
    Ok(Safe(html))
}

/// Returns the first line of a text.
#[filter_fn]
pub(super) fn first_line<T: Display>(value: T, _: &dyn Values) -> askama::Result<String> {
    let text = value.to_string();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Writes how long ago a moment is, as in `3 min ago`; the script keeps it true.
#[filter_fn]
pub(super) fn ago(value: &Timestamp, _: &dyn Values) -> askama::Result<Safe<String>> {
    let exact = exact(*value);
    let apart = relative(*value, Timestamp::now());
    let html = format!("<time datetime=\"{exact}\" title=\"{exact}\" data-relative>{apart}</time>");
    Ok(Safe(html))
}

/// Writes when something is due, as in `in 3 min`, or that it is now; the script keeps it true.
#[filter_fn]
pub(super) fn due(value: &Timestamp, _: &dyn Values) -> askama::Result<Safe<String>> {
    let (exact, now) = (exact(*value), Timestamp::now());
    let apart = match *value > now {
        true => relative(*value, now),
        false => "now".to_owned(),
    };
    let html = format!("<time datetime=\"{exact}\" title=\"{exact}\" data-due>{apart}</time>");
    Ok(Safe(html))
}

/// Writes a time in milliseconds, if there is one.
#[filter_fn]
pub(super) fn millis(value: &Option<u64>, _: &dyn Values) -> askama::Result<String> {
    let text = |ms: u64| span(Duration::from_millis(ms));
    Ok(value.map_or_else(String::new, text))
}

/// Writes a time in microseconds.
#[filter_fn]
pub(super) fn micros(value: &u64, _: &dyn Values) -> askama::Result<String> {
    Ok(span(Duration::from_micros(*value)))
}

/// Writes a number of bytes, as in `1.5 MiB`.
#[filter_fn]
pub(super) fn bytes(value: &u64, _: &dyn Values) -> askama::Result<String> {
    Ok(size(*value))
}

/// Writes the time from one moment to another.
#[filter_fn]
pub(super) fn until(value: &Timestamp, _: &dyn Values, end: &Timestamp) -> askama::Result<String> {
    Ok(span(between(*value, *end)))
}

/// Writes the state of a delivery with a sign, since colour alone says nothing to some.
#[filter_fn]
pub(super) fn state(value: &Lenient<State>, _: &dyn Values) -> askama::Result<Safe<String>> {
    let (class, sign) = match value.known() {
        Some(State::Queued) => ("queued", "◌"),
        Some(State::Running) => ("running", "▸"),
        Some(State::Retrying) => ("retrying", "↻"),
        Some(State::Done) => ("done", "✓"),
        Some(State::Dead) => ("dead", "✕"),
        None => ("unknown", "?"),
    };
    let word = Shown {
        text: value.to_text(),
        chars_max: 20,
    };
    Ok(Safe(format!(
        "<span class=\"state {class}\"><span aria-hidden=\"true\">{sign}</span> {word}</span>"
    )))
}

/// Writes the name of an alert, or that it has none.
#[filter_fn]
pub(super) fn name(value: &str, _: &dyn Values) -> askama::Result<String> {
    let shown = if value.trim().is_empty() {
        "(no alertname)"
    } else {
        value
    };
    Ok(shown.to_owned())
}

/// Writes the state of a handler, with a sign.
#[filter_fn]
pub(super) fn health(value: &Handler, _: &dyn Values) -> askama::Result<Safe<&'static str>> {
    Ok(Safe(match value.state.known() {
        _ if value.paused.is_some() => {
            "<span class=\"state retrying\"><span aria-hidden=\"true\">‖</span> paused</span>"
        }
        _ if !value.held.is_empty() => {
            "<span class=\"state retrying\"><span aria-hidden=\"true\">‖</span> held</span>"
        }
        Some(ModuleState::Ready) if value.only_failures().is_some() => {
            "<span class=\"state dead\"><span aria-hidden=\"true\">✕</span> fails</span>"
        }
        Some(ModuleState::Ready | ModuleState::Limited) if value.keeps_settings => {
            "<span class=\"state retrying\"><span aria-hidden=\"true\">!</span> old settings</span>"
        }
        Some(ModuleState::Refused) if value.serving => {
            "<span class=\"state retrying\"><span aria-hidden=\"true\">!</span> refused, old version serves</span>"
        }
        Some(ModuleState::Ready) => {
            "<span class=\"state done\"><span aria-hidden=\"true\">✓</span> ready</span>"
        }
        Some(ModuleState::Limited) => {
            "<span class=\"state retrying\"><span aria-hidden=\"true\">!</span> limited</span>"
        }
        Some(ModuleState::Loading) => {
            "<span class=\"state queued\"><span aria-hidden=\"true\">◌</span> loading</span>"
        }
        Some(ModuleState::Refused) => {
            "<span class=\"state dead\"><span aria-hidden=\"true\">✕</span> refused</span>"
        }
        None => "<span class=\"state queued\">unknown</span>",
    }))
}

/// Returns the priority of a delivery if it is a raised one.
#[filter_fn]
pub(super) fn urgency(value: &Delivery, _: &dyn Values) -> askama::Result<Option<&'static str>> {
    let raised = value
        .priority
        .known()
        .filter(|priority| **priority != Priority::Normal);
    Ok(raised.map(|priority| priority.as_str()))
}

/// Returns why a delivery has ended, if that is not what its state says already.
#[filter_fn]
pub(super) fn odd_reason(value: &Delivery, _: &dyn Values) -> askama::Result<Option<&'static str>> {
    let reason = value.reason.as_ref().and_then(Lenient::known);
    let is_odd = |reason: &&Reason| !matches!(reason, Reason::Handled | Reason::Failed);
    Ok(reason.filter(is_odd).map(|reason| reason.as_str()))
}

/// Writes what a delivery waits for.
#[filter_fn]
pub(super) fn waits(value: &Waiting, _: &dyn Values) -> askama::Result<String> {
    if let Some(what) = &value.until_recovered {
        return Ok(match what.split_once(' ') {
            Some(("slack", channel)) => {
                let name = channel.trim_start_matches("channel ");
                format!("Slack to accept the channel {name} again")
            }
            None if what == "slack" => "Slack to answer again".to_owned(),
            _ => format!("the recovery of {what}"),
        });
    }
    Ok(match (value.waits_for.as_str(), &value.gate) {
        ("gate", Some(gate)) => format!("the rate limit of {gate}"),
        ("slot", _) => "a slot of its handler".to_owned(),
        ("order", _) => "an earlier delivery of this alert".to_owned(),
        ("storm", _) => "what runs for its storm".to_owned(),
        ("time", _) => "the time of its next attempt".to_owned(),
        (other, _) => other.to_owned(),
    })
}

/// A text that is cut to so many characters, or more, says how many it has. A shorter one is part of a list.
const SAYS_LENGTH_FROM: usize = 500;

/// A text that comes from outside, as HTML.
pub(super) struct Shown {
    text: String,
    chars_max: usize,
}

impl HtmlSafe for Shown {}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<bdi>")?;
        let end = self.text.char_indices().nth(self.chars_max);
        escape_into(f, &self.text[..end.map_or(self.text.len(), |(end, _)| end)])?;
        f.write_str("</bdi>")?;
        // Bytes are an upper bound of characters, and known.
        if self.text.len() > self.chars_max {
            let chars = self.text.chars().count();
            if chars > self.chars_max && self.chars_max >= SAYS_LENGTH_FROM {
                write!(f, "<span class=\"cut\">… ({chars} characters)</span>")?;
            } else if chars > self.chars_max {
                f.write_str("<span class=\"cut\">…</span>")?;
            }
        }
        Ok(())
    }
}

/// How many marks above or below a letter are drawn: more would reach into other lines.
const MARKS_MAX: usize = 3;

/// Returns whether a character is drawn above, below or through the one before it.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Returns whether a character has no shape, so that a text with it looks like one without it. Those that choose the shape of an
/// emoji do not count.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0d}' | '\u{ffa0}')
}

/// Writes text as HTML: escaped, with what is invisible shown.
pub(super) fn escape_into(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut marks = 0;
    for c in text.chars() {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        match c {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&#39;")?,
            '\n' | '\t' => f.write_char(c)?,
            c if is_unprintable(c) || is_blank(c) || marks > MARKS_MAX => {
                write!(f, "<span class=\"invisible\">U+{:04X}</span>", u32::from(c))?;
            }
            c => f.write_char(c)?,
        }
    }
    Ok(())
}

/// Returns a time with the two units that say most, as in `1.2 s` or `2 h 5 min`.
pub(super) fn span(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.as_millis());
    match seconds {
        0 if ms == 0 => format!("{} µs", time.as_micros()),
        0 => format!("{ms} ms"),
        1..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => pair(seconds, 60, "min", "s"),
        3_600..86_400 => pair(seconds / 60, 60, "h", "min"),
        _ => pair(seconds / 3_600, 24, "d", "h"),
    }
}

/// Returns a number of bytes in the largest unit of which there is one.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB"];
    let (mut whole, mut tenths, mut named) = (bytes, 0, "bytes");
    for unit in units {
        if whole < 1_024 {
            break;
        }
        (whole, tenths, named) = (whole / 1_024, whole % 1_024 * 10 / 1_024, unit);
    }
    match tenths {
        0 => format!("{whole} {named}"),
        tenths => format!("{whole}.{tenths} {named}"),
    }
}

fn pair(small: u64, ratio: u64, large_unit: &str, small_unit: &str) -> String {
    match small % ratio {
        0 => format!("{} {large_unit}", small / ratio),
        rest => format!("{} {large_unit} {rest} {small_unit}", small / ratio),
    }
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    let apart = between(at.min(now), at.max(now));
    let apart = match apart.as_secs() {
        0..60 => format!("{} s", apart.as_secs()),
        60..3_600 => format!("{} min", apart.as_secs() / 60),
        3_600..172_800 => format!("{} h", apart.as_secs() / 3_600),
        _ => format!("{} d", apart.as_secs() / 86_400),
    };
    if at > now {
        format!("in {apart}")
    } else {
        format!("{apart} ago")
    }
}

fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

fn exact(at: Timestamp) -> impl Display {
    at.strftime("%Y-%m-%dT%H:%M:%SZ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn shown(text: &str, chars_max: usize) -> String {
        let text = text.to_owned();
        Shown { text, chars_max }.to_string()
    }

    #[test]
    fn text_from_outside_stays_text() {
        assert_eq!(
            shown("<a href='x'>\"&", 99),
            "<bdi>&lt;a href=&#39;x&#39;&gt;&quot;&amp;</bdi>"
        );
        assert_eq!(
            shown("a\u{202e}b\u{1b}\n", 99),
            "<bdi>a<span class=\"invisible\">U+202E</span>b<span class=\"invisible\">U+001B</span>\n</bdi>"
        );
        assert_eq!(
            shown("a\u{ad}b", 99),
            "<bdi>a<span class=\"invisible\">U+00AD</span>b</bdi>"
        );
        let stacked = shown(&format!("Z{}e\u{301}", "\u{300}".repeat(5)), 99);
        assert_eq!(stacked.matches("U+0300").count(), 2, "{stacked}");
        assert!(stacked.ends_with("e\u{301}</bdi>"), "{stacked}");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(shown("ééé", 3), "<bdi>ééé</bdi>");
        assert_eq!(
            shown("éééé", 3),
            "<bdi>ééé</bdi><span class=\"cut\">…</span>"
        );
        let long = shown(&"é".repeat(SAYS_LENGTH_FROM + 1), SAYS_LENGTH_FROM);
        assert!(long.ends_with("é</bdi><span class=\"cut\">… (501 characters)</span>"));
    }

    #[test]
    fn a_size_has_the_largest_unit_of_which_there_is_one() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1_023, "1023 bytes"),
            (1_536, "1.5 KiB"),
            (64 << 20, "64 MiB"),
            (5 << 40, "5120 GiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn a_time_has_the_units_that_say_most() {
        for (ms, expected) in [
            (7, "7 ms"),
            (1_240, "1.2 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (61_000, "1 min 1 s"),
            (7_500_000, "2 h 5 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), expected, "{ms}");
        }
        assert_eq!(span(Duration::from_micros(25)), "25 µs");
    }

    #[test]
    fn what_is_to_come_and_what_was_are_told_apart() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-01-02T03:00:00Z");
        for (moment, expected) in [
            ("2026-01-02T02:59:57Z", "3 s ago"),
            ("2026-01-02T02:30:00Z", "30 min ago"),
            ("2026-01-01T02:59:00Z", "24 h ago"),
            ("2025-12-30T02:59:00Z", "3 d ago"),
            ("2026-01-02T03:00:09Z", "in 9 s"),
        ] {
            assert_eq!(relative(at(moment), now), expected);
        }
    }
}
