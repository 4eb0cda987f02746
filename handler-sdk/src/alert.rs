//! The alert: access to its labels and annotations by name, and to the URLs that people open from it.

use std::time::Duration;

use crate::bindings::alert_manager::handler::types;
use crate::enrichment::{look_up, put};

pub use types::{Alert, Origin, Status, Timestamp};

/// The field in which the host passes the number of the occurrence, from the second on.
const OCCURRENCE: &str = "alert_manager.occurrence";

impl Alert {
    /// Returns a firing alert with the label `alertname` that began and was received at 1970-01-01. Meant for tests.
    ///
    /// ```
    /// use handler_sdk::Alert;
    ///
    /// let alert = Alert::new("KubePodCrashLooping")
    ///     .with_label("namespace", "customer")
    ///     .with_label("severity", "CRITICAL")
    ///     .with_annotation("summary", "Pod is crash looping.");
    /// assert_eq!(alert.label("namespace"), Some("customer"));
    /// assert_eq!(alert.severity(), Some("critical".to_owned()));
    /// assert!(alert.is_firing());
    /// ```
    pub fn new(alertname: impl Into<String>) -> Self {
        let name = alertname.into();
        let mut alert = Self {
            fingerprint: String::new(),
            labels: vec![("alertname".to_owned(), name.clone())],
            name,
            status: Status::Firing,
            annotations: Vec::new(),
            starts_at: Timestamp::from_seconds(0),
            ends_at: None,
            generator_url: None,
            received_at: Timestamp::from_seconds(0),
            origin: Origin {
                sender: "alertmanager".to_owned(),
                receiver: None,
                group_key: None,
                group_labels: Vec::new(),
                external_url: None,
                extra: Vec::new(),
            },
        };
        alert.fingerprint = fingerprint(&alert.labels);
        alert
    }

