//! The settings of handlers that read from Kubernetes.

use handler_sdk::prelude::*;

use super::{CLUSTER, Origin};

pub(super) const KUBERNETES_URL: Setting =
    Setting::origin("kubernetes.url", "the default API server")
        .default("https://kubernetes.default.svc");
pub(super) const CREDENTIAL: Setting = Setting::credential(
    "credential",
    "the credential for the default API server; empty for none",
)
.default("kubernetes");
pub(super) const CLUSTER_URL: Setting =
    Setting::origin("cluster.*.url", "the API server of the cluster");
pub(super) const CLUSTER_CREDENTIAL: Setting = Setting::credential(
    "cluster.*.credential",
    "the credential for the cluster's API server, `credential` if not set; empty for none",
);

/// The settings of a handler that reads from Kubernetes alone, for [`Description::settings`].
pub const KUBERNETES: [&Setting; 5] = [
    &KUBERNETES_URL,
    &CREDENTIAL,
    &CLUSTER,
    &CLUSTER_URL,
    &CLUSTER_CREDENTIAL,
];

/// Returns the API server of the alert's cluster, or why there is none, for people.
pub(crate) fn kubernetes(cx: &Cx, alert: &Alert) -> Result<Origin, String> {
    let credential = || cx.setting(&CREDENTIAL);
    let default = || {
        Origin::new(
            &cx.setting(&KUBERNETES_URL).unwrap_or_default(),
            credential(),
        )
    };
    let Some(cluster) = alert.subject().label("cluster") else {
        return Ok(default());
    };
    if let Some(url) = cx.setting_for(&CLUSTER_URL, cluster) {
        let own = cx.setting_for(&CLUSTER_CREDENTIAL, cluster);
        return Ok(Origin::new(&url, own.or_else(credential)));
    }
    match cx.setting(&CLUSTER) {
        Some(own) if own == cluster => Ok(default()),
        _ => Err(format!(
            "no API server is configured for the cluster {cluster} (settings `cluster`, `cluster.NAME.url`)"
        )),
    }
}
