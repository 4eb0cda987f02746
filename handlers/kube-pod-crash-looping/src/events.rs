//! The events of a pod: their counts, their containers, and which are the most informative.

use handler_sdk::serde_json::Value;

use crate::findings::{Event, Exit};
use crate::kube::{moment, text};
use crate::pod::people_text;

/// The events that are kept of each kind; the message shows three.
const KEPT_MAX: usize = 12;
/// Reasons with which Kubernetes reports, as normal events, that a pod is ended: by the kubelet, by the scheduler, by
/// the eviction of a node's pods.
const NORMAL_ENDS: [&str; 3] = ["Killing", "Preempted", "TaintManagerEviction"];
/// How far apart the times of an event and of its exit may be, because of clocks and delays of the kubelet.
const SLACK_SECONDS: i64 = 10;

/// Returns the warnings, then the kubelet's own kills, the most informative first: the API returns them in no order, and
/// `BackOff` only repeats that the pod crashes.
pub(crate) fn events(listed: &[Value]) -> Vec<Event> {
    let mut found: Vec<Event> = Vec::new();
    for event in listed {
        let Some(reason) = text(event, "/reason") else {
            continue;
        };
        let is_warning = text(event, "/type") != Some("Normal");
        if !is_warning && !NORMAL_ENDS.contains(&reason) {
            continue;
        }
        let new = Event {
            is_warning,
            container: container(text(event, "/involvedObject/fieldPath").unwrap_or_default()),
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
        let is_same = |known: &&mut Event| {
            known.reason == new.reason
                && known.message == new.message
                && known.container == new.container
        };
        match found.iter_mut().find(is_same) {
            Some(known) => {
                known.count += new.count;
                known.first = known.first.into_iter().chain(new.first).min();
                known.last = known.last.max(new.last);
            }
            None => found.push(new),
        }
    }
    found.sort_by_key(|event| {
        let repeats = event.reason == "BackOff";
        (!event.is_warning, repeats, std::cmp::Reverse(event.last))
    });
    found
}

/// Cuts the result of [`events`] to what is kept, after the verdict was made.
pub(crate) fn cut(events: &mut Vec<Event>) {
    let kills = events.split_off(events.partition_point(|event| event.is_warning));
    events.truncate(KEPT_MAX);
    events.extend(kills.into_iter().take(KEPT_MAX));
}

/// Returns the time of the first crash, as far back as the events go: Kubernetes deletes them after an hour.
pub(crate) fn first_crash(events: &[Event], container: Option<&str>) -> Option<i64> {
    events
        .iter()
        .filter(|event| event.reason == "BackOff" && event.is_of(container))
        .filter_map(|event| event.first)
        .min()
}

impl Event {
    /// Returns whether it is about this container, or about its pod as a whole.
    pub(crate) fn is_of(&self, container: Option<&str>) -> bool {
        match (self.container.as_deref(), container) {
            (Some(its), Some(container)) => its == container,
            _ => true,
        }
    }

    /// Returns whether it happened while the container with this exit ran; an event without a time is assumed to.
    pub(crate) fn is_in_time(&self, exit: &Exit) -> bool {
        let is_too_late = self
            .first
            .zip(exit.finished)
            .is_some_and(|(first, finished)| first > finished + SLACK_SECONDS);
        let is_too_early = self
            .last
            .zip(exit.started)
            .is_some_and(|(last, started)| last < started - SLACK_SECONDS);
        !is_too_late && !is_too_early
    }
}

/// Returns the name in `spec.containers{app}`, `spec.initContainers{app}` or `spec.ephemeralContainers{app}`.
fn container(field_path: &str) -> Option<String> {
    let (list, name) = field_path.strip_suffix('}')?.split_once('{')?;
    list.to_ascii_lowercase()
        .ends_with("containers")
        .then(|| name.to_owned())
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
        let event = |reason: &str, kind: &str, count: u64, last: &str| {
            json!({ "reason": reason, "message": "m", "count": count, "type": kind,
                "firstTimestamp": "2026-06-04T03:00:00Z", "lastTimestamp": last })
        };
        let found = events(&[
            event("BackOff", "Warning", 200, "2026-06-04T03:30:00Z"),
            event("Unhealthy", "Warning", 3, "2026-06-04T03:10:00Z"),
            event("Killing", "Normal", 1, "2026-06-04T03:20:00Z"),
            event("Pulled", "Normal", 1, "2026-06-04T03:20:00Z"),
            event("Unhealthy", "Warning", 4, "2026-06-04T03:25:00Z"),
        ]);
        let kept: Vec<_> = found
            .iter()
            .map(|event| (event.reason.as_str(), event.count))
            .collect();
        assert_eq!(kept, [("Unhealthy", 7), ("BackOff", 200), ("Killing", 1)]);
        assert_eq!(first_crash(&found, None), Some(1_780_542_000));
    }

    #[test]
    fn events_of_the_newer_api_are_read_too() {
        let event = json!({ "reason": "FailedMount", "eventTime": "2026-06-04T03:00:00.123456Z",
            "series": { "count": 9, "lastObservedTime": "2026-06-04T03:05:00.000000Z" } });
        let found = events(&[event]);
        assert_eq!(
            (found[0].count, found[0].first, found[0].last),
            (9, Some(1_780_542_000), Some(1_780_542_300))
        );
    }

    #[test]
    fn an_event_is_of_the_container_that_it_names() {
        let event = |path: &str| Event {
            container: container(path),
            ..Event::default()
        };
        assert!(event("spec.containers{app}").is_of(Some("app")));
        assert!(!event("spec.containers{proxy}").is_of(Some("app")));
        assert!(!event("spec.initContainers{proxy}").is_of(Some("app")));
        assert!(event("").is_of(Some("app")), "an event of the pod");
    }

    #[test]
    fn an_event_explains_an_exit_of_its_own_time_only() {
        let event = |first, last| Event {
            first: Some(first),
            last: Some(last),
            ..Event::default()
        };
        let exit = Exit {
            started: Some(1_000),
            finished: Some(1_100),
            ..Exit::default()
        };
        assert!(
            event(500, 2_000).is_in_time(&exit),
            "repeated before and after"
        );
        assert!(
            event(1_105, 1_105).is_in_time(&exit),
            "reported a little later"
        );
        assert!(
            !event(1_200, 1_300).is_in_time(&exit),
            "the next container's"
        );
        assert!(!event(500, 900).is_in_time(&exit), "an earlier container's");
        assert!(Event::default().is_in_time(&exit));
    }
}
