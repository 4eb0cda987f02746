//! The priority of an alert: one table of the words that people write for it in the labels `severity` and `priority`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Labels;

/// The labels that have a word for it, in the order in which they are looked at.
const LABELS: [&str; 2] = ["severity", "priority"];

/// The priority of a delivery. Wherever deliveries wait, those with a higher one go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// A person has to act now.
    Critical,
    /// A person has to act today.
    Warning,
    /// For information, or not known.
    Normal,
}

impl Priority {
    /// All of them, the highest first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Warning, Self::Normal];

    /// Returns its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Normal => "normal",
        }
    }

    /// Returns the priority that the table gives to an alert with `labels`.
    #[must_use]
    pub fn of(labels: &Labels) -> Self {
        SeverityMap::default().of(labels).priority
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Words of the table that mean the same priority and come from the same systems.
#[derive(Clone, Copy, Debug)]
pub struct SeverityWords {
    /// What they mean.
    pub priority: Priority,
    /// Where they come from, for people.
    pub source: &'static str,
    /// The words in lower case.
    pub words: &'static [&'static str],
}

/// The table. Each word is in it once. `handler-sdk` has the same words for the texts of handlers.
pub const SEVERITY_WORDS: &[SeverityWords] = &[
    words(
        Priority::Critical,
        "Prometheus rules and mixins, PagerDuty",
        &["critical", "crit", "page", "pager", "paging", "error"],
    ),
    words(
        Priority::Critical,
        "syslog (RFC 5424), log levels",
        &[
            "emergency",
            "emerg",
            "alert",
            "err",
            "fatal",
            "panic",
            "severe",
        ],
    ),
    words(Priority::Critical, "Zabbix", &["disaster", "high"]),
    words(Priority::Critical, "Nagios, Icinga", &["down"]),
    words(
        Priority::Critical,
        "ITU-T X.733, Jira, service desks",
        &["major", "blocker", "highest", "urgent"],
    ),
    words(
        Priority::Critical,
        "numbered scales",
        &["p0", "p1", "sev0", "sev1", "sev-0", "sev-1", "s0", "s1"],
    ),
    words(
        Priority::Warning,
        "Prometheus rules and mixins, syslog",
        &["warning", "warn", "ticket"],
    ),
    words(
        Priority::Warning,
        "Zabbix, Opsgenie, ITU-T X.733",
        &["average", "medium", "moderate", "minor"],
    ),
    words(
        Priority::Warning,
        "numbered scales",
        &["p2", "p3", "sev2", "sev3", "sev-2", "sev-3", "s2", "s3"],
    ),
    words(
        Priority::Normal,
        "Prometheus rules and mixins, Nagios, Kubernetes events",
        &["info", "none", "ok", "normal"],
    ),
    words(
        Priority::Normal,
        "syslog, Azure Monitor",
        &["notice", "informational", "debug", "verbose"],
    ),
    words(
        Priority::Normal,
        "Zabbix",
        &["information", "not classified"],
    ),
    words(Priority::Normal, "Jira", &["low", "lowest", "trivial"]),
    words(
        Priority::Normal,
        "numbered scales",
        &["p4", "p5", "sev4", "sev5", "sev-4", "sev-5", "s4", "s5"],
    ),
];

const fn words(
    priority: Priority,
    source: &'static str,
    words: &'static [&'static str],
) -> SeverityWords {
    SeverityWords {
        priority,
        source,
        words,
    }
}

/// Returns the priority that a word means according to the table, ignoring case and the spaces around it.
fn of_table(word: &str) -> Option<Priority> {
    let word = word.trim();
    SEVERITY_WORDS
        .iter()
        .find(|row| {
            row.words
                .iter()
                .any(|known| known.eq_ignore_ascii_case(word))
        })
        .map(|row| row.priority)
}

/// The words of one team, which count before those of the table: `severity_map`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeverityMap(BTreeMap<String, Priority>);

impl SeverityMap {
    /// Adds a word, or changes what it means. Returns what it meant before.
    pub fn insert(&mut self, word: &str, priority: Priority) -> Option<Priority> {
        self.0.insert(folded(word), priority)
    }

    /// Returns the priority of an alert with `labels`: of the label `severity` if its word is known, else of the label
    /// `priority`, else normal. A word of this map counts before the same word of the table; case, and spaces around a
    /// word, do not matter.
    #[must_use]
    pub fn of(&self, labels: &Labels) -> Ranked {
        let known = LABELS.into_iter().find_map(|label| {
            let word = labels.get(label)?;
            if let Some(priority) = self.word(word) {
                return Some(Ranked::new(priority, RankedBy::Map { label }));
            }
            let priority = of_table(word)?;
            Some(Ranked::new(priority, RankedBy::Table { label }))
        });
        known.unwrap_or(Ranked::new(Priority::Normal, RankedBy::Nothing))
    }

    fn word(&self, word: &str) -> Option<Priority> {
        // Most teams have no words of their own: nothing is allocated for them.
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&folded(word)).copied()
    }
}

fn folded(word: &str) -> String {
    word.trim().to_lowercase()
}

