//! What a delivery is given that stands for a storm, and what becomes of the others if it dies.

use std::collections::{BTreeMap, HashMap};

use alert_manager_core::alert::{Block, Labels, StepKind};

use crate::model::{Generation, Progress, Reason, Row, Step, StormGiven};

/// Members that take over, one after the other, from representatives that died without an effect.
pub(crate) const TAKEOVERS_MAX: u32 = 3;

/// Alerts that are named.
const NAMED_MAX: usize = 10;

/// Labels in the table of what differs, and values of each.
const DIFFERING_MAX: usize = 8;
const FREQUENT_MAX: usize = 3;

/// Labels that all have which are listed.
const SHARED_MAX: usize = 24;

/// A name, a value or a pair is cut after so many characters.
const TEXT_CHARS_MAX: usize = 120;

/// What becomes of members whose representative has died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterDeath {
    /// The next of them stands for the others.
    TakesOver,
    /// They died with it.
    Dead,
}

/// The effects of a representative outside the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effects {
    /// There is none.
    None,
    /// One is on record, or in doubt.
    Possible,
}

/// Decides what becomes of the members. One that died of its age would not be any younger in the next.
pub(crate) fn after_death(reason: Reason, effects: Effects, takeovers: u32) -> AfterDeath {
    match (reason, effects) {
        (Reason::Failed, Effects::None) if takeovers < TAKEOVERS_MAX => AfterDeath::TakesOver,
        _ => AfterDeath::Dead,
    }
}

/// Returns true if a call of any step may have happened without a record.
pub(crate) fn is_in_doubt(progress: &Progress) -> bool {
    let mut steps = progress.steps.iter();
    steps.any(|step| step.interrupted || !step.doubts.is_empty() || step.begun.is_some())
}

/// Returns true if an actor may have notified somebody without a record.
pub(crate) fn may_have_notified(progress: &Progress) -> bool {
    let has_effect = |step: &Step| step.kind == StepKind::Act && step.has_effect;
    is_in_doubt(progress) || progress.steps.iter().any(has_effect)
}

/// Takes from a delivery that is sent again what it was given about a storm, unless it still stands for that.
pub(crate) fn without_storm(progress: Progress, row: &Row) -> Progress {
    let is_alone = row.storm.is_none() || row.representative.is_some();
    Progress {
        storm: progress.storm.filter(|_| !is_alone),
        ..progress
    }
}

/// Returns what the handlers are given about a generation.
pub(crate) fn given(generation: &Generation<'_>) -> StormGiven {
    let (storm, labels) = (generation.storm, generation.labels);
    let differing = Differing::of(labels);
    let facts = Labels::from_iter([
        ("storm.id", storm.id.to_string()),
        ("storm.first", storm.id.to_string()),
        ("storm.count", storm.count.to_string()),
        ("storm.resolved", storm.resolved.to_string()),
        ("storm.since", generation.since.to_string()),
        ("storm.shared", differing.shared(labels)),
        ("storm.names", differing.names(labels)),
    ]);
    StormGiven {
        facts: facts.without_empty_values(),
        blocks: differing.table().into_iter().collect(),
    }
}

/// The labels of many alerts, by how they differ.
struct Differing<'a> {
    /// By name, then how many have each value. The number of those that lack it is missing in the sum.
    values: BTreeMap<&'a str, HashMap<&'a str, usize>>,
    count: usize,
}

impl<'a> Differing<'a> {
    fn of(all: &'a [Labels]) -> Self {
        let mut values: BTreeMap<&str, HashMap<&str, usize>> = BTreeMap::new();
        for (name, value) in all.iter().flat_map(Labels::iter) {
            *values.entry(name).or_default().entry(value).or_default() += 1;
        }
        Self {
            values,
            count: all.len(),
        }
    }

    fn is_shared(&self, name: &str) -> bool {
        let values = self.values.get(name);
        values.is_some_and(|values| values.values().eq([&self.count]))
    }

