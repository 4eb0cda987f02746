//! The verdict on a probe that fails, what changed since it succeeded, and how it ended.

use handler_kit::prelude::*;
use handler_kit::words;

use crate::questions::{Found, Probed};

/// The share of its time from which a probe counts as one that ran out of it.
const TIMED_OUT: f64 = 0.97;

/// Returns the verdict; `now` is in seconds since 1970.
pub(crate) fn of(found: &Found, now: i64) -> Verdict {
    let probed = &found.probed;
    let verdict = of_no_probe(probed)
        .or_else(|| unresolved(found))
        .or_else(|| of_http(found, now))
        .unwrap_or_else(|| of_other_probers(probed));
    let verdict = match found.others {
        Some((failing, all)) if all > 1 && failing == all => verdict.and(format!(
            "All {all} targets of the job fail, so look at the exporter and its network first"
        )),
        _ => verdict,
    };
    match verdict.kind.as_str() {
        "succeeds" | "no-exporter" | "no-series" => verdict,
        _ => verdict.next(
            Line::from("The exporter shows the log of a probe at ")
                .code("/probe?target=TARGET&module=MODULE&debug=true")
                .text("."),
        ),
    }
}

/// The exporter was not scraped, or the probe succeeds.
fn of_no_probe(probed: &Probed) -> Option<Verdict> {
    if probed.is("probe_success", 1.0) {
        let rest = "its last probe succeeded, so the alert should end soon";
        return Some(Verdict::proves("succeeds", "It succeeds by now", rest));
    }
    if probed.is("up", 0.0) {
        let rest =
            "Prometheus gets no answer from the exporter, so nothing is known about the target";
        return Some(Verdict::proves(
            "no-exporter",
            "The exporter does not answer",
            rest,
        ));
    }
    if probed.value("probe_success").is_none() {
        let rest = "Prometheus has no result of it now";
        return Some(Verdict::unknown(
            "no-series",
            "The probe is not made any more",
            rest,
        ));
    }
    None
}

/// The exporter sets the protocol of the address once it has one.
fn unresolved(found: &Found) -> Option<Verdict> {
    let took = found.probed.value("probe_dns_lookup_time_seconds");
    found.probed.is("probe_ip_protocol", 0.0).then(|| {
        let rest = Line::from("the exporter got no address for ").code(&found.target);
        let rest = match took {
            Some(took) => rest.text(format!(", {} after it asked", words::seconds(took))),
            None => rest,
        };
        Verdict::proves("dns", "DNS fails", rest).short("DNS fails")
    })
}

fn of_http(found: &Found, now: i64) -> Option<Verdict> {
    let probed = &found.probed;
    let connected = probed.phase("connect")?;
    Some(match probed.status() {
        Some(status) => of_answer(probed, status),
        None if probed.value("probe_http_redirects").unwrap_or(0.0) > 0.0 => Verdict::proves(
            "redirect-target",
            "The redirect leads nowhere",
            format!(
                "the target redirects, and no answer comes from where it leads to; {}",
                after(probed)
            ),
        ),
        None if connected > 0.0 => Verdict::proves(
            "no-answer",
            "No HTTP answer",
            format!("it is connected, but does not answer; {}", after(probed)),
        ),
        None if found.target.starts_with("https:") => of_no_tls(found, now),
        None => Verdict::proves(
            "tcp",
            "No TCP connection",
            format!("the exporter could not open one; {}", after(probed)),
        ),
    })
}

/// The exporter notes a connection once TLS is through, so it does not show whether TCP or TLS failed.
fn of_no_tls(found: &Found, now: i64) -> Verdict {
    let after = after(&found.probed);
    let before = found.before.as_ref();
    let expiry = before.and_then(|it| it.value("probe_ssl_earliest_cert_expiry"));
    match expiry.map(|expiry| expiry as i64).filter(|at| *at <= now) {
        Some(expired) => {
            let rest = Line::from("the one that it had at its last success expired ").ago(expired);
            let rest = rest.text(format!(". No TLS connection was made; {after}"));
            Verdict::likely("tls-expired", "an expired certificate", rest)
                .short("TLS: certificate expired?")
        }
        None => {
            let rest = format!("{after}. The metrics do not show whether TCP or TLS failed");
            Verdict::proves("tcp-or-tls", "No TCP or TLS connection", rest)
        }
    }
}

