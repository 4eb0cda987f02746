//! `explain ID`: the story of one alert, for whoever was woken by it.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;

use super::args::ExplainArgs;
use super::ask::{path_segment, text, word};
use super::client::Client;
use super::print::{self, Paint};
use crate::runtime::render_kept;

/// Tells the story.
pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let id = match &args.id {
        Some(id) => id.clone(),
        None => newest(&client)?,
    };
    let story = story(&client, &id)?;
    if args.json {
        print::json(&story);
    } else {
        print::out(&tell(&story, Paint::for_stdout()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the whole story of a delivery.
pub(super) fn story(client: &Client, id: &str) -> anyhow::Result<Value> {
    client.get(&format!("/api/v1/deliveries/{}", path_segment(id)), &[])
}

fn newest(client: &Client) -> anyhow::Result<String> {
    let page = client.get("/api/v1/deliveries", &[("limit", "1".to_owned())])?;
    page["deliveries"][0]["id"]
        .as_str()
        .map(str::to_owned)
        .context("the server has no delivery yet: post an alert with `alert-manager send`")
}

/// Returns the story in words.
pub(super) fn tell(story: &Value, paint: Paint) -> String {
    let mut out = String::new();
    heading(&mut out, story, paint);
    alert(&mut out, &story["alert"], paint);
    if let Some(omitted) = story["attempts_omitted"].as_u64().filter(|n| *n > 0) {
        let _ = writeln!(
            out,
            "\n{omitted} attempts between the first and the last are not kept."
        );
    }
    for attempt in items(story, "story") {
        tell_attempt(&mut out, &attempt, paint);
    }
    if items(story, "story").is_empty() && story["state"] != "done" && story["alert"].is_object() {
        let _ = writeln!(out, "\nNothing has run yet.");
    }
    waiting(&mut out, story, paint);
    out
}

fn heading(out: &mut String, story: &Value, paint: Paint) {
    let state = text(&story["state"]);
    let state = match state.as_str() {
        "done" => paint.green(&state),
        "dead" => paint.red(&state),
        _ => paint.yellow(&state),
    };
    let name = match word(&story["alertname"]) {
        name if name.is_empty() => "(no alertname)".to_owned(),
        name => name,
    };
    let _ = writeln!(
        out,
        "{} {}: {state}",
        paint.bold(&name),
        word(&story["status"])
    );
    let handlers: Vec<_> = items(story, "handlers").iter().map(word).collect();
    let route = word(&story["route"]);
    for (name, value) in [
        ("delivery", text(&story["id"])),
        ("fingerprint", text(&story["fingerprint"])),
        (
            "route",
            if route.is_empty() {
                "none matched".into()
            } else {
                route
            },
        ),
        ("handlers", handlers.join(", ")),
        ("received", text(&story["received_at"])),
        ("settled", text(&story["settled_at"])),
        ("attempts", text(&story["attempts"])),
        ("tries left", tries_left(story)),
        ("sent again", again(&story["duplicates"])),
        ("reason", text(&story["reason"])),
        ("error", text(&story["last_error"])),
    ] {
        if !value.is_empty() {
            let _ = writeln!(
                out,
                "  {} {}",
                paint.dim(&format!("{name:<12}")),
                indent(&value, 15)
            );
        }
    }
}

/// Returns what is left of the retry policy, of each step that has used some of it and is not finished.
fn tries_left(story: &Value) -> String {
    let steps = items(story, "steps");
    let tried = steps
        .iter()
        .filter(|step| step["status"] == "pending" && step["attempts_used"] != 0);
    let left = tried.map(|step| {
        let [kind, handler] = ["kind", "handler"].map(|name| word(&step[name]));
        let [left, max] = ["tries_left", "attempts_max"].map(|name| text(&step[name]));
        format!("{kind} {handler}: {left} of {max}")
    });
    left.collect::<Vec<_>>().join(", ")
}

fn again(duplicates: &Value) -> String {
    match duplicates.as_u64() {
        None | Some(0) => String::new(),
        Some(1) => "once, as a duplicate".into(),
        Some(times) => format!("{times} times, as duplicates"),
    }
}

fn alert(out: &mut String, alert: &Value, paint: Paint) {
    if let Value::String(json) = alert {
        let _ = writeln!(
            out,
            "\n{}\n  {}",
            paint.bold("what was sent"),
            indent(&print::plain(json), 2)
        );
        return;
    }
    for (title, key) in [("labels", "labels"), ("annotations", "annotations")] {
        let pairs = alert[key].as_object().cloned().unwrap_or_default();
        if pairs.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{}", paint.bold(title));
        for (name, value) in &pairs {
            let _ = writeln!(
                out,
                "  {} {}",
                paint.dim(&format!("{}:", print::one_line(name))),
                indent(&text(value), 4)
            );
        }
    }
}

fn tell_attempt(out: &mut String, attempt: &Value, paint: Paint) {
    let after_crash = if attempt["after_crash"] == true {
        ", after a crash of the server during the one before"
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "\n{} at {}: {}{after_crash}",
        paint.bold(&format!("attempt {}", text(&attempt["attempt"]))),
        moment(&word(&attempt["started_at"])),
        attempt_ended(&word(&attempt["outcome"])),
    );
    for step in items(attempt, "steps") {
        tell_step(out, &step, paint);
    }
    let left_out: Vec<_> = items(attempt, "left_out").iter().map(word).collect();
    if !left_out.is_empty() {
        let _ = writeln!(
            out,
            "  left out, because the story is at its limit (story_bytes): {}",
            left_out.join(", ")
        );
    }
}

/// The queue's words in a reader's.
fn attempt_ended(outcome: &str) -> &str {
    match outcome {
        "yield" => "goes on",
        "retry" => "to be tried again",
        other => other,
    }
}

fn tell_step(out: &mut String, step: &Value, paint: Paint) {
    let outcome = text(&step["outcome"]);
    let outcome = match outcome.as_str() {
        "done" => paint.green(&outcome),
        "failed" => paint.red(&outcome),
        _ => paint.yellow(&outcome),
    };
    let _ = writeln!(
        out,
        "  {} {} {}  {outcome} in {} (cpu {}, memory {})",
        word(&step["step"]),
        paint.bold(&word(&step["handler"])),
        paint.dim(&word(&step["module"])),
        micros(&step["wall_us"]),
        micros(&step["cpu_us"]),
        mebibytes(&step["memory_bytes"]),
    );
    if let Some(error) = step["error"].as_str() {
        let _ = writeln!(
            out,
            "    {} {}",
            paint.red("error"),
            indent(&print::plain(error), 6)
        );
    }
    for call in items(step, "calls") {
        tell_call(out, &call, paint);
    }
    dropped(out, &step["calls_dropped"], "host calls");
    for doubt in items(step, "in_doubt") {
        tell_doubt(out, &doubt, step["outcome"] == "retry", paint);
    }
    for log in items(step, "logs") {
        let fields: String = items(&log, "fields")
            .iter()
            .map(|pair| format!(" {}={}", word(&pair[0]), word(&pair[1])))
            .collect();
        let _ = writeln!(
            out,
            "    {} {}{fields}",
            paint.dim(&format!("{:<6}", text(&log["level"]))),
            indent(&text(&log["message"]), 11),
        );
    }
    dropped(out, &step["logs_dropped"], "log lines");
    for (name, value) in step["facts"].as_object().cloned().unwrap_or_default() {
        let _ = writeln!(
            out,
            "    {} {}={}",
            paint.dim("fact  "),
            print::one_line(&name),
            indent(&text(&value), 11)
        );
    }
}

fn tell_doubt(out: &mut String, doubt: &Value, goes_on: bool, paint: Paint) {
    let what = match doubt["suspect"]["call"]["request"].as_str() {
        Some(request) => print::one_line(request),
        None if doubt["suspect"] == "several" => "more calls than are listed".to_owned(),
        None => "a call that was under way".to_owned(),
    };
    let times = match doubt["times"].as_u64() {
        None | Some(0 | 1) => String::new(),
        Some(times) => format!(" up to {times} times"),
    };
    let end = if goes_on {
        ""
    } else {
        ", and was not repeated"
    };
    let _ = writeln!(
        out,
        "    {} {what} may have happened{times}, last at attempt {}{end} ({})",
        paint.yellow("in doubt"),
        text(&doubt["attempt"]),
        print::first_line(&text(&doubt["why"]), 200),
    );
}

fn tell_call(out: &mut String, call: &Value, paint: Paint) {
    let answered = text(&call["answered"]);
    let how = match answered.as_str() {
        "live" => String::new(),
        "ambiguous" => format!(
            " [{}]",
            paint.yellow("ambiguous: it may have happened, or have happened twice")
        ),
        "recorded" => format!(" [{}]", paint.dim("from the record of an earlier attempt")),
        _ => format!(" [{}]", paint.yellow(&answered)),
    };
    let _ = writeln!(
        out,
        "    {} {} → {} {}{how}",
        paint.dim(&format!("{:<6}", word(&call["kind"]))),
        word(&call["request"]),
        print::first_line(&text(&call["result"]), 200),
        paint.dim(&format!("({})", micros(&call["duration_us"]))),
    );
    if call["preview"].is_object() {
        for line in render_kept(&call["preview"]).lines() {
            let _ = writeln!(out, "         {}", paint.dim(&print::plain(line)));
        }
    }
}

fn dropped(out: &mut String, count: &Value, what: &str) {
    if let Some(count) = count.as_u64().filter(|count| *count > 0) {
        let _ = writeln!(out, "    … {count} more {what}, not kept");
    }
}

fn waiting(out: &mut String, story: &Value, paint: Paint) {
    if let Some(until) = story["not_before"].as_str() {
        let pending = items(story, "steps").into_iter();
        let waits_for = pending
            .filter(|step| step["status"] == "pending")
            .find_map(|step| step["waits_for"].as_str().map(str::to_owned));
        let _ = match waits_for {
            Some(what) => writeln!(
                out,
                "\nIt waits for {}. It is tried again as soon as that answers, and at {} in any case. To try now: {}",
                print::plain(&what.replace('\n', " or ")),
                print::plain(until),
                paint.bold(&format!("alert-manager retry {}", text(&story["id"])))
            ),
            None => writeln!(
                out,
                "\nThe next attempt is not before {}.",
                print::plain(until)
            ),
        };
    }
    // A part of a body that is no alert cannot be sent again.
    let is_alert = story["alert"].is_object();
    if story["state"] == "dead" && is_alert {
        let id = text(&story["id"]);
        let _ = writeln!(
            out,
            "\nTo send it again: {}",
            paint.bold(&format!("alert-manager retry {id}"))
        );
    }
}

fn items(value: &Value, key: &str) -> Vec<Value> {
    value[key].as_array().cloned().unwrap_or_default()
}

/// Cuts a moment to milliseconds, as the others in a story are.
pub(super) fn moment(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, fraction)) => {
            let digits = fraction.trim_end_matches('Z');
            format!("{seconds}.{}Z", digits.get(..3).unwrap_or(digits))
        }
        None => text.to_owned(),
    }
}

