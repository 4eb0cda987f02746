//! What owns a pod: its owner references are followed to the workload that a person changes.

use handler_sdk::subject::{Subject, workload_of_pod};

use super::change::Change;
use super::object::{DaemonSet, Deployment, Job, Object, Pod, ReplicaSet, StatefulSet};
use super::{Kind, Kubernetes, List, Place, Read, Select};
use crate::look::Look;
use crate::step::Step;

/// The objects above a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Owners {
    /// The workload at the top, as far as it is known; `None` for a pod without an owner.
    pub workload: Option<Workload>,
    /// The object that made the pod, whose template the pod was made from; `None` if it was not read.
    pub maker: Option<Object>,
    /// True if nothing made the pod: it has no owner, or it is a static pod.
    pub is_own_maker: bool,
    /// The team or person that owns the workload, from its usual labels.
    pub owner: Option<String>,
}

/// The workload that owns a pod, directly or through other objects: the Deployment, not its `ReplicaSet`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workload {
    /// Empty if only the name is known; `Node` for a static pod.
    pub kind: String,
    /// Its name, never with the hash of a template.
    pub name: String,
    /// The object; `None` if the workload is known only from an object that it owns.
    pub object: Option<Object>,
    /// The object that made it, if any: `Prometheus k8s`.
    pub made_by: Option<String>,
    /// The numbers of ready and wanted pods.
    pub ready: Option<(u64, u64)>,
}

impl Workload {
    /// Returns a workload of which only the name is known; `kind` can be empty.
    pub fn named(kind: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Returns a workload that was read.
    pub fn of(object: &Object) -> Self {
        let made_by = object.controller();
        Self {
            made_by: made_by.map(|(kind, name)| format!("{kind} {name}")),
            ready: object.readiness(),
            object: Some(object.clone()),
            ..Self::named(object.kind(), object.name())
        }
    }

    /// Returns it for people: `Deployment checkout, 2/3 ready`, `StatefulSet prometheus-k8s (of Prometheus k8s), 1/2 ready`.
    pub fn in_words(&self) -> String {
        if self.kind == "Node" {
            return format!("static pod of {}", self.name);
        }
        let name = format!("{} {}", self.kind, self.name);
        let made_by = self.made_by.as_ref();
        let made_by = made_by
            .map(|maker| format!(" (of {maker})"))
            .unwrap_or_default();
        let ready = self
            .ready
            .map(|(ready, wanted)| format!(", {ready}/{wanted} ready"));
        format!(
            "{}{made_by}{}",
            name.trim_start(),
            ready.unwrap_or_default()
        )
    }

    /// Returns the workload that the alert's labels or the pod's name tell, if nothing was read.
    pub fn of_labels(look: &Look<'_>) -> Option<Self> {
        Some(Self::named("", name_of_labels(&look.subject())?))
    }

    /// Returns it for programs: `Deployment/checkout`, or the name alone.
    pub fn as_fact(&self) -> String {
        let fact = format!("{}/{}", self.kind, self.name);
        fact.trim_start_matches('/').to_owned()
    }

    /// Returns how many of its pods are ready, as a sentence: `Deployment checkout: 3/3 ready.`
    pub fn readiness_in_words(&self) -> Option<String> {
        let (ready, wanted) = self.ready?;
        let name = format!("{} {}", self.kind, self.name);
        Some(format!("{}: {ready}/{wanted} ready.", name.trim_start()))
    }

    /// Returns whether it is known that no other object made it, which would revert a manual change.
    pub const fn is_a_persons(&self) -> bool {
        self.object.is_some() && self.made_by.is_none()
    }

    /// Returns the command that undoes the last rollout of a Deployment, if what was found supports that.
    pub fn undo(&self, look: &Look<'_>, change: Option<&Change>) -> Option<Step> {
        let began = look.alert().starts_at.seconds;
        let is_of_use = change?.supports_undo(began) && self.is_a_persons();
        let object = self.object.as_ref().filter(|_| is_of_use)?;
        match object.kind() {
            "Deployment" => object.command("kubectl -n $namespace rollout undo deployment/$name"),
            _ => None,
        }
    }

    /// Returns the kind as `kubectl` names it; `None` for one that is not known.
    pub fn resource(&self) -> Option<&'static str> {
        Some(match self.kind.as_str() {
            "Deployment" => "deployment",
            "StatefulSet" => "statefulset",
            "DaemonSet" => "daemonset",
            "ReplicaSet" => "replicaset",
            "CronJob" => "cronjob",
            "Job" => "job",
            "Rollout" => "rollout",
            _ => return None,
        })
    }
}

/// Returns the name of a pod's workload by the alert's labels or the pod's name.
pub(crate) fn name_of_labels<'a>(subject: &Subject<'a>) -> Option<&'a str> {
    ["deployment", "statefulset", "daemonset", "job_name"]
        .iter()
        .find_map(|label| subject.label(label))
        .or_else(|| workload_of_pod(subject.label("pod")?))
}