    /// Returns the labels that all alerts have, one in each line.
    fn shared(&self, labels: &[Labels]) -> String {
        let first = labels.first().into_iter().flat_map(Labels::iter);
        let shared = first.filter(|(name, _)| self.is_shared(name));
        lines(
            shared
                .take(SHARED_MAX)
                .map(|(name, value)| cut(&format!("{name}={value}"))),
        )
    }

    /// Returns the names of the first alerts, one in each line.
    fn names(&self, labels: &[Labels]) -> String {
        lines(labels.iter().take(NAMED_MAX).map(|alert| self.name(alert)))
    }

    /// Returns what an alert is about: its object, or else what distinguishes it from the others.
    fn name(&self, alert: &Labels) -> String {
        let object = OBJECTS.iter().find_map(|object| alert.get(object));
        let object = match (alert.get("namespace"), object) {
            (Some(namespace), Some(object)) => Some(format!("{namespace}/{object}")),
            (None, Some(object)) => Some(object.to_owned()),
            (_, None) => None,
        };
        let alertname = alert.get("alertname").unwrap_or_default();
        let object = object.unwrap_or_else(|| {
            let pairs = alert.iter();
            let own = pairs.filter(|(name, _)| *name != "alertname" && !self.is_shared(name));
            let own: Vec<_> = own
                .take(FREQUENT_MAX)
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            own.join(", ")
        });
        cut(match (self.is_shared("alertname"), object.is_empty()) {
            (_, true) => alertname.to_owned(),
            (true, false) => object,
            (false, false) => format!("{alertname} {object}"),
        }
        .trim())
    }

    /// Returns the labels that differ as a table, those with the fewest values first: they divide the alerts best.
    fn table(&self) -> Option<Block> {
        let differing = self.values.iter();
        let mut differing: Vec<_> = differing
            .filter(|(name, _)| !self.is_shared(name))
            .collect();
        differing.sort_by_key(|(name, values)| (values.len(), **name));
        let rows: Vec<_> = differing
            .into_iter()
            .take(DIFFERING_MAX)
            .map(|(name, values)| vec![cut(name), values.len().to_string(), frequent(values)])
            .collect();
        (!rows.is_empty()).then(|| Block::Table {
            title: "What differs".to_owned(),
            header: ["label", "values", "most frequent"]
                .map(String::from)
                .into(),
            rows,
        })
    }
}

/// The labels that name the object of an alert, the most exact first.
const OBJECTS: [&str; 16] = [
    "exported_pod",
    "pod",
    "job_name",
    "persistentvolumeclaim",
    "horizontalpodautoscaler",
    "poddisruptionbudget",
    "deployment",
    "statefulset",
    "daemonset",
    "node",
    "instance",
    "host",
    "target",
    "service",
    "name",
    "device",
];

/// Returns the most frequent values, each with how many alerts have it.
fn frequent(values: &HashMap<&str, usize>) -> String {
    let mut values: Vec<_> = values.iter().collect();
    values.sort_by_key(|(value, count)| (std::cmp::Reverse(**count), **value));
    let values = values.into_iter().take(FREQUENT_MAX);
    let texts: Vec<_> = values
        .map(|(value, count)| format!("{} ({count})", cut(value)))
        .collect();
    texts.join(", ")
}

fn lines(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join("\n")
}