/// The priority of an alert, and what decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The priority.
    pub priority: Priority,
    /// What decided it.
    pub by: RankedBy,
}

impl Ranked {
    /// Returns a priority with what decided it.
    #[must_use]
    pub fn new(priority: Priority, by: RankedBy) -> Self {
        Self { priority, by }
    }
}

/// What decides a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankedBy {
    /// `routes[].priority`.
    Route,
    /// A word of `severity_map`, in this label.
    Map {
        /// `severity` or `priority`.
        label: &'static str,
    },
    /// A word of the table, in this label.
    Table {
        /// `severity` or `priority`.
        label: &'static str,
    },
    /// Neither label has a known word.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(map: &SeverityMap, labels: &[(&str, &str)]) -> Ranked {
        map.of(&labels.iter().copied().collect())
    }

    fn by_table(label: &'static str, priority: Priority) -> Ranked {
        Ranked::new(priority, RankedBy::Table { label })
    }

    #[test]
    fn each_word_is_in_the_table_once_and_in_lower_case() {
        let all: Vec<&str> = SEVERITY_WORDS
            .iter()
            .flat_map(|row| row.words)
            .copied()
            .collect();
        assert!(all.len() > 60, "{}", all.len());
        for word in &all {
            assert_eq!(
                all.iter().filter(|other| *other == word).count(),
                1,
                "{word}"
            );
            assert_eq!(*word, folded(word));
        }
    }

    #[test]
    fn every_word_counts_in_any_case_in_either_label() {
        for row in SEVERITY_WORDS {
            for word in row.words {
                for written in [
                    (*word).to_owned(),
                    word.to_uppercase(),
                    format!(" {}{} ", word[..1].to_uppercase(), &word[1..]),
                ] {
                    for label in LABELS {
                        assert_eq!(
                            ranked(&SeverityMap::default(), &[(label, &written)]),
                            by_table(label, row.priority),
                            "{label}={written:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_people_write_most_has_the_priority_that_they_expect() {
        use Priority::{Critical, Normal, Warning};
        for (word, expected) in [
            ("critical", Critical),
            ("page", Critical),
            ("emergency", Critical),
            ("fatal", Critical),
            ("disaster", Critical),
            ("P0", Critical),
            ("p1", Critical),
            ("SEV0", Critical),
            ("sev1", Critical),
            ("S1", Critical),
            ("high", Critical),
            ("major", Critical),
            ("error", Critical),
            ("warning", Warning),
            ("warn", Warning),
            ("average", Warning),
            ("p2", Warning),
            ("info", Normal),
            ("normal", Normal),
            ("none", Normal),
        ] {
            let labels = Labels::from_iter([("severity", word)]);
            assert_eq!(Priority::of(&labels), expected, "{word}");
        }
        assert_eq!(Priority::of(&Labels::default()), Normal);
    }

    #[test]
    fn the_label_priority_decides_if_there_is_no_known_severity() {
        let map = SeverityMap::default();
        for (labels, expected) in [
            (
                &[("priority", "P0"), ("severity", "CRITICAL")][..],
                by_table("severity", Priority::Critical),
            ),
            (
                &[("priority", "P0"), ("severity", "info")],
                by_table("severity", Priority::Normal),
            ),
            (
                &[("priority", "P0"), ("severity", "team-a")],
                by_table("priority", Priority::Critical),
            ),
            (
                &[("priority", "P2")],
                by_table("priority", Priority::Warning),
            ),
            (
                &[("priority", "soon"), ("severity", "team-a")],
                Ranked::new(Priority::Normal, RankedBy::Nothing),
            ),
            (
                &[("severity", "criticality"), ("level", "critical")],
                Ranked::new(Priority::Normal, RankedBy::Nothing),
            ),
        ] {
            assert_eq!(ranked(&map, labels), expected, "{labels:?}");
        }
    }

    #[test]
    fn a_team_s_own_words_count_before_the_table() {
        let mut map = SeverityMap::default();
        assert_eq!(map.insert("Gold", Priority::Critical), None);
        assert_eq!(map.insert("ÄRGERLICH", Priority::Warning), None);
        assert_eq!(map.insert("page", Priority::Warning), None);
        assert_eq!(
            map.insert(" gold ", Priority::Critical),
            Some(Priority::Critical),
            "the same word"
        );
        let by_map = |label, priority| Ranked::new(priority, RankedBy::Map { label });
        for (labels, expected) in [
            (
                &[("severity", "GOLD")][..],
                by_map("severity", Priority::Critical),
            ),
            (
                &[("severity", "ärgerlich")],
                by_map("severity", Priority::Warning),
            ),
            (
                &[("severity", "Page")],
                by_map("severity", Priority::Warning),
            ),
            (
                &[("severity", "unknown"), ("priority", "gold")],
                by_map("priority", Priority::Critical),
            ),
            // A known severity decides, whether this map or the table has its word.
            (
                &[("severity", "info"), ("priority", "gold")],
                by_table("severity", Priority::Normal),
            ),
            (
                &[("severity", "crit")],
                by_table("severity", Priority::Critical),
            ),
        ] {
            assert_eq!(ranked(&map, labels), expected, "{labels:?}");
        }
    }
}
