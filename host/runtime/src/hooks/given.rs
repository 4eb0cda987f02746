//! The arguments of a hook. They borrow from the server's own types and are written directly into the guest's memory.

use wasmtime::component::{ComponentType, Lower};

use crate::bindings::{hooks, timestamp, types};
use crate::hooks::block;
use alert_manager_core::alert::{Alert, Enrichment, Labels, Status};

/// The arguments of `enrich` and `act`.
pub(super) type Arguments<'a> = (&'a hooks::Call, &'a AlertGiven<'a>, &'a FoundGiven<'a>);

/// The contract's `labels`, borrowed.
type Lent<'a> = Vec<(&'a str, &'a str)>;

/// The contract's `alert`, field by field.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct AlertGiven<'a> {
    fingerprint: &'a str,
    name: &'a str,
    status: types::Status,
    labels: Lent<'a>,
    annotations: Lent<'a>,
    #[component(name = "starts-at")]
    starts_at: types::Timestamp,
    #[component(name = "ends-at")]
    ends_at: Option<types::Timestamp>,
    #[component(name = "generator-url")]
    generator_url: Option<&'a str>,
    #[component(name = "received-at")]
    received_at: types::Timestamp,
    origin: OriginGiven<'a>,
}

/// The contract's `origin`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct OriginGiven<'a> {
    sender: &'a str,
    receiver: Option<&'a str>,
    #[component(name = "group-key")]
    group_key: Option<&'a str>,
    #[component(name = "group-labels")]
    group_labels: Lent<'a>,
    #[component(name = "external-url")]
    external_url: Option<&'a str>,
    extra: Lent<'a>,
}

/// The contract's `enrichment`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct FoundGiven<'a> {
    facts: Lent<'a>,
    blocks: &'a [types::Block],
}

/// The arguments of a hook.
pub(crate) struct Given<'a> {
    pub(super) call: &'a hooks::Call,
    alert: &'a Alert,
    fingerprint: String,
    facts: &'a Labels,
    blocks: Vec<types::Block>,
}

impl<'a> Given<'a> {
    pub(crate) fn new(call: &'a hooks::Call, alert: &'a Alert, found: &'a Enrichment) -> Self {
        Self {
            call,
            alert,
            fingerprint: alert.fingerprint.to_string(),
            facts: &found.facts,
            blocks: found.blocks.iter().map(block::to_contract).collect(),
        }
    }

    pub(super) fn alert(&self) -> AlertGiven<'_> {
        let Alert {
            labels,
            annotations,
            origin,
            ..
        } = self.alert;
        AlertGiven {
            fingerprint: &self.fingerprint,
            name: self.alert.name(),
            status: status(self.alert.status),
            labels: labels.iter().collect(),
            annotations: annotations.iter().collect(),
            starts_at: timestamp(self.alert.starts_at),
            ends_at: self.alert.ends_at.map(timestamp),
            generator_url: self.alert.generator_url.as_deref(),
            received_at: timestamp(self.alert.received_at),
            origin: OriginGiven {
                sender: &origin.sender,
                receiver: origin.receiver.as_deref(),
                group_key: origin.group_key.as_deref(),
                group_labels: origin.group_labels.iter().collect(),
                external_url: origin.external_url.as_deref(),
                extra: origin.extra.iter().collect(),
            },
        }
    }

    pub(super) fn found(&self) -> FoundGiven<'_> {
        FoundGiven {
            facts: self.facts.iter().collect(),
            blocks: &self.blocks,
        }
    }
}

fn status(status: Status) -> types::Status {
    match status {
        Status::Firing => types::Status::Firing,
        Status::Resolved => types::Status::Resolved,
    }
}
