//! `explain ID`: prints the story of a delivery, the recorded trace of everything it did.

pub(super) mod attempt;

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use super::args::ExplainArgs;
use super::client::Client;
use super::print::{self, Paint, one_line, plain};
use crate::alert::{Alert, HandlerName, Labels, StepKind};
use crate::api::{Lenient, Source, Story};
use crate::queue::{Reason, State, StepStatus};
use attempt::render_attempt;

/// Prints the story.
pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let id = match &args.id {
        Some(id) => id.clone(),
        None => newest(&client)?,
    };
    let story = client.story(&id)?;
    if args.json {
        print::json(story.json());
    } else {
        print::out(&render(&story.read()?, Paint::for_stdout()));
    }
    Ok(ExitCode::SUCCESS)
}

fn newest(client: &Client) -> anyhow::Result<String> {
    let page = client
        .deliveries(&vec![("limit", "1".to_owned())])?
        .read()?;
    let newest = page.deliveries.first();
    newest
        .map(|delivery| delivery.id.to_string())
        .context("the server has no delivery yet: post an alert with `alert-manager send`")
}

/// Renders the story as text.
pub(super) fn render(story: &Story, paint: Paint) -> String {
    let mut out = String::new();
    heading(&mut out, story, paint);
    source(&mut out, &story.alert, paint);
    if story.attempts_omitted > 0 {
        let _ = writeln!(
            out,
            "\n{} attempts between the first and the last are not kept.",
            story.attempts_omitted
        );
    }
    for attempt in &story.story {
        match attempt {
            Lenient::Known(attempt) => render_attempt(&mut out, attempt, paint),
            Lenient::Unknown(json) => {
                let _ = writeln!(out, "\nattempt {}", one_line(&json.to_string()));
            }
        }
    }
    if has_gaps(story) {
        let _ = writeln!(
            out,
            "\nAttempts in which it only waited for its turn or for a free slot are not shown."
        );
    }
    match story.delivery.coalesced_into {
        Some(of) => {
            let _ = writeln!(
                out,
                "\n{of} runs in its place: {}",
                paint.bold(&format!("alert-manager explain {of}"))
            );
        }
        None if story.story.is_empty()
            && !story.delivery.state.is(State::Done)
            && is_alert(story) =>
        {
            let _ = writeln!(out, "\nNothing has run yet.");
        }
        None => {}
    }
    waiting(&mut out, story, paint);
    out
}

/// Returns whether there were leases before or between the attempts of which nothing is kept because nothing happened.
fn has_gaps(story: &Story) -> bool {
    let attempts = story.story.iter().filter_map(Lenient::known);
    let (mut next, mut has_gap) = (1, false);
    for attempt in attempts {
        has_gap |= attempt.attempt > next;
        next = attempt.attempt + 1;
    }
    has_gap && story.attempts_omitted == 0
}

fn is_alert(story: &Story) -> bool {
    matches!(story.alert, Source::Alert(_))
}

