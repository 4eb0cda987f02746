//! What is asked about the autoscaler and the workload that it scales.

use handler_kit::kubernetes::{Change, Deployment, Events, HorizontalPodAutoscaler, Object};
use handler_kit::prelude::*;

/// What was found out.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) autoscaler: Read<HorizontalPodAutoscaler>,
    pub(crate) events: Events,
    pub(crate) workload: Option<Object>,
    pub(crate) change: Option<Change>,
}

impl Found {
    pub(crate) fn about_firing(look: &Look<'_>) -> Self {
        let mut found = Self {
            autoscaler: look.find("horizontalpodautoscaler"),
            ..Self::default()
        };
        match &found.autoscaler {
            Read::Found(autoscaler) => {
                found.events = look.kubernetes().events(autoscaler);
                (found.workload, found.change) = workload(look, autoscaler);
            }
            Read::Gone => {}
            Read::Unknown => look.missing_too(["events", "workload"]),
        }
        found
    }
}

/// Returns the workload, and what its last rollout changed.
fn workload(look: &Look<'_>, autoscaler: &Object) -> (Option<Object>, Option<Change>) {
    let kubernetes = look.kubernetes();
    let name = autoscaler.text("/spec/scaleTargetRef/name");
    let Some(place) = name.and_then(|name| autoscaler.beside(name)) else {
        return (None, None);
    };
    match autoscaler.text("/spec/scaleTargetRef/kind") {
        Some("Deployment") => {
            let deployment = kubernetes.get::<Deployment>(&place);
            let change = deployment
                .as_ref()
                .and_then(|it| kubernetes.change_of_deployment(it));
            (
                deployment.map(|it| (*it).clone()),
                change.map(|(_, change)| change),
            )
        }
        Some(kind) => {
            let workload = kubernetes.workload(kind, &place);
            let change = workload.as_ref().and_then(|it| kubernetes.change(it));
            (workload, change)
        }
        None => (None, None),
    }
}
