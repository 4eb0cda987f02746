//! `handlers`, `deliveries`, `reload`: commands for a running server.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use super::args::{DeliveriesArgs, RemoteArgs};
use super::client::{Client, Query};
use super::explain;
use super::print::{self, Paint, one_line, plain};
use super::replicas;
use crate::alert::{HandlerName, Timestamp};
use crate::api::{Counts, Delivery, GrantUse, Handler, Lenient};
use crate::runtime::ModuleState;
use crate::units::parse_duration;

/// The length to which a list cuts an error; `explain` shows all of it.
const ERROR_CHARS: usize = 100;

/// Lists the handlers.
pub(super) fn handlers(args: &RemoteArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.server)?.handlers()?;
    if args.json {
        print::json(answer.json());
        return Ok(ExitCode::SUCCESS);
    }
    let listed = answer.read()?;
    let handlers = listed.handlers;
    if handlers.is_empty() {
        print::note("no handlers: put a .wasm file into the server's folder of handlers");
        replicas::show_disagreements(&listed.disagreements, Paint::for_stdout());
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = handlers.iter().map(handler_row).collect();
    let header = [
        "NAME", "VERSION", "STATE", "ALERTS", "QUEUED", "WAITING", "DONE", "DEAD", "FILE",
    ];
    print::out(&print::table(&header, &rows));
    let mut counts = handlers.iter().filter_map(|handler| handler.counts);
    if let Some(since) = counts.find_map(|counts| counts.since) {
        let since = explain::moment(&since.to_string());
        print::line(&format!(
            "DONE and DEAD are counted since {since}, the start of the server"
        ));
    }
    let paint = Paint::for_stdout();
    show_grants(&handlers, paint);
    for handler in &handlers {
        show_troubles(handler, paint);
    }
    replicas::show_disagreements(&listed.disagreements, paint);
    Ok(ExitCode::SUCCESS)
}

/// Prints each grant with its uses: what no handler uses need not be granted.
fn show_grants(handlers: &[Handler], paint: Paint) {
    let served = handlers.iter().filter(|handler| handler.serving);
    let grants: Vec<_> = served
        .filter_map(|handler| Some((handler, handler.grants.as_ref()?)))
        .collect();
    let rows: Vec<_> = grants
        .iter()
        .flat_map(|(handler, grants)| grants.uses.iter().map(|used| grant_row(handler, used)))
        .collect();
    if rows.is_empty() {
        return;
    }
    let since = grants.iter().find_map(|(_, grants)| grants.uses_since);
    let since = since.map_or_else(String::new, |since| {
        format!(" since {}", explain::moment(&since.to_string()))
    });
    print::line(&format!("\n{}{since}", paint.bold("grants and their uses")));
    let header = ["HANDLER", "KIND", "GRANT", "CALLS", "FIRST", "LAST"];
    print::out(&print::table(&header, &rows));
}

fn grant_row(handler: &Handler, used: &GrantUse) -> Vec<String> {
    let moment = |at: Option<Timestamp>| match at {
        Some(at) => explain::moment(&at.to_string()),
        None => "never".to_owned(),
    };
    vec![
        or_dash(handler.name.as_ref().map_or("", |name| name.as_str())),
        or_dash(&used.kind.to_text()),
        or_dash(&used.grant),
        used.calls.to_string(),
        moment(used.first_used),
        moment(used.last_used),
    ]
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
        counts.map_or_else(|| "-".into(), |counts| waiting(&counts)),
        count(counts.map(|counts| counts.done)),
        count(counts.map(|counts| counts.dead)),
        or_dash(&handler.file),
    ]
}

