//! What a storm's message says about its alerts: each delivery of a storm knows only the alerts that it represents.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::storm::{AT_LEAST, DIFFERS, Storm};
use crate::{Alert, Block, Enrichment, Timestamp};

/// Names that are kept, more than a message shows: those that resolve are taken out.
const NAMES_MAX: usize = 50;
const ROWS_MAX: usize = 8;
/// Values of a label that are listed, so that the next delivery can tell which of its own are new.
const VALUES_MAX: usize = 8;
const HEADER: [&str; 3] = ["label", "values", "most frequent"];

/// What a storm's message says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    pub(super) count: u32,
    pub(super) resolved: u32,
    /// When the first of its alerts began, in seconds since 1970.
    since: Option<i64>,
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
            since: storm.since.map(|since| since.seconds),
            shared: storm.shared.iter().map(owned).collect(),
            names: storm.names.iter().map(|name| (*name).to_owned()).collect(),
            rows: storm
                .differs
                .map(|table| table.rows.clone())
                .unwrap_or_default(),
        }
    }

    /// Returns what was found, with the storm described as a whole. Alerts that resolve are known, and not named any more.
    pub(super) fn merged_into(&self, found: &Enrichment, alert: &Alert) -> Enrichment {
        let Some(storm) = found.storm() else {
            return found.clone();
        };
        let mut all = self.clone();
        if alert.is_firing() {
            all.add(&Self::of(&storm));
        } else if !storm.is_over() {
            all.names
                .retain(|name| !storm.names.contains(&name.as_str()));
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
        if let Some(since) = [all.since, storm.since.map(|since| since.seconds)]
            .into_iter()
            .flatten()
            .min()
        {
            merged = merged.with_fact("storm.since", Timestamp::from_seconds(since));
        }
        merged
            .with_fact("storm.shared", shared.join("\n"))
            .with_fact("storm.names", all.names.join("\n"))
    }

    fn add(&mut self, new: &Self) {
        let of_rows = |told: &Self| -> Vec<String> {
            let labels = told.rows.iter().filter_map(|row| row.first());
            labels.cloned().collect()
        };
        let of_shared = |told: &Self| -> Vec<String> {
            let labels = told.shared.iter().map(|(label, _)| label);
            labels.cloned().collect()
        };
        let mut labels = [of_shared(self), of_rows(self), of_shared(new), of_rows(new)].concat();
        let mut known = BTreeSet::new();
        labels.retain(|label| known.insert(label.clone()));
        let is_shared = |label: &String| {
            let mut pairs = self.shared.iter();
            pairs.any(|pair| pair.0 == *label && new.shared.contains(pair))
        };
        let differing = labels.into_iter().filter(|label| !is_shared(label));
        let rows = differing.map(|label| {
            let values = self.values(&label).merged(new.values(&label));
            (values.number, values.row(label))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(number, _)| *number);
        self.rows = rows
            .into_iter()
            .map(|(_, row)| row)
            .take(ROWS_MAX)
            .collect();
        self.shared.retain(|pair| new.shared.contains(pair));
        self.since = [self.since, new.since].into_iter().flatten().min();
        for name in &new.names {
            if self.names.len() < NAMES_MAX && !self.names.contains(name) {
                self.names.push(name.clone());
            }
        }
    }

    /// Returns what is known about the values of a label.
    fn values(&self, label: &str) -> Values {
        if let Some((_, value)) = self.shared.iter().find(|(name, _)| name == label) {
            return Values {
                number: 1,
                is_exact: true,
                listed: vec![(value.clone(), None)],
            };
        }
        let is_of_label = |row: &&Vec<String>| row.first().is_some_and(|name| name == label);
        match self.rows.iter().find(is_of_label) {
            Some(row) => Values::of(row),
            // The table has no row if no alert has the label, or if it has as many rows as it may have.
            None => Values {
                number: 0,
                is_exact: self.rows.len() < ROWS_MAX,
                listed: Vec::new(),
            },
        }
    }
}

/// What is known about the values of a label that differs.
#[derive(Debug)]
struct Values {
    number: u32,
    /// Whether there are no more than that.
    is_exact: bool,
    /// Some of them, each with how many alerts have it, if that is known.
    listed: Vec<(String, Option<u32>)>,
}

impl Values {
    fn of(row: &[String]) -> Self {
        let column = |index: usize| row.get(index).map(String::as_str).unwrap_or_default();
        let (number, is_exact) = match column(1).strip_prefix(AT_LEAST) {
            Some(number) => (number, false),
            None => (column(1), true),
        };
        let listed = column(2).split(", ").filter(|value| !value.is_empty());
        let counted = |text: &str| {
            let (value, count) = text.strip_suffix(')')?.rsplit_once(" (")?;
            Some((value.to_owned(), Some(count.parse().ok()?)))
        };
        Self {
            number: number.trim().parse().unwrap_or(0),
            is_exact,
            listed: listed
                .map(|text| counted(text).unwrap_or_else(|| (text.to_owned(), None)))
                .collect(),
        }
    }

    fn is_complete(&self) -> bool {
        self.is_exact && self.listed.len() == self.number as usize
    }

    /// Returns what is known about both together. If not all values are known, some of them may be the same.
    fn merged(mut self, other: Self) -> Self {
        let is_exact = self.is_complete() && other.is_complete();
        for (value, count) in other.listed {
            match self.listed.iter_mut().find(|(known, _)| *known == value) {
                Some((_, known)) => *known = known.zip(count).map(|(a, b)| a.saturating_add(b)),
                None => self.listed.push((value, count)),
            }
        }
        if !is_exact {
            self.listed.iter_mut().for_each(|(_, count)| *count = None);
        }
        let listed = u32::try_from(self.listed.len()).unwrap_or(u32::MAX);
        Self {
            number: self.number.max(other.number).max(listed),
            is_exact,
            listed: self.listed,
        }
    }

    fn row(mut self, label: String) -> Vec<String> {
        let number = match self.is_exact {
            true => self.number.to_string(),
            false => format!("{AT_LEAST}{}", self.number),
        };
        self.listed
            .sort_by_key(|(_, count)| std::cmp::Reverse(count.unwrap_or(0)));
        let listed = self.listed.iter().take(VALUES_MAX);
        let listed: Vec<String> = listed
            .map(|(value, count)| match count {
                Some(count) => format!("{value} ({count})"),
                None => value.clone(),
            })
            .collect();
        vec![label, number, listed.join(", ")]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

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
        assert_eq!(rows[2], ["pod", "5", "x, y, z, v, w"]);
        assert_eq!(merged.blocks_of_handlers().count(), 1);
    }

    #[test]
    fn the_values_of_all_deliveries_are_counted() {
        let deliveries = ["a", "b", "c"].map(|namespace| {
            let shared = format!("alertname=A\nnamespace={namespace}");
            found(
                3,
                &shared,
                "",
                &[["pod", "30", "x (9), y (8), z (7)"], ["zone", "1", "e (2)"]],
            )
        });
        let [first, others @ ..] = deliveries;
        let all = others.into_iter().fold(first, |so_far, found| {
            Told::of(&so_far.storm().unwrap()).merged_into(&found, &alert())
        });
        let storm = all.storm().unwrap();
        assert_eq!(
            storm.differs.unwrap().rows,
            [
                ["zone", "1", "e (6)"],
                ["namespace", "3", "a, b, c"],
                ["pod", "at least 30", "x, y, z"],
            ]
        );
        assert_eq!(storm.values_of("pod"), Some(30));
        assert_eq!(storm.number_of("pod").as_deref(), Some("at least 30"));
        assert_eq!(storm.number_of("namespace").as_deref(), Some("3"));
    }

    #[test]
    fn a_storm_began_with_the_first_alert_of_all_its_deliveries() {
        let since = |seconds: i64| {
            let found = found(3, "alertname=A", "", &[]);
            found.with_fact("storm.since", Timestamp::from_seconds(seconds))
        };
        for (told, new, alert) in [
            (60, 90, alert()),
            (90, 60, alert()),
            (60, 90, alert().into_resolved(Timestamp::from_seconds(120))),
        ] {
            let told = Told::of(&since(told).storm().unwrap());
            let merged = told.merged_into(&since(new), &alert);
            let began = merged.storm().unwrap().since.unwrap();
            assert_eq!(began, Timestamp::from_seconds(60));
        }
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