/// Keeps a text of several lines to the right of where it began.
fn indent(text: &str, columns: usize) -> String {
    text.trim_end()
        .replace('\n', &format!("\n{}", " ".repeat(columns)))
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn micros(value: &Value) -> String {
    let us = value.as_u64().unwrap_or(0);
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mebibytes(value: &Value) -> String {
    format!(
        "{:.1} MiB",
        value.as_u64().unwrap_or(0) as f64 / f64::from(1 << 20)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn moments_have_milliseconds_at_most() {
        for (given, told) in [
            ("2026-01-02T03:04:05.678901234Z", "2026-01-02T03:04:05.678Z"),
            ("2026-01-02T03:04:05.6Z", "2026-01-02T03:04:05.6Z"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ] {
            assert_eq!(moment(given), told);
        }
    }

    #[test]
    fn an_alert_cannot_forge_a_part_of_its_story() {
        let hostile = "x\u{1b}[2J\u{202e}\nattempt 9 at now: done\n  act slack-notify done";
        let story = json!({
            "alertname": hostile, "status": "firing", "state": "dead", "id": "1", "route": hostile,
            "handlers": [hostile], "last_error": hostile,
            "alert": { "labels": { hostile: hostile }, "annotations": { "a": hostile } },
            "story": [{ "attempt": 1, "outcome": hostile, "steps": [{
                "step": "act", "handler": "h", "outcome": "failed", "error": hostile,
                "calls": [{ "kind": "http", "request": hostile, "result": hostile, "answered": "live" }],
                "logs": [{ "level": "info", "message": hostile, "fields": [["f", hostile]] }],
                "facts": { hostile: hostile },
            }]}],
        });
        let told = tell(&story, Paint::for_stdout());
        assert!(
            !told.contains(|c| c != '\n' && crate::text::is_unprintable(c)),
            "{told:?}"
        );
        for line in told.lines() {
            assert!(!line.starts_with("attempt 9"), "{told}");
            assert!(!line.starts_with("  act slack-notify"), "{told}");
        }
    }
}
