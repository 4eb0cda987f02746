//! `docs/messages.html`: the messages of the bundled handlers, drawn as Slack draws them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use handler_sdk::mock::assert_snapshot;
use serde_json::{Value, json};
use tests::draw::{Scenario, page};

/// File, title, what happened before.
const SCENARIOS: [(&str, &str, &str); 23] = [
    (
        "kube-pod-crash-looping/src/tests/snapshots/rich-out-of-memory",
        "Out of memory, after a rollout",
        "Kubernetes is granted: the pod, its events, its last log and the rollout before the first crash are in the message; the thread has the rest of the log.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/rich-exit",
        "It ends by itself",
        "As above, for a program that exits with an error.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/poor",
        "Nothing granted",
        "The same alert without access to Kubernetes: what the alert itself says.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/late",
        "Late",
        "Slack was down for a while: the message says by how much it is late.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/retried",
        "Tried again",
        "The third attempt posted it.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/replaced",
        "The pod was replaced",
        "Another pod has its name by now.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/gone",
        "The pod is gone",
        "It was evicted before the message was written.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/resolved",
        "Resolved",
        "The message is changed in place, and a reply in its thread says so.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/resolved-gone",
        "Resolved, the pod is gone",
        "As above.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/field-static-pod",
        "Killed by its liveness probe",
        "A static pod of the control plane.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/field-killed-called-error",
        "Killed, and Kubernetes does not say by whom",
        "The message claims no more than Kubernetes says.",
    ),
    (
        "slack-notify/src/snapshots/firing",
        "Any alert",
        "slack-notify, the fallback for what no other handler serves.",
    ),
    (
        "slack-notify/src/snapshots/exporters-pod",
        "An exporter's labels",
        "The labels of kube-state-metrics itself are not shown as the pod that is meant.",
    ),
    (
        "slack-notify/src/snapshots/late-retried",
        "Any alert, late",
        "Tried again, after it waited for the rate limit of the channel.",
    ),
    (
        "slack-notify/src/snapshots/long",
        "A long text",
        "Cut between words; the rest is in the thread.",
    ),
    (
        "slack-notify/src/snapshots/storm",
        "A storm",
        "240 alerts of one name within a minute are one message.",
    ),
    (
        "slack-notify/src/snapshots/storm-partly-resolved",
        "A storm, partly resolved",
        "The message is changed in place.",
    ),
    (
        "slack-notify/src/snapshots/storm-resolved",
        "A storm, resolved",
        "Changed in place again; a reply in the thread says that it is over.",
    ),
    (
        "kube-pod-crash-looping/src/tests/snapshots/storm",
        "A storm of crashing pods",
        "Kubernetes was asked about one of them.",
    ),
    (
        "slack-notify/src/snapshots/group",
        "A thread for each group",
        "The route says <code>slack: { thread_by: group }</code>: the first message counts, each alert is a reply in its thread.",
    ),
    (
        "slack-notify/src/snapshots/reminded",
        "Any alert, still firing",
        "Four hours later: the message is changed in place, and a reply in its thread says so.",
    ),
    (
        "slack-notify/src/snapshots/nameless",
        "Without a name",
        "An alert that has next to no labels.",
    ),
    (
        "slack-notify/src/snapshots/resolved",
        "Any alert, resolved",
        "Changed in place.",
    ),
];

/// Of each handler for the alerts of kube-prometheus: its name, a case of its tests, and what the message says of it.
const ANSWERS: [(&str, &str, &str); 11] = [
    ("pod-waiting", "image", "A pod waits for its image"),
    ("rollout", "crash-loop", "A Deployment lacks a pod"),
    ("job", "exit", "A Job failed"),
    ("hpa", "over-maximum", "An autoscaler is at its maximum"),
    ("node", "silent", "A node is not ready"),
    ("disk", "fills-up", "A node's filesystem fills up"),
    ("volume", "fills-up", "A volume fills up"),
    ("saturation", "memory", "A node's memory is nearly used up"),
    ("target-down", "refused-crash-loop", "Targets are down"),
    ("probe", "http-status", "A probe fails"),
    ("certificates", "challenge", "A certificate is not renewed"),
];

const INTRODUCTION: &str = "What the bundled handlers post, drawn as Slack draws it: on the left the message in its channel \
     with its thread, on the right the notification of a phone. Times are in UTC; Slack shows the reader's. The page is \
     made from the handlers' snapshots: <code>UPDATE_SNAPSHOTS=1 cargo test --workspace --test integration pictures</code>.";

fn handlers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers")
}

fn messages(file: &str) -> Value {
    let path = handlers().join(format!("{file}.json"));
    let text = std::fs::read_to_string(&path).expect("the snapshot can be read");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Returns the message as it was first posted, before updates and replies.
fn as_posted(messages: &Value) -> Value {
    json!({ "posts": [messages["posts"][0]] })
}

#[test]
fn the_picture_of_every_scenario_is_as_the_handlers_post_it() {
    let answers = ANSWERS.iter().flat_map(|(handler, case, title)| {
        let whole = messages(&format!("{handler}/snapshots/{case}"));
        let fires = Scenario {
            id: handler,
            title,
            about: handler,
            messages: as_posted(&whole),
        };
        let ended = Scenario {
            id: "",
            title: "… and how it ended",
            about: "The message is changed in place, and a reply in its thread says so.",
            messages: whole,
        };
        [fires, ended]
    });
    let scenarios: Vec<_> = SCENARIOS
        .iter()
        .map(|(file, title, about)| Scenario {
            id: "",
            title,
            about,
            messages: messages(file),
        })
        .chain(answers)
        .collect();
    let page = page("Messages", INTRODUCTION, &scenarios).expect("each can be drawn");
    assert_snapshot(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/messages.html"),
        &page,
    );
}

/// A snapshot that is no picture is one that can be drawn all the same.
#[test]
fn every_message_that_a_handler_posts_can_be_drawn() {
    let mut seen = BTreeSet::new();
    for folder in [
        "certificates/snapshots",
        "changes/snapshots",
        "disk/snapshots",
        "hpa/snapshots",
        "job/snapshots",
        "kube-pod-crash-looping/src/tests/snapshots",
        "llm-summary/snapshots",
        "node/snapshots",
        "pod-waiting/snapshots",
        "probe/snapshots",
        "recurrence/snapshots",
        "rollout/snapshots",
        "saturation/snapshots",
        "slack-notify/src/snapshots",
        "target-down/snapshots",
        "volume/snapshots",
    ] {
        for file in std::fs::read_dir(handlers().join(folder)).expect("the folder can be read") {
            let path = file.expect("its file can be read").path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("the snapshot can be read");
            let scenario = Scenario {
                id: "",
                title: "One",
                about: "",
                messages: serde_json::from_str(&text).expect("it is JSON"),
            };
            page("Messages", "", &[scenario])
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            seen.insert(path);
        }
    }
    assert!(seen.len() >= SCENARIOS.len(), "{seen:?}");
}
