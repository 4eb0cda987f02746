//! `handlers`, `deliveries`, `retry`, `cancel`, `reload`: ask a running server.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::args::{AskArgs, CancelArgs, DeliveriesArgs, RetryArgs, ServerArgs};
use super::client::Client;
use super::explain;
use super::print::{self, Paint};
use crate::alert::Timestamp;
use crate::units::parse_duration;

/// The widest that an error gets in a list; `explain` tells all of it.
const ERROR_CHARS: usize = 100;

/// How long `retry --handler` waits for room in the queue while nothing gets on.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(30);

/// Lists the handlers.
pub(super) fn handlers(args: &AskArgs) -> anyhow::Result<ExitCode> {
    let body = Client::new(&args.server)?.get("/api/v1/handlers", &[])?;
    if args.json {
        print::json(&body);
        return Ok(ExitCode::SUCCESS);
    }
    let handlers = list(&body, "handlers");
    if handlers.is_empty() {
        print::note("no handlers: put a .wasm file into the server's folder of handlers");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = handlers
        .iter()
        .map(|handler| {
            let alerts = list(handler, "alerts").iter().map(word).collect::<Vec<_>>();
            vec![
                or_dash(&handler["name"]),
                or_dash(&handler["version"]),
                state_of(handler),
                if alerts.is_empty() {
                    "-".into()
                } else {
                    alerts.join(",")
                },
                or_dash(&handler["counts"]["queued"]),
                or_dash(&handler["counts"]["done"]),
                or_dash(&handler["counts"]["dead"]),
                or_dash(&handler["file"]),
            ]
        })
        .collect();
    let header = [
        "NAME", "VERSION", "STATE", "ALERTS", "QUEUED", "DONE", "DEAD", "FILE",
    ];
    print::out(&print::table(&header, &rows));
    let paint = Paint::for_stdout();
    for handler in &handlers {
        let who = if handler["name"].is_null() {
            word(&handler["file"])
        } else {
            word(&handler["name"])
        };
        if let Some(reason) = handler["paused"]["reason"].as_str() {
            print::line(&format!(
                "\n{} {} is paused; one delivery tries again after {}: {}",
                paint.yellow(&format!("{who}:")),
                word(&handler["paused"]["step"]),
                explain::moment(&word(&handler["paused"]["until"])),
                print::plain(reason)
            ));
        }
        // A pause is the last error if there is no other.
        let is_refused = handler["state"] == "refused";
        let is_told = handler["paused"].is_object() && !is_refused;
        if let Some(error) = handler["last_error"].as_str().filter(|_| !is_told) {
            let serves_on = if is_refused && handler["serving"] == true {
                "the file as it is now is refused, the version before it goes on serving: "
            } else {
                ""
            };
            let error = format!("{serves_on}{error}");
            let error = error.as_str();
            print::line(&format!(
                "\n{} {}",
                paint.red(&format!("{who}:")),
                print::plain(error)
            ));
        }
        for (kind, key) in [
            (paint.red("problem"), "problems"),
            (paint.yellow("warning"), "warnings"),
        ] {
            for finding in list(handler, key) {
                let finding = finding.as_str().unwrap_or_default();
                print::line(&format!("\n{kind} {}", print::plain(finding)));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists deliveries.
pub(super) fn deliveries(args: &DeliveriesArgs) -> anyhow::Result<ExitCode> {
    let query = deliveries_query(args)?;
    let body = Client::new(&args.server)?.get("/api/v1/deliveries", &query)?;
    if args.json {
        print::json(&body);
        return Ok(ExitCode::SUCCESS);
    }
    let deliveries = list(&body, "deliveries");
    if deliveries.is_empty() && body["next"].is_null() {
        print::note("no deliveries");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = deliveries.iter().map(delivery_row).collect();
    print::out(&print::table(&DELIVERY_HEADER, &rows));
    if let Some(next) = body["next"].as_str() {
        print::note(&format!("more: --before {}", print::one_line(next)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns what the flags ask for, as the API spells it.
pub(super) fn deliveries_query(
    args: &DeliveriesArgs,
) -> anyhow::Result<Vec<(&'static str, String)>> {
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

/// Reads a time before now, or a moment.
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

/// Returns how a handler stands, as a column shows it.
fn state_of(handler: &Value) -> String {
    let serves_on = handler["state"] == "refused" && handler["serving"] == true;
    match (handler["paused"].is_object(), serves_on) {
        (true, true) => "paused, serving the old version".into(),
        (true, false) => "paused".into(),
        (false, true) => "serving the old version".into(),
        (false, false) if !list(handler, "held").is_empty() => "held".into(),
        (false, false) => or_dash(&handler["state"]),
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

/// Returns a delivery's line in a list.
pub(super) fn delivery_row(delivery: &Value) -> Vec<String> {
    let handlers: Vec<_> = list(delivery, "handlers").iter().map(word).collect();
    vec![
        word(&delivery["id"]),
        word(&delivery["received_at"]).chars().take(19).collect(),
        word(&delivery["state"]),
        or_dash(&delivery["reason"]),
        word(&delivery["status"]),
        print::first_line(&text(&delivery["alertname"]), 40),
        if handlers.is_empty() {
            "-".into()
        } else {
            handlers.join(",")
        },
        text(&delivery["attempts"]),
        print::first_line(delivery["last_error"].as_str().unwrap_or("-"), ERROR_CHARS),
    ]
}

/// Sends dead deliveries again.
pub(super) fn retry(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    if args.ids.is_empty() {
        return retry_many(args);
    }
    let query: Vec<_> = args
        .force
        .then(|| ("force", "true".to_owned()))
        .into_iter()
        .collect();
    each(
        &args.server,
        &args.ids,
        "retry",
        &query,
        args.json,
        |answer| {
            if answer["was"] == "retrying" {
                "runs now"
            } else {
                "sent again"
            }
        },
    )
}

/// Sends every delivery again that is selected, as the queue has room for them.
fn retry_many(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    let mut selection = Vec::new();
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
        let body = match client.post("/api/v1/deliveries/retry", &query) {
            Ok(body) => body,
            Err(error) => break Some(error),
        };
        if done.add(&body) {
            progressed = Instant::now();
        }
        let may_go_on = matches!(done.rest["reason"].as_str(), Some("room" | "time"));
        if !may_go_on || progressed.elapsed() > ROOM_WAIT_MAX {
            break None;
        }
        let what = if args.waiting {
            "run now"
        } else {
            "sent again"
        };
        print::progress(&format!(
            "{} {what}, {} to go",
            done.retried.len(),
            text(&done.rest["count"])
        ));
    };
    print::progress("");
    if args.json {
        print::json(&done.to_json());
    } else {
        done.print(args);
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// What several requests to send many again came to.
#[derive(Default)]
struct RetriedMany {
    retried: Vec<Value>,
    left: Vec<Value>,
    left_counts: Vec<(String, u64)>,
    /// What the last request did not get to.
    rest: Value,
    /// The part of `left` that belongs to it.
    rest_left: Vec<Value>,
}

impl RetriedMany {
    /// Adds one answer; returns true if it got on.
    fn add(&mut self, body: &Value) -> bool {
        let before = (self.retried.len(), self.left_counts.clone());
        self.retried.extend(list(body, "retried"));
        self.rest = body["rest"].clone();
        // One that was not looked at may be sent by the next request.
        let (rest, left) = list(body, "left")
            .into_iter()
            .partition(|left| is_of_rest(left, &self.rest));
        self.rest_left = rest;
        let left: Vec<Value> = left;
        self.left.extend(left);
        for counted in list(body, "left_counts") {
            let (error, count) = (word(&counted["error"]), counted["count"].as_u64());
            let count = count.unwrap_or_default();
            match self
                .left_counts
                .iter_mut()
                .find(|(known, _)| *known == error)
            {
                Some((_, sum)) => *sum += count,
                None => self.left_counts.push((error, count)),
            }
        }
        before != (self.retried.len(), self.left_counts.clone())
    }

    fn after(&self) -> Option<String> {
        self.rest["after"].as_str().map(str::to_owned)
    }

    fn to_json(&self) -> Value {
        let left: Vec<_> = self.left.iter().chain(&self.rest_left).collect();
        let counts: Vec<_> = self
            .left_counts
            .iter()
            .map(|(error, count)| json!({ "error": error, "count": count }))
            .collect();
        json!({ "retried": self.retried, "left": left, "left_counts": counts, "rest": self.rest })
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
        let left = self.left_counts.is_empty() && self.rest.is_null();
        match self.retried.len() {
            0 if left => print::line(&format!("0 {what}: {none}")),
            sent => print::line(&format!("{sent} {what}")),
        }
        for (error, count) in &self.left_counts {
            print::note(&format!("{count} {stays}: {error}"));
        }
        if !self.rest.is_null() {
            let (count, error) = (text(&self.rest["count"]), word(&self.rest["error"]));
            print::note(&format!("{count} {stays}: {error}"));
        }
    }
}

fn is_of_rest(left: &Value, rest: &Value) -> bool {
    let (left, rest) = (left["error"].as_str(), rest["error"].as_str());
    rest.is_some_and(|rest| left.is_some_and(|left| left.ends_with(rest)))
}

/// Gives up deliveries.
pub(super) fn cancel(args: &CancelArgs) -> anyhow::Result<ExitCode> {
    each(
        &args.server,
        &args.ids,
        "cancel",
        &[],
        args.json,
        |_| "cancelled",
    )
}

/// Has the server read its configuration and folder again.
pub(super) fn reload(args: &AskArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.server)?.post("/-/reload", &[])?;
    let (changed, problems) = (list(&answer, "changed"), list(&answer, "problems"));
    let code = if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    if args.json {
        print::json(&answer);
        return Ok(code);
    }
    print::line(&reloaded(changed.len(), problems.len()));
    for change in &changed {
        print::line(&format!("  {}", word(change)));
    }
    let keys: Vec<_> = list(&answer, "needs_restart").iter().map(word).collect();
    if !keys.is_empty() {
        print::note(&format!(
            "these keys take effect after a restart: {}",
            keys.join(", ")
        ));
    }
    let paint = Paint::for_stderr();
    for (kind, findings) in [
        (paint.yellow("warning"), list(&answer, "warnings")),
        (paint.red("problem"), problems),
    ] {
        for finding in findings {
            print::note(&format!("{kind} {}", text(&finding)));
        }
    }
    Ok(code)
}

/// Returns the first line about a reload. With problems it says that there is no need to put anything back.
fn reloaded(changes: usize, problems: usize) -> String {
    let failing = match problems {
        0 => None,
        1 => Some("1 thing in it that can only fail".to_owned()),
        n => Some(format!("{n} things in it that can only fail")),
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

/// Does one thing to each delivery; one that fails does not hold back the next.
fn each(
    server: &ServerArgs,
    ids: &[String],
    verb: &str,
    query: &[(&str, String)],
    as_json: bool,
    done: impl Fn(&Value) -> &'static str,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(server)?;
    let mut results = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for id in ids {
        let path = format!("/api/v1/deliveries/{}/{verb}", path_segment(id));
        match client.post(&path, query) {
            Ok(body) => {
                if !as_json {
                    print::line(&format!("{id} {}", done(&body)));
                }
                results.push(body);
            }
            Err(error) => {
                code = ExitCode::FAILURE;
                results.push(json!({ "id": id, "error": error.to_string() }));
                if !as_json {
                    print::note(&print::plain(&format!("{id}: {}", print::causes(&error))));
                }
            }
        }
    }
    if as_json {
        print::json(&json!({ "deliveries": results }));
    }
    Ok(code)
}

/// Keeps what was typed within one segment of a path.
pub(super) fn path_segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Returns the items of a list, none where there is no such list.
pub(super) fn list(value: &Value, key: &str) -> Vec<Value> {
    value[key].as_array().cloned().unwrap_or_default()
}

/// A scalar as people read it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => print::plain(text),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A scalar that stands beside others, on one line.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => print::one_line(text),
        other => text(other),
    }
}

fn or_dash(value: &Value) -> String {
    let text = word(value);
    if text.is_empty() { "-".into() } else { text }
}
