//! The events of an object: their counts, their containers, and which are the most informative.

use handler_sdk::serde_json::Value;
use serde::{Deserialize, Serialize};

use super::object::{Object, moment, text};
use super::pod::Exit;
use super::{Extent, Kubernetes, Select, path};
use crate::name::Name;
use crate::words::said;

/// The events that are kept of each kind; the message shows three.
const KEPT_MAX: usize = 12;
/// Reasons with which Kubernetes reports, as normal events, that a pod is ended: by the kubelet, by the scheduler, by
/// the eviction of a node's pods.
const NORMAL_ENDS: [&str; 3] = ["Killing", "Preempted", "TaintManagerEviction"];
/// How far apart the times of an event and of its exit may be, because of clocks and delays of the kubelet.
const SLACK_SECONDS: i64 = 10;

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// False for events that Kubernetes calls normal, such as the kill of a container.
    pub is_warning: bool,
    /// The container that it is about; `None` if it is about the object as a whole.
    pub container: Option<String>,
    /// A word: `FailedScheduling`.
    pub reason: String,
    /// For people, masked.
    pub message: String,
    /// How often it happened.
    pub count: u64,
    /// When it happened first, in seconds since 1970.
    pub first: Option<i64>,
    /// When it happened last, in seconds since 1970.
    pub last: Option<i64>,
}

/// The warnings about an object, then the ends that are reported as normal events, the most informative first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Events {
    /// The events.
    pub items: Vec<Event>,
    /// How much of the list was read.
    pub read: Extent,
}

impl Kubernetes<'_> {
    /// Reads the events of an object. What could not be read is noted.
    pub fn events(&self, object: &Object) -> Events {
        // The kubelet reports events about a static pod under the uid of the pod in the file, which the one in the API
        // mirrors (kubelet, `pod/mirror_client.go`), and those about its node with the node's name as the uid.
        let uid = object
            .annotation("kubernetes.io/config.mirror")
            .or(object.uid());
        let select = match object.namespace() {
            None => Name::of(object.name()).map(|name| Select::about(object.kind(), &name)),
            Some(_) => uid
                .and_then(Name::of)
                .map(|uid| Select::field("involvedObject.uid", &uid)),
        };
        // Events about objects without a namespace are in `default`.
        let namespace = object.namespace().or_else(|| Name::of("default"));
        match (namespace, select) {
            (Some(namespace), Some(select)) => self.events_in(&namespace, &select),
            _ => Events::default(),
        }
    }

    /// Reads the events of a namespace that are selected, for example by `involvedObject.name`.
    pub fn events_in(&self, namespace: &Name, select: &Select) -> Events {
        let listed = self.listed(&path(&EVENTS, Some(namespace), None), select);
        let listed = self.look.noted(EVENTS.called, "events: list", listed);
        let Some((items, is_cut)) = listed else {
            return Events::default();
        };
        let counted = self.counted::<Object>(EVENTS.called, items, is_cut);
        Events {
            items: sorted(counted.iter().map(Object::value)),
            read: counted.read,
        }
    }
}

/// Normal events are listed too, since the kill of a container is one of them.
const EVENTS: super::Resource = super::Resource {
    kind: "Event",
    called: "events",
    api: "/api/v1",
    plural: "events",
    is_namespaced: true,
};

impl Events {
    /// Returns the warnings, the most informative first.
    pub fn warnings(&self) -> impl Iterator<Item = &Event> {
        self.items.iter().filter(|event| event.is_warning)
    }

    /// Returns the most informative event with one of these reasons.
    pub fn with_reason(&self, reasons: &[&str]) -> Option<&Event> {
        let mut events = self.items.iter();
        events.find(|event| reasons.contains(&event.reason.as_str()))
    }

    /// Returns the time of the first crash, as far back as the events go: Kubernetes deletes them after an hour.
    pub fn first_crash(&self, container: Option<&str>) -> Option<i64> {
        self.items
            .iter()
            .filter(|event| event.reason == "BackOff" && event.is_of(container))
            .filter_map(|event| event.first)
            .min()
    }

