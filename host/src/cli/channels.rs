//! `channels`: what waits for its turn at Slack's gates of a running server.

use std::process::ExitCode;

use super::args::RemoteArgs;
use super::client::Client;
use super::explain::moment;
use super::print::{self, one_line};
use crate::alert::Priority;
use crate::api::Gate;

/// Lists Slack's channels and the other gates.
pub(super) fn run(args: &RemoteArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.server)?.channels()?;
    if args.json {
        print::json(answer.json());
        return Ok(ExitCode::SUCCESS);
    }
    let listed = answer.read()?;
    let channels = listed.channels.iter();
    let channels = channels.map(|channel| row(&channel.gate, &channel.slack));
    let others = listed.gates.iter().map(|gate| row(gate, "-"));
    let rows: Vec<_> = channels.chain(others).collect();
    if rows.is_empty() {
        print::note("no channels: name them below slack.channels");
        return Ok(ExitCode::SUCCESS);
    }
    let header = [
        "NAME", "SLACK", "RATE", "CRITICAL", "WARNING", "NORMAL", "SINCE", "OPEN",
    ];
    print::out(&print::table(&header, &rows));
    Ok(ExitCode::SUCCESS)
}

fn row(gate: &Gate, slack: &str) -> Vec<String> {
    let waiting = |priority| gate.waiting.of(priority).to_string();
    let since = gate.waiting_since.map(|at| moment(&at.to_string()));
    vec![
        one_line(&gate.name),
        one_line(slack),
        rate(gate),
        waiting(Priority::Critical),
        waiting(Priority::Warning),
        waiting(Priority::Normal),
        since.unwrap_or_else(|| "-".to_owned()),
        open(gate),
    ]
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