fn of_answer(probed: &Probed, status: u64) -> Verdict {
    let is_unwanted = probed.is("probe_failed_due_to_regex", 1.0);
    match status {
        _ if is_unwanted => Verdict::proves(
            "content",
            "Its answer is not the wanted one",
            format!(
                "HTTP {status}, but a header or the body does not pass the module's regular expressions"
            ),
        ),
        200..300 => Verdict::unknown(
            "other-check",
            "It answers, and the probe still fails",
            format!(
                "HTTP {status}; the module may want another status, HTTP version or TLS, or the body could not be read"
            ),
        ),
        300..400 => Verdict::proves(
            "http-status",
            &format!("It answers HTTP {status}"),
            "a redirect that the probe does not follow",
        ),
        _ => {
            let rest = format!("DNS and the connection are fine; {}", took(probed));
            Verdict::proves("http-status", &format!("It answers HTTP {status}"), rest)
                .short(format!("HTTP {status}"))
        }
    }
}

/// The other probers of the exporter: DNS, ICMP, gRPC, and TCP, which has no metric of its own.
fn of_other_probers(probed: &Probed) -> Verdict {
    let after = after(probed);
    if probed.is("probe_failed_due_to_regex", 1.0) {
        let rest = format!(
            "it is connected, but its answer does not pass the module's regular expression; {after}"
        );
        return Verdict::proves("content", "Its answer is not the wanted one", rest);
    }
    if let Some(answered) = probed.value("probe_dns_query_succeeded") {
        return match answered > 0.0 {
            true => Verdict::proves(
                "dns-answer",
                "The DNS server's answer is not the wanted one",
                format!("it answers; {}", took(probed)),
            ),
            false => Verdict::proves("dns-server", "The DNS server does not answer", after),
        };
    }
    if probed.value("probe_icmp_duration_seconds").is_some() {
        return Verdict::proves(
            "icmp",
            "No answer to ping",
            format!("its name was resolved; {after}"),
        );
    }
    if let Some(status) = probed.value("probe_grpc_status_code") {
        let rest = format!("gRPC status {status:.0}; {after}");
        return Verdict::proves("grpc", "Its health check fails", rest);
    }
    let rest =
        format!("its name was resolved; the connection, TLS or the conversation failed; {after}");
    Verdict::unknown("after-dns", "The probe fails after DNS", rest)
}

/// Returns how long the probe took.
fn took(probed: &Probed) -> String {
    match probed.value("probe_duration_seconds") {
        Some(took) => format!("the probe took {}", words::seconds(took)),
        None => "it was answered".to_owned(),
    }
}

/// Returns how long it took until the probe failed, and whether that is all the time that it had.
fn after(probed: &Probed) -> String {
    let took = probed.value("probe_duration_seconds");
    let limit = probed.value("probe_timeout_seconds");
    match (took, limit) {
        (Some(took), Some(limit)) if took >= limit * TIMED_OUT => {
            format!("it timed out after {}", words::seconds(limit))
        }
        (Some(took), _) => format!("it failed after {}", words::seconds(took)),
        (None, _) => "it failed".to_owned(),
    }
}

/// Returns what is different from the last probe that succeeded.
pub(crate) fn changed(found: &Found) -> Option<String> {
    let (before, now) = (found.before.as_ref()?, &found.probed);
    if now.is("probe_success", 1.0) {
        return None;
    }
    let both = |name: &str| Some((before.value(name)?, now.value(name)?));
    let mut changes = Vec::new();
    if let (Some(was), Some(is)) = (before.status(), now.status())
        && was != is
    {
        changes.push(format!("HTTP {was} → {is}"));
    }
    let is_known = |(was, is): &(f64, f64)| was != is && *was > 0.0 && *is > 0.0;
    if both("probe_ip_addr_hash").filter(is_known).is_some() {
        changes.push("the name has another address".to_owned());
    }
    if both("probe_ssl_earliest_cert_expiry")
        .filter(is_known)
        .is_some()
    {
        changes.push("another certificate".to_owned());
    }
    if let Some((was, is)) = both("probe_http_redirects").filter(|(was, is)| was != is && *is > 0.0)
    {
        changes.push(format!("{was:.0} → {is:.0} redirects"));
    }
    (!changes.is_empty()).then(|| format!("{}, since the last success", changes.join(", ")))
}

/// Returns how the alert ended, by the metrics of the last probe.
pub(crate) fn end(probed: Option<&Probed>) -> End {
    let Some(probed) = probed else {
        return End::unknown("Whether the probe succeeds was not found out.");
    };
    match probed.value("probe_success") {
        Some(success) if success > 0.0 => {
            let status = probed.status().map(|status| format!("HTTP {status}, "));
            let rest = format!(" {}{}.", status.unwrap_or_default(), took(probed));
            End::new("succeeds", "succeeds again").says("The probe succeeds again:", rest)
        }
        Some(_) => End::not_fixed("fails", "the probe still fails")
            .says("The probe still fails:", format!(" {}.", after(probed))),
        None => End::not_fixed("gone", "it is not probed any more").says(
            "It is not probed any more:",
            " Prometheus has no result of it, which is not the same as fixed.",
        ),
    }
}
