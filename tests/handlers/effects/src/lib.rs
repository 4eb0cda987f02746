//! The handler of the crash test: for each alert, effects of different kinds that must each happen once, with calls of
//! `kv` that change nothing between them.
//!
//! Settings: `sink`, the URL for its POST requests; `attempts`, if each of these is to name its delivery and its attempt. It then
//! follows the message at once.

use handler_sdk::prelude::*;

/// The handler.
#[derive(Debug)]
pub struct Effects;

impl Handler for Effects {
    fn describe() -> Description {
        Description::new(
            "effects",
            env!("CARGO_PKG_VERSION"),
            "Posts to Slack, posts over HTTP and counts.",
        )
        .alerts(["Effects"])
    }

    fn act(cx: &Cx, alert: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        effects(cx, alert)
    }

    fn resolved(cx: &Cx, alert: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        effects(cx, alert)
    }
}

fn effects(cx: &Cx, alert: &Alert) -> Result<Facts, Failure> {
    let n = alert.annotation("n").or(alert.label("n")).unwrap_or("none");
    let tries = tries(n);
    let sink = cx
        .config("sink")
        .ok_or_else(|| Failure::permanent("set config.sink"))?;
    change_nothing(cx)?;
    again(tries, || {
        cx.slack()
            .post(Message::new("alerts", format!("alert {n}")))
    })?;
    let is_named = cx.config("attempts").is_some();
    if !is_named {
        change_nothing(cx)?;
    }
    let mut sent = 0;
    again(tries, || {
        let mut request = cx.http().post(sink.as_str()).body(n.to_owned());
        if is_named {
            // The requests of two attempts differ, so a retry finds the answer by this name.
            sent += 1;
            let call = cx.call();
            request = request
                .key(format!("sink-{sent}"))
                .header("x-delivery", call.delivery_id.as_str())
                .header("x-attempt", call.attempt.to_string());
        }
        request.send()?.error_for_status()
    })?;
    let count = cx.kv().increment(&format!("count-{n}"), 1, None)?;
    let total = cx.kv().increment("total", 1, None)?;
    Ok(Facts::new()
        .with("count", count.to_string())
        .with("total", total.to_string()))
}

/// Makes calls of `kv` that change nothing, except for the first alert. Their results do not depend on whether an effect
/// happened before.
fn change_nothing(cx: &Cx) -> Result<(), Failure> {
    cx.kv().set_if_absent("present", "1", None)?;
    cx.kv().remove("absent")?;
    Ok(())
}

/// Returns how often a failing call is made within one attempt: for half of all pairs of alerts the handler retries
/// itself, for the others it leaves that to the server.
fn tries(n: &str) -> usize {
    let n = n.parse().unwrap_or(0);
    if n % 4 < 2 { 1 } else { 2 }
}

/// Makes a call until it succeeds, at most so many times.
fn again<T, E>(tries: usize, mut call: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let mut result = call();
    for _ in 1..tries {
        if result.is_ok() {
            break;
        }
        result = call();
    }
    result
}

handler_sdk::export!(Effects);
