//! What is asked about the pod, and what was found.

use handler_kit::handler_sdk::subject::workload_of_pod;
use handler_kit::kubernetes::{
    Change, Container, Deployment, Events, Kubernetes, Log, Node, Pod, Workload,
};
use handler_kit::prelude::*;

/// All that was found out about the pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) pod: PodState,
    /// The reason and the message with which Kubernetes ended the pod.
    pub(crate) ended: Option<(String, String)>,
    /// The container that crashes.
    pub(crate) container: Option<Container>,
    pub(crate) workload: Option<Workload>,
    /// The node's name, and the conditions that indicate a problem.
    pub(crate) node: Option<(String, Vec<String>)>,
    pub(crate) owner: Option<String>,
    pub(crate) change: Option<Change>,
    pub(crate) events: Events,
    pub(crate) log: Option<Log>,
}

/// Whether the alert's pod exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PodState {
    #[default]
    Unknown,
    Present,
    /// There is no pod of that name.
    Gone,
    /// There is another pod of the same name.
    Replaced,
}

impl Found {
    pub(crate) fn about_firing(look: &Look<'_>) -> Self {
        let Some(place) = look.place("pod") else {
            return Self::default();
        };
        let kubernetes = look.kubernetes();
        match kubernetes.find::<Pod>(&place) {
            Read::Found(pod) if is_another(look, &pod) => {
                let mut found = Self::in_state(PodState::Replaced);
                found.follow_owners(&kubernetes, &pod, true);
                found
            }
            Read::Found(pod) => Self::about_present(look, &kubernetes, &pod),
            Read::Gone => {
                let mut found = Self::in_state(PodState::Gone);
                let uid = look.alert().label("uid").and_then(Name::of);
                let select = match uid {
                    Some(uid) => Select::field("involvedObject.uid", &uid),
                    None => Select::field("involvedObject.name", place.name()),
                };
                if let Some(namespace) = place.namespace() {
                    found.events = kubernetes.events_in(namespace, &select);
                }
                found.guess_workload(&kubernetes, &place);
                found
            }
            Read::Unknown => {
                look.missing_too(["events", "log", "rollout"]);
                Self::default()
            }
        }
    }

    pub(crate) fn about_resolved(look: &Look<'_>) -> Self {
        let Some(place) = look.place("pod") else {
            return Self::default();
        };
        let kubernetes = look.kubernetes();
        match kubernetes.find::<Pod>(&place) {
            Read::Found(pod) => {
                let state = match is_another(look, &pod) {
                    true => PodState::Replaced,
                    false => PodState::Present,
                };
                let mut found = Self::in_state(state);
                found.container = pod.container(look.label("container"));
                found.follow_owners(&kubernetes, &pod, false);
                found
            }
            Read::Gone => {
                let mut found = Self::in_state(PodState::Gone);
                found.guess_workload(&kubernetes, &place);
                found
            }
            Read::Unknown => {
                look.missing_too(["workload"]);
                Self::default()
            }
        }
    }

    fn in_state(pod: PodState) -> Self {
        Self {
            pod,
            ..Self::default()
        }
    }

    fn about_present(look: &Look<'_>, kubernetes: &Kubernetes<'_>, pod: &Pod) -> Self {
        let mut found = Self::in_state(PodState::Present);
        found.container = pod.container(look.label("container"));
        let container = found.container.as_ref();
        found.log = container.and_then(|container| kubernetes.log(pod, container));
        found.events = kubernetes.events(pod);
        found.follow_owners(kubernetes, pod, true);
        found.node = pod.text("/spec/nodeName").map(|name| {
            // Reading nodes is optional: without the permission, only the name is shown.
            let place = Name::of(name).map(Place::of_cluster);
            let node = place.and_then(|place| kubernetes.optional::<Node>(&place));
            let troubles = node.map(|node| node.troubles()).unwrap_or_default();
            (name.to_owned(), troubles)
        });
        found.ended = pod.ended().map(|(reason, said)| (reason.to_owned(), said));
        if found.container.is_none() && found.ended.is_none() {
            look.missing("container", "the pod has no container of the alert's name");
        }
        found
    }

    /// Follows the pod's owners up to the workload, and compares its revisions, if that is asked for.
    fn follow_owners(&mut self, kubernetes: &Kubernetes<'_>, pod: &Pod, with_change: bool) {
        let owners = kubernetes.owners(pod);
        if let Some(container) = &mut self.container
            && (owners.maker.is_some() || owners.is_own_maker)
        {
            container.limit_is_from(owners.maker.as_ref());
        }
        let name = self
            .container
            .as_ref()
            .map(|container| container.name.as_str());
        let maker = owners.maker.as_ref().filter(|_| with_change);
        self.change = maker
            .and_then(|maker| kubernetes.change(maker))
            .map(|change| Change {
                first_crash: self.events.first_crash(name),
                ..change
            });
        self.owner = pod.owner().map(str::to_owned).or(owners.owner);
        self.workload = owners.workload;
    }

    /// Reads the Deployment that a pod, which no longer exists, had by its name.
    fn guess_workload(&mut self, kubernetes: &Kubernetes<'_>, place: &Place) {
        let name = workload_of_pod(place.name()).and_then(Name::of);
        let deployment =
            name.and_then(|name| kubernetes.optional::<Deployment>(&place.beside(name)));
        if let Some(deployment) = deployment {
            self.owner = deployment.owner().map(str::to_owned);
            self.workload = Some(Workload::of(&deployment));
        }
    }

    /// Returns the facts that a firing and a resolved alert have in common.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        let state = match self.pod {
            PodState::Present => Some("present"),
            PodState::Gone => Some("gone"),
            PodState::Replaced => Some("replaced"),
            PodState::Unknown => None,
        };
        facts.extend(state.map(|state| ("pod", state.to_owned())));
        if let Some(workload) = &self.workload {
            facts.push(("workload", workload.as_fact()));
            let ready = workload
                .ready
                .map(|(ready, wanted)| format!("{ready}/{wanted}"));
            facts.extend(ready.map(|ready| ("workload.ready", ready)));
        }
        facts
    }
}

/// Returns whether the pod has another uid than the alert's: a stateful set reuses the name.
fn is_another(look: &Look<'_>, pod: &Pod) -> bool {
    match (look.alert().label("uid"), pod.uid()) {
        (Some(alerts), Some(pods)) => alerts != pods,
        _ => false,
    }
}
