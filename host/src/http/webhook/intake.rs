//! Passes a body to the queue in portions, and builds the response.

use std::time::Instant;

use bytes::Bytes;

use super::Webhook;
use super::payload::{Bad, ParsedAlert, Payload, PayloadError};
use crate::alert::{DeliveryId, Fingerprint, HandlerName, Status, Timestamp};
use crate::api;
use crate::queue::{Accepted, Parcel, Receipt, Refused, Submission, Verdict};
use crate::telemetry::WebhookResult;

/// To how many bytes the name of an alert is cut in a log line.
const SHOWN_BYTES_MAX: usize = 256;

/// The remaining part of a body, and the results so far.
pub(super) struct Intake {
    payload: Payload,
    /// The alerts of the last portion, in order.
    described: Vec<Described>,
    is_begun: bool,
    bad: Bad,
    /// The response without its deliveries.
    counted: api::Counted,
    /// The deliveries as JSON, separated by commas: structures would need several times the memory.
    deliveries: Vec<u8>,
    /// The same for the deliveries that duplicates belong to.
    duplicate_of: Vec<u8>,
}

/// The data of an accepted alert that the response needs.
struct Described {
    fingerprint: Fingerprint,
    alertname: String,
    status: Status,
    routed: bool,
}

impl Intake {
    /// Finds the alerts of a body.
    ///
    /// # Errors
    /// Returns an error if it is not a body that a sender posts.
    pub(super) fn open(
        webhook: &Webhook,
        body: Vec<u8>,
        now: Timestamp,
    ) -> Result<Self, PayloadError> {
        let payload = Payload::open(body, now)?;
        let truncated = payload.truncated_alerts();
        if truncated > 0 {
            webhook.metrics.webhook_truncated(truncated);
            tracing::warn!(
                alerts = truncated,
                "the sender cut its list of alerts: those that it left out, and their resolves, never arrive. Set `max_alerts: 0` in its webhook_configs"
            );
        }
        Ok(Self {
            payload,
            described: Vec::new(),
            is_begun: false,
            bad: Bad::default(),
            counted: api::Counted::default(),
            deliveries: Vec::new(),
            duplicate_of: Vec::new(),
        })
    }

    /// Records the results of the last portion, and returns the next; `None` after the last.
    ///
    /// # Errors
    /// Returns an error if no alert of the body is valid, which is known before the first portion.
    pub(super) fn advance(
        &mut self,
        webhook: &Webhook,
        receipt: Option<Receipt>,
    ) -> Result<Option<Parcel>, PayloadError> {
        if let Some(receipt) = receipt {
            self.note(webhook, receipt);
        }
        if self.is_begun && self.payload.is_read() {
            return Ok(None);
        }
        self.is_begun = true;
        let alerts = self.payload.next_portion()?;
        let router = webhook.router.load();
        let submissions = alerts
            .into_iter()
            .map(
                |ParsedAlert {
                     alert,
                     starts_at_missing,
                     ..
                 }| {
                    webhook.heartbeats.note(&alert, Instant::now());
                    let submission = Submission {
                        plans: router.plan(&alert.labels),
                        alert,
                        starts_at_missing,
                    };
                    self.described.push(Described::of(&submission));
                    submission
                },
            )
            .collect();
        let left_out = self.payload.take_fields_left_out();
        if left_out > 0 {
            webhook.metrics.webhook_fields_left_out(left_out);
            tracing::warn!(
                fields = left_out,
                "fields of alerts were too long and were cut or left out; `alert_manager.left_out` in an alert's origin names them"
            );
        }
        // Bad parts of a body are passed on together, since a repeated one is recognized by its text.
        let mut refused = Vec::new();
        if self.payload.is_read() {
            self.bad = std::mem::take(self.payload.bad());
            refused.extend(self.bad.first.iter_mut().map(|bad| Refused {
                error: bad.error.clone(),
                json: std::mem::take(&mut bad.json),
                digest: bad.digest,
                alertname: std::mem::take(&mut bad.alertname),
            }));
        }
        Ok(Some(Parcel::new(submissions, refused)))
    }

