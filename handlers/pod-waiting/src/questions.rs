//! What is asked about the pod.

use handler_kit::kubernetes::{Change, Owners, Pod, Trouble};
use handler_kit::prelude::*;

/// What was found out about the pod.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) pod: Read<Pod>,
    pub(crate) trouble: Trouble,
    pub(crate) owners: Owners,
    pub(crate) change: Option<Change>,
}

impl Found {
    pub(crate) fn about_firing(look: &Look<'_>) -> Self {
        let pod = pod(look);
        let kubernetes = look.kubernetes();
        let (mut trouble, mut owners, mut change) = (Trouble::default(), Owners::default(), None);
        match &pod {
            Read::Found(pod) => {
                trouble = kubernetes.trouble(pod);
                owners = kubernetes.owners(pod);
                let maker = owners.maker.as_ref();
                change = maker.and_then(|maker| kubernetes.change(maker));
            }
            Read::Gone => {}
            Read::Unknown => look.missing_too(["events", "log", "rollout"]),
        }
        Self {
            pod,
            trouble,
            owners,
            change,
        }
    }
}

/// Returns the pod and what owns it.
pub(crate) fn about_resolved(look: &Look<'_>) -> (Read<Pod>, Owners) {
    let pod = pod(look);
    let owners = match &pod {
        Read::Found(pod) => look.kubernetes().owners(pod),
        Read::Gone | Read::Unknown => Owners::default(),
    };
    (pod, owners)
}

fn pod(look: &Look<'_>) -> Read<Pod> {
    match look.place("pod") {
        Some(place) => look.kubernetes().find::<Pod>(&place),
        None => Read::Unknown,
    }
}
