//! `send`: posts an alert and shows the result.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::args::SendArgs;
use super::ask::{list, word};
use super::client::{Client, StillLoading};
use super::explain;
use super::print::{self, Paint, Status};
use crate::alert::Timestamp;

/// The default alert.
const README_ALERT: &str = include_str!("readme-alert.json");

/// How often a delivery that is not settled is polled.
const POLL: Duration = Duration::from_millis(150);

/// Posts, waits for the deliveries, and prints their stories.
pub(super) fn run(args: &SendArgs) -> anyhow::Result<ExitCode> {
    let body = body(args, Timestamp::now())?;
    let client = Client::new(&args.server)?;
    let token_file = args.webhook_token_file.as_deref();
    let token_file = token_file.filter(|path| !path.as_os_str().is_empty());
    let deadline = Instant::now() + args.timeout;
    let answer = post(args, &body, token_file, deadline)?;
    if !args.json {
        show_answer(&answer);
    }
    let stories = if args.no_wait {
        if !args.json {
            show_ids(&answer);
        }
        Vec::new()
    } else {
        follow(&client, args, &answer, deadline)?
    };
    let rejected = !list(&answer, "rejected").is_empty();
    let failed =
        rejected || (!args.no_wait && stories.iter().any(|story| story["state"] != "done"));
    if args.json {
        print::json(&json!({ "answer": answer, "deliveries": stories }));
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Posts the body; tries again while a server that has just started loads its handlers.
fn post(
    args: &SendArgs,
    body: &str,
    token_file: Option<&Path>,
    deadline: Instant,
) -> anyhow::Result<Value> {
    let mut status = Status::new();
    loop {
        // Each on a new connection: the server closes a connection if it has not read the body.
        match Client::new(&args.server)?.post_alerts(body.to_owned(), token_file) {
            Err(error) if error.is::<StillLoading>() && Instant::now() < deadline => {
                status.set(&format!("waiting: {error}"));
                std::thread::sleep(POLL);
            }
            answer => return answer,
        }
    }
}

/// Returns the body.
fn body(args: &SendArgs, now: Timestamp) -> anyhow::Result<String> {
    if let Some(file) = &args.alert {
        let text = String::from_utf8(read(file)?)
            .with_context(|| format!("{} is not UTF-8", file.display()))?;
        if !args.resolve {
            return Ok(text);
        }
        let mut body: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .with_context(|| format!("{}: --resolve needs JSON", file.display()))?;
        resolve(&mut body, now)?;
        return Ok(body.to_string());
    }
    let mut alert: Value = if args.labels.is_empty() {
        serde_json::from_str(README_ALERT).context("the built-in alert")?
    } else {
        json!({ "status": "firing", "labels": pairs(&args.labels), "annotations": {} })
    };
    for (name, value) in &args.annotations {
        alert["annotations"][name] = json!(value);
    }
    if args.resolve {
        // Without `startsAt`, the alert ends the firing one with the same labels.
        if let Some(fields) = alert.as_object_mut() {
            fields.remove("startsAt");
        }
        resolve(&mut alert, now)?;
    } else {
        // Each alert that is sent is a new event, so that it runs.
        alert["startsAt"] = json!(now.to_string());
    }
    Ok(alert.to_string())
}

fn pairs(labels: &[(String, String)]) -> Value {
    labels
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Reads the file that `--alert` names; `-` is standard input.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin()
            .read_to_end(&mut body)
            .context("cannot read standard input")?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Makes every alert of a body resolved, in each of the forms that the webhook accepts.
fn resolve(body: &mut Value, now: Timestamp) -> anyhow::Result<()> {
    match body {
        Value::Array(alerts) => alerts.iter_mut().try_for_each(|alert| resolve(alert, now)),
        Value::Object(fields) => {
            fields.insert("status".into(), json!("resolved"));
            match fields.get_mut("alerts") {
                Some(alerts) => resolve(alerts, now),
                None => {
                    fields.insert("endsAt".into(), json!(now.to_string()));
                    Ok(())
                }
            }
        }
        _ => Err(anyhow!(
            "--resolve: the body has a part that is not an alert"
        )),
    }
}

fn show_answer(answer: &Value) {
    for (key, what) in [
        ("accepted", "accepted"),
        (
            "duplicates",
            "duplicate: the same event was accepted before, so it does not run again",
        ),
        (
            "stale",
            "stale: its resolved was accepted before, so it does not run",
        ),
    ] {
        if let Some(count) = answer[key].as_u64().filter(|count| *count > 0) {
            print::line(&format!("{count} {what}"));
        }
    }
    for original in list(answer, "duplicate_of") {
        print::line(&format!("already accepted as {}", word(&original["id"])));
    }
    let paint = Paint::for_stdout();
    for rejected in list(answer, "rejected") {
        print::line(&format!(
            "{} alert {}: {}",
            paint.red("rejected"),
            word(&rejected["index"]),
            word(&rejected["error"])
        ));
    }
}

/// Prints the ids of the deliveries, for use with `explain`.
fn show_ids(answer: &Value) {
    for delivery in list(answer, "deliveries") {
        let handlers: Vec<_> = list(&delivery, "handlers").iter().map(word).collect();
        print::line(&format!(
            "{} {} → {}",
            word(&delivery["id"]),
            word(&delivery["alertname"]),
            if handlers.is_empty() {
                "no route".to_owned()
            } else {
                handlers.join(", ")
            }
        ));
    }
}

/// Waits until each delivery is settled, at most the given time in all, and prints its story. A duplicate has the story of
/// the delivery that it belongs to.
fn follow(
    client: &Client,
    args: &SendArgs,
    answer: &Value,
    deadline: Instant,
) -> anyhow::Result<Vec<Value>> {
    let mut stories = Vec::new();
    for delivery in list(answer, "deliveries") {
        stories.push(settled(client, &delivery, deadline)?);
        show_story(args, stories.last());
    }
    for original in list(answer, "duplicate_of") {
        match settled(client, &original, deadline) {
            Ok(story) => {
                stories.push(story);
                show_story(args, stories.last());
            }
            // The record of an event is kept longer than its delivery.
            Err(error) => print::note(&format!(
                "{} cannot be shown: {}",
                word(&original["id"]),
                print::causes(&error)
            )),
        }
    }
    Ok(stories)
}

fn is_settled(story: &Value) -> bool {
    matches!(story["state"].as_str(), Some("done" | "dead"))
}

/// Waits for one delivery and returns its story.
fn settled(client: &Client, delivery: &Value, deadline: Instant) -> anyhow::Result<Value> {
    let id = word(&delivery["id"]);
    let mut status = Status::new();
    loop {
        let story = explain::story(client, &id)?;
        if is_settled(&story) || Instant::now() >= deadline {
            status.clear();
            return Ok(story);
        }
        let name = word(&delivery["alertname"]);
        status.set(&format!("{id} {name}: {}", word(&story["state"])));
        std::thread::sleep(POLL);
    }
}

fn show_story(args: &SendArgs, story: Option<&Value>) {
    let Some(story) = story else { return };
    if !args.json {
        print::line("");
        print::out(&explain::render(story, Paint::for_stdout()));
    }
    if !is_settled(story) {
        let id = word(&story["id"]);
        print::note(&format!(
            "{id} is not settled within {}: alert-manager explain {id} shows its progress",
            crate::units::format_duration(args.timeout)
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_form_of_a_body_can_be_resolved() {
        let now = Timestamp::UNIX_EPOCH;
        for (mut body, pointer) in [
            (json!({ "labels": { "a": "b" } }), ""),
            (json!([{ "labels": { "a": "b" } }]), "/0"),
            (
                json!({ "status": "firing", "alerts": [{ "status": "firing", "labels": {} }] }),
                "/alerts/0",
            ),
        ] {
            resolve(&mut body, now).unwrap();
            let alert = body.pointer(pointer).unwrap();
            assert_eq!(alert["status"], "resolved", "{body}");
            assert_eq!(alert["endsAt"], "1970-01-01T00:00:00Z", "{body}");
        }
        assert!(resolve(&mut json!([1]), now).is_err());
    }
}
