//! What is asked about the pod.

use handler_kit::kubernetes::{Change, Owners, Pod, Trouble};
use handler_kit::prelude::*;

/// What was found out about the pod.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) pod: Read<Pod>,
    pub(crate) trouble: Trouble,
    pub(crate) owners: Owners,
    pub(crate) change: Option<Change>,
}

impl Found {
    pub(crate) fn about_firing(look: &Look<'_>) -> Self {
        let kubernetes = look.kubernetes();
        let mut found = Self {
            pod: look.find("pod"),
            ..Self::default()
        };
        match &found.pod {
            Read::Found(pod) => {
                found.trouble = kubernetes.trouble(pod);
                found.owners = kubernetes.owners(pod);
                let maker = found.owners.maker.as_ref();
                found.change = maker.and_then(|maker| kubernetes.change(maker));
            }
            Read::Gone => {}
            Read::Unknown => look.missing_too(["events", "log", "rollout"]),
        }
        found
    }
}

/// Returns the pod and what owns it.
pub(crate) fn about_resolved(look: &Look<'_>) -> (Read<Pod>, Owners) {
    let pod = look.find::<Pod>("pod");
    let owners = match &pod {
        Read::Found(pod) => look.kubernetes().owners(pod),
        Read::Gone | Read::Unknown => Owners::default(),
    };
    (pod, owners)
}
