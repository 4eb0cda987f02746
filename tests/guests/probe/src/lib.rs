//! Runs the alert's annotation `script`, or the setting of that name, line by line, and returns each line's result as a
//! fact.

#![allow(unsafe_code, reason = "the generated glue")]

use handler_sdk::bindings::{self, alert_manager, exports};

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use alert_manager::handler::{config, history, http, kv, log, slack, timer, types::Retry};
use exports::alert_manager::handler::hooks::{
    Alert, Call, Description, Enrichment, Failure, Guest, Labels,
};

/// The handler's name. Padded, because a test replaces it with another.
static NAME: &str = "probe                                                           ";

struct Probe;
bindings::export_hooks!(Probe with_types_in bindings);

impl Guest for Probe {
    fn describe() -> Description {
        Description {
            name: std::hint::black_box(NAME).trim_end().to_owned(),
            version: "0.1.0".into(),
            summary: "Does what its alert says.".into(),
            alerts: vec!["Probe".into()],
            more: vec![],
        }
    }

    fn enrich(call: Call, alert: Alert, found: Enrichment) -> Result<Enrichment, Failure> {
        let facts = run(&call, &alert, &found, "enrich")?;
        Ok(Enrichment {
            facts,
            blocks: found.blocks,
        })
    }

    fn act(call: Call, alert: Alert, found: Enrichment) -> Result<Labels, Failure> {
        run(&call, &alert, &found, "act")
    }
}

/// Runs the script in both hooks, or in the one that the alert's label `step` names.
fn run(
    call: &Call,
    alert: &Alert,
    found: &Enrichment,
    step: &str,
) -> Result<Labels, Failure> {
    let named = alert.labels.iter().find(|(name, _)| name == "step");
    if named.is_some_and(|(_, named)| named != step) {
        return Ok(vec![]);
    }
    let script = alert
        .annotations
        .iter()
        .find(|(name, _)| name == "script")
        .map(|(_, script)| script.clone())
        // Alerts that no test sends, such as those of the server itself, run the configured script.
        .or_else(|| (step == "act").then(|| config::get("script")).flatten())
        .unwrap_or_default();
    let mut facts = Vec::new();
    let mut message = String::new();
    for (number, line) in script.lines().map(str::trim).enumerate() {
        // `first` is for an alert, `due` for a timer.
        let is_of_timer = fact(found, "timer.key") != "none";
        let line = match (line.strip_prefix("first "), line.strip_prefix("due ")) {
            (Some(_), _) if is_of_timer => continue,
            (_, Some(_)) if !is_of_timer => continue,
            (Some(line), _) | (_, Some(line)) => line,
            _ => line,
        };
        let result = match line.strip_prefix("fact ") {
            Some(name) => fact(found, name),
            None => perform(call, line, &mut message)?,
        };
        facts.push((number.to_string(), result));
    }
    Ok(facts)
}

fn fact(found: &Enrichment, name: &str) -> String {
    let mut facts = found.facts.iter();
    let fact = facts.find(|(known, _)| known == name);
    fact.map_or_else(|| "none".into(), |(_, value)| value.clone())
}

