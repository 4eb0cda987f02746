//! `channels`: what waits for its turn at Slack's gates of a running server.

use std::process::ExitCode;

use super::args::RemoteArgs;
use super::client::Client;
use super::explain::moment;
use super::print::{self, Paint, one_line, plain};
use crate::alert::Priority;
use crate::api::{Gate, Refused};

/// Lists Slack's channels and the other gates.
pub(super) fn run(args: &RemoteArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.server)?.channels()?;
    if args.json {
        print::json(answer.json());
        return Ok(ExitCode::SUCCESS);
    }
    let listed = answer.read()?;
    let token = listed.token_refused.as_ref();
    let channels = listed.channels.iter();
    let channels = channels.map(|channel| {
        let refused = channel.refused.as_ref();
        row(&channel.gate, &channel.slack, refused, token)
    });
    let others = listed.gates.iter().map(|gate| row(gate, "-", None, token));
    let rows: Vec<_> = channels.chain(others).collect();
    if rows.is_empty() {
        print::note("no channels: name them below slack.channels");
        return Ok(ExitCode::SUCCESS);
    }
    let header = [
        "NAME", "SLACK", "RATE", "CRITICAL", "WARNING", "NORMAL", "ALERTS", "SINCE", "OPEN",
    ];
    print::out(&print::table(&header, &rows));
    let paint = Paint::for_stdout();
    for channel in &listed.channels {
        let who = format!("the channel {}", one_line(&channel.gate.name));
        print_refused(&who, channel.refused.as_ref(), paint);
    }
    print_refused("the token", token, paint);
    Ok(ExitCode::SUCCESS)
}

/// Returns a row of the table. What waits because the channel is refused waits at it, too.
fn row(
    gate: &Gate,
    slack: &str,
    refused: Option<&Refused>,
    token: Option<&Refused>,
) -> Vec<String> {
    let waiting = |priority| {
        let held = refused.map_or(0, |refused| refused.waiting.of(priority));
        (gate.waiting.of(priority) + held).to_string()
    };
    let held = refused.filter(|refused| refused.waiting.total() > 0);
    let since = [gate.waiting_since, held.map(|refused| refused.since)];
    let since = since.into_iter().flatten().min();
    let since = since.map(|at| moment(&at.to_string()));
    let alerts = gate.alerts + refused.map_or(0, |refused| refused.waiting.total());
    vec![
        one_line(&gate.name),
        one_line(slack),
        rate(gate),
        waiting(Priority::Critical),
        waiting(Priority::Warning),
        waiting(Priority::Normal),
        alerts.to_string(),
        since.unwrap_or_else(|| "-".to_owned()),
        match refused.or(token) {
            Some(refused) => format!("held: {}", one_line(&refused.code)),
            None => open(gate),
        },
    ]
}

fn print_refused(who: &str, refused: Option<&Refused>, paint: Paint) {
    let Some(refused) = refused else {
        return;
    };
    let wait = match refused.waiting.total() {
        0 => "nothing waits for it".to_owned(),
        1 => "1 delivery waits for it".to_owned(),
        count => format!("{count} deliveries wait for it"),
    };
    print::line(&format!(
        "\n{} {who} since {}: {}; {wait}: {}",
        paint.red("Slack refuses"),
        moment(&refused.since.to_string()),
        one_line(&refused.code),
        plain(&refused.advice),
    ));
}

/// Returns how much passes: `1/s, burst 5`.
fn rate(gate: &Gate) -> String {
    let Some(per_second) = gate.per_second else {
        return "-".to_owned();
    };
    let per_second = (per_second * 100.0).round() / 100.0;
    match gate.burst {
        Some(burst) => format!("{per_second}/s, burst {burst}"),
        None => format!("{per_second}/s"),
    }
}

/// Returns when the next call passes.
fn open(gate: &Gate) -> String {
    match (gate.closed_until, gate.next_token_at) {
        (Some(until), _) => format!("closed until {}", moment(&until.to_string())),
        (None, Some(at)) => format!("at {}", moment(&at.to_string())),
        (None, None) => "now".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Timestamp;
    use crate::api::ByPriority;

    #[test]
    fn a_channel_that_is_refused_is_not_open_and_shows_what_waits_for_it() {
        let gate = Gate {
            name: "alerts".to_owned(),
            per_second: Some(1.0),
            burst: Some(5),
            waiting: ByPriority::default(),
            alerts: 0,
            waiting_since: None,
            next_token_at: None,
            closed_until: None,
        };
        let refused = |critical| Refused {
            code: "not_in_channel".to_owned(),
            advice: "invite it".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            waiting: ByPriority {
                critical,
                ..ByPriority::default()
            },
        };
        let since = "1970-01-01T00:00:00Z";
        for (refused, token, expected) in [
            (None, None, ["0", "0", "-", "now"]),
            (
                Some(refused(4)),
                None,
                ["4", "4", since, "held: not_in_channel"],
            ),
            (
                None,
                Some(refused(4)),
                ["0", "0", "-", "held: not_in_channel"],
            ),
        ] {
            let row = row(&gate, "#alerts", refused.as_ref(), token.as_ref());
            assert_eq!([&row[3], &row[6], &row[7], &row[8]], expected);
        }
    }
}
