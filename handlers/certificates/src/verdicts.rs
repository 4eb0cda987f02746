//! The verdict on a certificate, and how the alert ended.

use handler_kit::kubernetes::{Certificate, Extent, Object};
use handler_kit::prelude::*;
use handler_kit::words;

use crate::questions::{Clients, Issue};

const NAMES_MAX: usize = 3;
/// A certificate that is valid for this long counts as renewed: cert-manager's alert begins at 21 days.
const LONG_SECONDS: i64 = 21 * 86_400;
/// The alert about the certificates of clients begins at 7 days.
const SOON_SECONDS: i64 = 7 * 86_400;

/// Returns the verdict on a certificate of cert-manager; `None` if it could not be read. `now` is in seconds since 1970.
pub(crate) fn of(issue: &Issue, now: i64) -> Option<Verdict> {
    let certificate = match &issue.certificate {
        Read::Found(certificate) => certificate,
        Read::Gone => {
            let how = "it was deleted since the alert began";
            return Some(Verdict::gone("Certificate", how));
        }
        Read::Unknown => return None,
    };
    let ready = certificate.condition("Ready");
    let is_ready = ready.as_ref().is_some_and(|it| it.is_true == Some(true));
    let expires = certificate.moment("/status/notAfter");
    if is_ready && expires.is_some_and(|at| at > now + LONG_SECONDS) {
        let rest = "it is ready and was renewed, so the alert should end soon";
        return Some(Verdict::proves("renewed", "It is valid by now", rest));
    }
    let lead = match expires {
        Some(at) if at <= now => format!("It expired {} ago", words::roughly(at, now)),
        Some(at) => format!("It expires in {}", words::roughly(now, at)),
        None => "It is not issued".to_owned(),
    };
    let (kind, why) = why(issue).unwrap_or_else(|| match ready.filter(|_| !is_ready) {
        Some(ready) => ("not-ready", format!("{}: {}", ready.reason, ready.message)),
        None => ("not-renewed", not_renewed(issue, certificate, now)),
    });
    let verdict = match kind {
        "not-renewed" => Verdict::unknown(kind, &lead, why),
        _ => Verdict::proves(kind, &lead, why),
    };
    let verdict = verdict.short(short(kind, &lead));
    Some(verdict.next_if(describe(issue, certificate)))
}

/// What stopped the newest request, the innermost object first.
fn why(issue: &Issue) -> Option<(&'static str, String)> {
    if let Some(challenge) = &issue.challenge
        && let Some(reason) = challenge.said("/status/reason")
    {
        let kind = challenge.text("/spec/type").unwrap_or_default();
        let name = challenge.text("/spec/dnsName").unwrap_or_default();
        return Some((
            "challenge",
            format!("the {kind} challenge for {name} is not passed: {reason}"),
        ));
    }
    let failed = ["invalid", "errored", "expired"];
    if let Some(order) = &issue.order
        && let Some(state) = order
            .text("/status/state")
            .filter(|state| failed.contains(state))
    {
        let reason = order.said("/status/reason").unwrap_or_default();
        return Some(("order", format!("the ACME order is {state}: {reason}")));
    }
    let request = issue.request.as_ref()?;
    let denied = ["Denied", "InvalidRequest"];
    if let Some(denied) = denied.iter().find_map(|kind| request.holds(kind)) {
        let rest = format!("its request is refused: {}", denied.message);
        return Some(("denied", rest));
    }
    let ready = request.fails("Ready")?;
    Some(match ready.reason.as_str() {
        "Failed" => ("request", format!("its request failed: {}", ready.message)),
        _ => ("pending", format!("its request waits: {}", ready.message)),
    })
}

fn not_renewed(issue: &Issue, certificate: &Object, now: i64) -> String {
    match (certificate.moment("/status/renewalTime"), issue.requests) {
        (Some(at), Extent::All) if at <= now => {
            let due = words::roughly(at, now);
            format!("its renewal was due {due} ago, and there is no request that fails or waits")
        }
        (Some(at), _) if at <= now => {
            let due = words::roughly(at, now);
            format!("its renewal was due {due} ago; why it was not renewed could not be read")
        }
        (Some(at), _) => format!("its renewal is due in {}", words::roughly(now, at)),
        (None, _) => "cert-manager has set no time for its renewal".to_owned(),
    }
}

/// Returns what stopped it, for a phone.
fn short(kind: &str, lead: &str) -> String {
    let why = match kind {
        "challenge" => ", challenge not passed",
        "order" => ", the ACME order failed",
        "denied" => ", request refused",
        "request" => ", request failed",
        "pending" => ", request waits",
        _ => "",
    };
    let lead = lead.strip_prefix("It ").unwrap_or(lead);
    format!("{lead}{why}")
}

