//! One attempt of a delivery as text: its steps, their host calls and log lines.

use std::fmt::Write as _;

use super::{hook, indent, moment};
use crate::alert::Block;
use crate::api::{Attempt, AttemptOutcome, Call, Lenient, LogLine, StepOutcome, StepTry};
use crate::cli::print::{self, Paint, one_line, plain};
use crate::journal::{Doubt, Suspect};
use crate::runtime::{Answered, render_kept};

/// Renders an attempt.
pub(super) fn render_attempt(out: &mut String, attempt: &Attempt, paint: Paint) {
    let after_crash = if attempt.after_crash {
        ", after a crash of the server during the one before"
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "\n{} at {}: {}{after_crash}",
        paint.bold(&format!("attempt {}", attempt.attempt)),
        moment(&attempt.started_at.to_string()),
        attempt_ended(&attempt.outcome),
    );
    for step in &attempt.steps {
        render_step(out, step, paint);
    }
    if !attempt.left_out.is_empty() {
        let left_out: Vec<_> = attempt.left_out.iter().map(|what| one_line(what)).collect();
        let _ = writeln!(
            out,
            "  left out, because the story is at its limit (story_bytes): {}",
            left_out.join(", ")
        );
    }
}

fn attempt_ended(outcome: &Lenient<AttemptOutcome>) -> String {
    match outcome {
        Lenient::Known(AttemptOutcome::Yield) => "goes on".to_owned(),
        Lenient::Known(AttemptOutcome::Parked) => "waits for a rate limit".to_owned(),
        Lenient::Known(AttemptOutcome::Retry) => "to be tried again".to_owned(),
        other => one_line(&other.to_text()),
    }
}

/// Renders one try of a step.
pub(in crate::cli) fn render_step(out: &mut String, step: &StepTry, paint: Paint) {
    let outcome = one_line(&step.outcome.to_text());
    let outcome = match step.outcome {
        Lenient::Known(StepOutcome::Done) => paint.green(&outcome),
        Lenient::Known(StepOutcome::Failed) => paint.red(&outcome),
        _ => paint.yellow(&outcome),
    };
    let trace = &step.trace;
    let _ = writeln!(
        out,
        "  {} {} {}  {outcome} in {} (cpu {}, memory {})",
        hook(&step.step),
        paint.bold(&one_line(step.handler.as_str())),
        paint.dim(&one_line(step.module.as_deref().unwrap_or_default())),
        micros(trace.wall_us),
        micros(trace.cpu_us),
        mebibytes(trace.memory_bytes),
    );
    if let Some(error) = &step.error {
        let error = indent(&plain(error), 6);
        let _ = writeln!(out, "    {} {error}", paint.red("error"));
    }
    for call in &trace.calls {
        render_call(out, call, step.error.as_deref(), paint);
    }
    dropped(out, trace.calls_dropped, "host calls");
    for doubt in &step.in_doubt {
        render_doubt(out, doubt, step.outcome.is(StepOutcome::Retry), paint);
    }
    for line in &trace.logs {
        render_log_line(out, line, paint);
    }
    dropped(out, trace.logs_dropped, "log lines");
    for (name, value) in step.facts.iter() {
        let _ = writeln!(
            out,
            "    {} {}={}",
            paint.dim("fact  "),
            one_line(name),
            indent(&plain(value), 11)
        );
    }
    for block in &step.blocks {
        render_block(out, block, paint);
    }
}

