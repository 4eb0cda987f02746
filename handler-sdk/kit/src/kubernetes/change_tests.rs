//! What the message says about the last rollout.
#![allow(clippy::unwrap_used, reason = "tests")]

use handler_sdk::serde_json::{Value, json};

use super::*;

fn set(revision: &str, created: &str, container: Value) -> ReplicaSet {
    of(json!({
        "metadata": { "annotations": { REVISIONS[0]: revision }, "creationTimestamp": created,
            "ownerReferences": [{ "controller": true, "kind": "Deployment", "name": "d" }] },
        "spec": { "template": { "spec": { "containers": [container] } } },
    }))
}

fn of(value: Value) -> ReplicaSet {
    ReplicaSet::from(Object::new(value, true))
}

fn container(image: &str, memory: &str) -> Value {
    json!({ "name": "app", "image": image, "resources": { "limits": { "memory": memory } },
        "env": [{ "name": "MODE", "value": memory }, { "name": "SAME", "value": "x" }] })
}

fn read(sets: impl Into<Vec<ReplicaSet>>) -> List<ReplicaSet> {
    List {
        items: sets.into(),
        read: Extent::All,
    }
}

#[test]
fn the_revision_before_is_compared() {
    let current = set("42", "2026-06-04T03:00:00Z", container("r/app:2", "512Mi"));
    let all = [
        set("9", "2026-05-01T00:00:00Z", container("r/app:0", "1Gi")),
        set("41", "2026-05-20T00:00:00Z", container("r/app:1", "1Gi")),
        current.clone(),
    ];
    let mut change = Change::of_sets(&current, &read(all), ("Deployment", "d"));
    assert_eq!(
        change.differences,
        ["image 1 → 2", "memory limit 1Gi → 512Mi", "variables MODE"]
    );
    change.first_crash = Some(change.rolled_out.unwrap() + 12 * 60 + 5);
    assert_eq!(
        change.in_words(None).unwrap(),
        "rev 42, image 1 → 2, memory limit 1Gi → 512Mi, variables MODE, 12m before the first crash"
    );
}

#[test]
fn a_rollouts_sets_are_compared_too() {
    let set = |revision: &str, tag: &str| {
        of(
            json!({ "metadata": { "annotations": { REVISIONS[1]: revision }, "creationTimestamp": "2026-06-04T03:00:00Z",
                "ownerReferences": [{ "controller": true, "kind": "Rollout", "name": "d" }] },
            "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": format!("r/app:{tag}") }] } } } }),
        )
    };
    let change = Change::of_sets(
        &set("3", "b"),
        &read([set("2", "a"), set("3", "b")]),
        ("Rollout", "d"),
    );
    assert_eq!(change.in_words(None).unwrap(), "rev 3, image a → b");
}

#[test]
fn to_undo_is_supported_by_a_change_before_the_first_crash_alone() {
    let change = Change {
        rolled_out: Some(1_000_000),
        is_spec_changed: true,
        ..Change::default()
    };
    assert!(change.supports_undo(1_000_600));
    assert!(
        !change.supports_undo(999_000),
        "it crashed before the rollout"
    );
    assert!(!change.supports_undo(1_200_000), "it ran well for days");
    let other = |change: Change| change.supports_undo(1_000_600);
    assert!(!other(Change {
        is_spec_changed: false,
        ..change.clone()
    }));
    assert!(!other(Change {
        is_rollback: true,
        ..change.clone()
    }));
    assert!(!other(Change {
        newer: Some("43".to_owned()),
        ..change.clone()
    }));
    assert!(!other(Change {
        is_partial: true,
        ..change.clone()
    }));
    assert!(other(Change {
        first_crash: Some(1_000_100),
        ..change
    }));
}