    fn note(&mut self, webhook: &Webhook, receipt: Receipt) {
        let described = std::mem::take(&mut self.described);
        for (alert, verdict) in described.into_iter().zip(receipt.verdicts) {
            let result = match verdict {
                Verdict::Accepted(taken) => {
                    self.counted.accepted += 1;
                    alert.warn_if_unrouted(webhook);
                    for taken in &taken {
                        alert.log_accepted(taken);
                        let handlers = Some(taken.handlers.as_slice());
                        list(&mut self.deliveries, &alert, taken.id, handlers);
                    }
                    WebhookResult::Accepted
                }
                Verdict::Duplicate(ran_as) => {
                    self.counted.duplicates += 1;
                    for id in ran_as {
                        list(&mut self.duplicate_of, &alert, id, None);
                    }
                    WebhookResult::Duplicate
                }
                Verdict::Stale => {
                    self.counted.stale += 1;
                    WebhookResult::Stale
                }
            };
            webhook
                .metrics
                .webhook_alerts(Some(alert.status), result, 1);
        }
        if !self.payload.is_read() {
            return;
        }
        let bad = std::mem::take(&mut self.bad);
        if bad.count() > 0 {
            let rejected = WebhookResult::Rejected;
            webhook.metrics.webhook_alerts(None, rejected, bad.count());
        }
        if bad.more > 0 {
            tracing::warn!(
                parts = bad.more,
                "a body had more parts that are not alerts than are kept; the rest was only counted"
            );
        }
        self.counted.rejected_more = bad.more;
        let mut kept = receipt.refused.into_iter();
        let rejected = bad.first.into_iter().map(|bad| {
            let kept = kept.next();
            api::Rejected {
                index: bad.index,
                error: bad.error,
                id: kept.map(|kept| kept.id),
                duplicate: kept.is_some_and(|kept| kept.is_known),
            }
        });
        self.counted.rejected = rejected.collect();
    }

    /// Returns the JSON of the response, an [`api::Accepted`].
    pub(super) fn into_answer(self) -> Bytes {
        let mut json = serde_json::to_vec(&self.counted).unwrap_or_else(|_| b"{}".to_vec());
        // The closing brace is added after the deliveries.
        json.pop();
        json.reserve_exact(self.deliveries.len() + self.duplicate_of.len() + 40);
        json.extend_from_slice(b",\"deliveries\":[");
        json.extend_from_slice(&self.deliveries);
        if !self.duplicate_of.is_empty() {
            json.extend_from_slice(b"],\"duplicate_of\":[");
            json.extend_from_slice(&self.duplicate_of);
        }
        json.extend_from_slice(b"]}");
        json.into()
    }
}

/// Adds a delivery to the JSON of a list.
fn list(json: &mut Vec<u8>, alert: &Described, id: DeliveryId, handlers: Option<&[HandlerName]>) {
    if !json.is_empty() {
        json.push(b',');
    }
    let taken = api::Taken {
        id,
        fingerprint: alert.fingerprint,
        alertname: alert.alertname.as_str().into(),
        handlers: handlers.map(Into::into),
    };
    // Writing text and numbers to memory cannot fail.
    let _ = serde_json::to_writer(json, &taken);
}

impl Described {
    fn of(submission: &Submission) -> Self {
        let alert = &submission.alert;
        Self {
            fingerprint: alert.fingerprint,
            alertname: alert.name().to_owned(),
            status: alert.status,
            routed: !submission.plans.is_empty(),
        }
    }

    fn warn_if_unrouted(&self, webhook: &Webhook) {
        if self.routed {
            return;
        }
        webhook.metrics.unrouted();
        tracing::warn!(
            alertname = self.shown_name(),
            "no route matches this alert: it is stored as done, and no handler runs. A route without matchers would match it"
        );
    }

    fn log_accepted(&self, taken: &Accepted) {
        tracing::debug!(
            delivery = %taken.id,
            alertname = self.shown_name(),
            status = self.status.as_str(),
            fingerprint = %self.fingerprint,
            handlers = joined(&taken.handlers),
            "alert accepted"
        );
    }

    fn shown_name(&self) -> &str {
        &self.alertname[..self.alertname.floor_char_boundary(SHOWN_BYTES_MAX)]
    }
}

fn joined(handlers: &[HandlerName]) -> String {
    let names: Vec<_> = handlers.iter().map(HandlerName::as_str).collect();
    names.join(",")
}