fn describe(issue: &Issue, certificate: &Object) -> Option<Step> {
    match &issue.challenge {
        Some(it) => it.command("kubectl -n $namespace describe challenge $name"),
        None => certificate.command("kubectl -n $namespace describe certificate $name"),
    }
}

/// Returns the verdict on the certificates with which clients come to the API server; `None` if the histogram does not show
/// when the first of them expires.
pub(crate) fn of_clients(clients: Clients) -> Option<Verdict> {
    let when = match clients.within_seconds? {
        0 => "has expired".to_owned(),
        within => format!("expires within {}", words::roughly(0, within)),
    };
    let rest = match clients.over_seconds {
        0 => String::new(),
        over => format!("in {} at the earliest; ", words::roughly(0, over)),
    };
    let rest = format!(
        "{rest}the metric does not show whose it is: the kubelets, the controllers and people's kubeconfigs come into question"
    );
    let lead = format!("A client's certificate for the API server {when}");
    Some(Verdict::proves("client", &lead, rest).short(format!("a client's certificate {when}")))
}

/// Returns the verdict on the certificate of a probe's target.
pub(crate) fn of_metric(at: i64, now: i64) -> Verdict {
    let (kind, when) = match at <= now {
        true => (
            "expired",
            format!("expired {} ago", words::roughly(at, now)),
        ),
        false => ("expires", format!("expires in {}", words::roughly(now, at))),
    };
    let rest = "the first to expire in the chain that the target shows";
    Verdict::proves(kind, &format!("The certificate {when}"), rest)
}

/// Returns a moment in words: `in 6d`, `2h ago`.
pub(crate) fn when(at: i64, now: i64) -> Line {
    match at <= now {
        true => Line::new().ago(at),
        false => Line::from(format!("in {}", words::between(now, at))),
    }
}

pub(crate) fn issuer(certificate: &Object) -> Option<String> {
    let name = certificate.text("/spec/issuerRef/name")?;
    let kind = certificate.text("/spec/issuerRef/kind").unwrap_or("Issuer");
    Some(format!("{kind} {name}"))
}

pub(crate) fn names(certificate: &Object) -> Option<String> {
    let names = certificate.items("/spec/dnsNames").iter();
    let names = words::few(names.filter_map(|name| name.as_str()), NAMES_MAX);
    (!names.is_empty()).then_some(names)
}

/// Returns how the alert of a certificate of cert-manager ended.
pub(crate) fn end(certificate: &Read<Certificate>, now: i64) -> End {
    let certificate = match certificate {
        Read::Found(certificate) => certificate,
        Read::Gone => return End::gone("Certificate", "it was deleted"),
        Read::Unknown => {
            return End::unknown("Whether the certificate is valid was not found out.");
        }
    };
    let expires = certificate.moment("/status/notAfter");
    match (certificate.holds("Ready"), expires) {
        (Some(_), Some(at)) if at > now => valid(at, now),
        _ => End::not_fixed("not-ready", "the certificate is not ready").says(
            "The certificate is not ready:",
            " the alert ended for another reason.",
        ),
    }
}

fn valid(until: i64, now: i64) -> End {
    let rest = format!(" for {} more.", words::roughly(now, until));
    End::new("valid", "valid again").says("The certificate is valid:", rest)
}

/// Returns how the alert ended, by its metric.
pub(crate) fn end_of_metric(expires: Option<i64>, now: i64) -> End {
    match expires {
        Some(at) if at > now + LONG_SECONDS => valid(at, now),
        Some(at) if at > now => End::not_fixed("expires", "it still expires soon").says(
            "It still expires soon:",
            format!(" in {}.", words::roughly(now, at)),
        ),
        Some(_) => {
            End::not_fixed("expired", "it has expired").says("The certificate has expired.", "")
        }
        None => End::unknown("Whether the certificate is valid was not found out."),
    }
}

/// Returns how the alert about the certificates of clients ended: they have no names, so it shows only that none comes any more
/// with one that expires soon.
pub(crate) fn end_of_clients(clients: Option<Clients>) -> End {
    match clients {
        Some(clients) if clients.over_seconds >= SOON_SECONDS => {
            let over = words::roughly(0, clients.over_seconds);
            End::new("valid", "none expires soon").says(
                "No client's certificate expires soon:",
                format!(
                    " all requests of the last 5m come with one that is valid for more than {over}. It was renewed, or its client comes no more."
                ),
            )
        }
        Some(Clients {
            within_seconds: Some(within),
            ..
        }) => End::not_fixed("expires", "one still expires soon").says(
            "A client's certificate still expires soon:",
            format!(" within {}.", words::roughly(0, within)),
        ),
        Some(_) | None => End::unknown("Whether a client's certificate expires was not found out."),
    }
}
