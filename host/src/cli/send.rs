//! `send`: posts an alert and shows the result.

mod unrouted;

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::args::SendArgs;
use super::client::{Answer, Client, StillLoading};
use super::explain;
use super::print::{self, Paint, Status, one_line};
use crate::alert::Timestamp;
use crate::api::{Accepted, Story, Taken};
use crate::queue::State;
use unrouted::Unrouted;

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
    let accepted = answer.read()?;
    if !args.json {
        show_counted(&accepted);
    }
    let stories = if args.no_wait {
        if !args.json {
            show_ids(&accepted);
        }
        Vec::new()
    } else {
        follow(&client, args, &accepted, deadline)?
    };
    let is_done = |followed: &Followed| followed.story.delivery.state.is(State::Done);
    let unrouted = Unrouted::of(&accepted, &stories);
    unrouted.report(&client);
    let failed = !accepted.counted.rejected.is_empty()
        || !unrouted.0.is_empty()
        || (!args.no_wait && !stories.iter().all(is_done));
    if args.json {
        let stories: Vec<_> = stories.iter().map(|followed| &followed.json).collect();
        print::json(&json!({ "answer": answer.json(), "deliveries": stories }));
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
) -> anyhow::Result<Answer<Accepted>> {
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
        if !args.resolve && !args.again {
            return Ok(text);
        }
        let flag = if args.again { "--again" } else { "--resolve" };
        let mut body: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .with_context(|| format!("{}: {flag} needs JSON", file.display()))?;
        match args.again {
            true => begin_now(&mut body, now),
            false => resolve(&mut body, now)?,
        }
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

/// Makes every alert of a body fire since now, so that it is a new event, in each of the forms that the webhook accepts.
fn begin_now(body: &mut Value, now: Timestamp) {
    match body {
        Value::Array(alerts) => alerts.iter_mut().for_each(|alert| begin_now(alert, now)),
        Value::Object(fields) => {
            fields.insert("status".into(), json!("firing"));
            fields.remove("endsAt");
            match fields.get_mut("alerts") {
                Some(alerts) => begin_now(alerts, now),
                None => {
                    fields.insert("startsAt".into(), json!(now.to_string()));
                }
            }
        }
        // The server says what is wrong with it.
        _ => {}
    }
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

fn show_counted(answer: &Accepted) {
    let counted = &answer.counted;
    for (count, what) in [
        (counted.accepted, "accepted"),
        (
            counted.duplicates,
            "duplicate: the same event was accepted before, so it does not run again",
        ),
        (
            counted.stale,
            "stale: its resolved was accepted before, so it does not run",
        ),
    ] {
        if count > 0 {
            print::line(&format!("{count} {what}"));
        }
    }
    for original in &answer.duplicate_of {
        print::line(&format!("already accepted as {}", original.id));
    }
    let paint = Paint::for_stdout();
    for rejected in &counted.rejected {
        print::line(&format!(
            "{} alert {}: {}",
            paint.red("rejected"),
            rejected.index,
            one_line(&rejected.error)
        ));
    }
}

/// Prints the ids of the deliveries, for use with `explain`.
fn show_ids(answer: &Accepted) {
    for delivery in &answer.deliveries {
        let handlers = delivery.handlers.as_deref().unwrap_or_default();
        print::line(&format!(
            "{} {} → {}",
            delivery.id,
            one_line(&delivery.alertname),
            if handlers.is_empty() {
                "no route".to_owned()
            } else {
                explain::joined(handlers, ", ")
            }
        ));
    }
}

/// The story of a settled delivery, as JSON and parsed.
struct Followed {
    json: Value,
    story: Story,
}

/// Waits until each delivery is settled, at most the given time in all, and prints its story. A duplicate has the story of the
/// delivery that it belongs to.
fn follow(
    client: &Client,
    args: &SendArgs,
    answer: &Accepted,
    deadline: Instant,
) -> anyhow::Result<Vec<Followed>> {
    let mut stories = Vec::new();
    for delivery in &answer.deliveries {
        let followed = settled(client, delivery, deadline)?;
        show_story(args, &followed.story);
        stories.push(followed);
    }
    for original in &answer.duplicate_of {
        match settled(client, original, deadline) {
            Ok(followed) => {
                show_story(args, &followed.story);
                stories.push(followed);
            }
            // The record of an event is kept longer than its delivery.
            Err(error) => print::note(&format!(
                "{} cannot be shown: {}",
                original.id,
                print::causes(&error)
            )),
        }
    }
    Ok(stories)
}

/// Waits for one delivery and returns its story.
fn settled(client: &Client, delivery: &Taken<'_>, deadline: Instant) -> anyhow::Result<Followed> {
    let id = delivery.id.to_string();
    let mut status = Status::new();
    loop {
        let answer = client.story(&id)?;
        let story = answer.read()?;
        if story.delivery.is_settled() || Instant::now() >= deadline {
            status.clear();
            let json = answer.json().clone();
            return Ok(Followed { json, story });
        }
        let (name, state) = (&delivery.alertname, story.delivery.state.to_text());
        status.set(&format!("{id} {}: {}", one_line(name), one_line(&state)));
        std::thread::sleep(POLL);
    }
}

fn show_story(args: &SendArgs, story: &Story) {
    if !args.json {
        print::line("");
        print::out(&explain::render(story, Paint::for_stdout()));
    }
    if !story.delivery.is_settled() {
        let id = story.delivery.id;
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

    #[test]
    fn every_form_of_a_body_can_begin_again() {
        let now = Timestamp::UNIX_EPOCH;
        let alert = json!({ "labels": {}, "startsAt": "2026-03-02T07:31:57Z" });
        let ended = json!({
            "status": "resolved",
            "labels": {},
            "startsAt": "2026-03-02T07:31:57Z",
            "endsAt": "2026-03-02T08:31:57Z"
        });
        for (mut body, pointer) in [
            (alert.clone(), ""),
            (ended.clone(), ""),
            (json!([alert]), "/0"),
            (json!([ended]), "/0"),
            (json!({ "alerts": [alert] }), "/alerts/0"),
            (
                json!({ "status": "resolved", "alerts": [ended] }),
                "/alerts/0",
            ),
        ] {
            begin_now(&mut body, now);
            let alert = body.pointer(pointer).unwrap();
            assert_eq!(alert["startsAt"], "1970-01-01T00:00:00Z", "{body}");
            assert_eq!(alert["status"], "firing", "{body}");
            assert_eq!(alert.get("endsAt"), None, "{body}");
            if body.is_object() {
                assert_eq!(body["status"], "firing", "{body}");
            }
        }
    }
}
