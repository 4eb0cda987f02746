//! Starts the fake Slack by hand and prints each message as it arrives or changes, and each call that fails.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use tests::fakes::outage::{OPTIONS, Outage};
use tests::fakes::slack::TOKEN;
use tests::fakes::slack_message::render;
use tests::fakes::{Message, Slack};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        let _ = writeln!(std::io::stdout(), "{}", usage());
        return ExitCode::SUCCESS;
    }
    let asked = match read(&args) {
        Ok(read) => read,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "fake-slack: {error:#}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    match run(&asked).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "fake-slack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    format!(
        "Usage: fake-slack [PORT] [OPTIONS]   (port 9998 by default)\n\n{RATES}\n{OPTIONS}\n\nExample: fake-slack --code not_in_channel --fail 30%"
    )
}

/// What `--help` says of the rates.
const RATES: &str = "\
  --rates                  keep to Slack's own rates, and disable an app that ignores them";

/// What the command line asks for.
struct Asked {
    port: u16,
    keeps_rates: bool,
    outage: Outage,
}

fn read(args: &[String]) -> anyhow::Result<Asked> {
    let mut asked = Asked {
        port: 9998,
        keeps_rates: false,
        outage: Outage::default(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let Some(option) = arg.strip_prefix("--") else {
            asked.port = arg
                .parse()
                .with_context(|| format!("{arg} is not a port"))?;
            continue;
        };
        if option == "rates" {
            asked.keeps_rates = true;
            continue;
        }
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None if option == "down" => (option, None),
            None => (option, args.next().map(String::as_str)),
        };
        if !asked.outage.option(name, value)? {
            bail!("{arg} is not an option");
        }
    }
    Ok(asked)
}

async fn run(asked: &Asked) -> anyhow::Result<()> {
    let port = asked.port;
    let slack = Slack::start_on(port)
        .await
        .with_context(|| format!("cannot listen on port {port}"))?;
    slack.accept_anyone();
    if asked.keeps_rates {
        slack.enforce_rates(1);
    }
    asked.outage.begin(slack.faults());
    let mut out = std::io::stdout();
    let api = slack.api_url();
    let root = api.trim_end_matches("api/");
    writeln!(
        out,
        "A fake Slack that accepts every token and channel. Point the server at it:\n  SLACK_API_URL={api} SLACK_TOKEN={TOKEN} cargo run -- dev\n"
    )?;
    writeln!(
        out,
        "Let it fail, and work again:\n  curl -X POST '{root}fail?code=not_in_channel'\n  curl -X POST {root}heal\n"
    )?;
    out.flush()?;
    let mut printed: Vec<Message> = Vec::new();
    let mut seen = 0;
    loop {
        let (messages, calls) = slack.wait_for_news(&printed, seen).await;
        seen += calls.len();
        for call in calls.iter().filter(|call| call.outcome != "ok") {
            match &call.fault {
                Some(fault) => writeln!(out, "{} failed as asked: {fault:?}", call.method)?,
                None => writeln!(out, "{} refused: {}", call.method, call.outcome)?,
            }
        }
        for message in &messages {
            if !printed.contains(message) {
                writeln!(out, "{}", render(message))?;
            }
        }
        out.flush()?;
        printed = messages;
    }
}
