//! What is asked about a certificate: the objects of cert-manager, or the metric of the alert.

use handler_kit::kubernetes::{
    Certificate, CertificateRequest, Challenge, Events, Extent, Kind, List, Object, Order,
};
use handler_kit::prelude::*;
use handler_kit::prometheus::Query;

/// A certificate of cert-manager, and how far its newest request got.
#[derive(Debug, Default)]
pub(crate) struct Issue {
    pub(crate) certificate: Read<Certificate>,
    pub(crate) events: Events,
    /// How much of the list of requests was read.
    pub(crate) requests: Extent,
    pub(crate) request: Option<CertificateRequest>,
    pub(crate) order: Option<Order>,
    pub(crate) challenge: Option<Challenge>,
}

impl Issue {
    pub(crate) fn about(look: &Look<'_>) -> Self {
        let mut issue = Self {
            certificate: look.find("name"),
            ..Self::default()
        };
        let Read::Found(certificate) = &issue.certificate else {
            return issue;
        };
        issue.events = look.kubernetes().events(certificate);
        (issue.request, issue.requests) = newest_of(look, certificate);
        issue.order = issue.request.as_ref().and_then(|it| newest_of(look, it).0);
        let challenges = issue.order.as_ref().map(|it| of::<Challenge>(look, it));
        let failing = challenges.and_then(|it| {
            it.items
                .into_iter()
                .find(|one| one.text("/status/state") != Some("valid"))
        });
        issue.challenge = failing;
        issue
    }
}

/// Returns whether the alert is about an object of cert-manager.
pub(crate) fn is_of_cert_manager(look: &Look<'_>) -> bool {
    look.alert().name.starts_with("CertManager")
}

/// Returns the objects of a kind that belong to another object, and how much of their list was read.
fn of<K: Kind>(look: &Look<'_>, owner: &Object) -> List<K> {
    let namespace = owner.namespace();
    let mut all: List<K> = look.kubernetes().list(namespace.as_ref(), &Select::all());
    let its = (owner.kind(), owner.name());
    all.items.retain(|one| one.controller() == Some(its));
    all
}

fn newest_of<K: Kind>(look: &Look<'_>, owner: &Object) -> (Option<K>, Extent) {
    let all = of::<K>(look, owner);
    let newest = all.items.into_iter().max_by_key(|one| one.created());
    (newest, all.read)
}

/// Returns when the certificate of the alert's metric expires, in seconds since 1970: that of a probe's target, or the first of
/// those with which clients come to an API server.
pub(crate) fn expires(look: &Look<'_>) -> Option<i64> {
    let query = match look.alert().name.as_str() {
        "KubeClientCertificateExpiration" => Query::new(
            "time() + histogram_quantile(0.01, sum by (le) \
             (rate(apiserver_client_certificate_expiration_seconds_bucket{job=$job, instance=~$instance}[5m])))",
        ),
        _ => Query::new("min(probe_ssl_earliest_cert_expiry{job=$job, instance=~$instance})"),
    };
    let query = query.bind("job", look.alert().label("job").unwrap_or_default());
    let query = match look.label("instance") {
        Some(instance) => query.bind_any("instance", [instance]),
        None => query.bind("instance", ".*"),
    };
    let at = look.prometheus().number("expiry", &query)?;
    (at.is_finite() && at > 0.0).then_some(at as i64)
}