/// Returns a text on one line, and shortened.
fn cut(text: &str) -> String {
    let one_line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = one_line.clone().take(TEXT_CHARS_MAX).collect();
    if one_line.count() > TEXT_CHARS_MAX {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use alert_manager_core::alert::{DeliveryId, HandlerName, Priority};

    use super::*;
    use crate::model::clock::from_millis;
    use crate::model::{Storm, StormKey};

    fn storm(count: u64, resolved: u64) -> Storm {
        Storm {
            id: DeliveryId::from_raw(7),
            key: StormKey {
                route: "route".into(),
                pipeline: vec![HandlerName::new("a")].into(),
                text: "A".into(),
                priority: Priority::Normal,
            },
            count,
            resolved,
            opened_at: from_millis(0),
            last_firing_at: from_millis(0),
            last_at: from_millis(0),
        }
    }

    fn pod(namespace: &str, pod: &str) -> Labels {
        Labels::from_iter([
            ("alertname", "Down"),
            ("cluster", "main"),
            ("namespace", namespace),
            ("pod", pod),
        ])
    }

    #[test]
    fn a_generation_is_given_how_many_it_is_what_they_share_and_what_differs() {
        let labels = [pod("a", "x"), pod("a", "y"), pod("b", "z")];
        let given = given(&Generation {
            storm: &storm(240, 12),
            since: from_millis(-60_000),
            labels: &labels,
        });
        let facts: Vec<_> = given.facts.iter().collect();
        assert_eq!(
            facts,
            [
                ("storm.count", "240"),
                ("storm.first", "0000000000007"),
                ("storm.id", "0000000000007"),
                ("storm.names", "a/x\na/y\nb/z"),
                ("storm.resolved", "12"),
                ("storm.shared", "alertname=Down\ncluster=main"),
                ("storm.since", "1969-12-31T23:59:00Z"),
            ]
        );
        let row = |texts: [&str; 3]| texts.map(String::from).to_vec();
        assert_eq!(
            given.blocks,
            [Block::Table {
                title: "What differs".into(),
                header: row(["label", "values", "most frequent"]),
                rows: vec![
                    row(["namespace", "2", "a (2), b (1)"]),
                    row(["pod", "3", "x (1), y (1), z (1)"]),
                ],
            }]
        );
    }

    #[test]
    fn names_are_ten_and_the_table_has_eight_rows() {
        let label = |n: usize| (format!("l{n:02}"), "x".to_owned());
        let labels: Vec<_> = (0..30).map(|n| Labels::from_iter([label(n)])).collect();
        let given = given(&Generation {
            storm: &storm(30, 0),
            since: from_millis(0),
            labels: &labels,
        });
        let names: Vec<_> = given.facts.get("storm.names").unwrap().lines().collect();
        assert_eq!(names.len(), 10);
        assert_eq!(names[1], "l01=x");
        assert!(
            matches!(&given.blocks[..], [Block::Table { rows, .. }] if rows.len() == 8),
            "{:?}",
            given.blocks
        );
        assert_eq!(given.facts.get("storm.shared"), None);
    }

    #[test]
    fn alerts_of_several_names_are_named_with_them() {
        let mut labels = vec![pod("a", "x")];
        labels.push(Labels::from_iter([("alertname", "Full"), ("pod", "y")]));
        let given = given(&Generation {
            storm: &storm(2, 0),
            since: from_millis(0),
            labels: &labels,
        });
        assert_eq!(given.facts.get("storm.names"), Some("Down a/x\nFull y"));
    }

    #[test]
    fn a_long_label_is_cut_and_stays_on_its_line() {
        let long = format!("a\nb{}", "c".repeat(500));
        let labels = [Labels::from_iter([("l", long.as_str())])];
        let given = given(&Generation {
            storm: &storm(1, 0),
            since: from_millis(0),
            labels: &labels,
        });
        let shared = given.facts.get("storm.shared").unwrap();
        assert!(shared.starts_with("l=a bc"), "{shared}");
        assert_eq!(shared.chars().count(), TEXT_CHARS_MAX + 1);
    }

    #[test]
    fn three_members_take_over_where_nothing_was_done() {
        for (reason, effects, takeovers, expected) in [
            (Reason::Failed, Effects::None, 0, AfterDeath::TakesOver),
            (Reason::Failed, Effects::None, 2, AfterDeath::TakesOver),
            (Reason::Failed, Effects::None, 3, AfterDeath::Dead),
            (Reason::Failed, Effects::Possible, 0, AfterDeath::Dead),
            (Reason::Expired, Effects::None, 0, AfterDeath::Dead),
            (Reason::Died, Effects::None, 0, AfterDeath::Dead),
        ] {
            assert_eq!(
                after_death(reason, effects, takeovers),
                expected,
                "{reason}"
            );
        }
    }
}