#[test]
fn after_a_newer_revision_an_undo_is_not_supported() {
    let crashing = set("5", "2026-06-04T03:00:00Z", container("r/app:5", "1Gi"));
    let began = crashed_at(&crashing) + 600;
    let oldest = set("3", "2026-05-01T00:00:00Z", container("r/app:3", "1Gi"));
    let before = set("4", "2026-05-20T00:00:00Z", container("r/app:4", "1Gi"));
    let change = Change::of_sets(
        &crashing,
        &read([oldest.clone(), before.clone(), crashing.clone()]),
        ("Deployment", "d"),
    );
    assert!(change.supports_undo(began));

    // After an undo of revision 5, revision 4 has become 6, and another undo would lead back to 5.
    let undone = set("6", "2026-05-20T00:00:00Z", container("r/app:4", "1Gi"));
    let mut undone = undone.value().clone();
    undone["metadata"]["annotations"][format!("{}-history", REVISIONS[0])] = json!("2,4");
    let change = Change::of_sets(
        &crashing,
        &read([oldest.clone(), crashing.clone(), of(undone)]),
        ("Deployment", "d"),
    );
    assert!(!change.supports_undo(began));
    assert_eq!(
        change.in_words(Some(began)).unwrap(),
        "rev 5, image 4 → 5, 10m before the alert, revision 6 is rolled out meanwhile"
    );

    // Another revision was rolled out.
    let forward = set("6", "2026-06-04T03:20:00Z", container("r/app:6", "1Gi"));
    let all = [oldest, before.clone(), crashing.clone(), forward];
    let change = Change::of_sets(&crashing, &read(all), ("Deployment", "d"));
    assert!(!change.supports_undo(began));
    let weeks_later = began + 21 * 86_400;
    assert_eq!(
        change.in_words(Some(weeks_later)).unwrap(),
        "rev 5, image 4 → 5, 21d before the alert, revision 6 is rolled out meanwhile"
    );

    let cut = List {
        items: vec![before, crashing.clone()],
        read: Extent::Part,
    };
    let change = Change::of_sets(&crashing, &cut, ("Deployment", "d"));
    assert!(
        !change.supports_undo(began),
        "a newer one may be among those that were not read"
    );
}

fn crashed_at(set: &ReplicaSet) -> i64 {
    set.created().unwrap()
}

#[test]
fn another_deployments_sets_are_not_compared() {
    let current = set("2", "2026-06-04T03:00:00Z", container("r/app:2", "512Mi"));
    let others = [set("1", "2026-05-01T00:00:00Z", container("x", "1"))];
    let change = Change::of_sets(&current, &read(others), ("Deployment", "other"));
    assert_eq!(
        change.in_words(None).unwrap(),
        "rev 2, no earlier revision is kept to compare with"
    );
}

#[test]
fn an_old_rollout_and_a_rollback_are_reported_as_such() {
    let old = set("41", "2026-05-01T00:00:00Z", container("r/app:1", "1Gi"));
    let new = set("42", "2026-06-04T00:00:00Z", container("r/app:2", "1Gi"));
    let began = new.created().unwrap() + 21 * 86_400;
    let change = Change::of_sets(&new, &read([old, new.clone()]), ("Deployment", "d"));
    assert_eq!(
        change.in_words(Some(began)).unwrap(),
        "no rollout in the 21d before the alert (rev 42)"
    );

    let again = set("43", "2026-05-01T00:00:00Z", container("r/app:1", "1Gi"));
    let change = Change::of_sets(&again, &read([new, again.clone()]), ("Deployment", "d"));
    assert_eq!(
        change.in_words(Some(began)).unwrap(),
        "rev 43, image 2 → 1, rolled back to an older template"
    );
}

#[test]
fn a_rollout_under_way_is_reported() {
    let object = json!({ "kind": "StatefulSet", "spec": { "replicas": 3 },
        "status": { "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b" } });
    let change = Change::of_other(&Object::new(object.clone(), true)).unwrap();
    assert_eq!(
        change.in_words(None).unwrap(),
        "a rollout is under way: 1 of 3 pods updated"
    );
    let mut job = object;
    job["kind"] = json!("Job");
    assert_eq!(Change::of_other(&Object::new(job, true)), None);
}
