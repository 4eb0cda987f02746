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

/// Returns whether the alert is about the certificates of the API server's clients.
pub(crate) fn is_of_clients(look: &Look<'_>) -> bool {
    look.alert().name == "KubeClientCertificateExpiration"
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

/// Returns when the certificate of a probe's target expires, the first of its chain, in seconds since 1970.
pub(crate) fn expires(look: &Look<'_>) -> Option<i64> {
    let query = Query::new("min(probe_ssl_earliest_cert_expiry{job=$job, instance=~$instance})");
    let at = look.prometheus().number("expiry", &of_alert(look, query))?;
    (at.is_finite() && at > 0.0).then_some(at as i64)
}

/// How long the certificates are valid with which clients come to the API server: the buckets of a histogram, so not exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clients {
    /// All requests come with one that is valid for longer, in seconds.
    pub(crate) over_seconds: i64,
    /// Some come with one that is valid for no longer, in seconds; `None` if that is beyond the last bucket.
    pub(crate) within_seconds: Option<i64>,
}

pub(crate) fn clients(look: &Look<'_>) -> Option<Clients> {
    let query = Query::new(
        "sum by (le) (rate(apiserver_client_certificate_expiration_seconds_bucket{job=$job, instance=~$instance}[5m]))",
    );
    let found = look
        .prometheus()
        .instant("expiry", &of_alert(look, query))?;
    let bounds = found.iter().filter_map(|bucket| {
        let bound = bucket.label("le").parse::<f64>().ok()?;
        Some((bound, bucket.value))
    });
    of_buckets(bounds.collect())
}

/// Finds the first bucket that has a request, by upper bounds and cumulative counts. `None` if there is no request.
fn of_buckets(mut buckets: Vec<(f64, f64)>) -> Option<Clients> {
    buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let first = buckets.iter().position(|(_, count)| *count > 0.0)?;
    let bound = |at: usize| buckets.get(at).map(|(bound, _)| *bound);
    Some(Clients {
        over_seconds: first.checked_sub(1).and_then(bound).unwrap_or(0.0) as i64,
        within_seconds: bound(first).filter(|it| it.is_finite()).map(|it| it as i64),
    })
}

fn of_alert(look: &Look<'_>, query: Query) -> Query {
    let query = query.bind("job", look.alert().label("job").unwrap_or_default());
    match look.label("instance") {
        Some(instance) => query.bind_any("instance", [instance]),
        None => query.bind("instance", ".*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_shows_between_which_bounds_the_first_expires() {
        let of = |over_seconds, within_seconds| {
            Some(Clients {
                over_seconds,
                within_seconds,
            })
        };
        let hours = |day| vec![(f64::INFINITY, 9.0), (3_600.0, 0.0), (86_400.0, day)];
        assert_eq!(of_buckets(hours(0.1)), of(3_600, Some(86_400)));
        assert_eq!(of_buckets(hours(0.0)), of(86_400, None));
        assert_eq!(of_buckets(vec![(0.0, 3.0), (60.0, 3.0)]), of(0, Some(0)));
        assert_eq!(of_buckets(vec![(60.0, 0.0)]), None, "no requests");
        assert_eq!(of_buckets(Vec::new()), None);
    }
}
