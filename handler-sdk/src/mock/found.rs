//! What the host itself gives to a handler, besides what other handlers found: storms, lateness, rank.

use std::collections::{BTreeMap, BTreeSet};

use super::Host;
use crate::storm::DIFFERS;
use crate::{Alert, Block, Enrichment, Timestamp};

const NAMES_MAX: usize = 10;
const ROWS_MAX: usize = 8;
const FREQUENT_MAX: usize = 3;

/// A storm, as the host describes it to the handler that runs for one of its alerts.
///
/// ```
/// use handler_sdk::mock::{Host, Storm};
/// use handler_sdk::{Alert, Enrichment};
///
/// let pod = |n: u32| Alert::new("Down").with_label("pod", format!("web-{n}"));
/// let alerts: Vec<Alert> = (0..240).map(pod).collect();
/// let found = Storm::of(&alerts).resolved(212).into_found();
/// let storm = found.storm().unwrap();
/// assert_eq!((storm.count, storm.firing()), (240, 28));
/// assert_eq!(storm.shared_label("alertname"), Some("Down"));
/// assert_eq!(storm.values_of("pod"), Some(240));
/// ```
#[derive(Debug, Clone)]
pub struct Storm {
    id: String,
    count: usize,
    resolved: usize,
    since: Timestamp,
    labels: Vec<Vec<(String, String)>>,
}

impl Storm {
    /// Returns a storm of these alerts, none of which has resolved. It began with the first of them.
    pub fn of(alerts: &[Alert]) -> Self {
        let since = alerts.iter().map(|alert| alert.starts_at).min();
        Self {
            id: "d-1".to_owned(),
            count: alerts.len(),
            resolved: 0,
            since: since.unwrap_or(Timestamp::from_seconds(0)),
            labels: alerts.iter().map(|alert| alert.labels.clone()).collect(),
        }
    }

    /// Sets the storm's id, which is that of the first delivery that represented it; by default `d-1`.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets how many alerts the whole storm has had so far, if this delivery represents only some of them.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Sets how many of them have resolved so far.
    #[must_use]
    pub fn resolved(mut self, resolved: usize) -> Self {
        self.resolved = resolved;
        self
    }

    /// Sets when the storm began.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = since;
        self
    }

    /// Returns the facts and the table that the host gives.
    pub fn into_found(self) -> Enrichment {
        let mut values: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for (name, value) in self.labels.iter().flatten() {
            let counts = values.entry(name).or_default();
            *counts.entry(value).or_default() += 1;
        }
        let all = self.labels.len();
        let is_shared = |name: &str| {
            values
                .get(name)
                .is_some_and(|counts| counts.values().eq([&all]))
        };
        let first = self.labels.first().into_iter().flatten();
        let shared: Vec<String> = first
            .filter(|(name, _)| is_shared(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut differing: Vec<_> = values.iter().filter(|(name, _)| !is_shared(name)).collect();
        differing.sort_by_key(|(name, values)| (values.len(), **name));
        let rows = differing.iter().take(ROWS_MAX).map(|(name, values)| {
            [
                (**name).to_owned(),
                values.len().to_string(),
                most_frequent(values),
            ]
        });
        let names = self
            .labels
            .iter()
            .take(NAMES_MAX)
            .map(|labels| name_of(labels, &is_shared));
        let names: Vec<String> = names.collect();
        let found = Enrichment::new()
            .with_fact("storm.id", &self.id)
            .with_fact("storm.first", &self.id)
            .with_fact("storm.count", self.count)
            .with_fact("storm.resolved", self.resolved)
            .with_fact("storm.since", self.since)
            .with_fact("storm.shared", shared.join("\n"))
            .with_fact("storm.names", names.join("\n"));
        match differing.is_empty() {
            true => found,
            false => found.with_block(Block::table(
                DIFFERS,
                ["label", "values", "most frequent"],
                rows,
            )),
        }
    }
}

fn most_frequent(values: &BTreeMap<&str, usize>) -> String {
    let by_count: BTreeSet<_> = values
        .iter()
        .map(|(value, count)| (std::cmp::Reverse(*count), *value))
        .collect();
    let shown = by_count.iter().take(FREQUENT_MAX);
    let shown = shown.map(|(count, value)| format!("{value} ({})", count.0));
    shown.collect::<Vec<_>>().join(", ")
}

/// Returns the name of an alert among others: its pod or node, or else the labels that differ; after its alertname, if that
/// differs.
fn name_of(labels: &[(String, String)], is_shared: &impl Fn(&str) -> bool) -> String {
    let label = |name: &str| {
        let mut labels = labels.iter();
        let found = labels.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let object = ["pod", "deployment", "node", "instance"]
        .iter()
        .find_map(|name| label(name));
    let object = match (label("namespace"), object) {
        (Some(namespace), Some(object)) => format!("{namespace}/{object}"),
        (None, Some(object)) => object.to_owned(),
        (_, None) => {
            let is_own = |name: &str| name != "alertname" && !is_shared(name);
            let own = labels.iter().filter(|(name, _)| is_own(name));
            let own = own
                .take(FREQUENT_MAX)
                .map(|(name, value)| format!("{name}={value}"));
            own.collect::<Vec<_>>().join(", ")
        }
    };
    match label("alertname") {
        Some(alertname) if !is_shared("alertname") => {
            format!("{alertname} {object}").trim().to_owned()
        }
        _ => object,
    }
}

impl Host {
    /// Has the handler run for a storm of alerts from now on. Combine it with [`Host::delivery`] for each further delivery of
    /// the storm.
    #[must_use]
    pub fn storm(self, storm: Storm) -> Self {
        let given = storm.into_found();
        self.given(|found| {
            let mut found = given
                .facts
                .iter()
                .fold(found, |found, (name, value)| found.with_fact(name, value));
            found.blocks = given.blocks.clone();
            found
        })
    }

    /// Gives the reason why messages are late from now on, as the host does; for example `it waited for the rate limit of #alerts`.
    /// The messages themselves are late if [`Host::now`] is more than two minutes after the alert was received.
    #[must_use]
    pub fn late(self, why: &str) -> Self {
        self.given(|found| found.with_fact("late.why", why))
    }

    /// Gives the rank that the operator's configuration has for the alerts from now on: `critical`, `warning` or `normal`.
    #[must_use]
    pub fn priority(self, rank: &str) -> Self {
        self.given(|found| found.with_fact("priority", rank))
    }

    fn given(self, change: impl FnOnce(Enrichment) -> Enrichment) -> Self {
        let found = std::mem::take(&mut self.state().given);
        self.state().given = change(found);
        self
    }
}
