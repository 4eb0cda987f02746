//! `handlers`, `deliveries`, `retry`, `cancel`, `reload`: commands for a running server.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::args::{CancelArgs, DeliveriesArgs, RemoteArgs, RetryArgs};
use super::client::{Answer, Client, Query};
use super::explain;
use super::print::{self, Paint, one_line, plain};
use crate::alert::Timestamp;
use crate::api::{
    Cancelled, Delivery, Handler, Left, LeftCount, Lenient, RestReason, Retried, SentAgain,
};
use crate::queue::State;
use crate::runtime::ModuleState;
use crate::units::parse_duration;

/// The length to which a list cuts an error; `explain` shows all of it.
const ERROR_CHARS: usize = 100;

/// How long `retry --handler` waits for free space in a queue that makes no progress.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(30);

/// Lists the handlers.
pub(super) fn handlers(args: &RemoteArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.server)?.handlers()?;
    if args.json {
        print::json(answer.json());
        return Ok(ExitCode::SUCCESS);
    }
    let handlers = answer.read()?.handlers;
    if handlers.is_empty() {
        print::note("no handlers: put a .wasm file into the server's folder of handlers");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = handlers.iter().map(handler_row).collect();
    let header = [
        "NAME", "VERSION", "STATE", "ALERTS", "QUEUED", "DONE", "DEAD", "FILE",
    ];
    print::out(&print::table(&header, &rows));
    let paint = Paint::for_stdout();
    for handler in &handlers {
        show_troubles(handler, paint);
    }
    Ok(ExitCode::SUCCESS)
}

fn handler_row(handler: &Handler) -> Vec<String> {
    let alerts: Vec<_> = handler.alerts.iter().map(|name| one_line(name)).collect();
    let count = |count: Option<u64>| count.map_or_else(|| "-".into(), |count| count.to_string());
    let counts = handler.counts;
    vec![
        or_dash(handler.name.as_ref().map_or("", |name| name.as_str())),
        or_dash(handler.version.as_deref().unwrap_or_default()),
        state_of(handler),
        or_dash(&alerts.join(",")),
        count(counts.map(|counts| counts.queued)),
        count(counts.map(|counts| counts.done)),
        count(counts.map(|counts| counts.dead)),
        or_dash(&handler.file),
    ]
}

/// Prints why a handler does not run, and what is wrong with its configuration.
fn show_troubles(handler: &Handler, paint: Paint) {
    let name = handler.name.as_ref().map(|name| name.as_str());
    let who = format!("{}:", one_line(name.unwrap_or(&handler.file)));
    if let Some(paused) = &handler.paused {
        print::line(&format!(
            "\n{} {} is paused; one delivery tries again after {}: {}",
            paint.yellow(&who),
            one_line(&paused.step.to_text()),
            explain::moment(&paused.until.to_string()),
            plain(&paused.reason)
        ));
    }
    // If the handler is paused, its last error is the reason for that, unless there is another.
    let is_refused = handler.state.is(ModuleState::Refused);
    let is_shown = handler.paused.is_some() && !is_refused;
    if let Some(error) = handler.last_error.as_deref().filter(|_| !is_shown) {
        let serves_on = if is_refused && handler.serving {
            "the current file is refused, the previous version keeps serving: "
        } else {
            ""
        };
        print::line(&format!(
            "\n{} {}",
            paint.red(&who),
            plain(&format!("{serves_on}{error}"))
        ));
    }
    for (kind, findings) in [
        (paint.red("problem"), &handler.problems),
        (paint.yellow("warning"), &handler.warnings),
    ] {
        for finding in findings {
            print::line(&format!("\n{kind} {}", plain(finding)));
        }
    }
}

