//! Warning events: which there are, how often, and which tell most.

use handler_sdk::serde_json::Value;

use crate::findings::Warning;
use crate::kube::{moment, text};
use crate::pod::people_text;

/// Kept for the verdict; the message shows three.
const KEPT_MAX: usize = 10;

/// Returns the warnings, the most telling first: the API has no order of its own, and `BackOff` only repeats that the
/// pod crashes.
pub(crate) fn warnings(events: &[Value]) -> Vec<Warning> {
    let mut found: Vec<Warning> = Vec::new();
    for event in events {
        let Some(reason) = text(event, "/reason") else {
            continue;
        };
        let warning = Warning {
            reason: reason.to_owned(),
            message: people_text(text(event, "/message").unwrap_or_default()),
            count: count(event),
            first: first_moment(
                event,
                &[
                    "/firstTimestamp",
                    "/eventTime",
                    "/metadata/creationTimestamp",
                ],
            ),
            last: first_moment(
                event,
                &[
                    "/series/lastObservedTime",
                    "/lastTimestamp",
                    "/eventTime",
                    "/metadata/creationTimestamp",
                ],
            ),
        };
        match found
            .iter_mut()
            .find(|known| known.reason == warning.reason && known.message == warning.message)
        {
            Some(known) => {
                known.count += warning.count;
                known.first = known.first.into_iter().chain(warning.first).min();
                known.last = known.last.max(warning.last);
            }
            None => found.push(warning),
        }
    }
    found.sort_by_key(|warning| (warning.reason == "BackOff", std::cmp::Reverse(warning.last)));
    found.truncate(KEPT_MAX);
    found
}

/// Returns when the first crash was, as far as the events reach back: Kubernetes forgets those of an hour's silence.
pub(crate) fn first_crash(warnings: &[Warning]) -> Option<i64> {
    warnings
        .iter()
        .filter(|warning| warning.reason == "BackOff")
        .filter_map(|warning| warning.first)
        .min()
}

fn count(event: &Value) -> u64 {
    let counts = ["/series/count", "/count"];
    counts
        .iter()
        .find_map(|pointer| event.pointer(pointer)?.as_u64())
        .unwrap_or(1)
        .max(1)
}

fn first_moment(event: &Value, pointers: &[&str]) -> Option<i64> {
    pointers.iter().find_map(|pointer| moment(event, pointer))
}

#[cfg(test)]
mod tests {
    use handler_sdk::serde_json::json;

    use super::*;

    #[test]
    fn the_most_telling_come_first_and_repetitions_are_counted_together() {
        let event = |reason: &str, count: u64, last: &str| {
            json!({ "reason": reason, "message": "m", "count": count,
                "firstTimestamp": "2026-06-04T03:00:00Z", "lastTimestamp": last })
        };
        let found = warnings(&[
            event("BackOff", 200, "2026-06-04T03:30:00Z"),
            event("Unhealthy", 3, "2026-06-04T03:10:00Z"),
            event("Killing", 1, "2026-06-04T03:20:00Z"),
            event("Unhealthy", 4, "2026-06-04T03:25:00Z"),
        ]);
        let told: Vec<_> = found
            .iter()
            .map(|warning| (warning.reason.as_str(), warning.count))
            .collect();
        assert_eq!(told, [("Unhealthy", 7), ("Killing", 1), ("BackOff", 200)]);
        assert_eq!(first_crash(&found), Some(1_780_542_000));
    }

    #[test]
    fn events_of_the_newer_api_are_read_too() {
        let event = json!({ "reason": "FailedMount", "eventTime": "2026-06-04T03:00:00.123456Z",
            "series": { "count": 9, "lastObservedTime": "2026-06-04T03:05:00.000000Z" } });
        let found = warnings(&[event]);
        assert_eq!(
            (found[0].count, found[0].first, found[0].last),
            (9, Some(1_780_542_000), Some(1_780_542_300))
        );
    }
}
