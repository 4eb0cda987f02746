//! Starts the stand-in for Slack by hand and prints each message as it arrives or changes.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use tests::fakes::slack::TOKEN;
use tests::fakes::slack_render::render;
use tests::fakes::{Message, Slack};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(
                std::io::stderr(),
                "fake-slack: {e:#}. Usage: fake-slack [PORT]"
            );
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(9998), |port| port.parse())
        .context("the port is no number")?;
    let slack = Slack::start_on(port).await?;
    slack.accept_anyone();
    let mut out = std::io::stdout();
    writeln!(
        out,
        "Slack's stand-in takes every token and channel. Point the server at it:"
    )?;
    writeln!(
        out,
        "  SLACK_API_URL={} SLACK_TOKEN={TOKEN} cargo run -- dev\n",
        slack.api_url()
    )?;
    let mut printed: Vec<Message> = Vec::new();
    loop {
        let messages = slack.wait_for_news(&printed).await;
        for message in &messages {
            if !printed.contains(message) {
                writeln!(out, "{}", render(message))?;
            }
        }
        printed = messages;
    }
}
