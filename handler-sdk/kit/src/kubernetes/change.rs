//! Finds out what the last rollout changed, from the workload's revisions. Makes no requests.

use handler_sdk::layout::clip;

use super::differences::differences;
use super::object::{Object, ReplicaSet};
use super::{Extent, List};
use crate::words::{roughly, span};

/// The annotations in which a Deployment and an Argo Rollout number their sets.
const REVISIONS: [&str; 2] = [
    "deployment.kubernetes.io/revision",
    "rollout.argoproj.io/revision",
];
/// The suffix of an annotation with the earlier numbers of a set that was numbered again by a rollback to it.
const HISTORY_SUFFIX: &str = "-history";
/// A rollout that is older than this did not break the pod.
const RECENT_SECONDS: u64 = 7 * 86_400;
/// An undo is offered for a rollout that happened at most this long before the first crash.
const UNDO_SECONDS: u64 = 86_400;

/// The last rollout of a workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// The number of the revision.
    pub revision: Option<String>,
    /// For example `image 1.41.3 → 1.42.0`, `memory limit 1Gi → 512Mi`.
    pub differences: Vec<String>,
    /// When it was rolled out first, in seconds since 1970.
    pub rolled_out: Option<i64>,
    /// From the events; `None` if they do not show it.
    pub first_crash: Option<i64>,
    /// True if the template is older than the one before it.
    pub is_rollback: bool,
    /// The owner's newest revision, if it is not this one: there was another rollout or an undo.
    pub newer: Option<String>,
    /// True if the owner may have more revisions than were read.
    pub is_partial: bool,
    /// True if the pods' specification differs, so that an undo would change it back.
    pub is_spec_changed: bool,
    /// Shown instead if there are no revisions to compare.
    pub note: Option<String>,
}

impl Change {
    /// Compares a `ReplicaSet` with the one of the revision before it, among all that `owner`, a kind and a name, owns.
    pub(super) fn of_sets(current: &Object, all: &List<ReplicaSet>, owner: (&str, &str)) -> Self {
        let number = revision(current);
        let before = owned(all, owner)
            .filter(|set| revision(set) != number)
            .filter_map(|set| Some((last_below(set, number?)?, set)))
            .max_by_key(|(number, _)| *number)
            .map(|(_, set)| set);
        let newest = owned(all, owner).filter_map(|set| revision(set)).max();
        let mut change = Self {
            revision: number.map(|n| n.to_string()),
            rolled_out: current.created(),
            newer: newest
                .filter(|newest| number.is_some_and(|number| *newest > number))
                .map(|newest| newest.to_string()),
            is_partial: all.read == Extent::Part,
            ..Self::default()
        };
        match before {
            Some(before) => {
                let template = |set: &Object| set.value()["spec"]["template"].clone();
                let (old, new) = (template(before), template(current));
                change.differences = differences(&old, &new);
                change.is_spec_changed = old["spec"] != new["spec"];
                change.is_rollback = before.created() > change.rolled_out;
            }
            None => change.note = Some("no earlier revision is kept to compare with".to_owned()),
        }
        change
    }

    /// Returns what a workload without stored revisions shows: whether a rollout is in progress.
    pub(super) fn of_other(object: &Object) -> Option<Self> {
        let count = |pointer: &str| object.count(pointer).unwrap_or(0);
        let (updated, wanted) = match object.kind() {
            "StatefulSet" => (count("/status/updatedReplicas"), count("/spec/replicas")),
            "DaemonSet" => (
                count("/status/updatedNumberScheduled"),
                count("/status/desiredNumberScheduled"),
            ),
            _ => return None,
        };
        let revisions = (
            object.text("/status/currentRevision"),
            object.text("/status/updateRevision"),
        );
        let is_under_way =
            updated < wanted && (object.kind() == "DaemonSet" || revisions.0 != revisions.1);
        is_under_way.then(|| Self {
            note: Some(format!(
                "a rollout is under way: {updated} of {wanted} pods updated"
            )),
            ..Self::default()
        })
    }

