//! Modes that fail with a transient failure on each attempt, and leave as much behind as they can each time.

use super::alert_manager::handler::types::Retry;
use super::alert_manager::handler::{config, http, kv, log};
use super::{Failure, Harm};

/// The effects of one attempt.
const EFFECTS: usize = 10;
/// The reads of one attempt, of a value that is just small enough to be recorded.
const READS: usize = 120;
const VALUE_BYTES: usize = 60 << 10;
/// A read is recorded only with the next change.
const READS_A_CHANGE: usize = 30;

pub(super) fn harm(mode: &str, url: &str, attempt: u32) -> Option<Harm> {
    let after_ms = match mode {
        "unavailable-after-effects" => {
            effects(url, attempt);
            Some(1)
        }
        "unavailable-after-kv" => {
            reads_and_changes(attempt);
            // Without a wait of its own, so that the operator's backoff applies.
            None
        }
        "unavailable-after-talk" => {
            talk();
            Some(1)
        }
        _ => return None,
    };
    Some(Err(Failure::Unavailable(Retry {
        message: "it is away for a moment".into(),
        after_ms,
    })))
}

/// Makes effects that no earlier attempt has made, each with a large response.
fn effects(url: &str, attempt: u32) {
    // A request that fails is made again by each attempt, so each gets another response: a number.
    let number = http::send(&post(&format!("{url}/number"), ""));
    let number = number.map(|answer| answer.body).unwrap_or_default();
    let number = String::from_utf8_lossy(&number).into_owned();
    for n in 0..EFFECTS {
        let body = format!("{attempt} {number} {n}");
        let _ = http::send(&post(&format!("{url}/take"), &body));
    }
}

/// Reads a value repeatedly, under a key that no earlier attempt has read, with changes in between.
fn reads_and_changes(attempt: u32) {
    let key = format!("value-{attempt}");
    let _ = kv::set(&key, &vec![b'v'; VALUE_BYTES], None);
    for n in 0..READS {
        let _ = kv::get(&key);
        if n % READS_A_CHANGE == 0 {
            let _ = kv::set("change", format!("{attempt} {n}").as_bytes(), None);
        }
    }
    let _ = kv::remove(&key);
}

/// Needs no grant: asks for settings that do not exist, and writes long log lines.
fn talk() {
    for n in 0..200 {
        config::get(&format!("{n:0>500}"));
    }
    for n in 0..20 {
        log::write(log::Level::Info, &format!("{n:0>4000}"), &[]);
    }
}

fn post(url: &str, body: &str) -> http::Request {
    http::Request {
        method: http::Method::Post,
        url: url.into(),
        headers: vec![],
        body: Some(body.as_bytes().to_vec()),
        credential: None,
        key: None,
        timeout_ms: Some(5_000),
    }
}
