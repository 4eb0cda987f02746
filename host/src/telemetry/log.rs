//! Log lines: readable on a terminal, logfmt or JSON for machines.

use std::fmt;
use std::io::IsTerminal as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::text::{is_unprintable, visible, visible_json};

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// `ts=… level=… msg="…" name=value`, as Prometheus writes it.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Verbosity {
    /// Everything.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What may need an operator.
    Warn,
    /// What needs an operator.
    Error,
}

impl Verbosity {
    fn level(self) -> Level {
        match self {
            Self::Debug => Level::DEBUG,
            Self::Info => Level::INFO,
            Self::Warn => Level::WARN,
            Self::Error => Level::ERROR,
        }
    }
}

/// Whether lines for people are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// As terminals obey them.
    On,
    /// Text alone.
    Off,
}

/// Starts logging to standard error, once a process. Without a format, people's where standard error is a
/// terminal, and logfmt elsewhere.
pub fn init(format: Option<Format>, verbosity: Verbosity, colours: Colours) {
    let levels = tracing_subscriber::filter::Targets::new()
        // What libraries tell is for us, not for operators.
        .with_default(Level::WARN.min(verbosity.level()))
        .with_target("alert_manager", verbosity.level())
        .with_target("handler", verbosity.level());
    let registry = tracing_subscriber::registry().with(levels);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A second call in one process (tests) keeps the first one's subscriber.
    let _ = match (format, std::io::stderr().is_terminal()) {
        (Some(Format::Json), _) => registry
            .with(lines.event_format(Line(Style::Json)))
            .try_init(),
        (None, true) => registry
            .with(lines.event_format(Line(Style::Terminal(colours))))
            .try_init(),
        (Some(Format::Logfmt), _) | (None, false) => registry
            .with(lines.event_format(Line(Style::Logfmt)))
            .try_init(),
    };
}

enum Style {
    Terminal(Colours),
    Logfmt,
    Json,
}

/// Writes one event as one line; the fields of spans are not used in this program.
struct Line(Style);

#[derive(Default)]
struct Fields {
    message: String,
    pairs: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.pairs.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
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
    // A guest's own message may hold anything: only line breaks and printable text reach the terminal.
    out.write_str(&visible(&fields.message, "\n         ", " "))?;
    for (name, value) in &fields.pairs {
        write!(out, " {dim}{name}={plain}{}", visible(value, " ", " "))?;
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
        logfmt_value(out, value)?;
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
        line.insert((*name).into(), value.clone().into());
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
            pairs: vec![("handler", "a-b".into()), ("error", "x=\u{1b}[31m".into())],
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
            pairs: vec![("handler", "a-b".into())],
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
    fn no_format_lets_an_escape_sequence_or_a_second_line_through() {
        let hostile = "a\u{1b}[2Jb\u{9b}31m\u{202e}c\u{e0041}\r\nts=0 level=error msg=forged";
        let fields = Fields {
            message: hostile.into(),
            pairs: vec![("handler", hostile.into())],
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
