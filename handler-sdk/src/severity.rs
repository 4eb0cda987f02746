//! The severity of an alert: one table of the names that rules use for it.

use crate::Alert;

/// The severity of an alert, according to its labels.
///
/// ```
/// use handler_sdk::{Alert, Severity};
///
/// assert_eq!(Alert::new("A").with_label("severity", "PAGE").level(), Severity::Critical);
/// assert_eq!(Alert::new("A").with_label("priority", "P2").level(), Severity::Warning);
/// assert_eq!(Alert::new("A").level(), Severity::Unknown);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// A person has to act now.
    Critical,
    /// A person has to act today.
    Warning,
    /// For information.
    Info,
    /// The alert gives no severity, or one that is not in the table.
    Unknown,
}

impl Severity {
    /// The names in lower case, from Prometheus' mixins, `PagerDuty`, Opsgenie, Zabbix, Nagios, Jira, syslog (RFC 5424),
    /// Kubernetes' events and the numbered scales that teams use. The server's table of priorities has the same names.
    pub const WORDS: [(Self, &'static [&'static str]); 3] = [
        (
            Self::Critical,
            &[
                "critical",
                "crit",
                "page",
                "pager",
                "paging",
                "emergency",
                "emerg",
                "fatal",
                "panic",
                "disaster",
                "high",
                "highest",
                "major",
                "severe",
                "error",
                "err",
                "alert",
                "urgent",
                "blocker",
                "down",
                "p0",
                "p1",
                "sev0",
                "sev1",
                "sev-0",
                "sev-1",
                "s0",
                "s1",
            ],
        ),
        (
            Self::Warning,
            &[
                "warning", "warn", "average", "medium", "moderate", "minor", "ticket", "p2", "p3",
                "sev2", "sev3", "sev-2", "sev-3", "s2", "s3",
            ],
        ),
        (
            Self::Info,
            &[
                "info",
                "information",
                "informational",
                "notice",
                "normal",
                "low",
                "lowest",
                "trivial",
                "debug",
                "verbose",
                "none",
                "ok",
                "not classified",
                "p4",
                "p5",
                "sev4",
                "sev5",
                "sev-4",
                "sev-5",
                "s4",
                "s5",
            ],
        ),
    ];

    /// Returns the severity that a name stands for, ignoring case; [`Severity::Unknown`] if it is not in the table.
    pub fn of_word(word: &str) -> Self {
        let word = word.trim();
        Self::WORDS
            .iter()
            .find(|(_, words)| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
            .map_or(Self::Unknown, |(severity, _)| *severity)
    }
}

impl Alert {
    /// Returns the severity: that of the label `severity`, or that of `priority` if the former is not known.
    pub fn level(&self) -> Severity {
        ["severity", "priority"]
            .iter()
            .filter_map(|name| self.label(name))
            .map(Severity::of_word)
            .find(|severity| *severity != Severity::Unknown)
            .unwrap_or(Severity::Unknown)
    }

    /// Returns the label `priority` as written, for example `P0`.
    pub fn priority(&self) -> Option<&str> {
        self.label("priority")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_in_the_table_once() {
        let all: Vec<&str> = Severity::WORDS
            .iter()
            .flat_map(|(_, words)| words.iter().copied())
            .collect();
        for word in &all {
            assert_eq!(
                all.iter().filter(|other| *other == word).count(),
                1,
                "{word}"
            );
            assert_eq!(*word, word.to_lowercase());
        }
    }

    #[test]
    fn names_are_matched_in_any_case() {
        for (word, severity) in [
            ("CRITICAL", Severity::Critical),
            (" Page ", Severity::Critical),
            ("sev1", Severity::Critical),
            ("High", Severity::Critical),
            ("disaster", Severity::Critical),
            ("Warn", Severity::Warning),
            ("average", Severity::Warning),
            ("P2", Severity::Warning),
            ("informational", Severity::Info),
            ("Normal", Severity::Info),
            ("<!channel>", Severity::Unknown),
            ("", Severity::Unknown),
        ] {
            assert_eq!(Severity::of_word(word), severity, "{word}");
        }
    }

    #[test]
    fn the_priority_decides_if_the_severity_is_unknown() {
        let alert = Alert::new("A")
            .with_label("severity", "team-a")
            .with_label("priority", "P1");
        assert_eq!(alert.level(), Severity::Critical);
        let alert = alert.with_label("severity", "info");
        assert_eq!(alert.level(), Severity::Info);
    }
}