    /// Returns those that are kept for the message.
    pub(crate) fn kept(mut self) -> Vec<Event> {
        let ends = self
            .items
            .split_off(self.items.partition_point(|event| event.is_warning));
        self.items.truncate(KEPT_MAX);
        self.items.extend(ends.into_iter().take(KEPT_MAX));
        self.items
    }
}

impl Event {
    /// Returns whether it is about this container, or about its pod as a whole.
    pub fn is_of(&self, container: Option<&str>) -> bool {
        match (self.container.as_deref(), container) {
            (Some(its), Some(container)) => its == container,
            _ => true,
        }
    }

    /// Returns whether it happened while the container with this exit ran; an event without a time is assumed to.
    pub fn is_in_time(&self, exit: &Exit) -> bool {
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

/// Returns the warnings, then the ends, the most informative first: the API returns them in no order, and `BackOff` only
/// repeats that a pod crashes.
fn sorted<'v>(listed: impl IntoIterator<Item = &'v Value>) -> Vec<Event> {
    let mut found: Vec<Event> = Vec::new();
    for new in listed.into_iter().filter_map(event) {
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

/// Returns an event; `None` for a normal one that ends nothing.
fn event(event: &Value) -> Option<Event> {
    let reason = text(event, "/reason")?;
    let is_warning = text(event, "/type") != Some("Normal");
    let first_moment =
        |pointers: &[&str]| pointers.iter().find_map(|pointer| moment(event, pointer));
    let counts = ["/series/count", "/count"];
    (is_warning || NORMAL_ENDS.contains(&reason)).then(|| Event {
        is_warning,
        container: container(text(event, "/involvedObject/fieldPath").unwrap_or_default()),
        reason: reason.to_owned(),
        message: said(text(event, "/message").unwrap_or_default()),
        count: counts
            .iter()
            .find_map(|pointer| event.pointer(pointer)?.as_u64())
            .unwrap_or(1)
            .max(1),
        first: first_moment(&[
            "/firstTimestamp",
            "/eventTime",
            "/metadata/creationTimestamp",
        ]),
        last: first_moment(&[
            "/series/lastObservedTime",
            "/lastTimestamp",
            "/eventTime",
            "/metadata/creationTimestamp",
        ]),
    })
}

/// Returns the name in `spec.containers{app}`, `spec.initContainers{app}` or `spec.ephemeralContainers{app}`.
fn container(field_path: &str) -> Option<String> {
    let (list, name) = field_path.strip_suffix('}')?.split_once('{')?;
    list.to_ascii_lowercase()
        .ends_with("containers")
        .then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use handler_sdk::serde_json::json;

    use super::*;

    fn read(listed: &[Value]) -> Events {
        Events {
            items: sorted(listed),
            read: Extent::All,
        }
    }

    #[test]
    fn the_most_telling_come_first_and_repetitions_are_counted_together() {
        let event = |reason: &str, kind: &str, count: u64, last: &str| {
            json!({ "reason": reason, "message": "m", "count": count, "type": kind,
                "firstTimestamp": "2026-06-04T03:00:00Z", "lastTimestamp": last })
        };
        let found = read(&[
            event("BackOff", "Warning", 200, "2026-06-04T03:30:00Z"),
            event("Unhealthy", "Warning", 3, "2026-06-04T03:10:00Z"),
            event("Killing", "Normal", 1, "2026-06-04T03:20:00Z"),
            event("Pulled", "Normal", 1, "2026-06-04T03:20:00Z"),
            event("Unhealthy", "Warning", 4, "2026-06-04T03:25:00Z"),
        ]);
        let kept: Vec<_> = found
            .items
            .iter()
            .map(|event| (event.reason.as_str(), event.count))
            .collect();
        assert_eq!(kept, [("Unhealthy", 7), ("BackOff", 200), ("Killing", 1)]);
        assert_eq!(found.first_crash(None), Some(1_780_542_000));
    }

    #[test]
    fn events_of_the_newer_api_are_read_too() {
        let event = json!({ "reason": "FailedMount", "eventTime": "2026-06-04T03:00:00.123456Z",
            "series": { "count": 9, "lastObservedTime": "2026-06-04T03:05:00.000000Z" } });
        let found = read(&[event]);
        assert_eq!(
            {
                let event = &found.items[0];
                (event.count, event.first, event.last)
            },
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
