//! Formats an event as a log line.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Colours;
use crate::runtime::GUEST_FIELDS;
use crate::text::{is_unprintable, visible, visible_json};

/// The line's own names. A handler's field must not have one of them, which would forge it.
const OWN_NAMES: [&str; 6] = ["ts", "level", "msg", "handler", "delivery", "alertname"];

/// The format of a line.
pub(super) enum Style {
    Terminal(Colours),
    Logfmt,
    Json,
}

/// Formats an event as one line; the fields of spans are not used in this program.
pub(super) struct Line(pub(super) Style);

#[derive(Default)]
struct Fields {
    message: String,
    pairs: Vec<(Cow<'static, str>, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        self.pairs.push((field.name().into(), value));
    }

    /// Adds the fields of a handler's log line. A name that is invalid in logfmt is changed to a valid one.
    fn push_guest(&mut self, pairs: &str) {
        let pairs: Vec<(String, String)> = serde_json::from_str(pairs).unwrap_or_default();
        for (name, value) in pairs {
            let mut name: String = name
                .chars()
                .map(|c| {
                    if c.is_whitespace() || is_unprintable(c) || matches!(c, '"' | '=' | '\\') {
                        '_'
                    } else {
                        c
                    }
                })
                .collect();
            if name.is_empty() || OWN_NAMES.contains(&name.as_str()) {
                name.insert_str(0, "field_");
            }
            self.pairs.push((name.into(), value.into()));
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            GUEST_FIELDS => self.push_guest(value),
            _ => self.push(field, value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }
}

/// Returns a value as text, strings without JSON's quotes.
fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = jiff::Timestamp::now();
        let level = event.metadata().level();
        match self.0 {
            Style::Terminal(colours) => {
                terminal_line(&mut out, now, *level, &fields, colours)?;
            }
            Style::Logfmt => logfmt_line(&mut out, now, *level, &fields)?,
            Style::Json => json_line(&mut out, now, *level, &fields)?,
        }
        out.write_char('\n')
    }
}

fn terminal_line(
    out: &mut Writer<'_>,
    now: jiff::Timestamp,
    level: Level,
    fields: &Fields,
    colours: Colours,
) -> fmt::Result {
    let (colour, word) = match level {
        Level::ERROR => ("\x1b[31m", "error"),
        Level::WARN => ("\x1b[33m", "warn "),
        Level::INFO => ("\x1b[32m", "info "),
        _ => ("\x1b[2m", "debug"),
    };
    let (colour, dim, plain) = match colours {
        Colours::On => (colour, "\x1b[2m", "\x1b[0m"),
        Colours::Off => ("", "", ""),
    };
    let local = now.to_zoned(jiff::tz::TimeZone::system());
    let time = local.strftime("%H:%M:%S%.3f");
    write!(out, "{dim}{time}{plain} {colour}{word}{plain} ")?;
    // A guest's message can hold anything: only line breaks and printable text may reach the terminal.
    out.write_str(&visible(&fields.message, "\n         ", " "))?;
    let (long, short): (Vec<_>, Vec<_>) = fields
        .pairs
        .iter()
        .map(|(name, value)| (name, as_text(value)))
        .partition(|(_, value)| value.contains('\n'));
    for (name, value) in short {
        write!(out, " {dim}{name}={plain}{}", visible(&value, " ", " "))?;
    }
    // Values of several lines, such as lines of configuration, are printed as lines, so that they can be copied.
    for (name, value) in long {
        let lines = visible(value.trim_end(), "\n         ", "    ");
        write!(out, "\n         {dim}{name}={plain}\n         {lines}")?;
    }
    Ok(())
}

fn logfmt_line(
    out: &mut Writer<'_>,
    now: jiff::Timestamp,
    level: Level,
    fields: &Fields,
) -> fmt::Result {
    write!(
        out,
        "ts={now:.3} level={} msg=",
        level.as_str().to_ascii_lowercase()
    )?;
    logfmt_value(out, &fields.message)?;
    for (name, value) in &fields.pairs {
        write!(out, " {name}=")?;
        logfmt_value(out, &as_text(value))?;
    }
    Ok(())
}

