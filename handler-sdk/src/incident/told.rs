//! What a storm's message says about its alerts: each delivery of a storm knows only the alerts that it represents.

use serde::{Deserialize, Serialize};

use crate::storm::{DIFFERS, Storm};
use crate::{Alert, Block, Enrichment};

const NAMES_MAX: usize = 10;
const ROWS_MAX: usize = 8;
const HEADER: [&str; 3] = ["label", "values", "most frequent"];

/// What a storm's message says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    pub(super) count: u32,
    pub(super) resolved: u32,
    shared: Vec<(String, String)>,
    names: Vec<String>,
    /// The rows of the table of the labels that differ.
    rows: Vec<Vec<String>>,
}

impl Told {
    pub(super) fn of(storm: &Storm<'_>) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            count: storm.count,
            resolved: storm.resolved,
            shared: storm.shared.iter().map(owned).collect(),
            names: storm.names.iter().map(|name| (*name).to_owned()).collect(),
            rows: storm
                .differs
                .map(|table| table.rows.clone())
                .unwrap_or_default(),
        }
    }

    /// Returns what was found, with the storm described as a whole. Alerts that resolve add nothing: they are known.
    pub(super) fn merged_into(&self, found: &Enrichment, alert: &Alert) -> Enrichment {
        let Some(storm) = found.storm() else {
            return found.clone();
        };
        let mut all = self.clone();
        if alert.is_firing() {
            all.add(&Self::of(&storm));
        }
        let shared: Vec<String> = all
            .shared
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut merged = Enrichment {
            facts: found.facts.clone(),
            blocks: Vec::new(),
        };
        if !all.rows.is_empty() {
            merged = merged.with_block(Block::table(DIFFERS, HEADER, all.rows));
        }
        merged.blocks.extend(found.blocks_of_handlers().cloned());
        merged
            .with_fact("storm.shared", shared.join("\n"))
            .with_fact("storm.names", all.names.join("\n"))
    }

    fn add(&mut self, new: &Self) {
        let (shared, differing): (Vec<_>, Vec<_>) = self
            .shared
            .drain(..)
            .partition(|pair| new.shared.contains(pair));
        self.shared = shared;
        for (name, value) in differing {
            let other = new.shared.iter().find(|(known, _)| *known == name);
            let values = match other {
                Some((_, other)) => format!("{value}, {other}"),
                None => value,
            };
            self.add_row(&[name, "2".to_owned(), values]);
        }
        new.rows.iter().for_each(|row| self.add_row(row));
        self.rows.sort_by_key(|row| number(row));
        self.rows.truncate(ROWS_MAX);
        for name in &new.names {
            if self.names.len() < NAMES_MAX && !self.names.contains(name) {
                self.names.push(name.clone());
            }
        }
    }

    /// Adds a row; of two rows about one label, the one with more values stays.
    fn add_row(&mut self, row: &[String]) {
        match self
            .rows
            .iter_mut()
            .find(|known| known.first() == row.first())
        {
            Some(known) if number(known) < number(row) => *known = row.to_vec(),
            Some(_) => {}
            None => self.rows.push(row.to_vec()),
        }
    }
}

fn number(row: &[String]) -> u32 {
    row.get(1)
        .and_then(|values| values.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Timestamp;

    fn found(count: u32, shared: &str, names: &str, rows: &[[&str; 3]]) -> Enrichment {
        let rows = rows.iter().map(|row| row.map(str::to_owned));
        Enrichment::new()
            .with_fact("storm.id", "1")
            .with_fact("storm.count", count)
            .with_fact("storm.shared", shared)
            .with_fact("storm.names", names)
            .with_block(Block::table(DIFFERS, HEADER, rows))
            .with_block(Block::markdown("of another handler"))
    }

    fn alert() -> Alert {
        Alert::new("A")
    }

    #[test]
    fn a_later_delivery_of_a_storm_is_described_together_with_the_earlier_ones() {
        let first = found(
            3,
            "alertname=A\nnamespace=a",
            "a/x\na/y",
            &[["pod", "3", "x, y, z"]],
        );
        let second = found(
            5,
            "alertname=A\nnamespace=b",
            "b/v",
            &[["pod", "2", "v, w"], ["zone", "2", "1, 2"]],
        );
        let told = Told::of(&first.storm().unwrap());
        let merged = told.merged_into(&second, &alert());
        let storm = merged.storm().unwrap();
        assert_eq!(storm.count, 5);
        assert_eq!(storm.shared, [("alertname", "A")]);
        assert_eq!(storm.names, ["a/x", "a/y", "b/v"]);
        let rows = &storm.differs.unwrap().rows;
        assert_eq!(rows[0], ["namespace", "2", "a, b"]);
        assert_eq!(rows[1], ["zone", "2", "1, 2"]);
        assert_eq!(rows[2], ["pod", "3", "x, y, z"]);
        assert_eq!(merged.blocks_of_handlers().count(), 1);
    }

    #[test]
    fn alerts_that_resolve_do_not_change_what_is_said_of_all() {
        let first = found(3, "alertname=A", "a/x\na/y", &[["namespace", "2", "a, b"]]);
        let last = found(3, "alertname=A\nnamespace=b", "b/z", &[]);
        let ended = alert().into_resolved(Timestamp::from_seconds(60));
        let merged = Told::of(&first.storm().unwrap()).merged_into(&last, &ended);
        let storm = merged.storm().unwrap();
        assert_eq!(storm.shared, [("alertname", "A")]);
        assert_eq!(storm.names, ["a/x", "a/y"]);
        assert_eq!(storm.values_of("namespace"), Some(2));
    }
}
