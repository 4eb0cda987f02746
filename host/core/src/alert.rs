//! The alert in the server's own form: parsed, sorted, fingerprinted.

mod common;
mod delivery_id;
mod enrichment;
mod fingerprint;
mod handler;
mod labels;
mod occurrence;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use common::Common;
pub use delivery_id::{DeliveryId, DeliveryIdError};
pub use enrichment::{Block, Enrichment};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use handler::{HandlerName, StepKind};
pub use labels::Labels;
pub use occurrence::Occurrence;

/// A moment in UTC with nanoseconds.
pub type Timestamp = jiff::Timestamp;

/// The status of an alert, as in Alertmanager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The problem exists now.
    Firing,
    /// The alert has resolved.
    Resolved,
}

impl Status {
    /// Returns Alertmanager's name of the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an alert came from. All alerts of a group share the group's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `alertmanager`, `grafana`, `prometheus` or `json`.
    pub sender: String,
    /// The name of Alertmanager's receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Common<str>>,
    /// Alertmanager's key of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_key: Option<Common<str>>,
    /// The labels by which the alert was grouped.
    #[serde(default, skip_serializing_if = "no_labels")]
    pub group_labels: Common<Labels>,
    /// The URL of the sender's web interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_url: Option<Common<str>>,
    /// The sender's other fields by their JSON names.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub extra: Labels,
}

fn no_labels(labels: &Common<Labels>) -> bool {
    labels.is_empty()
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Alertmanager's fingerprint of the labels.
    pub fingerprint: Fingerprint,
    /// Whether the alert fires or has resolved.
    pub status: Status,
    /// The alert's labels, including `alertname`.
    pub labels: Labels,
    /// The alert's annotations.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it ended or will end; absent if it fires and its end is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// The URL of the alert's expression in Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_url: Option<String>,
    /// When this server received it.
    pub received_at: Timestamp,
    /// Where it came from.
    pub origin: Origin,
}

impl Alert {
    /// Returns the label `alertname`; empty if there is none, since Alertmanager does not require it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or_default()
    }

    /// Returns the event that the alert belongs to.
    #[must_use]
    pub fn event(&self) -> Event {
        Event {
            fingerprint: self.fingerprint,
            starts_at: self.starts_at,
            status: self.status,
            occurrence: self.occurrence(),
        }
    }

    /// Returns the number of the occurrence that [`Alert::set_occurrence`] has set.
    #[must_use]
    pub fn occurrence(&self) -> Occurrence {
        let noted = self.origin.extra.get(OCCURRENCE);
        noted
            .and_then(|text| text.parse().ok())
            .map_or(Occurrence::FIRST, Occurrence::from_raw)
    }

    /// Sets the number of the occurrence in [`OCCURRENCE`], replacing a value that a sender set. The first occurrence has no
    /// such field.
    pub fn set_occurrence(&mut self, occurrence: Occurrence) {
        let extra = &mut self.origin.extra;
        if extra.get(OCCURRENCE).is_some() {
            *extra = extra
                .iter()
                .filter(|(name, _)| *name != OCCURRENCE)
                .collect();
        }
        if occurrence > Occurrence::FIRST {
            *extra = extra.merged(&Labels::from_iter([(OCCURRENCE, occurrence.to_string())]));
        }
    }
}

/// The name in [`Origin::extra`] under which handlers find the occurrence, from the second one on. It is there because the
/// contract's records are frozen.
pub const OCCURRENCE: &str = "alert_manager.occurrence";

/// The identity of an alert: an alert with the same event as an earlier one is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// The fingerprint of the labels.
    pub fingerprint: Fingerprint,
    /// The start with nanoseconds, which distinguishes two firings of one label set.
    pub starts_at: Timestamp,
    /// Firing or resolved.
    pub status: Status,
    /// The number of the occurrence: a firing alert after a resolved one begins the next.
    pub occurrence: Occurrence,
}

/// The priority of a delivery; deliveries with a higher one are leased first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// `severity` is `critical`, in any case.
    Critical,
    /// `severity` is `warning`, in any case.
    Warning,
    /// Any other severity, or none.
    Normal,
}

impl Priority {
    /// Returns the priority for the label `severity`, ignoring case.
    #[must_use]
    pub fn of(labels: &Labels) -> Self {
        match labels.get("severity") {
            Some(s) if s.eq_ignore_ascii_case("critical") => Self::Critical,
            Some(s) if s.eq_ignore_ascii_case("warning") => Self::Warning,
            _ => Self::Normal,
        }
    }
}

/// The route of alerts about dead letters. No configured route may have this name. If such an alert is dead-lettered itself,
/// it is sent by the next alternative instead of being reported as another dead letter.
pub const DEAD_LETTER_ROUTE: &str = "dead-letter";

/// Returns whether a route is one on which the server reports dead letters: [`DEAD_LETTER_ROUTE`], or that of an alternative,
/// `dead-letter@CHANNEL` or `dead-letter:HANDLER`.
#[must_use]
pub fn is_dead_letter_route(name: &str) -> bool {
    name.strip_prefix(DEAD_LETTER_ROUTE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['@', ':']))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn severity_decides_the_priority_in_whatever_case() {
        for (severity, expected) in [
            ("CRITICAL", Priority::Critical),
            ("Warning", Priority::Warning),
            ("info", Priority::Normal),
        ] {
            assert_eq!(Priority::of(&labels(&[("severity", severity)])), expected);
        }
        assert_eq!(Priority::of(&Labels::default()), Priority::Normal);
    }

    #[test]
    fn an_occurrence_is_noted_from_the_second_one_on_and_nobody_else_s_note_counts() {
        let labels = labels(&[("alertname", "A")]);
        let mut alert = Alert {
            fingerprint: Fingerprint::of(&labels),
            status: Status::Firing,
            labels,
            annotations: Labels::default(),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            generator_url: None,
            received_at: Timestamp::UNIX_EPOCH,
            origin: Origin::default(),
        };
        let extra = [("title", "T"), (OCCURRENCE, "7")];
        alert.origin.extra = extra.into_iter().collect();
        alert.set_occurrence(Occurrence::FIRST);
        assert_eq!(alert.origin.extra, Labels::from_iter([("title", "T")]));
        assert_eq!(alert.occurrence(), Occurrence::FIRST);
        let second = Occurrence::FIRST.next();
        alert.set_occurrence(second);
        alert.set_occurrence(second);
        let noted = Labels::from_iter([("title", "T"), (OCCURRENCE, "2")]);
        assert_eq!(alert.origin.extra, noted);
        assert_eq!(alert.event().occurrence, second);
    }
}
