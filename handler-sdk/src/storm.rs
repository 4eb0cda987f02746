//! Storms: many alerts of one kind that one message represents.

use crate::enrichment::{Block, Enrichment, Table};
use crate::{Alert, Timestamp};

/// The title of the table in which the host lists the labels that differ.
pub(crate) const DIFFERS: &str = "What differs";
/// What precedes the number of a label's values if there may be more.
pub(crate) const AT_LEAST: &str = "at least ";

/// A storm: many alerts of one kind, of which the handler runs for one, the representative.
///
/// The host describes a storm by facts. They do not change while the delivery is retried. Alerts that arrive later are given
/// to the handler as another delivery of the same storm, with a larger `count`; so are alerts that resolve, with a larger
/// `resolved`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storm<'a> {
    /// Identifies the storm: all its deliveries have it in common.
    pub id: &'a str,
    /// How many alerts the storm has had so far.
    pub count: u32,
    /// How many of them have resolved so far.
    pub resolved: u32,
    /// The id of the first delivery that represented the storm.
    pub first: &'a str,
    /// When the first of its alerts began.
    pub since: Option<Timestamp>,
    /// The labels that all alerts have in common, as names and values.
    pub shared: Vec<(&'a str, &'a str)>,
    /// The names of some of the alerts, the most urgent first, and among equals those that fire longest: `namespace/pod`, or the labels that distinguish them.
    pub names: Vec<&'a str>,
    /// The labels that differ: the name of each, the number of its values, and the most frequent ones.
    pub differs: Option<&'a Table>,
}

impl Storm<'_> {
    /// Returns how many alerts of the storm still fire.
    pub const fn firing(&self) -> u32 {
        self.count.saturating_sub(self.resolved)
    }

    /// Returns whether all its alerts have resolved.
    pub const fn is_over(&self) -> bool {
        self.firing() == 0
    }

    /// Returns the value of a label that all alerts have in common.
    pub fn shared_label(&self, name: &str) -> Option<&str> {
        let mut shared = self.shared.iter();
        shared
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// Returns how many values a label has among the alerts, if it differs; at least so many, if the storm had several
    /// deliveries.
    pub fn values_of(&self, label: &str) -> Option<u32> {
        let mut rows = self.differs?.rows.iter();
        let row = rows.find(|row| row.first().is_some_and(|name| name == label))?;
        let number = row.get(1)?.trim();
        number.strip_prefix(AT_LEAST).unwrap_or(number).parse().ok()
    }

    /// Returns the number of a label's values in words: `12`, or `at least 12`.
    pub(crate) fn number_of(&self, label: &str) -> Option<String> {
        let number = self.values_of(label)?;
        let mut rows = self.differs?.rows.iter();
        let row = rows.find(|row| row.first().is_some_and(|name| name == label))?;
        let is_exact = !row.get(1)?.trim().starts_with(AT_LEAST);
        Some(match is_exact {
            true => number.to_string(),
            false => format!("{AT_LEAST}{number}"),
        })
    }
}

impl Enrichment {
    /// Returns the storm that the alert represents; `None` if the alert represents only itself.
    pub fn storm(&self) -> Option<Storm<'_>> {
        let id = self.fact("storm.id")?;
        let number = |name: &str| self.fact(name)?.parse::<u32>().ok();
        let lines = |name: &str| self.fact(name).unwrap_or_default().lines();
        let is_of_storm = |table: &&Table| table.title == DIFFERS;
        Some(Storm {
            id,
            count: number("storm.count").unwrap_or(1).max(1),
            resolved: number("storm.resolved").unwrap_or(0),
            first: self.fact("storm.first").unwrap_or_default(),
            since: self.fact("storm.since").and_then(|text| text.parse().ok()),
            shared: lines("storm.shared")
                .filter_map(|line| line.split_once('='))
                .collect(),
            names: lines("storm.names")
                .filter(|name| !name.trim().is_empty())
                .collect(),
            differs: self.tables().find(is_of_storm),
        })
    }

    /// Returns the key of the incident that a message is about, for use with [`Kv`](crate::kv::Kv): that of the storm if the
    /// alert represents one, else [`Alert::incident_key`]. What fires and what resolves have it in common.
    pub fn incident_key(&self, alert: &Alert) -> String {
        match self.storm() {
            Some(storm) => format!("storm/{}", storm.id),
            None => alert.incident_key(),
        }
    }

    /// Returns the blocks without the storm's own table, which a message about the storm shows in another form.
    pub(crate) fn blocks_of_handlers(&self) -> impl Iterator<Item = &Block> {
        let is_storm = self.fact("storm.id").is_some();
        let is_own = move |block: &&Block| matches!(block, Block::Table(table) if is_storm && table.title == DIFFERS);
        self.blocks.iter().filter(move |block| !is_own(block))
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Table(table) if !table.header.is_empty() => Some(table),
            _ => None,
        })
    }
}

/// Returns that all of so many alerts have resolved, in words.
pub(crate) fn all_resolved(count: u32) -> String {
    match count {
        1 => "it has resolved".to_owned(),
        count => format!("all {count} have resolved"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn found() -> Enrichment {
        Enrichment::new()
            .with_fact("storm.id", "s-1")
            .with_fact("storm.count", 240)
            .with_fact("storm.resolved", 212)
            .with_fact("storm.first", "d-9")
            .with_fact("storm.since", "2022-03-02T03:12:00Z")
            .with_fact("storm.shared", "alertname=KubePodCrashLooping\nexpr=a=b")
            .with_fact("storm.names", "customer/web-0\n\nshop/web-1")
            .with_block(Block::table("Pods", ["pod"], [["x".to_owned()]]))
            .with_block(Block::table(
                DIFFERS,
                ["label", "values", "most frequent"],
                [vec!["namespace".to_owned(), "12".to_owned()]],
            ))
    }

    #[test]
    fn a_storm_is_read_from_the_hosts_facts() {
        let found = found();
        let storm = found.storm().unwrap();
        assert_eq!(
            (storm.count, storm.resolved, storm.firing()),
            (240, 212, 28)
        );
        assert_eq!((storm.id, storm.first), ("s-1", "d-9"));
        assert_eq!(storm.since.unwrap().to_string(), "2022-03-02T03:12:00Z");
        assert_eq!(storm.shared_label("expr"), Some("a=b"));
        assert_eq!(storm.names, ["customer/web-0", "shop/web-1"]);
        assert_eq!(storm.values_of("namespace"), Some(12));
        assert_eq!(storm.values_of("pod"), None);
        assert!(!storm.is_over());
        assert_eq!(found.blocks_of_handlers().count(), 1);
    }

    #[test]
    fn a_storm_with_next_to_no_facts_is_one_too() {
        let found = Enrichment::new().with_fact("storm.id", "s-1");
        let storm = found.storm().unwrap();
        assert_eq!((storm.count, storm.resolved), (1, 0));
        assert!(storm.names.is_empty() && storm.shared.is_empty() && storm.differs.is_none());
        assert_eq!(Enrichment::new().with_fact("storm.count", 7).storm(), None);
    }

    #[test]
    fn what_fires_and_what_resolves_in_a_storm_have_one_key() {
        let alert = Alert::new("A").with_label("pod", "x");
        let other = Alert::new("A")
            .with_label("pod", "y")
            .into_resolved(Timestamp::from_seconds(60));
        assert_eq!(found().incident_key(&alert), "storm/s-1");
        assert_eq!(found().incident_key(&other), "storm/s-1");
        assert_eq!(Enrichment::new().incident_key(&alert), alert.incident_key());
    }
}
