//! Log lines: readable on a terminal, logfmt or JSON for machines.

mod line;
mod sink;

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use line::{Line, Style};

pub use sink::{dropped, flush};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// `ts=… level=… msg="…" name=value`, as Prometheus writes it.
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// The lowest level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Verbosity {
    /// All lines.
    Debug,
    /// Normal operation.
    Info,
    /// Problems that may need an operator.
    Warn,
    /// Problems that need an operator.
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

/// Whether lines on a terminal are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// With terminal escapes for colours.
    On,
    /// Without escapes.
    Off,
}

/// Starts logging to standard error, once per process. Without a format, the one for people is used if standard error is a
/// terminal, and logfmt otherwise.
pub fn init(format: Option<Format>, verbosity: Verbosity, colours: Colours) {
    let levels = tracing_subscriber::filter::Targets::new()
        // Libraries log for developers, not for operators.
        .with_default(Level::WARN.min(verbosity.level()))
        .with_target("alert_manager", verbosity.level())
        .with_target("handler", verbosity.level())
        // It warns of each watched folder that is removed.
        .with_target("notify", Level::ERROR);
    let registry = tracing_subscriber::registry().with(levels);
    let writer = match sink::stderr() {
        Some(sink) => BoxMakeWriter::new(move || sink),
        None => BoxMakeWriter::new(io::stderr),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    // A second call in one process (in tests) keeps the first subscriber.
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