/// Lists deliveries.
pub(super) fn deliveries(args: &DeliveriesArgs) -> anyhow::Result<ExitCode> {
    let query = deliveries_query(args)?;
    let answer = Client::new(&args.server)?.deliveries(&query)?;
    if args.json {
        print::json(answer.json());
        return Ok(ExitCode::SUCCESS);
    }
    let page = answer.read()?;
    if page.deliveries.is_empty() && page.next.is_none() {
        print::note("no deliveries");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = page.deliveries.iter().map(delivery_row).collect();
    print::out(&print::table(&DELIVERY_HEADER, &rows));
    if let Some(next) = page.next {
        print::note(&format!("more: --before {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the flags as a query of the API.
pub(super) fn deliveries_query(args: &DeliveriesArgs) -> anyhow::Result<Query> {
    let mut query = vec![("limit", args.limit.to_string())];
    for (name, value) in [
        ("state", &args.state),
        ("reason", &args.reason),
        ("alertname", &args.alertname),
        ("handler", &args.handler),
        ("fingerprint", &args.fingerprint),
        ("before", &args.before),
    ] {
        if let Some(value) = value {
            query.push((name, value.clone()));
        }
    }
    query.extend(args.matchers.iter().map(|text| ("match", text.clone())));
    if let Some(text) = &args.since {
        query.push(("from", since(text, Timestamp::now())?.to_string()));
    }
    Ok(query)
}

/// Parses a duration before now, or a moment.
fn since(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let ago = parse_duration(text).ok_or_else(|| {
        anyhow!(
            "--since {text:?}: write a time before now (1h, 2d) or a moment (2026-01-02T03:04:05Z)"
        )
    })?;
    now.checked_sub(ago)
        .with_context(|| format!("--since {text}: that is too long ago"))
}

/// Returns the text of the column for a handler's state.
fn state_of(handler: &Handler) -> String {
    let serves_on = handler.state.is(ModuleState::Refused) && handler.serving;
    match (handler.paused.is_some(), serves_on) {
        (true, true) => "paused, serving the old version".into(),
        (true, false) => "paused".into(),
        (false, true) => "serving the old version".into(),
        (false, false) if !handler.held.is_empty() => "held".into(),
        (false, false) => or_dash(&handler.state.to_text()),
    }
}

/// Above [`delivery_row`]s.
pub(super) const DELIVERY_HEADER: [&str; 9] = [
    "ID",
    "RECEIVED",
    "STATE",
    "REASON",
    "STATUS",
    "ALERTNAME",
    "HANDLERS",
    "TRIES",
    "ERROR",
];

/// Returns a delivery's row in a list.
pub(super) fn delivery_row(delivery: &Delivery) -> Vec<String> {
    let received_at = delivery.received_at.to_string();
    let reason = delivery.reason.as_ref().map(Lenient::to_text);
    let error = delivery.last_error.as_deref().unwrap_or("-");
    vec![
        delivery.id.to_string(),
        received_at.chars().take(19).collect(),
        one_line(&delivery.state.to_text()),
        or_dash(&reason.unwrap_or_default()),
        one_line(&delivery.status),
        print::first_line(&delivery.alertname, 40),
        or_dash(&explain::joined(&delivery.handlers, ",")),
        delivery.attempts.to_string(),
        print::first_line(error, ERROR_CHARS),
    ]
}

/// Retries dead deliveries.
pub(super) fn retry(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    if args.ids.is_empty() {
        return retry_many(args);
    }
    let client = Client::new(&args.server)?;
    let force = args.force.then(|| ("force", "true".to_owned()));
    let query: Query = force.into_iter().collect();
    let retry = |id: &str| client.retry(id, &query);
    each(&args.ids, args.json, retry, |answer: &SentAgain| {
        if answer.was.is(State::Retrying) {
            "runs now"
        } else {
            "sent again"
        }
    })
}

/// Retries every delivery that is selected, as the queue has space for them.
fn retry_many(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    let mut selection = Query::new();
    selection.extend(args.handler.clone().map(|handler| ("handler", handler)));
    selection.extend(args.reason.clone().map(|reason| ("reason", reason)));
    selection.extend(args.matchers.iter().map(|text| ("match", text.clone())));
    if args.waiting {
        selection.push(("state", "retrying".to_owned()));
    }
    let client = Client::new(&args.server)?;
    let mut done = RetriedMany::default();
    let mut progressed = Instant::now();
    let failed = loop {
        let mut query = selection.clone();
        query.extend(done.after().map(|after| ("after", after)));
        let answer = client.retry_all(&query).and_then(|answer| answer.read());
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => break Some(error),
        };
        if done.add(answer) {
            progressed = Instant::now();
        }
        let Some(to_go) = done.to_go() else {
            break None;
        };
        if progressed.elapsed() > ROOM_WAIT_MAX {
            break None;
        }
        let what = if args.waiting {
            "run now"
        } else {
            "sent again"
        };
        let retried = done.sum.retried.len();
        print::progress(&format!("{retried} {what}, {to_go} to go"));
    };
    print::progress("");
    if args.json {
        print::json(&done.to_json()?);
    } else {
        done.print(args);
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// The results of several requests that retry many deliveries.
#[derive(Default)]
struct RetriedMany {
    /// The results of all requests; `rest` is that of the last one.
    sum: Retried,
    /// The deliveries that the last request did not process; the next one may retry them.
    rest_left: Vec<Left>,
}

impl RetriedMany {
    /// Adds the response to one request; returns whether it made progress.
    fn add(&mut self, answer: Retried) -> bool {
        let sum = &mut self.sum;
        let before = (sum.retried.len(), sum.left_counts.clone());
        sum.retried.extend(answer.retried);
        sum.rest = answer.rest;
        let error = sum.rest.as_ref().map(|rest| rest.error.as_str());
        let is_of_rest = |left: &Left| error.is_some_and(|rest| left.error.ends_with(rest));
        let (rest, left): (Vec<_>, Vec<_>) = answer.left.into_iter().partition(is_of_rest);
        self.rest_left = rest;
        sum.left.extend(left);
        for LeftCount { error, count } in answer.left_counts {
            let mut known = sum.left_counts.iter_mut();
            match known.find(|known| known.error == error) {
                Some(known) => known.count += count,
                None => sum.left_counts.push(LeftCount { error, count }),
            }
        }
        before != (sum.retried.len(), sum.left_counts.clone())
    }

    fn after(&self) -> Option<String> {
        self.sum.rest.as_ref().map(|rest| rest.after.to_string())
    }

    /// Returns how many deliveries are left for another request.
    fn to_go(&self) -> Option<u64> {
        let rest = self.sum.rest.as_ref()?;
        match rest.reason {
            Lenient::Known(RestReason::Room | RestReason::Time) => Some(rest.count),
            _ => None,
        }
    }

    fn to_json(&self) -> anyhow::Result<Value> {
        let mut all = self.sum.clone();
        all.left.extend(self.rest_left.iter().cloned());
        Ok(serde_json::to_value(all)?)
    }

    fn print(&self, args: &RetryArgs) {
        let (what, stays) = if args.waiting {
            ("run now", "left as they are")
        } else {
            ("sent again", "left dead")
        };
        let none = match (&args.handler, args.waiting) {
            (Some(handler), false) if args.reason.is_none() && args.matchers.is_empty() => {
                format!("{handler} has no dead delivery")
            }
            (_, false) => "no dead delivery is selected".to_owned(),
            (_, true) => "no waiting delivery is selected".to_owned(),
        };
        let sum = &self.sum;
        match sum.retried.len() {
            0 if sum.left_counts.is_empty() && sum.rest.is_none() => {
                print::line(&format!("0 {what}: {none}"));
            }
            sent => print::line(&format!("{sent} {what}")),
        }
        let rest = sum.rest.as_ref().map(|rest| (&rest.error, rest.count));
        let left = sum.left_counts.iter();
        for (error, count) in left.map(|left| (&left.error, left.count)).chain(rest) {
            print::note(&format!("{count} {stays}: {}", one_line(error)));
        }
    }
}

/// Cancels deliveries.
pub(super) fn cancel(args: &CancelArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let cancel = |id: &str| client.cancel(id);
    each(&args.ids, args.json, cancel, |_: &Cancelled| "cancelled")
}

/// Makes the server read its configuration and folder again.
pub(super) fn reload(args: &RemoteArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.server)?.reload()?;
    let reloaded = answer.read()?;
    let code = if reloaded.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    if args.json {
        print::json(answer.json());
        return Ok(code);
    }
    print::line(&reload_summary(
        reloaded.changed.len(),
        reloaded.problems.len(),
    ));
    for change in &reloaded.changed {
        print::line(&format!("  {}", one_line(change)));
    }
    let keys = reloaded.needs_restart.iter();
    let keys: Vec<_> = keys.map(|key| one_line(key)).collect();
    if !keys.is_empty() {
        print::note(&format!(
            "these keys take effect after a restart: {}",
            keys.join(", ")
        ));
    }
    let paint = Paint::for_stderr();
    for (kind, findings) in [
        (paint.yellow("warning"), &reloaded.warnings),
        (paint.red("problem"), &reloaded.problems),
    ] {
        for finding in findings {
            print::note(&format!("{kind} {}", plain(finding)));
        }
    }
    Ok(code)
}

/// Returns the first line about a reload. If there are problems, it says that the new configuration is in use.
fn reload_summary(changes: usize, problems: usize) -> String {
    let failing = match problems {
        0 => None,
        1 => Some("1 problem in it".to_owned()),
        n => Some(format!("{n} problems in it")),
    };
    match (failing, changes) {
        (None, 0) => "reloaded: the configuration has not changed".to_owned(),
        (None, _) => "reloaded:".to_owned(),
        (Some(failing), 0) => {
            format!("reloaded: the configuration has not changed and is in use, with {failing}")
        }
        (Some(failing), _) => {
            format!("reloaded: the new configuration is in use, with {failing}; changed:")
        }
    }
}

/// Makes a request for each delivery; a failure does not stop the next.
fn each<T: DeserializeOwned>(
    ids: &[String],
    as_json: bool,
    ask: impl Fn(&str) -> anyhow::Result<Answer<T>>,
    done: impl Fn(&T) -> &'static str,
) -> anyhow::Result<ExitCode> {
    let mut results = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for id in ids {
        match ask(id) {
            Ok(answer) if as_json => results.push(answer.json().clone()),
            Ok(answer) => print::line(&format!("{id} {}", done(&answer.read()?))),
            Err(error) => {
                code = ExitCode::FAILURE;
                if as_json {
                    results.push(json!({ "id": id, "error": error.to_string() }));
                } else {
                    print::note(&plain(&format!("{id}: {}", print::causes(&error))));
                }
            }
        }
    }
    if as_json {
        print::json(&json!({ "deliveries": results }));
    }
    Ok(code)
}

/// Returns a text on one line, or a dash if there is none.
fn or_dash(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() { "-".into() } else { text }
}