fn perform(call: &Call, line: &str, last: &mut String) -> Result<String, Failure> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok(match verb {
        "get" => shown(http::send(&request(http::Method::Get, first, second))),
        "get-within" => shown(http::send(&http::Request {
            timeout_ms: first.parse().ok(),
            ..request(http::Method::Get, second, "")
        })),
        "post" => shown(http::send(&request(http::Method::Post, first, second))),
        // With an author's key, a request that differs from attempt to attempt is the same call.
        "keyed" => shown(http::send(&http::Request {
            key: Some(first.into()),
            ..request(http::Method::Post, second, &call.attempt.to_string())
        })),
        "unkeyed" => shown(http::send(&request(
            http::Method::Post,
            first,
            &call.attempt.to_string(),
        ))),
        "credential" => shown(http::send(&http::Request {
            credential: Some(first.into()),
            ..request(http::Method::Get, second, "")
        })),
        "credential-post" => shown(http::send(&http::Request {
            credential: Some(first.into()),
            ..request(http::Method::Post, second, "x")
        })),
        "header" => shown(http::send(&http::Request {
            headers: vec![(first.into(), "x".into())],
            ..request(http::Method::Get, second, "")
        })),
        "slack" => keep(slack::post(&message(first, second, None)), last),
        // Fails the step if the message is not posted.
        "must-slack" => match slack::post(&message(first, second, None)) {
            Ok(reference) => keep(Ok(reference), last),
            Err(error) => {
                return Err(Failure::Unavailable(Retry {
                    message: format!("{error:?}"),
                    after_ms: None,
                }));
            }
        },
        "blocks" => keep(slack::post(&message(first, "plain", Some(second))), last),
        "thread" => keep(
            slack::post(&slack::Message {
                thread: Some(last.clone()),
                ..message(first, second, None)
            }),
            last,
        ),
        "update" => keep(slack::update(last, &message("", rest, None)), last),
        "reference" => last.clone(),
        "react" => format!("{:?}", slack::react(last, rest)),
        "upload" => format!(
            "{:?}",
            slack::upload(&slack::File {
                name: first.into(),
                title: "A picture".into(),
                media_type: "image/png".into(),
                data: vec![1, 2, 3],
                key: None,
            })
        ),
        "ref" => {
            rest.clone_into(last);
            "kept".into()
        }
        "set" => format!("{:?}", kv::set(first, second.as_bytes(), None)),
        "set-if-absent" => format!("{:?}", kv::set_if_absent(first, second.as_bytes(), None)),
        "value" => format!("{:?}", kv::get(first).map(|v| v.map(String::from_utf8))),
        "increment" => format!(
            "{:?}",
            kv::increment(first, second.parse().unwrap_or(1), None)
        ),
        "remove" => format!("{:?}", kv::remove(first)),
        // `earlier SECONDS LABEL,LABEL`
        "earlier" => {
            let same: Vec<String> = second.split(',').filter(|l| !l.is_empty()).map(Into::into).collect();
            format!("{:?}", history::earlier(&same, first.parse().unwrap_or_default()))
        }
        // `timer KEY SECONDS NAME=VALUE`
        "timer" => {
            let (delay, fact) = second.split_once(' ').unwrap_or((second, ""));
            let facts: Labels = fact.split_once('=').map(|(n, v)| (n.into(), v.into())).into_iter().collect();
            format!("{:?}", timer::after(first, delay.parse().unwrap_or_default(), &facts))
        }
        "cancel-timer" => format!("{:?}", timer::cancel(first)),
        "config" => format!("{:?}", config::get(first)),
        "log" => {
            log::write(log::Level::Warn, rest, &[("field".into(), "value".into())]);
            "logged".into()
        }
        "print" => {
            println!("{rest}");
            "printed".into()
        }
        "clock" => format!("{:?}", std::time::SystemTime::now()),
        "random" => RandomState::new().hash_one(0).to_string(),
        "attempt" => call.attempt.to_string(),
        "dry-run" => call.dry_run.to_string(),
        "panic" => panic!("{rest}"),
        "retryable" => {
            return Err(Failure::Retryable(Retry {
                message: rest.into(),
                after_ms: Some(1_500),
            }));
        }
        "unavailable" => {
            return Err(Failure::Unavailable(Retry {
                message: rest.into(),
                after_ms: None,
            }));
        }
        // Fails only on the first attempt.
        "fail-once" if call.attempt == 1 => {
            return Err(Failure::Retryable(Retry {
                message: rest.into(),
                after_ms: None,
            }));
        }
        "fail-once" => "passed".into(),
        // Its delivery is dead until it is retried manually.
        "if-retried" if call.attempt == 1 => return Err(Failure::Permanent("retry it".into())),
        "if-retried" => "passed".into(),
        other => return Err(Failure::Permanent(format!("there is no verb {other:?}"))),
    })
}

fn request(method: http::Method, url: &str, body: &str) -> http::Request {
    http::Request {
        method,
        url: url.into(),
        headers: vec![],
        body: (!body.is_empty()).then(|| body.as_bytes().to_vec()),
        credential: None,
        key: None,
        timeout_ms: Some(5_000),
    }
}

fn message(channel: &str, text: &str, blocks: Option<&str>) -> slack::Message {
    slack::Message {
        channel: channel.into(),
        text: text.into(),
        blocks: blocks.map(Into::into),
        thread: None,
        key: None,
    }
}

fn shown(result: Result<http::Response, http::Error>) -> String {
    match result {
        Ok(response) => format!(
            "{} {}",
            response.status,
            String::from_utf8_lossy(&response.body[..response.body.len().min(1_000)])
        ),
        Err(error) => format!("{error:?}"),
    }
}

fn keep(result: Result<String, slack::Error>, last: &mut String) -> String {
    match result {
        Ok(reference) => {
            *last = reference;
            "posted".into()
        }
        Err(error) => format!("{error:?}"),
    }
}