/// Renders content that an enrichment found.
fn render_block(out: &mut String, block: &Lenient<Block>, paint: Paint) {
    let (title, text) = match block {
        Lenient::Unknown(json) => ("", json.to_string()),
        Lenient::Known(block) => match block {
            Block::Markdown { text } => ("", text.clone()),
            Block::Fields { fields } => ("", pairs(fields)),
            Block::Table {
                title,
                header,
                rows,
            } => {
                let rows = std::iter::once(header).chain(rows);
                let rows: Vec<_> = rows.map(|row| row.join(" | ")).collect();
                (title.as_str(), rows.join("\n"))
            }
            Block::Excerpt { title, text } => (title.as_str(), text.clone()),
            Block::Link { title, url } => (title.as_str(), url.clone()),
            Block::Image {
                title,
                media_type,
                data,
            } => (
                title.as_str(),
                format!("{media_type}, {} bytes", data.len()),
            ),
            Block::Custom { name, fallback, .. } => (name.as_str(), fallback.clone()),
        },
    };
    let text = match (title, text.as_str()) {
        ("", text) => text.to_owned(),
        (title, "") => title.to_owned(),
        (title, text) => format!("{title}\n{text}"),
    };
    let label = paint.dim("block ");
    let _ = writeln!(out, "    {label} {}", indent(&plain(&text), 11));
}

fn pairs(fields: &[(String, String)]) -> String {
    let lines = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn render_log_line(out: &mut String, line: &LogLine, paint: Paint) {
    let fields = line.fields.iter();
    let fields: String = fields
        .map(|(name, value)| format!(" {}={}", one_line(name), one_line(value)))
        .collect();
    let _ = writeln!(
        out,
        "    {} {}{fields}",
        paint.dim(&format!("{:<6}", one_line(&line.level))),
        indent(&plain(&line.message), 11),
    );
}

fn render_doubt(out: &mut String, doubt: &Lenient<Doubt>, goes_on: bool, paint: Paint) {
    let label = paint.yellow("in doubt");
    let Some(doubt) = doubt.known() else {
        let json = one_line(&doubt.to_text());
        let _ = writeln!(out, "    {label} {}", print::first_line(&json, 200));
        return;
    };
    let what = match &doubt.suspect {
        Suspect::Call(call) => one_line(&call.request),
        Suspect::Several => "more calls than are listed".to_owned(),
        Suspect::UnderWay => "a call that was under way".to_owned(),
    };
    let times = match doubt.times {
        0 | 1 => String::new(),
        times => format!(" up to {times} times"),
    };
    let end = if goes_on {
        ""
    } else {
        ", and was not repeated"
    };
    let _ = writeln!(
        out,
        "    {label} {what} may have happened{times}, last at attempt {}{end} ({})",
        doubt.attempt,
        print::first_line(&plain(&doubt.why), 200),
    );
}

/// Renders a call. A reason that the step's error gives already is left out.
fn render_call(out: &mut String, call: &Call, error: Option<&str>, paint: Paint) {
    let result = match call.result.split_once(": ") {
        Some((kind, why)) if error.is_some_and(|error| !why.is_empty() && error.contains(why)) => {
            kind
        }
        _ => &call.result,
    };
    let how = match &call.answered {
        Lenient::Known(Answered::Live) => String::new(),
        Lenient::Known(Answered::Ambiguous) => format!(
            " [{}]",
            paint.yellow("ambiguous: it may have happened, or have happened twice")
        ),
        Lenient::Known(Answered::Recorded) => {
            format!(" [{}]", paint.dim("from the record of an earlier attempt"))
        }
        other => format!(" [{}]", paint.yellow(&one_line(&other.to_text()))),
    };
    let _ = writeln!(
        out,
        "    {} {} → {} {}{how}",
        paint.dim(&format!("{:<6}", one_line(&call.kind.to_text()))),
        one_line(&call.request),
        print::first_line(&plain(result), 200),
        paint.dim(&format!("({})", micros(call.duration_us))),
    );
    let Some(preview) = call.preview.as_ref().filter(|preview| preview.is_object()) else {
        return;
    };
    // Of a request that was not sent, the URL and the body; else a message.
    let shown = match preview["url"].as_str() {
        Some(url) => format!(
            "  {url}\n  {}",
            preview["body"].as_str().unwrap_or_default()
        ),
        None => render_kept(preview),
    };
    for line in shown.trim_end().lines() {
        let _ = writeln!(out, "         {}", paint.dim(&plain(line)));
    }
}

fn dropped(out: &mut String, count: u32, what: &str) {
    if count > 0 {
        let _ = writeln!(out, "    … {count} more {what}, not kept");
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(in crate::cli) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(in crate::cli) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
