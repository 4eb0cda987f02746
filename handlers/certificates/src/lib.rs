//! Answers the alerts about certificates: says when one expires, and why cert-manager does not renew it.
//!
//! The README lists what it reads, and the evidence for each verdict.

mod questions;
mod verdicts;

#[cfg(test)]
mod tests;

use handler_kit::prelude::*;

use questions::Issue;

/// The handler.
#[derive(Debug)]
pub struct Certificates;

impl Answer for Certificates {
    const SUMMARY: &'static str = "Says when a certificate expires, and why it is not renewed.";
    const ALERTS: &'static [&'static str] = &[
        "CertManagerCertExpirySoon",
        "CertManagerCertNotReady",
        "KubeClientCertificateExpiration",
        "BlackboxSslCertificateWillExpireSoon",
    ];
    const READS: Reads = Reads::KubernetesAndPrometheus;
    /// The certificate, its events, requests, orders and challenges (three pages each).
    const CALLS_MAX: u32 = 13;

    fn firing(look: &Look<'_>) -> Report {
        let now = look.now();
        if !questions::is_of_cert_manager(look) {
            let verdict = match questions::is_of_clients(look) {
                true => questions::clients(look).and_then(verdicts::of_clients),
                false => questions::expires(look).map(|at| verdicts::of_metric(at, now)),
            };
            return Report::new()
                .verdict(verdict)
                .field_if("Job", look.alert().label("job"));
        }
        let issue = Issue::about(look);
        let verdict = verdicts::of(&issue, now);
        let Read::Found(certificate) = &issue.certificate else {
            return Report::new().verdict(verdict);
        };
        let at = |pointer: &str| certificate.moment(pointer);
        let when = |pointer: &str| Some(verdicts::when(at(pointer)?, now));
        let attempts = certificate.count("/status/failedIssuanceAttempts");
        Report::new()
            .verdict(verdict)
            .field_if("Expires", when("/status/notAfter"))
            .field_if("Renewal", when("/status/renewalTime"))
            .field_if("Names", verdicts::names(certificate))
            .field_if("Issuer", verdicts::issuer(certificate))
            .field_if("Secret", certificate.text("/spec/secretName"))
            .field_if("Failed attempts", attempts)
            .owner(certificate.owner())
            .without_label("condition")
            .fact_if("certificate.expires", at("/status/notAfter"))
            .events(issue.events, None)
    }

    fn resolved(look: &Look<'_>) -> End {
        let now = look.now();
        if questions::is_of_cert_manager(look) {
            return verdicts::end(&look.find("name"), now);
        }
        match questions::is_of_clients(look) {
            true => verdicts::end_of_clients(questions::clients(look)),
            false => verdicts::end_of_metric(questions::expires(look), now),
        }
    }
}

handler_kit::answers!(Certificates);
