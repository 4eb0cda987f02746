//! What the crash test runs: three effects of different kinds for each alert, each of which must happen once.
//!
//! Settings: `sink`, the URL that is posted to.

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
    let sink = cx
        .config("sink")
        .ok_or_else(|| Failure::permanent("set config.sink"))?;
    cx.slack()
        .post(Message::new("alerts", format!("alert {n}")))?;
    cx.http()
        .post(sink)
        .body(n.to_owned())
        .send()?
        .error_for_status()?;
    let count = cx.kv().increment(&format!("count-{n}"), 1, None)?;
    let total = cx.kv().increment("total", 1, None)?;
    Ok(Facts::new()
        .with("count", count.to_string())
        .with("total", total.to_string()))
}

handler_sdk::export!(Effects);