    /// Sets a label, and updates the name and the fingerprint accordingly.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        put(&mut self.labels, name.into(), value.into());
        self.name = self.label("alertname").unwrap_or_default().to_owned();
        self.fingerprint = fingerprint(&self.labels);
        self
    }

    /// Sets an annotation.
    #[must_use]
    pub fn with_annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        put(&mut self.annotations, name.into(), value.into());
        self
    }

    /// Sets when it began to fire.
    #[must_use]
    pub fn with_start(mut self, starts_at: Timestamp) -> Self {
        self.starts_at = starts_at;
        self
    }

    /// Sets when the server received it.
    #[must_use]
    pub fn with_receipt(mut self, received_at: Timestamp) -> Self {
        self.received_at = received_at;
        self
    }

    /// Marks it as resolved at this moment.
    #[must_use]
    pub fn into_resolved(mut self, ends_at: Timestamp) -> Self {
        self.status = Status::Resolved;
        self.ends_at = Some(ends_at);
        self
    }

    /// Returns the label of this name; `None` if it is missing or empty, which Prometheus treats as the same.
    pub fn label(&self, name: &str) -> Option<&str> {
        look_up(&self.labels, name).filter(|value| !value.is_empty())
    }

    /// Returns the annotation of this name; `None` if it is missing or blank.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        look_up(&self.annotations, name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// Returns one of the sender's other fields by its JSON name, for example Grafana's `valueString`.
    pub fn extra(&self, name: &str) -> Option<&str> {
        look_up(&self.origin.extra, name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// Returns whether the alert fires.
    pub fn is_firing(&self) -> bool {
        self.status == Status::Firing
    }

    /// Returns whether the alert has resolved.
    pub fn is_resolved(&self) -> bool {
        self.status == Status::Resolved
    }

    /// Returns the label `severity` in lower case, since some rules write `CRITICAL`.
    pub fn severity(&self) -> Option<String> {
        self.label("severity").map(str::to_ascii_lowercase)
    }

    /// Returns a summary of one line: the annotation `summary`, or else `message`, or else `title`.
    pub fn summary(&self) -> Option<&str> {
        ["summary", "message", "title"]
            .iter()
            .find_map(|name| self.annotation(name))
    }

    /// Returns the longer description: the annotation `description`, or else `message` if that is not the summary.
    pub fn description(&self) -> Option<&str> {
        self.annotation("description").or_else(|| {
            self.annotation("message")
                .filter(|message| self.summary() != Some(message))
        })
    }

    /// Returns how long the alert has fired at `now`, or, if it has ended, how long it fired in all.
    pub fn duration(&self, now: &Timestamp) -> Duration {
        self.ends_at.as_ref().unwrap_or(now).since(&self.starts_at)
    }

    /// Returns the time from the alert's start, or its end, to its receipt: the sender's grouping and retries.
    pub fn delay(&self) -> Duration {
        let began = match (self.status, &self.ends_at) {
            (Status::Resolved, Some(ended)) => ended,
            _ => &self.starts_at,
        };
        self.received_at.since(began)
    }

    /// Returns a key that the firing alert and its resolved alert have in common and no other alert has, for use with
    /// [`Kv`](crate::kv::Kv): the fingerprint, the start with nanoseconds and, from the second occurrence on, the
    /// [`occurrence`](Self::occurrence).
    pub fn incident_key(&self) -> String {
        let mut key = format!(
            "{}@{}.{:09}",
            self.fingerprint, self.starts_at.seconds, self.starts_at.nanoseconds
        );
        let occurrence = self.occurrence();
        if occurrence > 1 {
            key.push_str(&format!("#{occurrence}"));
        }
        key
    }

    /// Returns how often the alert has begun to fire with this start, from 1. It is more than 1 if the alert fires again
    /// after its resolved alert was sent, for example because Prometheus could not reach Alertmanager for a while.
    pub fn occurrence(&self) -> u32 {
        self.extra(OCCURRENCE)
            .and_then(|text| text.parse().ok())
            .unwrap_or(1)
    }

    /// Returns the URL of the runbook: the annotation `runbook_url`.
    pub fn runbook_url(&self) -> Option<&str> {
        self.annotation("runbook_url")
            .or_else(|| self.annotation("runbook"))
            .filter(|url| is_web_url(url))
    }

    /// Returns the URL of the dashboard: Grafana's `dashboardURL`, or the annotation `dashboard_url` or `dashboard`.
    pub fn dashboard_url(&self) -> Option<&str> {
        self.extra("dashboardURL")
            .or_else(|| self.annotation("dashboard_url"))
            .or_else(|| self.annotation("dashboard"))
            .filter(|url| is_web_url(url))
    }

    /// Returns the URL of the panel: Grafana's `panelURL`.
    pub fn panel_url(&self) -> Option<&str> {
        self.extra("panelURL").filter(|url| is_web_url(url))
    }

    /// Returns the URL of the alert's expression in Prometheus.
    pub fn query_url(&self) -> Option<&str> {
        self.generator_url.as_deref().filter(|url| is_web_url(url))
    }

    /// Returns the URL of a form to silence the alert. [`Subject::silence_url`](crate::subject::Subject::silence_url) does
    /// the same with the workload of a pod.
    ///
    /// ```
    /// use handler_sdk::Alert;
    ///
    /// let mut alert = Alert::new("Down").with_label("team", "a");
    /// alert.origin.external_url = Some("https://am.example.com/".to_owned());
    /// assert_eq!(
    ///     alert.silence_url().as_deref(),
    ///     Some("https://am.example.com/#/silences/new?filter=%7Balertname%3D%22Down%22%2C%20team%3D%22a%22%7D"),
    /// );
    /// ```
    pub fn silence_url(&self) -> Option<String> {
        self.subject().silence_url(None)
    }
}

/// Returns whether the URL is `http` or `https`: links of other schemes (`javascript:`, `file:`) are not shown.
pub(crate) fn is_web_url(url: &str) -> bool {
    let scheme_ends = url.find("://").unwrap_or(0);
    ["http", "https"]
        .iter()
        .any(|scheme| url[..scheme_ends].eq_ignore_ascii_case(scheme))
        && !url.contains(|char: char| char.is_whitespace() || char.is_control())
}

/// Returns Alertmanager's fingerprint: FNV-1a over the sorted label pairs (`prometheus/common`, `model/signature.go`).
fn fingerprint(labels: &[(String, String)]) -> String {
    digest(labels.iter().flat_map(|(name, value)| {
        name.bytes()
            .chain([0xff])
            .chain(value.bytes())
            .chain([0xff])
    }))
}

/// Returns the FNV-1a digest of bytes, in hexadecimal.
pub(crate) fn digest(bytes: impl Iterator<Item = u8>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn labels_stay_sorted_and_name_the_alert() {
        let alert = Alert::new("A")
            .with_label("zone", "b")
            .with_label("app", "x")
            .with_label("alertname", "B");
        let names: Vec<&str> = alert.labels.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["alertname", "app", "zone"]);
        assert_eq!(alert.name, "B");
        assert_eq!(
            alert.fingerprint,
            Alert::new("B")
                .with_label("app", "x")
                .with_label("zone", "b")
                .fingerprint
        );
    }

    #[test]
    fn each_occurrence_is_an_incident_of_its_own() {
        let mut alert = Alert::new("A").with_start(Timestamp::from_seconds(7));
        let first = alert.incident_key();
        assert_eq!(first, format!("{}@7.000000000", alert.fingerprint));
        let occurrence = |n: &str| ("alert_manager.occurrence".to_owned(), n.to_owned());
        alert.origin.extra = vec![occurrence("2")];
        assert_eq!(alert.occurrence(), 2);
        assert_eq!(alert.incident_key(), format!("{first}#2"));
        alert.origin.extra = vec![occurrence("many")];
        assert_eq!(alert.incident_key(), first);
    }

    #[test]
    fn grafanas_own_pages_come_first() {
        let mut alert = Alert::new("A").with_annotation("dashboard", "https://old.example.com");
        alert.origin.external_url = Some("https://grafana.example.com".to_owned());
        alert.origin.extra = vec![
            (
                "dashboardURL".to_owned(),
                "https://grafana.example.com/d/1".to_owned(),
            ),
            (
                "silenceURL".to_owned(),
                "https://grafana.example.com/silence/1".to_owned(),
            ),
        ];
        assert_eq!(
            alert.dashboard_url(),
            Some("https://grafana.example.com/d/1")
        );
        assert_eq!(
            alert.silence_url().unwrap(),
            "https://grafana.example.com/silence/1"
        );
    }

    #[test]
    fn only_web_links_are_links() {
        for url in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://a b",
            "",
            "://x",
            "é://",
        ] {
            assert!(!is_web_url(url), "{url}");
        }
        assert!(is_web_url("HTTPS://example.com"));
        let alert = Alert::new("A").with_annotation("runbook_url", "javascript:alert(1)");
        assert_eq!(alert.runbook_url(), None);
    }

    #[test]
    fn a_message_is_not_both_summary_and_description() {
        let alert = Alert::new("A").with_annotation("message", "disk full");
        assert_eq!(
            (alert.summary(), alert.description()),
            (Some("disk full"), None)
        );
    }
}