/// Returns what waits by priority, for how many alerts more, and since when:
/// `2 critical, 40 normal (for 90 more alerts) since 2026-01-02T03:04:05Z`.
fn waiting(counts: &Counts) -> String {
    let words = [
        (counts.waiting.critical, "critical"),
        (counts.waiting.warning, "warning"),
        (counts.waiting.normal, "normal"),
    ];
    let words = words.iter().filter(|(count, _)| *count > 0);
    let words: Vec<_> = words
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let more = match counts.coalesced {
        0 => String::new(),
        1 => " (for 1 more alert)".to_owned(),
        more => format!(" (for {more} more alerts)"),
    };
    match (words.is_empty(), counts.waiting_since) {
        (true, _) => "-".to_owned(),
        (false, None) => format!("{}{more}", words.join(", ")),
        (false, Some(since)) => {
            let since = explain::moment(&since.to_string());
            format!("{}{more} since {since}", words.join(", "))
        }
    }
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
    if handler.keeps_settings {
        print::line(&format!(
            "\n{} its settings of before stay in use, since the new ones do not fit it",
            paint.yellow(&who)
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
    print::out(&print::table(
        &DELIVERY_HEADER,
        &delivery_rows(&page.deliveries),
    ));
    if let Some(next) = page.next {
        let is_full = page.deliveries.len() as u64 >= u64::from(args.limit);
        let looked = page.looked_back_to.filter(|_| !is_full);
        let looked = looked.map_or_else(String::new, |back_to| {
            format!("looked back to {}; ", explain::moment(&back_to.to_string()))
        });
        print::note(&format!("{looked}more: --before {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the flags as a query of the API.
pub(super) fn deliveries_query(args: &DeliveriesArgs) -> anyhow::Result<Query> {
    let mut query = vec![("limit", args.limit.to_string())];
    for (name, value) in [
        ("state", &args.state),
        ("reason", &args.reason),
        ("priority", &args.priority),
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

/// Returns the text of the column for a handler's state, with what it keeps from before.
fn state_of(handler: &Handler) -> String {
    let serves_on = handler.state.is(ModuleState::Refused) && handler.serving;
    let state = match (handler.paused.is_some(), serves_on) {
        (true, true) => "paused, serving the old version".into(),
        (true, false) => "paused".into(),
        (false, true) => "serving the old version".into(),
        (false, false) if !handler.held.is_empty() => "held".into(),
        (false, false) => or_dash(&handler.state.to_text()),
    };
    match handler.keeps_settings {
        true => format!("{state}, with old settings"),
        false => state,
    }
}

/// Above [`delivery_row`]s.
pub(super) const DELIVERY_HEADER: [&str; 10] = [
    "ID",
    "RECEIVED",
    "STATE",
    "REASON",
    "PRIORITY",
    "STATUS",
    "ALERTNAME",
    "HANDLERS",
    "TRIES",
    "ERROR",
];

/// Returns the rows of a list. Of several in a row that another delivery ran in the place of, the first says how many follow.
fn delivery_rows(deliveries: &[Delivery]) -> Vec<Vec<String>> {
    let is_alike = |a: &Delivery, b: &Delivery| {
        a.coalesced_into.is_some() && a.coalesced_into == b.coalesced_into && a.state == b.state
    };
    let alike = deliveries.chunk_by(is_alike);
    let rows = alike.filter_map(|alike| {
        let mut row = delivery_row(alike.first()?);
        if let (Some(into), Some(error)) = (alike[0].coalesced_into, row.last_mut()) {
            if alike[0].last_error.is_none() {
                *error = format!("coalesced into {into}");
            }
            let more = alike.len() - 1;
            if more > 0 {
                *error = format!("(the same of {more} more after it) {error}");
            }
        }
        Some(row)
    });
    rows.collect()
}

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
        one_line(&delivery.priority.to_text()),
        one_line(&delivery.status),
        print::first_line(&delivery.alertname, 40),
        or_dash(&explain::joined(&delivery.handlers, ",")),
        delivery.attempts.to_string(),
        print::first_line(error, ERROR_CHARS),
    ]
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
        &reloaded.keep_settings,
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

/// Returns the first line about a reload. If there are problems, it says that the new configuration is in use, and which handlers
/// keep the settings that they had.
fn reload_summary(changes: usize, problems: usize, keep_settings: &[HandlerName]) -> String {
    let failing = match problems {
        0 => None,
        1 => Some("1 problem in it".to_owned()),
        n => Some(format!("{n} problems in it")),
    };
    let kept: Vec<_> = keep_settings
        .iter()
        .map(|name| one_line(name.as_str()))
        .collect();
    let except = match kept.as_slice() {
        [] => String::new(),
        [name] => format!(" ({name} keeps the settings that it had, the new ones do not fit it)"),
        names => format!(
            " ({} keep the settings that they had, the new ones do not fit them)",
            names.join(", ")
        ),
    };
    match (failing, changes) {
        (None, 0) => "reloaded: the configuration has not changed".to_owned(),
        (None, _) => "reloaded:".to_owned(),
        (Some(failing), 0) => {
            format!(
                "reloaded: the configuration has not changed and is in use{except}, with {failing}"
            )
        }
        (Some(failing), _) => {
            format!("reloaded: the new configuration is in use{except}, with {failing}; changed:")
        }
    }
}

/// Returns a text on one line, or a dash if there is none.
fn or_dash(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() { "-".into() } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn delivery(id: u8, into: Option<&str>) -> Delivery {
        let mut delivery = json!({
            "id": format!("6h061csw0000{id}"), "fingerprint": "", "alertname": "A", "status": "firing",
            "priority": "critical", "state": "queued", "route": "r", "handlers": [], "attempts": 0,
            "received_at": "2026-01-02T03:04:05Z",
        });
        if let Some(into) = into {
            delivery["coalesced_into"] = json!(into);
        }
        serde_json::from_value(delivery).unwrap()
    }

    #[test]
    fn the_state_says_what_a_handler_keeps() {
        for (state, serving, keeps_settings, expected) in [
            ("ready", true, false, "ready"),
            ("ready", true, true, "ready, with old settings"),
            ("refused", true, false, "serving the old version"),
            (
                "refused",
                true,
                true,
                "serving the old version, with old settings",
            ),
            ("refused", false, false, "refused"),
        ] {
            let handler: Handler = serde_json::from_value(json!({
                "file": "a.wasm", "state": state, "serving": serving, "keeps_settings": keeps_settings,
            }))
            .unwrap();
            assert_eq!(state_of(&handler), expected);
        }
    }

    #[test]
    fn those_that_one_delivery_runs_for_are_one_row() {
        let into = "6h061csw00000";
        let all = [
            delivery(4, None),
            delivery(3, Some(into)),
            delivery(2, Some(into)),
            delivery(1, Some(into)),
            delivery(0, None),
        ];
        let rows = delivery_rows(&all);
        let errors: Vec<_> = rows
            .iter()
            .map(|row| row.last().unwrap().as_str())
            .collect();
        let same = format!("(the same of 2 more after it) coalesced into {into}");
        assert_eq!(errors, ["-", &same, "-"]);
        assert_eq!(rows[0][4], "critical");
    }
}