    /// Returns whether the findings support an undo of the rollout: it is the last one, it changed the pods, and the crashes
    /// began within a day after it. If there is a newer rollout, an undo could lead back to this one.
    pub fn supports_undo(&self, alert_began: i64) -> bool {
        if self.newer.is_some() || self.is_partial {
            return false;
        }
        let since = self.first_crash.unwrap_or(alert_began);
        let is_before = self
            .rolled_out
            .is_some_and(|at| at <= since && span(at, since).as_secs() <= UNDO_SECONDS);
        self.is_spec_changed && !self.is_rollback && is_before
    }

    /// Returns it on one line, relative to the start of the alert if the events do not show the first crash.
    pub fn in_words(&self, alert_began: Option<i64>) -> Option<String> {
        let revision = self
            .revision
            .as_deref()
            .map(|revision| format!("rev {}", clip(revision, 20)));
        let (since, what) = match (self.first_crash, alert_began) {
            (Some(first), _) => (Some(first), "the first crash"),
            (None, began) => (began, "the alert"),
        };
        let gap = self.rolled_out.zip(since);
        if let Some((rolled_out, since)) = gap
            && !self.is_rollback
            && self.newer.is_none()
            && span(rolled_out, since).as_secs() > RECENT_SECONDS
        {
            let age = roughly(rolled_out, since);
            let revision = revision
                .map(|revision| format!(" ({revision})"))
                .unwrap_or_default();
            return Some(format!("no rollout in the {age} before {what}{revision}"));
        }
        let differences = match self.differences.as_slice() {
            [] if self.note.is_none() && revision.is_some() => {
                vec!["nothing in images, resources, command or variables".to_owned()]
            }
            differences => differences.to_vec(),
        };
        let when = match gap {
            // A rollback reuses the old ReplicaSet, so its creation time does not tell when the rollback happened.
            _ if self.is_rollback => Some("rolled back to an older template".to_owned()),
            Some((rolled_out, since)) if rolled_out <= since => {
                Some(format!("{} before {what}", roughly(rolled_out, since)))
            }
            Some((rolled_out, since)) => {
                Some(format!("{} after {what}", roughly(since, rolled_out)))
            }
            None => None,
        };
        let newer = self.newer.as_deref().map(|newer| {
            let newer = clip(newer, 20);
            format!("revision {newer} is rolled out meanwhile")
        });
        let parts: Vec<String> = revision
            .into_iter()
            .chain(differences)
            .chain(self.note.clone())
            .chain(when)
            .chain(newer)
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Returns the newest `ReplicaSet` that `owner` owns.
pub(super) fn newest<'l>(all: &'l List<ReplicaSet>, owner: (&str, &str)) -> Option<&'l ReplicaSet> {
    owned(all, owner).max_by_key(|set| revision(set))
}

fn owned<'l>(
    all: &'l List<ReplicaSet>,
    owner: (&str, &str),
) -> impl Iterator<Item = &'l ReplicaSet> {
    all.iter()
        .filter(move |set| set.controller() == Some(owner))
}

/// Returns the number of a `ReplicaSet`.
pub(super) fn revision(set: &Object) -> Option<u64> {
    REVISIONS
        .iter()
        .find_map(|name| set.annotation(name)?.parse().ok())
}

/// Returns the greatest number below `number` that a set has, or had before a rollback to it.
fn last_below(set: &Object, number: u64) -> Option<u64> {
    let history = REVISIONS
        .iter()
        .filter_map(|name| set.annotation(&format!("{name}{HISTORY_SUFFIX}")));
    history
        .flat_map(|numbers| numbers.split(','))
        .filter_map(|number| number.trim().parse().ok())
        .chain(revision(set))
        .filter(|known| *known < number)
        .max()
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
