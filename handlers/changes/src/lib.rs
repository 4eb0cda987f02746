//! Says what changed before the alert: what was rolled out in its namespace, or what happened to its node.

mod node;
mod rollouts;
#[cfg(test)]
mod tests;

use handler_kit::prelude::*;

/// How long before the alert something is looked for, in seconds.
const BEFORE_SECONDS: i64 = 3_600;
/// The most requests for one alert.
const CALLS_MAX: u32 = 7;
/// The changes that are named.
const SHOWN_MAX: usize = 5;

/// The handler.
#[derive(Debug)]
pub struct Changes;

impl Handler for Changes {
    fn describe() -> Description {
        Description::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "Says what was rolled out in the alert's namespace, or what happened to its node, in the hour before.",
        )
        .settings(handler_kit::kubernetes::SETTINGS)
        .enrich_only()
    }

    fn enrich(cx: &Cx, alert: &Alert, so_far: &Enrichment) -> Result<Enrichment, Failure> {
        if so_far.storm().is_some() || alert.is_resolved() {
            // The alerts of a storm began at different times. At the end, the rollout that ended it would be no cause.
            return Ok(Enrichment::new());
        }
        Look::enrich(cx, alert, (env!("CARGO_PKG_NAME"), CALLS_MAX), |look| {
            let found = match (look.subject().kind(), look.subject().namespace()) {
                (Some("node"), _) => node::changes(look),
                (_, Some(_)) => rollouts::changes(look),
                // Neither is known: there is nothing to look at.
                (_, None) => None,
            };
            let enrichment = Enrichment::new();
            Ok(match found {
                Some(found) => enrichment.with_block(Block::markdown(found)),
                None => enrichment,
            })
        })
    }

    fn act(_: &Cx, _: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        Ok(Facts::new())
    }
}

handler_kit::handler_sdk::export!(Changes);

/// Returns the span in which changes are looked for, in seconds since 1970: up to now, since some alerts wait before they fire.
fn span(look: &Look<'_>) -> (i64, i64) {
    (look.alert().starts_at.seconds - BEFORE_SECONDS, look.now())
}

/// Returns when something happened, as people compare it with the alert: `12m before the alert`.
fn when(look: &Look<'_>, at: i64) -> String {
    use handler_kit::words::roughly;

    let began = look.alert().starts_at.seconds;
    match at <= began {
        true => format!("{} before the alert", roughly(at, began)),
        false => format!("{} after the alert began", roughly(began, at)),
    }
}

/// Returns a title and a line for each change, as Markdown; of many, how many more there are.
fn listed(title: &str, lines: &[String]) -> String {
    let mut text = format!("**{title}**");
    for line in lines.iter().take(SHOWN_MAX) {
        text.push_str("\n- ");
        text.push_str(line);
    }
    if let Some(more) = lines.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("\n- and {more} more"));
    }
    text
}

/// Returns text on one line in which Markdown means nothing.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in handler_kit::words::said(text).chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '~' | '|'
        ) {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}
