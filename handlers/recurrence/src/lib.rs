//! Says how often an alert has fired before, how long it usually lasts, and when it last began: from the server's history.

#[cfg(test)]
mod tests;

use std::time::Duration;

use handler_sdk::history;
use handler_sdk::prelude::*;
use handler_sdk::time::{DAY, human};

const DAYS: Setting =
    Setting::integer("days", "how many days are counted, from 1 to 90").default("14");
const SAME: Setting = Setting::list(
    "same",
    "the labels that an earlier alert has in common with this one; those of its subject if not set",
);

/// The days of the server's history.
const DAYS_MAX: u32 = 90;
/// The most labels that the server compares.
const SAME_MAX: usize = 16;
/// A median of fewer says little about what is usual.
const ENDED_MIN: usize = 3;

/// Labels whose values change although the alert is about the same: a pod has a new name after each rollout.
const CHANGING: [&str; 10] = [
    "pod",
    "exported_pod",
    "pod_name",
    "uid",
    "id",
    "container_id",
    "image",
    "image_id",
    "endpoint",
    "severity",
];

/// The handler.
#[derive(Debug)]
pub struct Recurrence;

impl Handler for Recurrence {
    fn describe() -> Description {
        Description::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "Says how often the alert has fired before, how long it usually lasts, and when it last began.",
        )
        .settings([&DAYS, &SAME])
        .enrich_only()
    }

    fn enrich(cx: &Cx, alert: &Alert, so_far: &Enrichment) -> Result<Enrichment, Failure> {
        if so_far.storm().is_some() {
            // The history of one alert says nothing about the others of a storm.
            return Ok(Enrichment::new());
        }
        let days = days(cx)?;
        let named: Option<Vec<String>> = cx.config_json(SAME.name())?;
        let labels = alert.subject().labels();
        let same: Vec<&str> = match &named {
            Some(named) => named.iter().map(String::as_str).collect(),
            None => labels
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| !CHANGING.contains(name))
                .take(SAME_MAX)
                .collect(),
        };
        if same.len() > SAME_MAX {
            let why = format!(
                "the setting `same` has {} labels, more than {SAME_MAX}: name fewer",
                same.len()
            );
            return Err(Failure::permanent(why));
        }
        let past = cx.history().earlier(&same, DAY * days)?;
        Ok(Enrichment::new().with_fact(env!("CARGO_PKG_NAME"), said(&past, days)))
    }

    fn act(_: &Cx, _: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        Ok(Facts::new())
    }
}

handler_sdk::export!(Recurrence);

fn days(cx: &Cx) -> Result<u32, Failure> {
    let written = cx.setting(&DAYS).unwrap_or_default();
    let days = written
        .trim()
        .parse()
        .ok()
        .filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| {
        Failure::permanent(format!(
            "the setting `days` is `{written}`: write a number from 1 to {DAYS_MAX}"
        ))
    })
}

/// Returns what the history shows, in words. It shows what the server has received, so a count is the least that there was.
fn said(past: &history::Past, days: u32) -> String {
    let within = match days {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    let Some(latest) = past.latest() else {
        return format!("no earlier one is known of the last {within}");
    };
    let mut parts = vec![format!(
        "{} time in {within}",
        ordinal(past.count.saturating_add(1))
    )];
    if let Some(usual) = usual(past) {
        parts.push(format!("usually {}", human(usual)));
    }
    parts.push(format!("last on {}", minute(&latest.starts_at)));
    if latest.ends_at.is_none() {
        parts.push("which has not resolved".to_owned());
    }
    parts.join(", ")
}

/// Returns the median of how long they lasted, if enough have ended.
fn usual(past: &history::Past) -> Option<Duration> {
    let ended = past
        .occurrences
        .iter()
        .filter_map(|one| Some(one.ends_at?.since(&one.starts_at)));
    let mut lasted: Vec<Duration> = ended.collect();
    lasted.sort_unstable();
    (lasted.len() >= ENDED_MIN).then(|| lasted[lasted.len() / 2])
}

/// Returns a moment to the minute: `2026-11-03 14:02 UTC`.
fn minute(at: &Timestamp) -> String {
    let text = at.to_string();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", time.get(..5).unwrap_or_default())
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}
