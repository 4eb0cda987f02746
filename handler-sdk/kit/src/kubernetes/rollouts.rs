//! The revisions of a namespace's workloads that were made within a span of time.

use handler_sdk::serde_json::Value;

use super::differences::differences;
use super::object::{ControllerRevision, Object, ReplicaSet};
use super::{Extent, Kubernetes, List, Select, change};
use crate::name::Name;

/// A revision of a workload: what began to be rolled out when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, or another kind that owns `ReplicaSets`, such as `Rollout`.
    pub kind: String,
    /// The workload's name.
    pub name: String,
    /// The number of the revision.
    pub revision: Option<u64>,
    /// When it was made, in seconds since 1970.
    pub began: i64,
    /// What differs from the revision before it; empty if that is not known, or if nothing does that is compared.
    pub differences: Vec<String>,
    /// True if no earlier revision is kept: the workload may be new.
    pub is_only_one: bool,
}

impl Kubernetes<'_> {
    /// Returns the revisions that were made within a span of time, in seconds since 1970, the newest first: those of Deployments,
    /// by their `ReplicaSets`, and of `StatefulSets` and `DaemonSets`, by their `ControllerRevisions`. 2 requests, and 1 more for
    /// each further hundred objects. A rollback makes no revision, so none is found.
    pub fn rollouts(&self, namespace: &Name, (since, until): (i64, i64)) -> List<Rollout> {
        let sets = self.list::<ReplicaSet>(namespace, &Select::all());
        let revisions = self.list::<ControllerRevision>(namespace, &Select::all());
        let read = match (sets.read, revisions.read) {
            (Extent::All, Extent::All) => Extent::All,
            (Extent::Nothing, Extent::Nothing) => Extent::Nothing,
            _ => Extent::Part,
        };
        let sets: Vec<Revision<'_>> = sets
            .iter()
            .filter_map(|set| Revision::of_set(set))
            .collect();
        let revisions: Vec<Revision<'_>> = revisions
            .iter()
            .filter_map(|one| Revision::of_data(one))
            .collect();
        let is_within = |one: &&Revision<'_>| (since..=until).contains(&one.began);
        let mut items: Vec<Rollout> = [sets, revisions]
            .iter()
            .flat_map(|all| all.iter().filter(is_within).map(|one| one.rollout(all)))
            .collect();
        items.sort_by(|a, b| (b.began, &a.name).cmp(&(a.began, &b.name)));
        List { items, read }
    }
}

/// A revision, whatever keeps it.
struct Revision<'a> {
    owner: (&'a str, &'a str),
    number: Option<u64>,
    began: i64,
    template: &'a Value,
}

impl<'a> Revision<'a> {
    fn of_set(set: &'a Object) -> Option<Self> {
        Some(Self {
            owner: set.controller()?,
            number: change::revision(set),
            began: set.created()?,
            template: &set.value()["spec"]["template"],
        })
    }

    /// A `ControllerRevision` has the part of its workload that it is a revision of.
    fn of_data(revision: &'a Object) -> Option<Self> {
        Some(Self {
            owner: revision.controller()?,
            number: revision.count("/revision"),
            began: revision.created()?,
            template: &revision.value()["data"]["spec"]["template"],
        })
    }

    fn rollout(&self, all: &[Self]) -> Rollout {
        let others = all
            .iter()
            .filter(|other| other.owner == self.owner && other.number < self.number);
        let before = others.max_by_key(|other| other.number);
        Rollout {
            kind: self.owner.0.to_owned(),
            name: self.owner.1.to_owned(),
            revision: self.number,
            began: self.began,
            differences: before
                .map(|before| differences(before.template, self.template))
                .unwrap_or_default(),
            is_only_one: before.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use handler_sdk::serde_json::json;

    use super::*;

    #[test]
    fn a_revision_is_compared_with_the_one_before_it_of_its_own_workload() {
        let revision = |owner: &str, number: u64, created: &str, image: &str| {
            let value = json!({
                "metadata": { "creationTimestamp": created, "ownerReferences": [{ "controller": true, "kind": "DaemonSet", "name": owner }] },
                "revision": number,
                "data": { "spec": { "template": { "spec": { "containers": [{ "name": "a", "image": image }] } } } },
            });
            ControllerRevision::from(Object::new(value, true))
        };
        let all = [
            revision("agent", 10, "2026-06-04T03:00:00Z", "r/a:3"),
            revision("agent", 9, "2026-06-03T03:00:00Z", "r/a:2"),
            revision("agent", 8, "2026-06-02T03:00:00Z", "r/a:1"),
            revision("other", 9, "2026-06-03T03:00:00Z", "r/b:1"),
        ];
        let all: Vec<Revision<'_>> = all
            .iter()
            .filter_map(|one| Revision::of_data(one))
            .collect();
        let newest = all[0].rollout(&all);
        assert_eq!(
            (newest.kind.as_str(), newest.name.as_str(), newest.revision),
            ("DaemonSet", "agent", Some(10))
        );
        assert_eq!(newest.differences, ["image 2 → 3"]);
        assert!(!newest.is_only_one && all[3].rollout(&all).is_only_one);
    }
}