fn heading(out: &mut String, story: &Story, paint: Paint) {
    let delivery = &story.delivery;
    let state = one_line(&delivery.state.to_text());
    let state = match delivery.state {
        Lenient::Known(State::Done) => paint.green(&state),
        Lenient::Known(State::Dead) => paint.red(&state),
        _ => paint.yellow(&state),
    };
    let name = match one_line(&delivery.alertname) {
        name if name.is_empty() => "(no alertname)".to_owned(),
        name => name,
    };
    let _ = writeln!(
        out,
        "{} {}: {state}",
        paint.bold(&name),
        one_line(&delivery.status)
    );
    let route = match one_line(&delivery.route) {
        route if route.is_empty() => "none matched".to_owned(),
        route => route,
    };
    let settled_at = delivery.settled_at.map(|at| at.to_string());
    let reason = delivery
        .reason
        .as_ref()
        .map(|reason| one_line(&reason.to_text()));
    let into = delivery
        .coalesced_into
        .map(|id| format!("coalesced into {id}"));
    let last_error = delivery.last_error.as_deref();
    let last_error = last_error.filter(|error| Some(*error) != into.as_deref());
    let last_error = last_error.map(plain);
    let storm = delivery.storm.map(|storm| storm.to_string());
    for (name, value) in [
        ("delivery", delivery.id.to_string()),
        ("fingerprint", plain(&delivery.fingerprint)),
        ("route", route),
        ("handlers", joined(&delivery.handlers, ", ")),
        ("priority", one_line(&delivery.priority.to_text())),
        ("received", delivery.received_at.to_string()),
        ("settled", settled_at.unwrap_or_default()),
        ("attempts", delivery.attempts.to_string()),
        ("tries left", tries_left(story)),
        ("sent again", again(story.duplicates)),
        ("storm", storm.unwrap_or_default()),
        ("coalesced", coalesced(story)),
        ("timer", timer(story)),
        ("timers", timers(story)),
        ("dead with it", dead_with(story)),
        ("reason", reason.unwrap_or_default()),
        ("error", last_error.unwrap_or_default()),
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

/// Returns names of handlers, each on one line.
pub(super) fn joined(handlers: &[HandlerName], separator: &str) -> String {
    let names: Vec<_> = handlers
        .iter()
        .map(|name| one_line(name.as_str()))
        .collect();
    names.join(separator)
}

/// Returns the remaining attempts of each step that has used some and is not finished.
fn tries_left(story: &Story) -> String {
    let steps = story.steps.iter();
    let tried = steps.filter(|step| step.status.is(StepStatus::Pending) && step.attempts_used != 0);
    let left = tried.map(|step| {
        let (kind, handler) = (hook(&step.kind), one_line(step.handler.as_str()));
        format!(
            "{kind} {handler}: {} of {}",
            step.tries_left, step.attempts_max
        )
    });
    left.collect::<Vec<_>>().join(", ")
}

fn hook(kind: &Lenient<StepKind>) -> String {
    one_line(&kind.to_text())
}

/// Returns how many others died with it: those in whose place it ran end as it does.
fn dead_with(story: &Story) -> String {
    let reason = story.delivery.reason.as_ref();
    // Those of one that was cancelled are done, or have another in its place.
    let is_cancelled = reason.is_some_and(|reason| reason.is(Reason::Cancelled));
    let is_dead = story.delivery.state.is(State::Dead) && !is_cancelled;
    match story.members.as_ref().filter(|_| is_dead) {
        Some(members) => format!(
            "{}; `alert-manager retry {}` retries all of them",
            members.count, story.delivery.id
        ),
        None => String::new(),
    }
}

/// Returns in which delivery it is handled, or how many are handled in it, with the first of them.
fn coalesced(story: &Story) -> String {
    const SHOWN_MAX: usize = 10;
    let mut lines = Vec::new();
    if let Some(id) = story.delivery.coalesced_into {
        lines.push(format!("into {id}"));
    }
    if let Some(members) = &story.members {
        let ids = members.ids.iter().take(SHOWN_MAX);
        let ids: Vec<_> = ids.map(ToString::to_string).collect();
        let shown = ids.len() as u64;
        let more = match members.count.saturating_sub(shown) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.push(format!(
            "{} into this: {}{more}",
            members.count,
            ids.join(", ")
        ));
    }
    lines.join("\n")
}

/// Returns which timer it was made for, and which delivery has set that.
fn timer(story: &Story) -> String {
    let timer = story.delivery.timer.as_ref();
    timer.map_or_else(String::new, |timer| {
        format!("{}, set by {}", one_line(&timer.key), timer.set_by)
    })
}

/// Returns the timers that it has set and that are not due yet.
fn timers(story: &Story) -> String {
    const SHOWN_MAX: usize = 10;
    let shown = story.timers.iter().take(SHOWN_MAX).map(|timer| {
        let (handler, key) = (one_line(timer.handler.as_str()), one_line(&timer.key));
        format!(
            "{key} of {handler}, due {}",
            moment(&timer.due_at.to_string())
        )
    });
    let mut lines: Vec<_> = shown.collect();
    if let Some(more @ 1..) = story.timers.len().checked_sub(SHOWN_MAX) {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

fn again(duplicates: u64) -> String {
    match duplicates {
        0 => String::new(),
        1 => "once, as a duplicate".into(),
        times => format!("{times} times, as duplicates"),
    }
}

fn source(out: &mut String, source: &Source, paint: Paint) {
    match source {
        Source::Refused(json) => {
            let _ = writeln!(
                out,
                "\n{}\n  {}",
                paint.bold("what was sent"),
                indent(&plain(json), 2)
            );
        }
        Source::Unknown(json) => {
            let _ = writeln!(
                out,
                "\n{}\n  {}",
                paint.bold("what was sent"),
                one_line(&json.to_string())
            );
        }
        Source::Alert(alert) => {
            let Alert {
                labels,
                annotations,
                ..
            } = &**alert;
            section(out, "labels", labels, paint);
            section(out, "annotations", annotations, paint);
        }
    }
}

fn section(out: &mut String, title: &str, pairs: &Labels, paint: Paint) {
    if pairs.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", paint.bold(title));
    for (name, value) in pairs.iter() {
        let _ = writeln!(
            out,
            "  {} {}",
            paint.dim(&format!("{}:", one_line(name))),
            indent(&plain(value), 4)
        );
    }
}

fn waiting(out: &mut String, story: &Story, paint: Paint) {
    let retry = paint.bold(&format!("alert-manager retry {}", story.delivery.id));
    // What waits for its time has that in `not_before`.
    if let Some(waiting) = story.waiting.as_ref().filter(|w| w.waits_for != "time") {
        let what = match (waiting.waits_for.as_str(), &waiting.gate) {
            ("gate", Some(gate)) => format!("the rate limit of {}", one_line(gate)),
            ("slot", _) => "a free slot of its handler (limits.concurrency)".to_owned(),
            ("order", _) => "an earlier delivery of its alert".to_owned(),
            ("storm", _) => "the delivery that runs for others of its storm now".to_owned(),
            (other, _) => one_line(other),
        };
        let ahead = match waiting.ahead {
            0 => "it is next".to_owned(),
            ahead => format!("{ahead} go before it"),
        };
        let _ = writeln!(
            out,
            "\nIt waits for {what} since {}, with priority {}: {ahead}.",
            moment(&waiting.since.to_string()),
            one_line(&waiting.priority.to_text()),
        );
    }
    if let Some(until) = story.not_before {
        let steps = story.steps.iter();
        let mut pending = steps.filter(|step| step.status.is(StepStatus::Pending));
        let _ = match pending.find_map(|step| step.waits_for.as_deref()) {
            Some(what) => writeln!(
                out,
                "\nIt waits for {}. It is tried again as soon as that answers, and at {until} at the latest; it is dead-lettered once it is older than retry.max_age. To try now: {retry}",
                plain(&what.replace('\n', " or ")),
            ),
            None => writeln!(out, "\nThe next attempt is not before {until}."),
        };
    }
    // A part of a body that is not an alert cannot be retried.
    if story.delivery.state.is(State::Dead) && is_alert(story) {
        let _ = writeln!(out, "\nTo send it again: {retry}");
    }
}

/// Shortens a moment to milliseconds.
pub(super) fn moment(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, fraction)) => {
            let digits = fraction.trim_end_matches('Z');
            format!("{seconds}.{}Z", digits.get(..3).unwrap_or(digits))
        }
        None => text.to_owned(),
    }
}

/// Indents the lines of a text after the first.
fn indent(text: &str, columns: usize) -> String {
    text.trim_end()
        .replace('\n', &format!("\n{}", " ".repeat(columns)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn moments_have_milliseconds_at_most() {
        for (given, shown) in [
            ("2026-01-02T03:04:05.678901234Z", "2026-01-02T03:04:05.678Z"),
            ("2026-01-02T03:04:05.6Z", "2026-01-02T03:04:05.6Z"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ] {
            assert_eq!(moment(given), shown);
        }
    }

    #[test]
    fn what_is_coalesced_names_its_delivery_and_that_lists_the_first() {
        let mut member = story("x");
        let id = member.delivery.id;
        member.delivery.coalesced_into = Some(id);
        assert_eq!(coalesced(&member), format!("into {id}"));
        let mut one = story("x");
        one.members = Some(crate::queue::Members {
            count: 212,
            ids: vec![id; 100],
        });
        let shown = coalesced(&one);
        assert!(shown.starts_with("212 into this: "), "{shown}");
        assert!(shown.ends_with(" and 202 more"), "{shown}");
        one.delivery.state = Lenient::Known(State::Dead);
        let retries = format!("212; `alert-manager retry {id}` retries all of them");
        assert_eq!(dead_with(&one), retries);
        one.delivery.reason = Some(Lenient::Known(Reason::Cancelled));
        assert_eq!(dead_with(&one), "");
        one.delivery.reason = None;
        one.delivery.state = Lenient::Known(State::Done);
        assert_eq!(dead_with(&one), "");
    }

    #[test]
    fn a_timer_names_the_delivery_that_has_set_it_and_that_lists_what_is_to_come() {
        let mut of_timer = story("x");
        let set_by = of_timer.delivery.id;
        assert_eq!(timer(&of_timer), "");
        of_timer.delivery.timer = Some(crate::queue::DueTimer {
            key: "escalate".to_owned(),
            set_by,
        });
        assert_eq!(timer(&of_timer), format!("escalate, set by {set_by}"));
        let open = crate::queue::OpenTimer {
            handler: HandlerName::new("pager"),
            key: "escalate".to_owned(),
            due_at: crate::alert::Timestamp::UNIX_EPOCH,
        };
        of_timer.timers = vec![open; 12];
        let shown = timers(&of_timer);
        assert!(
            shown.starts_with("escalate of pager, due 1970-01-01T00:00:00Z\n"),
            "{shown}"
        );
        assert!(shown.ends_with("\nand 2 more"), "{shown}");
    }

    #[test]
    fn what_waits_for_a_rate_limit_says_which_and_how_many_go_before_it() {
        let mut waits = story("x");
        for (ahead, expected) in [(0, "it is next"), (7, "7 go before it")] {
            waits.waiting = Some(crate::api::Waiting {
                waits_for: "gate".to_owned(),
                gate: Some("alerts".to_owned()),
                priority: crate::alert::Priority::Warning.into(),
                since: crate::alert::Timestamp::UNIX_EPOCH,
                ahead,
                until_recovered: None,
            });
            let rendered = render(&waits, Paint::for_stdout());
            let line = format!(
                "It waits for the rate limit of alerts since 1970-01-01T00:00:00Z, with priority warning: {expected}."
            );
            assert!(rendered.contains(&line), "{rendered}");
        }
    }

    fn story(text: &str) -> Story {
        let at = "2026-01-02T03:04:05Z";
        let call = json!({ "kind": text, "request": text, "result": text, "answered": text, "duration_us": 1 });
        let doubt = json!({
            "attempt": 1, "times": 2, "why": text, "since_seq": 0,
            "suspect": { "call": { "kind": "http", "name": { "key": text }, "request": text } },
        });
        let step = json!({
            "step": text, "handler": text, "module": text, "started_at": at, "outcome": text, "error": text,
            "calls": [call],
            "logs": [{ "level": "info", "message": text, "fields": [["f", text]] }],
            "facts": { text: text },
            "in_doubt": [doubt, { text: text }],
        });
        let alert = json!({
            "fingerprint": "0123456789abcdef", "status": "firing", "labels": { text: text },
            "annotations": { "a": text }, "starts_at": at, "received_at": at, "origin": { "sender": "json" },
        });
        let story = json!({
            "id": "6h061csw00000", "fingerprint": text, "alertname": text, "status": text, "state": "dead",
            "route": text, "handlers": [text], "attempts": 1, "received_at": at, "settled_at": at,
            "last_error": text, "alert": alert, "not_before": at,
            "steps": [{
                "handler": text, "kind": text, "status": "pending", "attempts": 1, "attempts_used": 1,
                "waits_for": text,
            }],
            "story": [{
                "attempt": 1, "started_at": at, "ended_at": at, "outcome": text, "steps": [step],
                "left_out": [text],
            }],
        });
        serde_json::from_value(story).unwrap()
    }

    #[test]
    fn an_alert_cannot_forge_a_part_of_its_story() {
        let hostile = "x\u{1b}[2J\u{202e}\nattempt 9 at now: done\n  act slack-notify done";
        let rendered = render(&story(hostile), Paint::for_stdout());
        assert!(
            !rendered.contains(|c| c != '\n' && crate::text::is_unprintable(c)),
            "{rendered:?}"
        );
        for line in rendered.lines() {
            assert!(!line.starts_with("attempt 9"), "{rendered}");
            assert!(!line.starts_with("  act slack-notify"), "{rendered}");
        }
    }

    #[test]
    fn the_story_of_a_newer_server_is_shown_too() {
        let rendered = render(&story("parked"), Paint::for_stdout());
        assert!(rendered.contains("parked parked → parked"), "{rendered}");
    }
}
