//! What is asked about the workload.

use handler_kit::kubernetes::{
    Change, Events, Kubernetes, List, Object, Pod, PodDisruptionBudget, Trouble, worst,
};
use handler_kit::prelude::*;

/// The labels that name the subject, and its kind.
const SUBJECTS: [(&str, &str); 4] = [
    ("deployment", "Deployment"),
    ("statefulset", "StatefulSet"),
    ("daemonset", "DaemonSet"),
    ("poddisruptionbudget", "PodDisruptionBudget"),
];

/// What was found out about the workload, or the budget.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) object: Read<Object>,
    pub(crate) pods: List<Pod>,
    /// The events about the workload itself.
    pub(crate) events: Events,
    pub(crate) change: Option<Change>,
    /// The pod of which most can be said, of the newest revision if one of those is not ready.
    pub(crate) worst: Option<Pod>,
    pub(crate) trouble: Trouble,
}

impl Found {
    pub(crate) fn about_firing(look: &Look<'_>) -> Self {
        let object = subject(look);
        let mut found = Self {
            object: object.clone(),
            ..Self::default()
        };
        match object {
            Read::Found(object) => found.look_at(&look.kubernetes(), &object),
            Read::Gone => {}
            Read::Unknown => look.missing_too(["pods", "events", "log", "rollout"]),
        }
        found
    }

    fn look_at(&mut self, kubernetes: &Kubernetes<'_>, object: &Object) {
        if let Some(select) = Select::pods_of(object) {
            self.pods = kubernetes.list::<Pod>(object.namespace().as_ref(), &select);
        }
        self.events = kubernetes.events(object);
        let newest = match object.kind() {
            "Deployment" => kubernetes
                .change_of_deployment(object)
                .map(|(set, change)| {
                    self.change = Some(change);
                    set.name().to_owned()
                }),
            _ => {
                self.change = kubernetes.change(object);
                object.text("/status/updateRevision").map(str::to_owned)
            }
        };
        let is_newest = |pod: &&Pod| {
            let set = pod.controller().map(|(_, name)| name);
            let revision = pod.label("controller-revision-hash");
            newest.is_some() && (set == newest.as_deref() || revision == newest.as_deref())
        };
        self.worst = worst(self.pods.iter().filter(is_newest))
            .or_else(|| worst(self.pods.iter()))
            .cloned();
        if let Some(pod) = &self.worst {
            self.trouble = kubernetes.trouble(pod);
        }
    }
}

/// Reads the object that the alert is about.
pub(crate) fn subject(look: &Look<'_>) -> Read<Object> {
    let subject = SUBJECTS
        .iter()
        .find(|(label, _)| look.label(label).is_some());
    let (label, kind) = subject.unwrap_or(&SUBJECTS[0]);
    let kubernetes = look.kubernetes();
    match (look.place(label), *kind) {
        (None, _) => Read::Unknown,
        (Some(place), "PodDisruptionBudget") => kubernetes
            .find::<PodDisruptionBudget>(&place)
            .map(|budget| (*budget).clone()),
        (Some(place), kind) => kubernetes.find_workload(kind, &place),
    }
}