impl Kubernetes<'_> {
    /// Follows a pod's owners up to the workload: at most two reads.
    pub fn owners(&self, pod: &Pod) -> Owners {
        let Some((kind, name)) = pod.controller() else {
            return Owners {
                is_own_maker: true,
                ..Owners::default()
            };
        };
        let of_name = |kind: &str, name: &str| Owners {
            workload: Some(Workload::named(kind, name)),
            is_own_maker: kind == "Node",
            ..Owners::default()
        };
        let place = pod.beside(name);
        let made = place.and_then(|place| self.workload(kind, &place));
        let Some(maker) = made else {
            // A static pod, a kind that is not granted, or an object that could not be read.
            return match kind {
                // Its own name ends with a hash that changes with each rollout.
                "ReplicaSet" => pod
                    .without_hash(name)
                    .or_else(|| workload_of_pod(pod.name()))
                    .map(|name| of_name("", name))
                    .unwrap_or_default(),
                kind => of_name(kind, name),
            };
        };
        let (workload, object) = self.top(pod, &maker);
        Owners {
            owner: object.as_ref().unwrap_or(&maker).owner().map(str::to_owned),
            workload: Some(workload),
            maker: Some(maker),
            is_own_maker: false,
        }
    }

    /// Returns the workload above the object that made a pod, and the object, if it was read.
    fn top(&self, pod: &Pod, maker: &Object) -> (Workload, Option<Object>) {
        match (maker.kind(), maker.controller()) {
            ("ReplicaSet", Some((kind, owner))) => {
                let place = maker.beside(owner).filter(|_| kind == "Deployment");
                match place.and_then(|place| self.workload(kind, &place)) {
                    Some(object) => (Workload::of(&object), Some(object)),
                    None => (Workload::named(kind, owner), None),
                }
            }
            ("Job", Some((kind, owner))) => (Workload::named(kind, owner), None),
            (kind, _) => {
                let mut workload = Workload::of(maker);
                // A set without an owner still has the hash in its name.
                let orphaned = pod
                    .without_hash(maker.name())
                    .filter(|_| kind == "ReplicaSet");
                if let Some(name) = orphaned {
                    workload.kind.clear();
                    name.clone_into(&mut workload.name);
                }
                (workload, Some(maker.clone()))
            }
        }
    }

    /// Reads a workload of one of the kinds that make pods; `None` for other kinds. If it could not be read, or does not exist,
    /// that is noted.
    pub fn workload(&self, kind: &str, place: &Place) -> Option<Object> {
        match self.find_workload(kind, place) {
            Read::Found(object) => Some(object),
            Read::Gone => {
                self.look.missing("workload", "not found (404)");
                None
            }
            Read::Unknown => None,
        }
    }

    /// Reads a workload of one of the kinds that make pods, of which it says something that it does not exist.
    pub fn find_workload(&self, kind: &str, place: &Place) -> Read<Object> {
        match kind {
            "ReplicaSet" => self.find::<ReplicaSet>(place).map(|read| (*read).clone()),
            "Deployment" => self.find::<Deployment>(place).map(|read| (*read).clone()),
            "StatefulSet" => self.find::<StatefulSet>(place).map(|read| (*read).clone()),
            "DaemonSet" => self.find::<DaemonSet>(place).map(|read| (*read).clone()),
            "Job" => self.find::<Job>(place).map(|read| (*read).clone()),
            _ => Read::Unknown,
        }
    }

    /// Returns what the last rollout changed, by the revisions beside the `ReplicaSet` that made a pod; of another workload,
    /// whether a rollout is under way.
    pub fn change(&self, maker: &Object) -> Option<Change> {
        match (maker.kind(), maker.controller()) {
            ("ReplicaSet", Some(owner)) => {
                let sets = self.revisions(maker)?;
                Some(Change::of_sets(maker, &sets, owner))
            }
            _ => Change::of_other(maker),
        }
    }

    /// Returns the `ReplicaSets` of the Deployment: its newest revision and the earlier ones.
    fn revisions(&self, set: &Object) -> Option<List<ReplicaSet>> {
        let select = Select::revisions_of(set)?;
        let path = super::path(&ReplicaSet::RESOURCE, set.namespace().as_ref(), None);
        let listed = self.listed(&path, &select);
        let (items, is_cut) = self.look.noted("rollout", "replicasets: list", listed)?;
        Some(self.counted("rollout", items, is_cut))
    }

    /// Returns what the last rollout of a Deployment changed, and its newest `ReplicaSet`.
    pub fn change_of_deployment(&self, deployment: &Object) -> Option<(ReplicaSet, Change)> {
        let sets = self.revisions(deployment)?;
        let owner = ("Deployment", deployment.name());
        let newest = super::change::newest(&sets, owner)?.clone();
        let change = Change::of_sets(&newest, &sets, owner);
        Some((newest, change))
    }
}