fn logfmt_value(out: &mut Writer<'_>, value: &str) -> fmt::Result {
    let bare = !value.is_empty()
        && value
            .chars()
            .all(|c| !c.is_whitespace() && !is_unprintable(c) && !matches!(c, '"' | '=' | '\\'));
    if bare {
        return out.write_str(value);
    }
    out.write_char('"')?;
    for c in value.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            c if is_unprintable(c) && u32::from(c) > 0xffff => {
                write!(out, "\\U{:08x}", u32::from(c))?;
            }
            c if is_unprintable(c) => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

fn json_line(
    out: &mut Writer<'_>,
    now: jiff::Timestamp,
    level: Level,
    fields: &Fields,
) -> fmt::Result {
    let mut line = serde_json::Map::new();
    line.insert("ts".into(), format!("{now:.3}").into());
    line.insert("level".into(), level.as_str().to_ascii_lowercase().into());
    line.insert("msg".into(), fields.message.clone().into());
    for (name, value) in &fields.pairs {
        line.insert(name.clone().into_owned(), value.clone());
    }
    out.write_str(&visible_json(&serde_json::Value::Object(line).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logfmt_quotes_what_would_break_the_line() {
        let fields = Fields {
            message: "it \"broke\"\nbadly".into(),
            pairs: vec![
                ("handler".into(), "a-b".into()),
                ("error".into(), "x=\u{1b}[31m".into()),
            ],
        };
        let mut line = String::new();
        logfmt_line(
            &mut Writer::new(&mut line),
            jiff::Timestamp::UNIX_EPOCH,
            Level::WARN,
            &fields,
        )
        .expect("a string takes any text");
        assert_eq!(
            line,
            r#"ts=1970-01-01T00:00:00.000Z level=warn msg="it \"broke\"\nbadly" handler=a-b error="x=\u001b[31m""#
        );
    }

    #[test]
    fn a_line_for_people_has_colours_only_where_they_are_wanted() {
        let fields = Fields {
            message: "it broke".into(),
            pairs: vec![("handler".into(), "a-b".into())],
        };
        let shown = |colours| {
            let mut line = String::new();
            let now = jiff::Timestamp::UNIX_EPOCH;
            terminal_line(
                &mut Writer::new(&mut line),
                now,
                Level::WARN,
                &fields,
                colours,
            )
            .expect("a string takes any text");
            line
        };
        assert!(shown(Colours::On).contains("\x1b[33mwarn \x1b[0m it broke"));
        let plain = shown(Colours::Off);
        assert!(plain.ends_with(" warn  it broke handler=a-b"), "{plain}");
        assert!(!plain.contains('\x1b'), "{plain}");
    }

    #[test]
    fn numbers_stay_numbers_in_json() {
        let fields = Fields {
            message: "settled".into(),
            pairs: vec![
                ("attempts".into(), 2.into()),
                ("seconds".into(), 0.25.into()),
            ],
        };
        let mut line = String::new();
        let at = jiff::Timestamp::UNIX_EPOCH;
        json_line(&mut Writer::new(&mut line), at, Level::INFO, &fields)
            .expect("a string takes any text");
        assert!(line.contains(r#""attempts":2,"#), "{line}");
        assert!(line.contains(r#""seconds":0.25"#), "{line}");
    }

    #[test]
    fn a_handlers_fields_are_fields_and_forge_none_of_ours() {
        let mut fields = Fields::default();
        fields.push_guest(r#"[["pod","a b"],["level","error"],["x=1 y","z"],["","empty"]]"#);
        let mut line = String::new();
        let at = jiff::Timestamp::UNIX_EPOCH;
        logfmt_line(&mut Writer::new(&mut line), at, Level::INFO, &fields)
            .expect("a string takes any text");
        assert!(
            line.ends_with(r#" pod="a b" field_level=error x_1_y=z field_=empty"#),
            "{line}"
        );
    }

    #[test]
    fn what_has_several_lines_is_shown_as_lines_to_people() {
        let fields = Fields {
            message: "limited".into(),
            pairs: vec![
                ("add".into(), "a:\n  b: 1".into()),
                ("handler".into(), "h".into()),
            ],
        };
        let mut line = String::new();
        let at = jiff::Timestamp::UNIX_EPOCH;
        terminal_line(
            &mut Writer::new(&mut line),
            at,
            Level::WARN,
            &fields,
            Colours::Off,
        )
        .expect("a string takes any text");
        assert!(
            line.ends_with("limited handler=h\n         add=\n         a:\n           b: 1"),
            "{line}"
        );
    }

    #[test]
    fn no_format_lets_an_escape_sequence_or_a_second_line_through() {
        let hostile = "a\u{1b}[2Jb\u{9b}31m\u{202e}c\u{e0041}\r\nts=0 level=error msg=forged";
        let fields = Fields {
            message: hostile.into(),
            pairs: vec![("handler".into(), hostile.into())],
        };
        let at = jiff::Timestamp::UNIX_EPOCH;
        let written =
            |write: fn(&mut Writer<'_>, jiff::Timestamp, Level, &Fields) -> fmt::Result| {
                let mut line = String::new();
                write(&mut Writer::new(&mut line), at, Level::WARN, &fields)
                    .expect("a string takes any text");
                line
            };
        for line in [written(logfmt_line), written(json_line)] {
            assert!(!line.contains(is_unprintable), "{line:?}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&written(json_line)).expect("it is JSON");
        assert_eq!(json["msg"], hostile);
        let terminal =
            written(|out, at, level, fields| terminal_line(out, at, level, fields, Colours::On));
        let own = ["\x1b[2m", "\x1b[0m", "\x1b[33m", "\n         "];
        let rest = own.iter().fold(terminal, |line, own| line.replace(own, ""));
        assert!(!rest.contains(is_unprintable), "{rest:?}");
    }
}
