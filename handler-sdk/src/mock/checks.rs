//! The checks that the real host makes before a call, with its default limits.

use crate::bindings::alert_manager::handler::http;

pub(super) const HTTP_CALLS_MAX: u32 = 50;
pub(super) const SLACK_CALLS_MAX: u32 = 50;
pub(super) const KV_CALLS_MAX: u32 = 1_000;
pub(super) const HISTORY_CALLS_MAX: u32 = 20;
pub(super) const TIMER_CALLS_MAX: u32 = 100;
pub(super) const RESPONSE_BYTES_MAX: u32 = 8 << 20;
pub(super) const LOG_LINES_MAX: u32 = 200;
pub(super) const KV_KEY_BYTES_MAX: u32 = 512;
pub(super) const KV_VALUE_BYTES_MAX: u32 = 64 << 10;
pub(super) const KV_KEYS_MAX: usize = 50_000;
pub(super) const KV_BYTES_MAX: usize = 16 << 20;

pub(super) const PAST_LISTED_MAX: usize = 50;
pub(super) const TIMERS_OPEN_MAX: usize = 100;

const HISTORY_LABELS_MAX: usize = 16;
const HISTORY_LABEL_BYTES_MAX: usize = 256;
const HISTORY_SECONDS_MAX: u32 = 90 * 24 * 60 * 60;
const TIMER_KEY_BYTES_MAX: usize = 256;
const TIMER_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;
const FACTS_MAX: usize = 256;
const FACT_NAME_BYTES_MAX: usize = 256;
const FACT_BYTES_MAX: usize = 8 << 10;
/// What the names of the host's own facts begin with.
const HOSTS_PREFIXES: [&str; 3] = ["enrich_failed.", "storm.", "timer."];
const REQUEST_BYTES_MAX: usize = 4 << 20;
const EFFECT_KEY_BYTES_MAX: usize = 256;
const URL_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 64 << 10;
const EMOJI_BYTES_MAX: usize = 100;

