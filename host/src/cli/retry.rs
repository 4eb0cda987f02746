//! `retry` and `cancel`: commands that change deliveries on a running server.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::args::{CancelArgs, RetryArgs};
use super::client::{Answer, Client, Query};
use super::print::{self, one_line, plain};
use crate::api::{Cancelled, Left, LeftCount, Lenient, RestReason, Retried, SentAgain};
use crate::queue::State;

/// How long `retry --handler` waits for free space in a queue that makes no progress.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(30);

/// Retries dead deliveries.
pub(super) fn retry(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    if args.ids.is_empty() {
        return retry_many(args);
    }
    let client = Client::new(&args.server)?;
    let force = args.force.then(|| ("force", "true".to_owned()));
    let query: Query = force.into_iter().collect();
    let retry = |id: &str| client.retry(id, &query);
    each(&args.ids, args.json, retry, |answer: &SentAgain| {
        if answer.was.is(State::Retrying) {
            "runs now"
        } else {
            "sent again"
        }
    })
}

/// Retries every delivery that is selected, as the queue has space for them.
fn retry_many(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    let mut selection = Query::new();
    selection.extend(args.handler.clone().map(|handler| ("handler", handler)));
    selection.extend(args.reason.clone().map(|reason| ("reason", reason)));
    selection.extend(args.matchers.iter().map(|text| ("match", text.clone())));
    if args.waiting {
        selection.push(("state", "retrying".to_owned()));
    }
    let client = Client::new(&args.server)?;
    let mut done = RetriedMany::default();
    let mut progressed = Instant::now();
    let failed = loop {
        let mut query = selection.clone();
        query.extend(done.after().map(|after| ("after", after)));
        let answer = client.retry_all(&query).and_then(|answer| answer.read());
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => break Some(error),
        };
        if done.add(answer) {
            progressed = Instant::now();
        }
        let Some(to_go) = done.to_go() else {
            break None;
        };
        if progressed.elapsed() > ROOM_WAIT_MAX {
            break None;
        }
        let what = if args.waiting {
            "run now"
        } else {
            "sent again"
        };
        let retried = done.sum.retried.len();
        print::progress(&format!("{retried} {what}, {to_go} to go"));
    };
    print::progress("");
    if args.json {
        print::json(&done.to_json()?);
    } else {
        done.print(args);
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// The results of several requests that retry many deliveries.
#[derive(Default)]
struct RetriedMany {
    /// The results of all requests; `rest` is that of the last one.
    sum: Retried,
    /// The deliveries that the last request did not process; the next one may retry them.
    rest_left: Vec<Left>,
}

impl RetriedMany {
    /// Adds the response to one request; returns whether it made progress.
    fn add(&mut self, answer: Retried) -> bool {
        let sum = &mut self.sum;
        let before = (sum.retried.len(), sum.left_counts.clone());
        sum.retried.extend(answer.retried);
        sum.rest = answer.rest;
        let error = sum.rest.as_ref().map(|rest| rest.error.as_str());
        let is_of_rest = |left: &Left| error.is_some_and(|rest| left.error.ends_with(rest));
        let (rest, left): (Vec<_>, Vec<_>) = answer.left.into_iter().partition(is_of_rest);
        self.rest_left = rest;
        sum.left.extend(left);
        for LeftCount { error, count } in answer.left_counts {
            let mut known = sum.left_counts.iter_mut();
            match known.find(|known| known.error == error) {
                Some(known) => known.count += count,
                None => sum.left_counts.push(LeftCount { error, count }),
            }
        }
        before != (sum.retried.len(), sum.left_counts.clone())
    }

    fn after(&self) -> Option<String> {
        self.sum.rest.as_ref().map(|rest| rest.after.to_string())
    }

    /// Returns how many deliveries are left for another request.
    fn to_go(&self) -> Option<u64> {
        let rest = self.sum.rest.as_ref()?;
        match rest.reason {
            Lenient::Known(RestReason::Room | RestReason::Time) => Some(rest.count),
            _ => None,
        }
    }

    fn to_json(&self) -> anyhow::Result<Value> {
        let mut all = self.sum.clone();
        all.left.extend(self.rest_left.iter().cloned());
        Ok(serde_json::to_value(all)?)
    }

    fn print(&self, args: &RetryArgs) {
        let (what, stays) = if args.waiting {
            ("run now", "left as they are")
        } else {
            ("sent again", "left dead")
        };
        let none = match (&args.handler, args.waiting) {
            (Some(handler), false) if args.reason.is_none() && args.matchers.is_empty() => {
                format!("{handler} has no dead delivery")
            }
            (_, false) => "no dead delivery is selected".to_owned(),
            (_, true) => "no delivery that is selected waits for another try; what waits for a rate limit is sent when it is its turn (`alert-manager channels`)".to_owned(),
        };
        let sum = &self.sum;
        match sum.retried.len() {
            0 if sum.left_counts.is_empty() && sum.rest.is_none() => {
                print::line(&format!("0 {what}: {none}"));
            }
            sent => print::line(&format!("{sent} {what}")),
        }
        let rest = sum.rest.as_ref().map(|rest| (&rest.error, rest.count));
        let left = sum.left_counts.iter();
        for (error, count) in left.map(|left| (&left.error, left.count)).chain(rest) {
            print::note(&format!("{count} {stays}: {}", one_line(error)));
        }
    }
}

/// Cancels deliveries.
pub(super) fn cancel(args: &CancelArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let cancel = |id: &str| client.cancel(id);
    each(&args.ids, args.json, cancel, |_: &Cancelled| "cancelled")
}

/// Makes a request for each delivery; a failure does not stop the next.
fn each<T: DeserializeOwned>(
    ids: &[String],
    as_json: bool,
    ask: impl Fn(&str) -> anyhow::Result<Answer<T>>,
    done: impl Fn(&T) -> &'static str,
) -> anyhow::Result<ExitCode> {
    let mut results = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for id in ids {
        let answered = ask(id).and_then(|answer| {
            if as_json {
                results.push(answer.json().clone());
            } else {
                print::line(&format!("{id} {}", done(&answer.read()?)));
            }
            Ok(())
        });
        match answered {
            Ok(()) => {}
            Err(error) => {
                code = ExitCode::FAILURE;
                if as_json {
                    results.push(json!({ "id": id, "error": error.to_string() }));
                } else {
                    print::note(&plain(&format!("{id}: {}", print::causes(&error))));
                }
            }
        }
    }
    if as_json {
        print::json(&json!({ "deliveries": results }));
    }
    Ok(code)
}