/// Headers that describe the connection or the framing: only the host sets them.
const RESERVED_HEADERS: [&str; 11] = [
    "alt-used",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Checks an author's key; returns what is wrong with it.
pub(super) fn key(key: Option<&str>) -> Result<(), String> {
    match key {
        Some("") => Err("key: it is empty; leave it out if there is none".to_owned()),
        Some(key) if key.len() > EFFECT_KEY_BYTES_MAX => Err(format!(
            "key: {} bytes, at most {EFFECT_KEY_BYTES_MAX}",
            key.len()
        )),
        _ => Ok(()),
    }
}

/// Checks what `history.earlier` is asked for; returns what is wrong with it.
pub(super) fn earlier(same: &[String], within_seconds: u32) -> Result<(), String> {
    if same.len() > HISTORY_LABELS_MAX {
        return Err(format!(
            "same: {} labels, at most {HISTORY_LABELS_MAX}",
            same.len()
        ));
    }
    if same.iter().any(|name| name.len() > HISTORY_LABEL_BYTES_MAX) {
        return Err(format!(
            "same: a name of over {HISTORY_LABEL_BYTES_MAX} bytes"
        ));
    }
    if within_seconds > HISTORY_SECONDS_MAX {
        return Err(format!(
            "within-seconds: {within_seconds} s, at most {HISTORY_SECONDS_MAX}"
        ));
    }
    Ok(())
}

/// Checks a timer's key; returns what is wrong with it.
pub(super) fn timer_key(key: &str) -> Result<(), String> {
    match key.len() {
        0 => Err("key: it is empty".to_owned()),
        1..=TIMER_KEY_BYTES_MAX => Ok(()),
        bytes => Err(format!("key: {bytes} bytes, at most {TIMER_KEY_BYTES_MAX}")),
    }
}

/// Checks what a timer is set to; returns what is wrong with it.
pub(super) fn timer(delay_seconds: u32, facts: &[(String, String)]) -> Result<(), String> {
    if delay_seconds > TIMER_SECONDS_MAX {
        return Err(format!(
            "delay-seconds: {delay_seconds} s, at most {TIMER_SECONDS_MAX}"
        ));
    }
    self::facts(facts)
}

/// Returns facts without those that have the host's names.
pub(super) fn without_hosts(mut facts: Vec<(String, String)>) -> Vec<(String, String)> {
    facts.retain(|(name, _)| !is_hosts(name));
    facts
}

fn is_hosts(name: &str) -> bool {
    HOSTS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Checks the facts of a handler; returns what is wrong with them.
pub(super) fn facts(facts: &[(String, String)]) -> Result<(), String> {
    if facts.len() > FACTS_MAX {
        return Err(format!("facts: {} facts, at most {FACTS_MAX}", facts.len()));
    }
    for (name, value) in facts {
        if name.is_empty() || name.contains(char::is_control) {
            return Err(format!("a fact without a valid name: {name:?}"));
        }
        if is_hosts(name) {
            return Err(format!("a fact {name:?}: such names are the host's"));
        }
        if name.len() > FACT_NAME_BYTES_MAX {
            return Err(format!("fact_name_bytes: at most {FACT_NAME_BYTES_MAX}"));
        }
        if value.len() > FACT_BYTES_MAX {
            return Err(format!(
                "fact_bytes: the fact {name:?}, at most {FACT_BYTES_MAX}"
            ));
        }
    }
    Ok(())
}

/// Checks a request regardless of grants; returns what is wrong with it.
pub(super) fn request(request: &http::Request) -> Result<(), String> {
    key(request.key.as_deref())?;
    let url = request.url.as_str();
    if url.len() > URL_BYTES_MAX {
        return Err(format!("url: {} bytes, at most {URL_BYTES_MAX}", url.len()));
    }
    let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return Err("url: relative URL without a base".to_owned());
    };
    let needs_host = ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str());
    if needs_host && rest.trim_start_matches(['/', '\\']).is_empty() {
        return Err("url: empty host".to_owned());
    }
    let body_bytes = request.body.as_ref().map_or(0, Vec::len);
    if body_bytes > REQUEST_BYTES_MAX {
        return Err(format!(
            "request_bytes: a body of {body_bytes} bytes, at most {REQUEST_BYTES_MAX}"
        ));
    }
    Ok(())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
}

/// Checks the headers of a granted request; returns what is wrong with them.
pub(super) fn headers(given: &[(String, String)]) -> Result<(), String> {
    let bytes: usize = given.iter().map(|(n, v)| n.len() + v.len()).sum();
    if given.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(format!(
            "headers: {} of {bytes} bytes, at most {HEADERS_MAX} of {HEADER_BYTES_MAX}",
            given.len()
        ));
    }
    for (name, value) in given {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            return Err(format!("headers: {name:?} is no header's name"));
        }
        // Some servers treat `content_length` like the header's own name.
        let folded = name.to_ascii_lowercase().replace('_', "-");
        if RESERVED_HEADERS.contains(&folded.as_str()) || folded.starts_with("proxy-") {
            return Err(format!(
                "headers: {name} is the host's to set: leave it out"
            ));
        }
        if !value
            .bytes()
            .all(|b| b == b'\t' || (b >= b' ' && b != 0x7f))
        {
            return Err(format!(
                "headers: the value of {name} holds a line break or another character that no header carries"
            ));
        }
    }
    Ok(())
}

/// Checks the name of an emoji; returns what is wrong with it.
pub(super) fn emoji(name: &str) -> Result<(), String> {
    let is_bad = |c: char| c.is_control() || c == ':';
    if name.is_empty() || name.len() > EMOJI_BYTES_MAX || name.contains(is_bad) {
        return Err("emoji: its name without colons, at most 100 bytes".to_owned());
    }
    Ok(())
}
